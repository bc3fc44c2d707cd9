"""The rank-sum test of groups of cells against the same controls, for all genes at once.

Zeros, which are most of single-cell expression, are never sorted: they are one block of ties whose place
among the other values is known. The others are sorted once for the controls and once for each group, as whole
numbers in which the gene comes first and then the value, so that one sort serves all genes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.sparse_cells import SparseCells

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
KeyArray = NDArray[np.uint64]

Cells = SparseCells | NDArray[np.floating]
"""Sparse, or of shape (cells, genes)."""

_ZERO = np.uint64(1 << 31)
"""Zero among values that were turned into ordered whole numbers."""
_GENE_SHIFT = np.uint64(32)
_VALUE_BITS = np.uint64((1 << 32) - 1)
BLOCK_VALUES = 1 << 22
"""Values that are sorted at a time, so that memory doesn't grow with the data."""


def rank_sum_p_values(
    groups: Sequence[Cells], control: SparseCells, *, block_values: int = BLOCK_VALUES
) -> FloatArray:
    """Test each group of cells against the same controls.

    The Mann-Whitney test with its normal approximation, corrected for ties and continuity, as SciPy's
    ``mannwhitneyu(method="asymptotic")``; a gene of which all values are equal has p = 1.

    Parameters
    ----------
    groups
        At least one cell each; compared as float32.
    control
        At least one cell.
    block_values
        Genes are tested in blocks, so that about as many values are sorted at a time.

    Returns
    -------
    Two-sided p-values, shape (groups, genes).

    References
    ----------
    Mann & Whitney 1947, doi:10.1214/aoms/1177730491.
    """
    p_values = np.empty((len(groups), control.n_vars))
    for genes in _gene_blocks([control, *groups], block_values):
        sorted_control = _SortedControl.of(control, genes)
        for i, group in enumerate(groups):
            p_values[i, genes] = sorted_control.p_values(_keys(group, genes), _n_obs(group))
    return p_values


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
        ties = _sum_by(_gene(distinct), _tie_term(times), len(negative))
        return cls(keys, first, negative, control.n_obs - np.diff(first), ties, control.n_obs)

    def p_values(self, group: KeyArray, n_group: int) -> FloatArray:
        """Test a group of `n_group` cells with these keys, shape (genes,)."""
        distinct, times = _runs(group)
        gene = _gene(distinct)
        below, equal = self._place(distinct)
        # Zeros lie above the negative values and below the positive ones.
        positive = distinct & _VALUE_BITS > _ZERO
        below = below - self.first[gene] + np.where(positive, self.zeros[gene], 0)
        n_genes = len(self.zeros)
        zeros = n_group - _sum_by(gene, times, n_genes)
        wins = _sum_by(gene, times * (below + equal / 2), n_genes) + zeros * (self.negative + self.zeros / 2)
        joined = _sum_by(gene, _tie_term(times + equal) - _tie_term(equal), n_genes)
        ties = self.ties + joined + _tie_term(zeros + self.zeros)
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
    # Where all values are equal, and the variance 0, half of the pairs are won: nothing exceeds that.
    tested = np.flatnonzero(excess > 0)
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
        # float32 first: what that rounds to zero is one.
        block = cells[:, genes].astype(np.float32)
        stored = block != 0
        gene, values = np.nonzero(stored)[1], block[stored]
    keys: KeyArray = gene.astype(np.uint64) << _GENE_SHIFT
    keys |= _ordered(values)
    keys.sort()
    return keys


def _ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Turn float32 into whole numbers of the same order: flip the sign bit, or all bits of the negatives."""
    bits = values.view(np.uint32)
    return np.asarray(np.where(np.signbit(values), ~bits, bits | np.uint32(1 << 31)))


def _runs(keys: KeyArray) -> tuple[KeyArray, IntArray]:
    """Return the distinct keys of a sorted array, and how often each comes."""
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1])).astype(np.int64)
    return np.asarray(keys[starts]), np.diff(starts, append=len(keys))


def _sum_by(gene: IntArray, amounts: IntArray | FloatArray, n_genes: int) -> FloatArray:
    return np.bincount(gene, weights=amounts, minlength=n_genes).astype(np.float64)


def _gene(keys: KeyArray) -> IntArray:
    return (keys >> _GENE_SHIFT).astype(np.int64)


def _tie_term(times: IntArray | FloatArray) -> FloatArray:
    t = times.astype(np.float64)
    return np.asarray(t * t * t - t)


def _gene_blocks(groups: Sequence[Cells], block_values: int) -> Iterator[slice]:
    n_vars = groups[0].n_vars if isinstance(groups[0], SparseCells) else groups[0].shape[1]
    values = max(len(g.data) if isinstance(g, SparseCells) else g.size for g in groups)
    width = -(-n_vars // max(1, -(-values // block_values)))
    return (slice(start, min(start + width, n_vars)) for start in range(0, n_vars, width))


def _n_obs(cells: Cells) -> int:
    return cells.n_obs if isinstance(cells, SparseCells) else len(cells)
