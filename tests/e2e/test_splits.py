"""Splits by group and by domain, on real cells and a real engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Czrun

IMAGE = "czrun/logistic-regression:latest"
BATCHES = ["sc_celseq2", "sc_celseq2_5cl_p1", "sc_celseq2_5cl_p2", "sc_celseq2_5cl_p3", "sc_dropseq"]


@pytest.fixture
def singlets(real_data: Path) -> tuple[str, ...]:
    """Name five cell lines in five batches, without the wells that held two cells."""
    path = real_data / "tian2019_scmixology_5batches.h5ad"
    return ("--dataset", str(path), "--where", "is_doublet_demuxlet=False")


def test_each_batch_is_left_out_once_and_recognised(czrun: Czrun, singlets: tuple[str, ...]) -> None:
    asked = (*singlets, "--split", "leave-one-group-out", "--group-key", "batch")
    czrun.evaluate(IMAGE, *asked).succeeded()
    record = czrun.record()
    data, scores = record["dataset"], record["model"]["scores"]["metrics"]
    assert data["split"] == {"kind": "leave-one-group-out", "folds": 5, "group_key": "batch"}
    assert sum(data["n_predict"]) == 1021
    assert all(fit + tested == 1021 for fit, tested in zip(data["n_fit"], data["n_predict"], strict=True))
    assert [note for note in data["notes"] if note.startswith("fold ")] == [
        f"fold {fold} tests {batch}" for fold, batch in enumerate(BATCHES)
    ]
    assert scores["accuracy"]["value"] >= 0.99
    # Again, from the cache: the folds are known without the data, and nothing is fitted.
    czrun.evaluate(IMAGE, *asked).succeeded()
    again = czrun.record(czrun.run_ids()[-1])["model"]
    assert all(trial["fit_cached"] and trial["predict_cached"] for trial in again["trials"])
    assert again["scores"] == record["model"]["scores"]


def test_one_assay_is_learned_and_another_recognised(czrun: Czrun, singlets: tuple[str, ...]) -> None:
    sides = ("--train-on", "assay=CEL-seq2", "--test-on", "assay=Drop-seq", "--inner-folds", "3")
    czrun.evaluate(IMAGE, *singlets, *sides).succeeded()
    record = czrun.record()
    assert record["dataset"]["split"] == {
        "kind": "domain",
        "train_on": ["assay=CEL-seq2"],
        "test_on": ["assay=Drop-seq"],
        "inner_folds": 3,
        "seed": 0,
    }
    (said,) = [note for note in record["dataset"]["notes"] if "test has no such class" in note]
    assert "'A549'" in said
    assert "'H838'" in said
    assert record["model"]["scores"]["metrics"]["accuracy"]["value"] >= 0.99
