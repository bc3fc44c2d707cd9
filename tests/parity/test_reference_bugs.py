"""Inputs on which cz-benchmarks 0.15.0 gives a wrong number, and what czrun says of them.

What it says is measured: the section ``faults`` of reference.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import czrun
import our_tasks
import parity_faults as faults
from czrun import metrics
from czrun.datasets.sample import SampleCells
from czrun.errors import CzrunError, ScoringError
from czrun.metrics import Embedded
from czrun.metrics.silhouettes import batch_silhouette_family
from parity_inputs import BUNDLED, Cells, synthetic

pytestmark = pytest.mark.slow

THEIRS: dict[str, Any] = json.loads(Path(__file__).with_name("reference.json").read_text())["faults"]

EMBEDDING_TASKS = (
    our_tasks.clustering,
    our_tasks.embedding,
    our_tasks.batch_integration,
    our_tasks.label_prediction,
    our_tasks.sequential_organization,
    our_tasks.cross_species_integration,
    our_tasks.cross_species_label_prediction,
)
Task = Callable[[Cells], our_tasks.Values]


def test_an_embedding_that_puts_all_cells_in_one_place_mixes_nothing() -> None:
    """cz-benchmarks: batch silhouette 1, the best there is, and mixing entropy 0.995."""
    assert THEIRS["constant embedding"]["batch_silhouette"] == 1
    assert THEIRS["constant embedding"]["entropy_per_cell"] > 0.99
    for name, found in our_tasks.batch_integration(faults.constant()).items():
        assert found.value is None, name
        assert "in one place" in found.reason


def test_an_embedding_without_a_number_is_refused() -> None:
    """cz-benchmarks: batch silhouette 1 and mixing entropy 0.996 of an embedding that is all NaN."""
    assert THEIRS["all NaN"]["batch_silhouette"] == 1
    assert THEIRS["all NaN"]["entropy_per_cell"] > 0.99
    with pytest.raises(ScoringError, match="400 cells have a value that isn't finite"):
        our_tasks.batch_integration(faults.all_nan())


@pytest.mark.parametrize("task", EMBEDDING_TASKS, ids=lambda task: task.__name__)
def test_one_cell_that_is_not_a_number_is_refused_by_every_task(task: Task) -> None:
    """cz-benchmarks: the silhouette falls from 0.54 to 0.5, which is that of no structure at all."""
    assert THEIRS["sound embedding"]["silhouette_score"] > 0.53
    assert THEIRS["one NaN cell"]["silhouette_score"] == 0.5
    with pytest.raises(ScoringError, match=r"1 cells have a value that isn't finite.*the first is cell 7"):
        task(faults.one_nan_cell())


def test_cells_of_one_time_are_in_no_order() -> None:
    """cz-benchmarks: alignment 1, where sound times have 0.2."""
    assert THEIRS["equal times"] == 1
    assert THEIRS["sound times"] < 0.25
    for name, found in our_tasks.sequential_organization(faults.equal_times()).items():
        assert found.value is None, name
        assert found.reason


def test_one_time_that_is_not_a_number_is_refused() -> None:
    """cz-benchmarks: alignment 1."""
    assert THEIRS["one NaN time"] == 1
    cells = faults.one_nan_time()
    for metric in (metrics.sequential_alignment, metrics.silhouette_by_time):
        with pytest.raises(ScoringError, match="1 cells have no"):
            metric(cells.embedding, cells.times)


def test_donors_do_not_leak_from_training_to_test() -> None:
    """cz-benchmarks: accuracy 0.93 of an illness drawn by lot for each donor, which nothing can predict.

    Its folds part a donor's cells. So do ours where no donors are given, with the same result; with donors
    they keep each whole, and accuracy is 0.43, no better than chance.
    """
    cells = faults.leaky_donors()
    theirs = THEIRS["leaky donors"]["mean_fold_accuracy:mean"]
    assert theirs > 0.9
    without = metrics.probe_scores(cells.embedding, cells.labels)["probe_accuracy"].value
    whole = metrics.probe_scores(cells.embedding, cells.labels, groups=cells.donors)
    assert without == pytest.approx(theirs, abs=0.005)
    for name in ("probe_accuracy", "lr_accuracy", "knn_accuracy", "rf_accuracy", "probe_auroc"):
        assert whole[name].value == pytest.approx(0.45, abs=0.1), name


def test_a_class_that_the_tested_organism_lacks_is_no_reason_to_crash() -> None:
    """cz-benchmarks: a ValueError out of scikit-learn's AUROC."""
    assert THEIRS["absent class"].startswith("ValueError: Number of classes in y_true")
    found = our_tasks.cross_species_label_prediction(faults.absent_class())
    assert all(each.value is not None for each in found.values())
    # What only humans have, mice couldn't teach: it is left out, and other types are named as well as ever.
    for pair in ("homo_sapiens to mus_musculus", "mus_musculus to homo_sapiens"):
        accuracy = found[f"transfer_lr_accuracy/{pair}"].value
        assert accuracy is not None
        assert accuracy > 0.9, pair


