"""What prepared data are called and what is written beside them: all that a cached run reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, ValidationError

from czrun.contract.base import CONTRACT_VERSION, ContractModel, Sha256
from czrun.contract.job import DatasetFacts, InputFile, Verb
from czrun.datasets.spec import DatasetSpec
from czrun.errors import StorageError
from czrun.split_plan import SplitPlan
from czrun.storage import content_key, file_sha256
from czrun.tasks.base import Task

PREPARER_VERSION = 4
"""Raised when the same request would give other files."""


class PreparedManifest(ContractModel):
    """``manifest.json`` of a prepared fold; host only."""

    schema_version: Literal[1] = 1
    key: Sha256
    dataset: str
    dataset_sha256: Sha256
    label_key: str
    split: dict[str, JsonValue]
    fold: int
    n_fit: int
    n_predict: int
    n_conditions: int = 0
    n_treated: int = 0
    cluster_key: str | None = None
    facts: DatasetFacts
    fit_inputs: tuple[InputFile, ...]
    predict_inputs: tuple[InputFile, ...]
    truth_sha256: Sha256
    notes: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()

    @property
    def views(self) -> dict[str, int]:
        """The views that predict answers, with their cells."""
        sizes: dict[str, int] = {}
        for file in self.predict_inputs:
            sizes.setdefault(file.id, file.n_obs)
        return sizes

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the axes of outputs, all but the number of cells, which differs between views."""
        return {
            "n_vars": self.facts.n_vars,
            "n_classes": len(self.facts.classes),
            "n_conditions": self.n_conditions,
            "n_cells": self.n_treated,
        }

    def facts_for(self, verb: Verb) -> DatasetFacts:
        """Return what the job of one phase says of the data."""
        n_obs = self.n_fit if verb is Verb.FIT else self.n_predict
        return self.facts.model_copy(update={"n_obs": n_obs})


@dataclass(frozen=True)
class PrepareRequest:
    """Everything that determines prepared data.

    Attributes
    ----------
    spec
        The data set.
    sha256
        Hash of its files.
    task
        Says which obs columns each phase holds.
    plan
        The split.
    notes
        Where the cells came from, for people; determined by what is above.
    """

    spec: DatasetSpec
    sha256: str
    task: Task
    plan: SplitPlan
    notes: tuple[str, ...] = ()

    def key(self, fold: int) -> str:
        """Return the content key of one fold."""
        return content_key(
            {
                "source": self.sha256,
                "meaning": self.spec.meaning(),
                "fit_obs": self.task.fit_obs,
                "predict_obs": self.task.predict_obs,
                "truth": self.task.truth,
                "optional": (self.task.optional_obs, self.task.optional_truth),
                "stratify": self.task.stratify,
                "design": self.task.design,
                "modality": self.task.modality,
                "reference": bool(self.task.reference_outputs),
                "split": self.plan.describe(),
                "fold": fold,
                "contract": CONTRACT_VERSION,
                "preparer": PREPARER_VERSION,
            }
        )

    def is_prepared(self, home: Path, fold: int) -> bool:
        """Tell whether a fold is there already."""
        return (prepared_folder(home, self.key(fold)) / "manifest.json").is_file()

    def manifest(self, home: Path, fold: int) -> PreparedManifest:
        """Read a prepared fold's manifest; raises StorageError when it was damaged."""
        return read_manifest(home, self.key(fold))


def prepared_folder(home: Path, key: str) -> Path:
    """Return where prepared data of this key lie."""
    return home / "prepared" / key


def read_manifest(home: Path, key: str) -> PreparedManifest:
    """Read the manifest of prepared data; raises StorageError when it was damaged."""
    folder = prepared_folder(home, key)
    try:
        return PreparedManifest.model_validate_json((folder / "manifest.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(folder) from error


def verify_inputs(folder: Path, inputs: tuple[InputFile, ...]) -> None:
    """Hold the files about to be mounted against their stored hashes; raises StorageError."""
    for file in inputs:
        path = folder / Path(file.path).name
        if not path.is_file() or path.stat().st_size != file.bytes or file_sha256(path) != file.sha256:
            raise _damaged(folder.parent)


def _damaged(folder: Path) -> StorageError:
    return StorageError(
        f"Prepared data were changed or damaged since they were written: {folder}.",
        f"Remove them and run again, they will be made anew: rm -r {folder}",
    )
