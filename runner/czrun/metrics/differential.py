"""Differential expression of many conditions against their controls, on sparse cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics.rank_sum import Cells, rank_sum_p_values
from czrun.metrics.sparse_cells import SparseCells

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SIGNIFICANCE = 0.05
"""False discovery rate below which a gene counts as differentially expressed."""


@dataclass(frozen=True)
class DifferentialExpression:
    """How each gene differs between the cells of each condition and its controls.

    Attributes
    ----------
    adjusted
        p-values of the rank-sum test after Benjamini and Hochberg over the genes, shape (conditions, genes).
    fold_changes
        log2 of the ratio of the means' back-transforms, infinite where one of them is 0, and 0 where both
        are; shape (conditions, genes).
    """

    adjusted: NDArray[np.float32]
    fold_changes: NDArray[np.float32]

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Whether the gene is differentially expressed, shape (conditions, genes)."""
        return self.adjusted < SIGNIFICANCE


def differential_expression(
    treated: Cells,
    offsets: IntArray,
    context: IntArray,
    control: SparseCells,
    control_context: IntArray,
    *,
    is_log1p: bool = True,
) -> DifferentialExpression:
    """Compare the cells of each condition with the controls of its context, gene by gene.

    Equal to pdex 0.3, on which cell-eval 0.8.2 builds: the Mann-Whitney test with its normal approximation,
    corrected for ties and continuity, two-sided; a gene without any difference among cells has p = 1.

    Parameters
    ----------
    treated
        Cells sorted by condition, in log1p of normalized counts, sparse or of shape (n, genes); compared as
        float32.
    offsets
        Where each condition begins among them, shape (conditions + 1,).
    context
        The context of each condition, codes from 0, shape (conditions,).
    control
        Control cells in the same space.
    control_context
        The context of each, shape (control cells,); every context has some.
    is_log1p
        When false, the difference of the means takes the fold change's place.

    References
    ----------
    Mann & Whitney 1947, doi:10.1214/aoms/1177730491; Benjamini & Hochberg 1995,
    doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    shape = (len(context), control.n_vars)
    adjusted, changes = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for code in np.unique(context):
        of_context = control.rows(np.flatnonzero(control_context == code))
        conditions = np.flatnonzero(context == code)
        groups = [_part(treated, offsets[c], offsets[c + 1]) for c in conditions]
        control_mean = of_context.mean()
        p_values = rank_sum_p_values(groups, of_context)
        for condition, group, p_value in zip(conditions, groups, p_values, strict=True):
            adjusted[condition] = benjamini_hochberg(p_value)
            changes[condition] = _fold_change(mean_of(group), control_mean, is_log1p=is_log1p)
    return DifferentialExpression(adjusted, changes)


def benjamini_hochberg(p_values: FloatArray) -> FloatArray:
    """Adjust p-values for the false discovery rate, shape (genes,)."""
    n = len(p_values)
    order = np.argsort(p_values)[::-1]
    scaled = p_values[order] * (n / np.arange(n, 0, -1))
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1.0)
    return adjusted


def overlap_scores(predicted: DifferentialExpression, true: DifferentialExpression) -> FloatArray:
    """Find the truly significant genes among as many of the predicted ones of largest fold change.

    Of equal fold changes the gene that comes first is taken.

    Returns
    -------
    The share that was found, shape (conditions,); NaN where no gene is truly significant.

    Raises
    ------
    ScoringError
        When the two are of different conditions or genes.
    """
    if predicted.adjusted.shape != true.adjusted.shape:
        raise ScoringError(
            f"Predicted cells of {predicted.adjusted.shape} conditions and genes, true ones of "
            f"{true.adjusted.shape}.",
            "Test the cells of the same conditions and genes.",
        )
    scores = np.full(len(true.adjusted), np.nan)
    rows = zip(predicted.significant, predicted.fold_changes, true.significant, strict=True)
    for condition, (found, change, wanted) in enumerate(rows):
        if n_wanted := int(wanted.sum()):
            genes = np.flatnonzero(found)
            order = np.argsort(-np.abs(change[genes]), kind="stable")
            scores[condition] = wanted[genes[order[:n_wanted]]].sum() / n_wanted
    return scores


def mean_of(cells: Cells) -> FloatArray:
    """Average over cells, shape (genes,)."""
    return cells.mean() if isinstance(cells, SparseCells) else cells.mean(axis=0, dtype=np.float64)


def _fold_change(treated: FloatArray, control: FloatArray, *, is_log1p: bool) -> FloatArray:
    if not is_log1p:
        return treated - control
    # A change from nothing is infinite, as in cell-eval; from nothing to nothing it is none. A model's means
    # may be no logarithms at all, and overflow.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        change = np.log2(np.expm1(treated) / np.expm1(control))
    return np.where(np.isnan(change), 0.0, change)


def _part(cells: Cells, start: int, end: int) -> Cells:
    return cells.between(start, end) if isinstance(cells, SparseCells) else cells[start:end]
