"""Perturbed cells that no container saw, brought into the form in which predictions are held against them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from czrun.annotations import Annotated
from czrun.arrangement import Arrangement, Condition
from czrun.cells import CellSource
from czrun.contract.job import DatasetFacts, ExpressionSpace, XKind
from czrun.metrics.sparse_cells import SparseCells
from czrun.metrics.true_perturbations import TruePerturbations
from czrun.splits import Rows
from czrun.tasks.base import VIEW
from czrun.tasks.evidence import Truth
from czrun.truth import TREATED, truth_of

_COUNTS_PER_CELL = 1e4


@dataclass(frozen=True)
class _Space:
    """What expression is measured in, and what X holds."""

    expression: ExpressionSpace
    x: XKind
    n_vars: int

    @property
    def is_log1p(self) -> bool:
        return self.expression is ExpressionSpace.LOG1P_CP10K or self.x is XKind.LOG1P

    def cells(
        self, data: NDArray[np.float32], indices: NDArray[np.int32], indptr: NDArray[np.int64]
    ) -> SparseCells:
        """Bring rows of X into this space."""
        if self.expression is ExpressionSpace.LOG1P_CP10K:
            lengths = np.diff(indptr)
            rows = np.repeat(np.arange(len(lengths)), lengths)
            totals = np.bincount(rows, weights=data, minlength=len(lengths))
            scale = np.divide(_COUNTS_PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)
            data = np.log1p(data * scale[rows]).astype(np.float32)
        return SparseCells(data, indices, indptr, self.n_vars)


def read_perturbations(prepared: Path, facts: DatasetFacts, truth: Truth) -> TruePerturbations:
    """Read the cells that were asked for and the control cells of prepared data.

    Parameters
    ----------
    prepared
        The prepared folder.
    facts
        What the job said of the data.
    truth
        What is known of the control cells: their context, where there is one.
    """
    space = _Space(facts.expression or ExpressionSpace.AS_X, facts.x, facts.n_vars)
    with h5py.File(prepared / "truth" / f"{TREATED}.h5ad") as file:
        treated = _read(file, space)
        codes = file["obs/condition/codes"][:].astype(np.int64)
        genes = file["var/_index"].asstr()[:].tolist()
    with h5py.File(prepared / "predict" / f"{VIEW}.h5ad") as file:
        control = _read(file, space)
    with (prepared / "predict" / f"{VIEW}.conditions.csv").open(newline="", encoding="utf-8") as table:
        conditions = [
            Condition(row["perturbation"], row["context"], int(row["n_cells"]))
            for row in csv.DictReader(table)
        ]
    return _assemble(conditions, treated, codes, control, truth, genes, is_log1p=space.is_log1p)


def perturbations_in(
    source: CellSource, cells: Annotated, arrangement: Arrangement, order: Sequence[int]
) -> TruePerturbations:
    """Take the cells from their source; `order` lists the conditions wanted, by number."""
    is_counts = source.x is XKind.COUNTS
    expression = ExpressionSpace.LOG1P_CP10K if is_counts else ExpressionSpace.AS_X
    space = _Space(expression, source.x, source.n_vars)
    place = {condition: at for at, condition in enumerate(order)}
    rank = np.array([place.get(number, -1) for number in range(len(arrangement.conditions))])
    codes = rank[arrangement.treated_condition]
    chosen = np.argsort(codes, kind="stable")[int((codes < 0).sum()) :]
    context = (
        {"context": cells.columns["context"].take(arrangement.predict)} if "context" in cells.columns else {}
    )
    return _assemble(
        [arrangement.conditions[number] for number in order],
        _gather(source, cells.rows[arrangement.treated[chosen]], space),
        codes[chosen].astype(np.int64),
        _gather(source, cells.rows[arrangement.predict], space),
        truth_of(context),
        source.genes().ids.tolist(),
        is_log1p=space.is_log1p,
    )


def _assemble(
    conditions: Sequence[Condition],
    treated: SparseCells,
    codes: NDArray[np.int64],
    control: SparseCells,
    truth: Truth,
    genes: Sequence[str],
    *,
    is_log1p: bool,
) -> TruePerturbations:
    contexts = truth.categories["context"] if "context" in truth else ("",)
    own = truth.codes("context") if "context" in truth else np.zeros(control.n_obs, dtype=np.int64)
    at = {gene: number for number, gene in enumerate(genes)}
    return TruePerturbations(
        conditions=tuple(each.name for each in conditions),
        treated=treated,
        offsets=np.searchsorted(codes, np.arange(len(conditions) + 1)).astype(np.int64),
        control=control,
        context=np.array([contexts.index(each.context) for each in conditions], dtype=np.int64),
        control_context=own,
        target_gene=np.array([at.get(each.perturbation, -1) for each in conditions], dtype=np.int64),
        is_log1p=is_log1p,
    )


def _read(file: Any, space: _Space) -> SparseCells:  # noqa: ANN401 - h5py has no types
    return space.cells(file["X/data"][:], file["X/indices"][:], file["X/indptr"][:])


def _gather(source: CellSource, rows: Rows, space: _Space) -> SparseCells:
    """Collect some rows of a source, in their order, from one pass over it."""
    nnz = source.row_nnz()
    indptr = np.concatenate([[0], np.cumsum(nnz[rows])]).astype(np.int64)
    data, indices = np.empty(indptr[-1], dtype=np.float32), np.empty(indptr[-1], dtype=np.int32)
    place = np.full(source.n_obs, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    for block in source.blocks():
        for row, target in enumerate(place[block.start : block.start + len(block.indptr) - 1].tolist()):
            if target >= 0:
                piece = slice(block.indptr[row], block.indptr[row + 1])
                data[indptr[target] : indptr[target + 1]] = block.data[piece]
                indices[indptr[target] : indptr[target + 1]] = block.indices[piece]
    return space.cells(data, indices, indptr)
