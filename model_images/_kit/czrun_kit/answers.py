"""What a model answers, checked and written as the files that the host looks for."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from czrun_kit.cells import Cells, Images
from czrun_kit.files import replacing, save_array, save_blocks
from czrun_kit.job import UNASSIGNED, Job, Output

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_DIMENSIONS = 4096

Writers = Mapping[str, Callable[[Path], None]]
"""For each file that an answer can give, what checks and writes it."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of the cells of one view.

    Attributes
    ----------
    labels
        One of the job's classes, or `UNASSIGNED`, per cell.
    proba
        Shape (n_obs, n_classes), columns in the order of `job.dataset.classes`; or None.
    """

    FILES: ClassVar = ("predictions.csv", "proba.npy")

    labels: Sequence[str] | NDArray[np.str_]
    proba: NDArray[np.floating[Any]] | None = None

    @classmethod
    def from_proba(
        cls, proba: NDArray[np.floating[Any]], classes: Sequence[str], columns: Sequence[str] | None = None
    ) -> Prediction:
        """Name each cell by its likeliest class.

        Parameters
        ----------
        proba
            Shape (n_obs, len(columns)).
        classes
            The job's classes.
        columns
            The classes that `proba`'s columns stand for, where they aren't `classes`: a class that had no
            training cell gets probability 0.
        """
        names = list(classes if columns is None else columns)
        full = np.zeros((len(proba), len(classes)), dtype=np.float32)
        full[:, [list(classes).index(name) for name in names]] = proba
        labels = np.array(names, dtype=np.str_)[np.argmax(proba, axis=1)]
        return cls(labels, full)

    def writers(self, job: Job, cells: Cells | Images) -> Writers:
        """Return how its files are written."""
        writers = {"predictions.csv": lambda path: self._write_labels(path, job, cells)}
        if self.proba is not None:
            shape = (len(cells), len(job.dataset.classes))
            writers["proba.npy"] = lambda path: save_array(path, _checked("proba", self.proba, shape))
        return writers

    def _write_labels(self, path: Path, job: Job, cells: Cells | Images) -> None:
        labels = [str(label) for label in self.labels]
        if strange := sorted(set(labels) - {*job.dataset.classes, UNASSIGNED}):
            raise ValueError(f"labels that the job doesn't list: {', '.join(strange[:5])}")
        _write_column(path, "label", cells, labels)


@dataclass(frozen=True)
class Embedding:
    """Where a model places the cells of one view; any of the three may be left out.

    Attributes
    ----------
    coordinates
        Shape (n_obs, n_dimensions), 1 to 4096 dimensions.
    clusters
        The name or number of each cell's cluster, shape (n_obs,).
    pseudotime
        How far along each cell is, shape (n_obs,); its unit doesn't matter.
    """

    FILES: ClassVar = ("embedding.npy", "clusters.csv", "pseudotime.npy")

    coordinates: NDArray[np.floating[Any]] | None = None
    clusters: Sequence[Any] | NDArray[Any] | None = None
    pseudotime: NDArray[np.floating[Any]] | None = None

    def writers(self, job: Job, cells: Cells | Images) -> Writers:  # noqa: ARG002 - as all answers'
        """Return how its files are written."""
        writers = {}
        if self.coordinates is not None:
            writers["embedding.npy"] = lambda path: save_array(path, self._checked_coordinates(len(cells)))
        if self.clusters is not None:
            names = [str(name) for name in self.clusters]
            writers["clusters.csv"] = lambda path: _write_column(path, "cluster", cells, names)
        if self.pseudotime is not None:
            shape = (len(cells),)
            writers["pseudotime.npy"] = lambda path: save_array(
                path, _checked("pseudotime", self.pseudotime, shape)
            )
        return writers

    def _checked_coordinates(self, n_obs: int) -> NDArray[np.floating[Any]]:
        width = np.shape(self.coordinates)[1] if np.ndim(self.coordinates) == 2 else 0
        if not 1 <= width <= MAX_DIMENSIONS:
            problem = f"coordinates have shape {np.shape(self.coordinates)}"
            raise ValueError(f"{problem}, not (n_obs, 1 to {MAX_DIMENSIONS})")
        return _checked("coordinates", self.coordinates, (n_obs, width))


@dataclass(frozen=True)
class Scores:
    """How anomalous each cell is, shape (n_obs,); higher is stranger."""

    FILES: ClassVar = ("scores.npy",)

    scores: NDArray[np.floating[Any]]

    def writers(self, job: Job, cells: Cells | Images) -> Writers:  # noqa: ARG002 - as all answers'
        """Return how its files are written."""
        return {"scores.npy": lambda path: save_array(path, _checked("scores", self.scores, (len(cells),)))}


@dataclass(frozen=True)
class Expression:
    """What the conditions of one view do to expression, in the space `job.dataset.expression`.

    Attributes
    ----------
    mean
        Mean expression, shape (n_conditions, n_vars), in the order of `cells.conditions`.
    cells
        Single cells, where the model makes them: for each condition in turn an array of shape (its n_cells,
        n_vars). A generator will do, and is asked only where the job wants cells; then no more than one
        condition's cells need memory.
    """

    FILES: ClassVar = ("expression.npy", "cells.npy")

    mean: NDArray[np.floating[Any]]
    cells: Iterable[NDArray[np.floating[Any]]] | None = None

    def writers(self, job: Job, cells: Cells) -> Writers:  # noqa: ARG002 - as all answers'
        """Return how its files are written."""
        n_vars = len(cells.genes)
        shape = (len(cells.conditions), n_vars)
        writers = {"expression.npy": lambda path: save_array(path, _checked("mean", self.mean, shape))}
        if self.cells is not None:
            shape_of_cells = (sum(condition.n_cells for condition in cells.conditions), n_vars)
            writers["cells.npy"] = lambda path: save_blocks(path, self._checked_cells(cells), shape_of_cells)
        return writers

    def _checked_cells(self, cells: Cells) -> Iterator[NDArray[np.floating[Any]]]:
        for block, condition in zip_longest(self.cells or (), cells.conditions):
            if block is None or condition is None:
                raise ValueError(f"cells must hold one array per condition, {len(cells.conditions)} in all")
            yield _checked(f"cells of {condition.name}", block, (condition.n_cells, len(cells.genes)))


Answer = Prediction | Embedding | Scores | Expression


def write_answer(job: Job, output: Output, cells: Cells | Images, answer: Answer) -> None:
    """Write those of an answer's files that the job lists.

    Raises
    ------
    ValueError
        When the answer doesn't fit the cells or the job, or isn't what the job needs.
    """
    writers = {name: write for name, write in answer.writers(job, cells).items() if name in output.files}
    missing = [name for name in output.required if name not in writers]
    if output.one_of and not set(output.one_of) & set(writers):
        missing.append(" or ".join(output.one_of))
    if missing:
        kind = type(answer).__name__
        raise ValueError(f"{output.id} needs {', '.join(missing)}, which this {kind} does not give")
    for name, write in writers.items():
        with replacing(Path(output.dir) / name) as part:
            write(part)


def write_prediction(job: Job, output: Output, cells: Cells | Images, prediction: Prediction) -> None:
    """Write ``predictions.csv`` and, where the job lists it, ``proba.npy``; as `write_answer`."""
    write_answer(job, output, cells, prediction)


def _checked(name: str, values: Any, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:  # noqa: ANN401
    array = np.asarray(values)
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite, and is refused as such
        array = np.ascontiguousarray(array, dtype=np.float16 if array.dtype == np.float16 else np.float32)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(
            f"{name} has shape {array.shape} where {shape} is expected, or holds values that aren't finite"
        )
    return array


def _write_column(path: Path, name: str, cells: Cells | Images, values: Sequence[str]) -> None:
    if len(values) != len(cells):
        raise ValueError(f"{len(values)} {name}s for {len(cells)} cells")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("cell_id", name))
        writer.writerows(zip(cells.cell_ids, values, strict=True))
