"""Scoring answers that are there already: files of the contract's form, or an embedding in the data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from czrun.annotations import Annotated, annotate
from czrun.answers import checked_embedding, condition_order, in_order, some_of
from czrun.arrangement import Arrangement, arrange
from czrun.assess import AssessedTrial, make_sheet
from czrun.cells import CellSource, ImageSource
from czrun.datasets.catalogue import open_obs
from czrun.errors import ContractError, UsageError, listing
from czrun.manifest import PrepareRequest
from czrun.options import DataOptions, settle
from czrun.outputs import Findings, WantedFile, WantedView, read_view
from czrun.records import ScoreRecord
from czrun.results import metrics_frame
from czrun.split_plan import SplitKind
from czrun.splits import Rows
from czrun.storage import storage_errors
from czrun.tasks.base import Design, OutputSlot, Task
from czrun.tasks.evidence import Evidence, Truth
from czrun.tasks.registry import find_task
from czrun.truth import truth_of

if TYPE_CHECKING:
    import pandas as pd

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ScoreResult:
    """What scoring found.

    Attributes
    ----------
    record
        The scores, and what they were computed from.
    trials
        One a fold, with the single answers.
    """

    record: ScoreRecord
    trials: tuple[AssessedTrial, ...]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics by id."""
        return self.record.scores.metrics

    def write_rows(self, path: Path) -> None:
        """Write the single answers, one row a cell (or a condition); raises StorageError.

        Of several folds each gets a file of its own, ``NAME-fold1.csv`` for the second.
        """
        with storage_errors(path):
            for trial in self.trials:
                own = path if trial.fold == 0 else path.with_stem(f"{path.stem}-fold{trial.fold}")
                trial.write_rows(own)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric: value, low, high."""
        return metrics_frame(self.record.scores.metrics, None)


def score_predictions(
    options: DataOptions, predictions: Path | None, embedding: NDArray[np.floating[Any]] | None = None
) -> ScoreResult:
    """Score answers for all cells of a data set, in its own order.

    Parameters
    ----------
    options
        The data set, the task, and how cells are divided where the task needs that.
    predictions
        A folder with the files that the task asks for, one row a cell of the data set.
    embedding
        An embedding in place of a folder, shape (n_obs, n_dims).

    Raises
    ------
    UsageError, DatasetError
        When what was asked for makes no sense, or the data can't serve.
    ContractError
        When the files aren't what the task asks for; every problem is listed.
    ScoringError
        When they can't be scored.
    """
    task = find_task(options.task)
    request = settle(options, _default_split(task, predictions))
    source = open_obs(request.spec, task.modality)
    try:
        cells = annotate(source, request.spec, request.plan, task)
        desk = _Desk(source, cells, request, _arrangements(cells, request))
        answers = desk.read(predictions) if predictions else desk.take(embedding)
        trials = tuple(desk.assess(answers, fold) for fold in range(request.plan.n_folds))
    finally:
        source.close()
    record = ScoreRecord(
        task=task.id,
        primary_metric=task.metrics[0],
        dataset=request.spec.name,
        dataset_sha256=request.sha256,
        n_obs=len(cells.rows),
        cluster_key=cells.cluster_key,
        split=request.plan.describe(),
        scores=make_sheet(task, trials),
        notes=tuple(
            dict.fromkeys(note for fold in desk.folds for note in (*request.notes, *cells.notes, *fold.notes))
        ),
    )
    return ScoreResult(record, trials)


def _arrangements(cells: Annotated, request: PrepareRequest) -> tuple[Arrangement, ...]:
    """Arrange every fold; raises UsageError where answers can't be shared out to several."""
    plan, design = request.plan, request.task.design
    if design is Design.PERTURBATION and plan.n_folds > 1:
        raise UsageError(
            f"Task {request.task.id} is scored on all conditions at once, not on {plan.n_folds} folds.",
            "Leave --split out; or --split holdout scores the conditions that it holds out.",
        )
    return tuple(arrange(cells, design, plan, fold) for fold in range(plan.n_folds))


def _default_split(task: Task, predictions: Path | None) -> SplitKind | None:
    """Score all cells at once, unless classifiers are to be trained on some and tested on others."""
    has_labels = predictions is not None and (predictions / "predictions.csv").exists()
    return None if task.reference_outputs and not has_labels else SplitKind.WHOLE