def test_label_transfer_works_with_its_default_arguments() -> None:
    """cz-benchmarks: a ValueError, since by default it averages donors and knows none."""
    assert THEIRS["default arguments"].startswith("ValueError: Mismatched lengths")
    cells = faults.sound()
    found = metrics.across_organisms(cells.embedding, cells.labels, cells.organisms)
    assert all(each.value is not None for each in found.values())


def test_predictions_in_another_order_are_refused(tmp_path: Path) -> None:
    """cz-benchmarks: takes rows as they come; an embedding upside down has silhouette 0.47, not 0.54."""
    assert THEIRS["shuffled rows"]["silhouette_score"] != THEIRS["sound embedding"]["silhouette_score"]
    sample = SampleCells(BUNDLED)
    rows = [
        f"{cell},{label}"
        for cell, label in zip(sample.obs_names(), sample.column("bulk_labels"), strict=True)
    ]
    answers = tmp_path / "predictions.csv"
    answers.write_text("\n".join(["cell_id,label", *rows]) + "\n")
    assert czrun.score(tmp_path).metrics["accuracy"].value == 1
    rows[3], rows[4] = rows[4], rows[3]
    answers.write_text("\n".join(["cell_id,label", *rows]) + "\n")
    with pytest.raises(CzrunError, match="not in the order of the input"):
        czrun.score(tmp_path)


def test_lengths_are_compared_one_by_one() -> None:
    """cz-benchmarks: compares totals, so a label too few of humans and one too many of mice goes unseen."""
    assert isinstance(THEIRS["lengths that cancel"], dict)
    cells = faults.sound()
    human = cells.organisms == "human"
    with pytest.raises(ScoringError, match=r"labels: \d+ labels for \d+ cells"):
        metrics.label_transfer(
            cells.embedding[human],
            cells.labels[human][:-1],
            cells.embedding[~human],
            np.append(cells.labels[~human], "type_00"),
        )
    with pytest.raises(ScoringError, match="batches: 399 labels for 400 cells"):
        metrics.mixing_entropy(cells.embedding, cells.labels[1:])


def test_a_prediction_that_is_not_a_number_is_refused() -> None:
    """cz-benchmarks: its condition's Spearman correlation becomes 0."""
    theirs = THEIRS["one NaN prediction"]
    assert theirs["spearman_correlation_calculation:condition_1"] == 0
    with pytest.raises(ScoringError, match="condition_1: predictions that aren't finite"):
        our_tasks.perturbation(faults.one_nan_prediction())


def test_a_correlation_that_is_not_defined_is_not_zero() -> None:
    """cz-benchmarks: 0, as if fold changes had been predicted that have nothing to do with the true ones."""
    assert set(THEIRS["unchanging prediction"].values()) == {0}
    for name, found in our_tasks.perturbation(faults.unchanging_prediction()).items():
        assert found.value is None, name
        assert found.reason


def test_batch_silhouette_is_shown_beside_bras_which_nested_batches_do_not_fool() -> None:
    """cz-benchmarks: batch silhouette 0.99, alone, of two pairs of batches that lie far apart."""
    theirs = THEIRS["nested batches"]["batch_silhouette"]
    assert theirs > 0.98
    cells = faults.nested_batches()
    embedded = Embedded(cells.embedding)
    family = batch_silhouette_family(embedded, cells.labels, cells.batches)
    assert family.names == ("batch_silhouette", "bras")
    fooled = metrics.batch_silhouette(embedded, cells.labels, cells.batches).value
    assert fooled == pytest.approx(theirs, abs=1e-3)
    bras = metrics.bras(embedded, cells.labels, cells.batches).value
    assert bras is not None
    assert bras < 0.5


def test_the_same_seed_gives_the_same_digits() -> None:
    """cz-benchmarks: mixing entropies of two runs differ in the 7th digit, alignments in the 2nd."""
    assert len(set(THEIRS["the same seed twice"])) == 2
    cells = synthetic(1000)
    tasks = (our_tasks.clustering, our_tasks.batch_integration, our_tasks.sequential_organization)
    for task in (*tasks, our_tasks.label_prediction):
        assert task(cells) == task(replace(cells, embedding=cells.embedding.copy())), task.__name__
