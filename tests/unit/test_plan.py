"""Which results are whose: what makes a fit or a prediction another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from czrun.contract.image import parse_labels
from czrun.contract.job import Verb
from czrun.options import DEFAULT_LIMITS
from czrun.plan import Candidate, Trial
from czrun.split_plan import SplitPlan
from czrun.tasks.base import REFERENCE, VIEW
from czrun.tasks.labels import EMBEDDING
from fake_engine import image
from made_cells import made_cells, prepared, request_for, written
from made_tasks import LABELS_OR_EMBEDDING


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A trial whose predict gets two views."""
    path = written(made_cells(), tmp_path / "cells.h5ad")
    _, manifest = prepared(request_for(path, SplitPlan(test_size=0.25), LABELS_OR_EMBEDDING))
    found = image()
    candidate = Candidate(found, parse_labels(found.labels, "model:1"), {})
    return Trial(candidate, LABELS_OR_EMBEDDING, manifest, 0, DEFAULT_LIMITS)


def test_a_job_asks_for_the_files_of_every_view(trial: Trial) -> None:
    job = trial.job(Verb.PREDICT, "job")
    assert [each.id for each in job.outputs] == [VIEW, REFERENCE]
    test, reference = job.outputs
    assert [file.name for file in test.files] == ["predictions.csv", "proba.npy", "embedding.npy"]
    assert test.one_of == ("predictions.csv", "embedding.npy")
    assert test.files[1].shape == (10, 2)
    assert test.files[2].shape == (10, None)
    assert [(file.name, file.shape) for file in reference.files] == [("embedding.npy", (30, None))]
    assert reference.one_of == ()
    assert trial.job(Verb.FIT, "job").outputs == ()


def test_other_outputs_are_other_predictions_of_the_same_fit(trial: Trial) -> None:
    for changes in (
        {"outputs": trial.task.outputs[:2]},
        {"one_of": ("embedding.npy",)},
        {"reference_outputs": (replace(EMBEDDING, name="other.npy"),)},
    ):
        other = replace(trial, task=replace(trial.task, **changes))
        assert other.fit_key() == trial.fit_key()
        assert other.predict_key() != trial.predict_key()


def test_how_a_task_is_scored_changes_no_prediction(trial: Trial) -> None:
    other = replace(trial, task=replace(trial.task, metrics=("other",), packages=("other 1.0",)))
    assert other.predict_key() == trial.predict_key()
