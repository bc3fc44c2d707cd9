"""Score sheets: predictions against the truth, computed once per scorer version and kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from czrun.leases import Lease
from czrun.manifest import prepared_folder
from czrun.phases import fit_folder, load_arrays, predictions_folder
from czrun.plan import Trial
from czrun.records import ScoreSheet
from czrun.storage import content_key, publish, remove_tree, storage_errors, write_text
from czrun.tasks.base import REFERENCE, SCORER_VERSION, VIEW, Design

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from czrun.assess import AssessedTrial

SHEET_FILE = "sheet.json"


def score_cached(
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
            "packages": trials[0].task.packages,
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
    from czrun.assess import make_sheet

    stage = lease.folder()
    with storage_errors(home):
        assessed = [_assess(trial, home) for trial in trials]
        for trial, each in zip(trials, assessed, strict=True):
            each.write_rows(stage / f"{trial.name}.csv")
        sheet = make_sheet(trials[0].task, assessed)
        write_text(stage / SHEET_FILE, sheet.model_dump_json(indent=1))
    publish(stage, folder)
    return sheet


def _assess(trial: Trial, home: Path) -> AssessedTrial:
    from czrun.assess import AssessedTrial
    from czrun.tasks.evidence import Evidence
    from czrun.truth import has_truth, read_truth

    predictions = predictions_folder(home, trial.predict_key())
    prepared = prepared_folder(home, trial.manifest.key)
    truth, clusters, names = read_truth(prepared, VIEW)
    perturbations = None
    if trial.task.design is Design.PERTURBATION:
        from czrun.treated import read_perturbations

        perturbations = read_perturbations(prepared, trial.manifest.facts, truth)
    evidence = Evidence(
        answers=load_arrays(predictions, VIEW),
        truth=truth,
        reference_answers=load_arrays(predictions, REFERENCE),
        reference_truth=read_truth(prepared, REFERENCE)[0] if has_truth(prepared, REFERENCE) else None,
        perturbations=perturbations,
        expression=_components(prepared, trial),
    )
    return AssessedTrial.of(
        trial.task, evidence, fold=trial.fold, seed=trial.seed, names=names, clusters=clusters
    )


def _components(prepared: Path, trial: Trial) -> Callable[[], NDArray[np.float64]] | None:
    if trial.task.modality != "expression":
        return None

    def compute() -> NDArray[np.float64]:
        import h5py

        from czrun.expression import Space, principal_components, read_cells

        facts = trial.manifest.facts
        with h5py.File(prepared / "predict" / f"{VIEW}.h5ad") as file:
            return principal_components(read_cells(file, Space.of(facts.x, facts.n_vars)))

    return compute