@dataclass(frozen=True)
class _Desk:
    """One scoring under way."""

    source: CellSource | ImageSource
    cells: Annotated
    request: PrepareRequest
    folds: tuple[Arrangement, ...]

    @property
    def task(self) -> Task:
        return self.request.task

    def read(self, folder: Path) -> Arrays:
        """Read and check the files; raises ContractError with every problem."""
        if not folder.is_dir():
            raise UsageError(f"There is no folder {folder}.", "It holds the files that the task asks for.")
        order = condition_order(folder, self.folds[0].conditions)
        where = folder.resolve()
        findings, root = Findings(), os.open(where.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            names = list(map(str, self.source.obs_names().tolist()))
            found = read_view(root, self._wanted(where.name), names, findings)
        finally:
            os.close(root)
        if found is None:
            raise ContractError(
                f"The files in {folder} can't be scored:\n{listing(findings.problems)}",
                f"`czrun tasks show {self.task.id}` says what they must hold: {self._rows_wanted(order)}",
            )
        conditions = self.folds[0].conditions
        return {
            slot.key: in_order(found[slot.key], slot.axes, order, conditions)
            for slot in self.task.outputs
            if slot.key in found
        }

    def _rows_wanted(self, order: Sequence[int]) -> str:
        if self.task.design is not Design.PERTURBATION:
            cells = f"each of the {self.source.n_obs:,} cells of {self.request.spec.name}"
            return f"a row for {cells}, in its order and by its ids."
        names = [self.folds[0].conditions[number].name for number in order]
        return f"a row for each of {len(names):,} conditions, in this order: {some_of(names)}."

    def take(self, embedding: NDArray[np.floating[Any]] | None) -> Arrays:
        """Take an embedding as the answer; raises UsageError where the task has no use for one."""
        if embedding is None or not any(slot.key == "embedding" for slot in self.task.outputs):
            wanted = ", ".join(slot.name for slot in self.task.outputs)
            raise UsageError(f"Task {self.task.id} is not scored on an embedding.", f"It takes {wanted}.")
        return {"embedding": checked_embedding(embedding, self.source.n_obs, self.request.spec.name)}

    def _wanted(self, view: str) -> WantedView:
        classes = self.cells.categorical("label").categories if self.task.has_classes else ()
        sizes = {
            "n_obs": self.source.n_obs,
            "n_classes": len(classes),
            "n_vars": getattr(self.source, "n_vars", 0),
        }
        if self.task.design is Design.PERTURBATION:
            conditions = self.folds[0].conditions
            sizes["n_conditions"] = len(conditions)
            sizes["n_cells"] = sum(each.n_cells for each in conditions)
        files = tuple(WantedFile.of(slot, sizes) for slot in self.task.outputs)
        return WantedView(view, classes, files, self.task.one_of)

    def assess(self, answers: Arrays, fold: int) -> AssessedTrial:
        """Measure one fold."""
        chosen, cells = self.folds[fold], self.cells
        perturbations = None
        if self.task.design is Design.PERTURBATION:
            from czrun.treated import perturbations_in

            source: CellSource = self.source  # type: ignore[assignment]
            perturbations = perturbations_in(source, cells, chosen)
        evidence = Evidence(
            answers=self._part(answers, self.task.outputs, chosen.predict),
            truth=self._truth(chosen.predict),
            reference_answers=self._part(answers, self.task.reference_outputs, chosen.fit),
            reference_truth=self._truth(chosen.fit) if self.task.reference_outputs else None,
            perturbations=perturbations,
            expression=self._components(cells.rows[chosen.predict]),
        )
        names = self.source.obs_names()[cells.rows[chosen.predict]].tolist()
        clusters = None if cells.clusters is None else cells.clusters[chosen.predict]
        return AssessedTrial.of(self.task, evidence, fold=fold, seed=0, names=names, clusters=clusters)

    def _components(self, rows: Rows) -> Callable[[], NDArray[np.float64]] | None:
        if self.task.modality != "expression":
            return None
        source: CellSource = self.source  # type: ignore[assignment]

        def compute() -> NDArray[np.float64]:
            from czrun.expression import Space, gather_cells, principal_components

            return principal_components(gather_cells(source, rows, Space.of(source.x, source.n_vars)))

        return compute

    def _truth(self, rows: Rows) -> Truth:
        return truth_of({name: column.take(rows) for name, column in self.cells.columns.items()})

    def _part(self, answers: Arrays, slots: tuple[OutputSlot, ...], rows: Rows) -> dict[str, NDArray[Any]]:
        return dict(self._slices(answers, slots, self.cells.rows[rows]))

    @staticmethod
    def _slices(
        answers: Arrays, slots: tuple[OutputSlot, ...], rows: Rows
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        for slot in slots:
            if slot.key in answers:
                is_per_cell = not slot.axes or slot.axes[0] == "n_obs"
                yield slot.key, answers[slot.key][rows] if is_per_cell else answers[slot.key]
