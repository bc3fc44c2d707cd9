"""Spearman correlation of log fold changes as cz-benchmarks 0.15.0 computes it, from predicted cells.

There a model predicts the expression of perturbed and of control cells, each perturbed cell is paired with
one control cell, and the truth is a table of differentially expressed genes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics.base import MetricValue
from czrun.metrics.deltas import log_ratio, spearman

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

UNDEFINED = "no condition has two genes whose true and predicted fold changes differ among genes"

Effect = Literal["ratio", "difference"]
"""What a predicted effect is: the log ratio of the means, or their difference."""


@dataclass(frozen=True)
class PairedCondition:
    """One condition's cells, their controls, and its differentially expressed genes.

    Attributes
    ----------
    name
        Of the condition.
    treated, control
        Rows of the predictions, the controls in the order of the cells that they are paired with, shape
        (pairs,).
    genes
        Columns of the predictions, shape (genes,).
    fold_changes
        The true log fold changes, shape (genes,).
    """

    name: str
    treated: IntArray
    control: IntArray
    genes: IntArray
    fold_changes: FloatArray


@dataclass(frozen=True)
class FoldChangeTable:
    """True log fold changes, one line for each condition and gene, as differential expression leaves them.

    Attributes
    ----------
    conditions, genes
        Names, shape (lines,).
    fold_changes
        Shape (lines,); NaN where there is none.
    """

    conditions: Sequence[str]
    genes: Sequence[str]
    fold_changes: FloatArray


def paired_conditions(
    cell_ids: Sequence[str],
    gene_ids: Sequence[str],
    table: FoldChangeTable,
    target_genes: Mapping[str, Sequence[str]],
    control_of: Mapping[str, Mapping[str, str]],
) -> tuple[PairedCondition, ...]:
    """Look up the rows and columns of each condition, as cz-benchmarks' task does.

    Cells and genes that the predictions lack are left out, and so is a condition of which nothing remains.

    Parameters
    ----------
    cell_ids, gene_ids
        Of the predictions' rows and columns.
    table
        cz-benchmarks' ``de_results``.
    target_genes
        The genes that each condition is scored on, its ``target_conditions_dict``.
    control_of
        For each condition the control cell of each treated one, its ``control_cells_map``.

    Raises
    ------
    ScoringError
        When a condition that is to be scored has no control cells.
    """
    row_of = {name: row for row, name in enumerate(cell_ids)}
    column_of = {name: column for column, name in enumerate(gene_ids)}
    changes: dict[str, dict[str, float]] = {}
    for condition, gene, change in zip(table.conditions, table.genes, table.fold_changes, strict=True):
        changes.setdefault(condition, {})[gene] = float(change)
    found = []
    for name, known in changes.items():
        genes = [
            g for g in target_genes.get(name, ()) if g in column_of and not np.isnan(known.get(g, np.nan))
        ]
        if not genes:
            continue
        if name not in control_of:
            raise ScoringError(
                f"Condition {name!r} has no control cells.", "Pair each of its cells with a control cell."
            )
        pairs = [(row_of[t], row_of[c]) for t, c in control_of[name].items() if t in row_of and c in row_of]
        if pairs:
            treated, control = np.array(pairs, dtype=np.int64).T
            columns = np.array([column_of[gene] for gene in genes], dtype=np.int64)
            true = np.array([known[gene] for gene in genes])
            found.append(PairedCondition(name, treated, control, columns, true))
    return tuple(found)


def paired_lfc_spearmans(
    predicted: NDArray[np.floating], conditions: Sequence[PairedCondition], effect: Effect = "ratio"
) -> FloatArray:
    """Correlate each condition's predicted fold changes with its true ones.

    The predicted one is log((mean of treated + 1e-8) / (mean of control + 1e-8)) of the predictions as they
    are; a condition with a mean of 0 or less among its genes takes the difference of the means instead.

    Parameters
    ----------
    predicted
        Expression of all cells, treated and control, shape (cells, genes).
    conditions
        What to correlate.
    effect
        ``difference`` takes that for all conditions.

    Returns
    -------
    Shape (conditions,), -1..1, higher is better; NaN where it is undefined: fewer than two genes, or one side
    the same for all of them. cz-benchmarks answers 0 there.

    Raises
    ------
    ScoringError
        When predictions aren't finite or don't fit the conditions; every problem is listed.
    """
    if problems := _problems(predicted, conditions):
        raise ScoringError(
            f"These predicted cells can't be scored:\n{listing(problems)}",
            "Predictions hold one row for each treated and control cell, and one column for each gene.",
        )
    values = np.full(len(conditions), np.nan)
    for i, condition in enumerate(conditions):
        treated = _means(predicted, condition.treated, condition.genes)
        control = _means(predicted, condition.control, condition.genes)
        positive = (treated > 0).all() and (control > 0).all()
        change = log_ratio(treated, control) if effect == "ratio" and positive else treated - control
        values[i] = spearman(condition.fold_changes, change)
    return values


def paired_lfc_spearman(
    predicted: NDArray[np.floating], conditions: Sequence[PairedCondition], effect: Effect = "ratio"
) -> MetricValue:
    """Average `paired_lfc_spearmans` over the conditions where it is defined.

    References
    ----------
    Spearman 1904, doi:10.2307/1412159; cz-benchmarks 0.15.0, task "perturbation expression prediction".
    """
    values = paired_lfc_spearmans(predicted, conditions, effect)
    known = values[~np.isnan(values)]
    return MetricValue(float(known.mean())) if len(known) else MetricValue(None, UNDEFINED)


def _means(predicted: NDArray[np.floating], rows: IntArray, genes: IntArray) -> FloatArray:
    return np.asarray(predicted[np.ix_(rows, genes)].mean(axis=0, dtype=np.float64))


def _problems(predicted: NDArray[np.floating], conditions: Sequence[PairedCondition]) -> list[str]:
    if predicted.ndim != 2 or not np.issubdtype(predicted.dtype, np.floating):
        return [f"predictions: wants floats of shape (cells, genes), got {predicted.dtype} {predicted.shape}"]
    problems = []
    n_obs, n_vars = predicted.shape
    for condition in conditions:
        rows, genes = np.concatenate([condition.treated, condition.control]), condition.genes
        if len(condition.treated) == 0 or condition.treated.shape != condition.control.shape:
            problems.append(f"{condition.name}: its cells aren't paired one to one")
        elif genes.shape != condition.fold_changes.shape or not np.isfinite(condition.fold_changes).all():
            problems.append(f"{condition.name}: wants one finite fold change for each gene")
        elif rows.min() < 0 or rows.max() >= n_obs or (genes < 0).any() or (genes >= n_vars).any():
            problems.append(f"{condition.name}: rows or columns outside the predictions")
        elif not np.isfinite(predicted[np.ix_(rows, genes)]).all():
            problems.append(f"{condition.name}: predictions that aren't finite")
    return problems
