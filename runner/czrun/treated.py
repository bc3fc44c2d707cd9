"""Perturbed cells that no container saw, brought into the form in which predictions are held against them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from czrun.contract.job import DatasetFacts, ExpressionSpace, XKind
from czrun.metrics.sparse_cells import SparseCells
from czrun.metrics.true_perturbations import TruePerturbations
from czrun.tasks.base import VIEW
from czrun.tasks.evidence import Truth
from czrun.truth import TREATED

_COUNTS_PER_CELL = 1e4


def read_perturbations(prepared: Path, facts: DatasetFacts, truth: Truth) -> TruePerturbations:
    """Read the cells that were asked for and the control cells, in the space of predicted expression.

    Parameters
    ----------
    prepared
        The prepared folder.
    facts
        What the job said of the data.
    truth
        What is known of the control cells: their context, where there is one.
    """
    with h5py.File(prepared / "truth" / f"{TREATED}.h5ad") as file:
        treated = _cells(file, facts)
        codes = file["obs/condition/codes"][:].astype(np.int64)
        genes = file["var/_index"].asstr()[:].tolist()
    with h5py.File(prepared / "predict" / f"{VIEW}.h5ad") as file:
        control = _cells(file, facts)
    with (prepared / "predict" / f"{VIEW}.conditions.csv").open(newline="", encoding="utf-8") as table:
        conditions = list(csv.DictReader(table))
    return true_perturbations(conditions, treated, codes, control, truth, genes, facts)


def true_perturbations(
    conditions: Sequence[dict[str, str]],
    treated: SparseCells,
    codes: NDArray[np.int64],
    control: SparseCells,
    truth: Truth,
    genes: Sequence[str],
    facts: DatasetFacts,
) -> TruePerturbations:
    """Put the pieces together; `treated` is sorted by its `codes`, which number the `conditions`."""
    contexts = truth.categories["context"] if "context" in truth else ("",)
    at = {gene: number for number, gene in enumerate(genes)}
    return TruePerturbations(
        conditions=tuple(each["condition"] for each in conditions),
        treated=treated,
        offsets=np.searchsorted(codes, np.arange(len(conditions) + 1)).astype(np.int64),
        control=control,
        context=np.array([contexts.index(each["context"]) for each in conditions], dtype=np.int64),
        control_context=truth.codes("context")
        if "context" in truth
        else np.zeros(control.n_obs, dtype=np.int64),
        target_gene=np.array([at.get(each["perturbation"], -1) for each in conditions], dtype=np.int64),
        is_log1p=facts.expression is ExpressionSpace.LOG1P_CP10K or facts.x is XKind.LOG1P,
    )


def _cells(file: Any, facts: DatasetFacts) -> SparseCells:  # noqa: ANN401 - h5py has no types
    return in_space(file["X/data"][:], file["X/indices"][:], file["X/indptr"][:], facts)


def in_space(
    data: NDArray[np.float32], indices: NDArray[np.int32], indptr: NDArray[np.int64], facts: DatasetFacts
) -> SparseCells:
    """Bring rows of X into the space of predicted expression."""
    if facts.expression is ExpressionSpace.LOG1P_CP10K:
        lengths = np.diff(indptr)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        totals = np.bincount(rows, weights=data, minlength=len(lengths))
        scale = np.divide(_COUNTS_PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)
        data = np.log1p(data * scale[rows]).astype(np.float32)
    return SparseCells(data, indices, indptr, facts.n_vars)
