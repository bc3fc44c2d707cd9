"""Score sheets: predictions against the truth, computed once per scorer version and kept."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from czrun.contract.job import UNASSIGNED
from czrun.leases import Lease
from czrun.manifest import prepared_folder
from czrun.phases import fit_folder, predictions_folder
from czrun.plan import Trial
from czrun.records import ClassRecord, IntervalRecord, MetricRecord, ScoreSheet
from czrun.storage import content_key, publish, remove_tree, storage_errors, write_text

if TYPE_CHECKING:
    from czrun.score import ClassifiedTrial
    from czrun.scores import MetricScore

SCORER_VERSION = 1
"""Raised when the same predictions would get other scores."""

SHEET_FILE = "sheet.json"


def score_trials(
    trials: Sequence[Trial], home: Path, lease: Lease, run: Path, slug: str
) -> tuple[ScoreSheet, bool]:
    """Score one candidate over all its trials.

    Parameters
    ----------
    trials
        Trials whose predictions are all in the cache.
    home, lease
        The cache, and scratch space in it.
    run
        The run's folder; gets ``predictions/<slug>-<trial>.csv`` with the source's own cell ids.
    slug
        What to call the candidate in file names.

    Returns
    -------
    ScoreSheet, bool
        The scores, and whether they were there already.
    """
    folder = _score_folder(trials, home)
    sheet = _read_sheet(folder)
    is_cached = sheet is not None
    if sheet is None:
        sheet = _score(trials, home, lease, folder)
    with storage_errors(run):
        target = run / "predictions"
        target.mkdir(exist_ok=True)
        for trial in trials:
            shutil.copyfile(folder / f"{trial.name}.csv", target / f"{slug}-{trial.name}.csv")
    return sheet, is_cached


def forget(trials: Sequence[Trial], home: Path) -> None:
    """Remove everything that these trials left in the cache; for results that nobody will look for again."""
    remove_tree(_score_folder(trials, home))
    for trial in trials:
        remove_tree(fit_folder(home, trial.fit_key()))
        remove_tree(predictions_folder(home, trial.predict_key()))


def _score_folder(trials: Sequence[Trial], home: Path) -> Path:
    key = content_key(
        {
            "kind": "score",
            "scorer": SCORER_VERSION,
            "metrics": trials[0].task.metrics,
            "predictions": [trial.predict_key() for trial in trials],
            "truth": [trial.manifest.truth_sha256 for trial in trials],
        }
    )
    return home / "scores" / key


def _read_sheet(folder: Path) -> ScoreSheet | None:
    try:
        return ScoreSheet.model_validate_json((folder / SHEET_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _score(trials: Sequence[Trial], home: Path, lease: Lease, folder: Path) -> ScoreSheet:
    # Imported here: a cached run has no need of NumPy.
    import numpy as np

    from czrun.score import score_classification

    classes = trials[0].manifest.facts.classes
    stage = lease.folder()
    with storage_errors(home):
        classified = [_load(trial, home, stage) for trial in trials]
        scores = score_classification(classified, classes)
        sheet = ScoreSheet(
            scorer=SCORER_VERSION,
            numpy=np.__version__,
            metrics={name: _metric(scores.metrics[name]) for name in trials[0].task.metrics},
            classes=tuple(
                ClassRecord(label=each.label, support=each.support, f1=_metric(each.f1))
                for each in scores.per_class
            ),
            confusion=tuple(tuple(row) for row in scores.confusion.tolist()),
        )
        write_text(stage / SHEET_FILE, sheet.model_dump_json(indent=1))
    publish(stage, folder)
    return sheet


def _load(trial: Trial, home: Path, stage: Path) -> ClassifiedTrial:
    import numpy as np

    from czrun.score import ClassifiedTrial

    predictions = predictions_folder(home, trial.predict_key())
    truth = prepared_folder(home, trial.manifest.key) / "truth"
    codes, true = np.load(predictions / "codes.npy"), np.load(truth / "labels.npy")
    proba, clusters = predictions / "proba.npy", truth / "clusters.npy"
    names = json.loads((truth / "obs_names.json").read_bytes())
    vocabulary = [*trial.manifest.facts.classes, UNASSIGNED]
    with (stage / f"{trial.name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["cell", "label", "predicted"])
        rows = zip(names, true.tolist(), codes.tolist(), strict=True)
        writer.writerows((name, vocabulary[label], vocabulary[code]) for name, label, code in rows)
    return ClassifiedTrial(
        fold=trial.fold,
        seed=trial.seed,
        true=true,
        predicted=codes,
        proba=np.load(proba) if proba.exists() else None,
        clusters=np.load(clusters) if clusters.exists() else None,
    )


def _metric(score: MetricScore) -> MetricRecord:
    interval = None
    if score.interval:
        interval = IntervalRecord(
            low=score.interval.low,
            high=score.interval.high,
            level=score.interval.level,
            method=score.interval.method,
            n_resamples=score.interval.n_resamples,
            n_clusters=score.interval.n_clusters,
            note=score.interval.note,
        )
    return MetricRecord(
        value=score.value.value,
        reason=score.value.reason,
        interval=interval,
        interval_reason="" if interval else score.interval_reason,
        per_trial=tuple(trial.value.value for trial in score.trials),
    )
