"""Perturbed cells that no container saw, brought into the form in which predictions are held against them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from czrun.annotations import Annotated
from czrun.arrangement import Arrangement, Condition
from czrun.cells import CellSource
from czrun.contract.job import DatasetFacts, ExpressionSpace
from czrun.expression import Space, gather_cells, read_cells
from czrun.metrics.sparse_cells import SparseCells
from czrun.metrics.true_perturbations import TruePerturbations
from czrun.tasks.base import VIEW
from czrun.tasks.evidence import Truth
from czrun.truth import TREATED, truth_of


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
    space = Space(facts.expression or ExpressionSpace.AS_X, facts.x, facts.n_vars)
    with h5py.File(prepared / "truth" / f"{TREATED}.h5ad") as file:
        treated = read_cells(file, space)
        codes = file["obs/condition/codes"][:].astype(np.int64)
        genes = file["var/_index"].asstr()[:].tolist()
    with h5py.File(prepared / "predict" / f"{VIEW}.h5ad") as file:
        control = read_cells(file, space)
    with (prepared / "predict" / f"{VIEW}.conditions.csv").open(newline="", encoding="utf-8") as table:
        conditions = [
            Condition(row["perturbation"], row["context"], int(row["n_cells"]))
            for row in csv.DictReader(table)
        ]
    return _assemble(conditions, treated, codes, control, truth, genes, is_log1p=space.is_log1p)


def perturbations_in(source: CellSource, cells: Annotated, arrangement: Arrangement) -> TruePerturbations:
    """Take the cells that an arrangement asks for, and its control cells, from their source."""
    space = Space.of(source.x, source.n_vars)
    context = (
        {"context": cells.columns["context"].take(arrangement.predict)} if "context" in cells.columns else {}
    )
    return _assemble(
        arrangement.conditions,
        gather_cells(source, cells.rows[arrangement.treated], space),
        arrangement.treated_condition.astype(np.int64),
        gather_cells(source, cells.rows[arrangement.predict], space),
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
