"""``job.json``: what is asked for, and where everything lies."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from czrun_kit.failures import BadInput, Unsupported

CONTRACT = 1
JOB_PATH = "/czrun/job.json"
UNASSIGNED = "__unassigned__"
"""The label by which a model declines to name a cell."""

T = TypeVar("T")


@dataclass(frozen=True)
class Dataset:
    """What a model may know of the data."""

    organisms: tuple[str, ...] = ()
    modality: str = "expression"
    n_obs: int = 0
    n_vars: int = 0
    gene_ids: str = "unknown"
    x: str = "counts"
    classes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] | None = None
    expression: str | None = None


@dataclass(frozen=True)
class Input:
    """One file to read; `id` names the view, and a view that has several files comes once for each."""

    id: str
    path: str
    format: str = "h5ad"
    n_obs: int = 0


@dataclass(frozen=True)
class Output:
    """Where the outputs of one view go.

    Attributes
    ----------
    id
        The view that they answer.
    dir
        The folder for them.
    files
        Names of all files that the host will look for.
    required
        Names of those that must be there.
    one_of
        Names of which at least one must be there.
    """

    id: str
    dir: str
    files: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()

    @property
    def is_optional(self) -> bool:
        """Whether a model may leave this view unanswered."""
        return not (self.required or self.one_of)


@dataclass(frozen=True)
class Job:
    """``job.json``, the fields that a model needs; unknown ones are ignored."""

    verb: str
    task: str
    seed: int
    dataset: Dataset
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    root: Path = Path("/czrun")

    @property
    def views(self) -> dict[str, tuple[Input, ...]]:
        """The files of each view, views in the job's order."""
        names = dict.fromkeys(entry.id for entry in self.inputs)
        return {name: tuple(entry for entry in self.inputs if entry.id == name) for name in names}

    @property
    def model_dir(self) -> Path:
        """Where fit leaves what predict needs; read-only in predict."""
        return self.root / "model"

    @property
    def assets_dir(self) -> Path:
        """Pretrained weights that the image declared; read-only."""
        return self.root / "assets"

    @property
    def output_dir(self) -> Path:
        """The folder that holds every view's outputs."""
        return self.root / "output"

    def param(self, name: str, default: T) -> T:
        """Return a parameter in its default's type; raises BadInput where it doesn't fit."""
        value = self.params.get(name)
        if value is None:
            return default
        try:
            return type(default)(value)  # type: ignore[call-arg]
        except (TypeError, ValueError):
            problem = f"parameter {name}={value!r} is no {type(default).__name__}"
            raise BadInput(problem, f"The default is {default!r}.") from None


def read_job(path: str | Path | None = None) -> Job:
    """Read the job.

    Parameters
    ----------
    path
        Where it is; by default what CZRUN_JOB says, else ``/czrun/job.json``. Model, assets and output
        folders lie beside it, so that a model can be tried without a container.

    Raises
    ------
    BadInput
        When the file can't be read, or lacks a field.
    Unsupported
        When it speaks another version of the contract.
    """
    path = Path(path or os.environ.get("CZRUN_JOB") or JOB_PATH)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["contract"] != CONTRACT:
            raise Unsupported(f"the job follows contract {raw['contract']}, this model {CONTRACT}")
        return Job(
            verb=raw["verb"],
            task=raw["task"],
            seed=int(raw["seed"]),
            dataset=_known(Dataset, raw["dataset"]),
            inputs=tuple(_known(Input, entry) for entry in raw["inputs"]),
            outputs=tuple(_output(entry) for entry in raw.get("outputs", ())),
            params=raw.get("params", {}),
            threads=max(1, math.ceil(raw["limits"]["cpus"])),
            root=path.parent,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is not a job: {type(error).__name__}: {error}") from error


def _output(raw: Mapping[str, Any]) -> Output:
    files = tuple(file["name"] for file in raw["files"])
    required = tuple(file["name"] for file in raw["files"] if file.get("required"))
    return Output(raw["id"], raw["dir"], files, required, tuple(raw.get("one_of", ())))


def _known(kind: type[T], raw: Mapping[str, Any]) -> T:
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    return kind(**{key: value for key, value in frozen.items() if key in names})
