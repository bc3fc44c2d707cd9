"""Differential expression: the rank-sum test of many conditions against their controls, on sparse cells.

Zeros, which are most of single-cell expression, are never sorted: they are one block of ties whose place
among the other values is known. The others are sorted once for the controls and once for each condition, as
whole numbers in which the gene comes first and then the value, so that one sort serves all genes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics.sparse_cells import SparseCells

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]
Cells = SparseCells | NDArray[np.floating]

SIGNIFICANCE = 0.05
"""False discovery rate below which a gene counts as differentially expressed."""

_ZERO = np.uint64(1 << 31)
"""Zero among values that were turned into ordered whole numbers."""
_GENE_SHIFT = np.uint64(32)
_VALUE_BITS = np.uint64((1 << 32) - 1)
_BLOCK_VALUES = 1 << 22
"""Values that are sorted at a time, so that memory doesn't grow with the data."""


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


def rank_sum_p_values(groups: list[Cells], control: SparseCells) -> FloatArray:
    """Test each group of cells against the same controls.

    Parameters
    ----------
    groups
        Cells, sparse or of shape (n, genes), of at least one cell each.
    control
        At least one cell.

    Returns
    -------
    Two-sided p-values, shape (groups, genes).
    """
    p_values = np.empty((len(groups), control.n_vars))
    for genes in _gene_blocks([control, *groups]):
        sorted_control = _SortedControl.of(control, genes)
        for i, group in enumerate(groups):
            p_values[i, genes] = sorted_control.p_values(_keys(group, genes), _n_obs(group))
    return p_values


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
    # A change from nothing is infinite, as in cell-eval; from nothing to nothing it is none.
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log2(np.expm1(treated) / np.expm1(control))
    return np.where(np.isnan(change), 0.0, change)


@dataclass(frozen=True)
class _SortedControl:
    """The control cells' values of some genes, ready for groups to be ranked among them.

    Attributes
    ----------
    keys
        Their values that aren't zero, by gene and then by value.
    first
        Where each gene begins in `keys`, shape (genes + 1,).
    negative, zeros
        How many values of each gene are below zero, and are zero, shape (genes,).
    ties
        Sum of t^3 - t over the runs of t equal values, zeros left out, shape (genes,).
    n_obs
        Control cells.
    """

    keys: KeyArray
    first: IntArray
    negative: IntArray
    zeros: IntArray
    ties: FloatArray
    n_obs: int

    @classmethod
    def of(cls, control: SparseCells, genes: slice) -> _SortedControl:
        keys = _keys(control, genes)
        starts = np.arange(genes.stop - genes.start + 1, dtype=np.uint64) << _GENE_SHIFT
        first = np.searchsorted(keys, starts)
        negative = np.searchsorted(keys, starts[:-1] | _ZERO) - first[:-1]
        distinct, times = _runs(keys)
        ties = np.bincount(_gene(distinct), weights=_tie_term(times), minlength=len(negative))
        zeros = control.n_obs - np.diff(first)
        return cls(keys, first, negative, zeros, np.asarray(ties, np.float64), control.n_obs)

    def p_values(self, group: KeyArray, n_group: int) -> FloatArray:
        """Test a group of `n_group` cells with these keys, shape (genes,)."""
        distinct, times = _runs(group)
        gene = _gene(distinct)
        below, equal = self._place(distinct)
        # Zeros lie above the negative values and below the positive ones.
        below = below - self.first[gene] + np.where(distinct & _VALUE_BITS > _ZERO, self.zeros[gene], 0)
        n_genes = len(self.zeros)
        wins = np.bincount(gene, weights=times * (below + equal / 2), minlength=n_genes)
        zeros = n_group - np.bincount(gene, weights=times, minlength=n_genes)
        wins = wins + zeros * (self.negative + self.zeros / 2)
        joined = _tie_term(times + equal) - _tie_term(equal)
        ties = (
            self.ties + np.bincount(gene, weights=joined, minlength=n_genes) + _tie_term(zeros + self.zeros)
        )
        return _two_sided(wins, ties, n_group, self.n_obs)

    def _place(self, distinct: KeyArray) -> tuple[IntArray, IntArray]:
        """Count the keys that are smaller than each of these, and those that are equal."""
        below = np.searchsorted(self.keys, distinct)
        equal = np.zeros(len(distinct), dtype=np.int64)
        if len(self.keys):
            met = np.flatnonzero(self.keys.take(below, mode="clip") == distinct)
            equal[met] = np.searchsorted(self.keys, distinct[met], side="right") - below[met]
        return below, equal


def _two_sided(wins: FloatArray, ties: FloatArray, n_group: int, n_control: int) -> FloatArray:
    n, pairs = n_group + n_control, n_group * n_control
    variance = pairs / 12 * (n + 1 - ties / (n * (n - 1)))
    excess = np.abs(wins - pairs / 2) - 0.5
    p_values = np.ones(len(wins))
    tested = np.flatnonzero((variance > 0) & (excess > 0))
    z = excess[tested] / np.sqrt(2 * variance[tested])
    # math.erfc in a loop takes less than a tenth of what importing SciPy's would.
    p_values[tested] = np.fromiter(map(math.erfc, z.tolist()), dtype=np.float64, count=len(z))
    return p_values


def _keys(cells: Cells, genes: slice) -> KeyArray:
    """Sort the values of some genes that aren't zero, by gene and then by value."""
    if isinstance(cells, SparseCells):
        kept = (cells.indices >= genes.start) & (cells.indices < genes.stop) & (cells.data != 0)
        gene, values = cells.indices[kept] - genes.start, cells.data[kept]
    else:
        block = cells[:, genes]
        stored = block != 0
        gene, values = np.nonzero(stored)[1], block[stored]
    keys = gene.astype(np.uint64) << _GENE_SHIFT
    keys |= _ordered(values.astype(np.float32))
    keys.sort()
    return keys


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Turn float32 into whole numbers of the same order: flip the sign bit, or all bits of the negatives."""
    bits = values.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _runs(keys: KeyArray) -> tuple[KeyArray, IntArray]:
    """Return the distinct keys of a sorted array, and how often each comes."""
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1])).astype(np.int64)
    return keys[starts], np.diff(starts, append=len(keys))


def _gene(keys: KeyArray) -> IntArray:
    return (keys >> _GENE_SHIFT).astype(np.int64)


def _tie_term(times: NDArray[np.int64] | FloatArray) -> FloatArray:
    t = times.astype(np.float64)
    return np.asarray(t * t * t - t)


def _gene_blocks(groups: list[Cells]) -> Iterator[slice]:
    n_vars = groups[0].n_vars if isinstance(groups[0], SparseCells) else groups[0].shape[1]
    values = max(len(g.data) if isinstance(g, SparseCells) else g.size for g in groups)
    width = -(-n_vars // max(1, -(-values // _BLOCK_VALUES)))
    return (slice(start, min(start + width, n_vars)) for start in range(0, n_vars, width))


def _part(cells: Cells, start: int, end: int) -> Cells:
    return cells.between(start, end) if isinstance(cells, SparseCells) else cells[start:end]


def _n_obs(cells: Cells) -> int:
    return cells.n_obs if isinstance(cells, SparseCells) else len(cells)
