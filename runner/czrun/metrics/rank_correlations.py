"""Rank correlations of cells, for any redraw of them: each replicate ranks its own cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class _Ladder:
    """Cells in the order of one variable, with those of equal value on one rung.

    Attributes
    ----------
    units
        Of the cells, in order, shape (n,).
    ends
        How many cells there are up to the end of each rung, shape (rungs,).
    rung
        Of each cell, as the cells came, shape (n,).
    """

    units: IntArray
    ends: IntArray
    rung: IntArray

    @classmethod
    def of(cls, values: FloatArray, unit: IntArray) -> _Ladder:
        _, rung, counts = np.unique(values, return_inverse=True, return_counts=True)
        return cls(unit[np.argsort(rung, kind="stable")], np.cumsum(counts), rung)

    def passed(self, draws: IntArray) -> FloatArray:
        """Count the drawn cells up to where each rung starts, and all, (replicates, rungs + 1)."""
        drawn = np.cumsum(draws.take(self.units, axis=1), axis=1, dtype=np.float64)
        upto = np.zeros((len(draws), len(self.ends) + 1))
        upto[:, 1:] = drawn.take(self.ends - 1, axis=1)
        return upto


class SpearmanTally:
    """Spearman's correlation: Pearson's of mid-ranks among the drawn cells.

    Parameters
    ----------
    first, second
        What is ranked, shape (n,).
    unit
        The unit that each cell is drawn with, shape (n,).
    """

    def __init__(self, first: FloatArray, second: FloatArray, unit: IntArray) -> None:
        self._ladders = _Ladder.of(first, unit), _Ladder.of(second, unit)
        self._unit = unit
        self.cost = 4 * len(unit)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, 1); NaN where a variable has one value."""
        weights = draws.take(self._unit, axis=1).astype(np.float64)
        first, second = (_centred_ranks(ladder, draws) for ladder in self._ladders)
        product = np.einsum("ij,ij,ij->i", weights, first, second)
        spread = [np.sqrt(np.einsum("ij,ij,ij->i", weights, each, each)) for each in (first, second)]
        return _ratio(product, spread[0] * spread[1])


def _centred_ranks(ladder: _Ladder, draws: IntArray) -> FloatArray:
    """Give each cell its rung's mid-rank less the mean of all ranks, which is half the number of draws."""
    passed = ladder.passed(draws)
    middle = (passed[:, :-1] + passed[:, 1:] - passed[:, -1:]) / 2
    return middle.take(ladder.rung, axis=1)


@dataclass(frozen=True)
class _Halves:
    """One level of a merge sort: groups of cells near in the second variable, each split into two halves.

    An upper cell of a group is in order with the lower ones before its rung in the first variable, and out
    of order with those after it. All but `lower_units` is about upper cells, as counts of cells passed.
    """

    lower: NDArray[np.bool_]
    units: IntArray
    upper: IntArray
    group_start: IntArray
    rung_start: IntArray
    rung_end: IntArray
    group_end: IntArray

    @classmethod
    def of(cls, first: IntArray, second: IntArray, unit: IntArray, bit: int) -> _Halves:
        group = second >> (bit + 1)
        order = np.lexsort((first, group))
        group, place = group[order], group[order] * (first.max() + 1) + first[order]
        lower = (second[order] >> bit) & 1 == 0
        upper = np.flatnonzero(~lower)
        return cls(
            lower=lower,
            units=unit[order],
            upper=upper,
            group_start=np.searchsorted(group, group[upper], side="left"),
            rung_start=np.searchsorted(place, place[upper], side="left"),
            rung_end=np.searchsorted(place, place[upper], side="right"),
            group_end=np.searchsorted(group, group[upper], side="right"),
        )

    def surplus(self, draws: IntArray) -> FloatArray:
        """Pairs in order less pairs out of order between the halves, shape (replicates,)."""
        weights = draws.take(self.units, axis=1)
        passed = np.zeros((len(draws), len(self.units) + 1))
        np.cumsum(weights * self.lower, axis=1, out=passed[:, 1:])
        balance = passed.take(self.rung_start, axis=1) - passed.take(self.group_start, axis=1)
        balance -= passed.take(self.group_end, axis=1) - passed.take(self.rung_end, axis=1)
        return np.asarray(np.einsum("ij,ij->i", weights.take(self.upper, axis=1), balance))


class KendallTally:
    """Kendall's tau-b among the drawn cells, in O(n log(levels)) each time.

    Parameters
    ----------
    first, second
        What is compared, shape (n,); few distinct values of the second make it fast.
    unit
        The unit that each cell is drawn with, shape (n,).
    """

    def __init__(self, first: FloatArray, second: FloatArray, unit: IntArray) -> None:
        self._ladders = _Ladder.of(first, unit), _Ladder.of(second, unit)
        rungs = [ladder.rung.astype(np.int64) for ladder in self._ladders]
        bits = range(int(rungs[1].max()).bit_length())
        self._levels = [_Halves.of(rungs[0], rungs[1], unit, bit) for bit in bits]
        self.cost = 4 * len(unit) * max(1, len(self._levels))

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, 1); NaN where a variable has one value."""
        surplus = np.zeros(len(draws))
        for level in self._levels:
            surplus += level.surplus(draws)
        first, second = (_unequal_pairs(ladder, draws) for ladder in self._ladders)
        return _ratio(surplus, np.sqrt(first) * np.sqrt(second))


def _unequal_pairs(ladder: _Ladder, draws: IntArray) -> FloatArray:
    passed = ladder.passed(draws)
    on_rung = np.diff(passed, axis=1)
    return np.asarray((passed[:, -1] ** 2 - np.einsum("ij,ij->i", on_rung, on_rung)) / 2)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    ratio = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    # Rounding can carry a perfect correlation an ulp beyond 1.
    return np.asarray(np.clip(ratio, -1, 1)[:, None])
