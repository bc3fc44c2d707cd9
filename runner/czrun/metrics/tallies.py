"""Sums over cells from which a metric of any redraw of the cells follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SumTally:
    """Metrics that are a function of sums over cells.

    Attributes
    ----------
    columns
        One for each sum: what a draw of each unit adds to it.
    of_totals
        From totals, (replicates, columns), to values, (replicates, metrics), NaN where undefined.
    """

    columns: tuple[Column, ...]
    of_totals: Callable[[FloatArray], FloatArray]

    @property
    def cost(self) -> int:
        """Elementary operations of one replicate, for the budget of a bootstrap."""
        return max(len(column.units) for column in self.columns)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics)."""
        times = draws.astype(np.float64)
        return self.of_totals(np.stack([column.total(times) for column in self.columns], axis=-1))


@dataclass(frozen=True)
class Column:
    """What a draw of each unit adds to one sum, units that add nothing left out."""

    units: IntArray
    amounts: FloatArray

    def total(self, times: FloatArray) -> FloatArray:
        """Add up over the units, each as many times as drawn: (replicates, units) → (replicates,)."""
        drawn = times if len(self.units) == times.shape[1] else times.take(self.units, axis=1)
        # Not `@`: BLAS threads that find the cores taken, as during a run, slowed this down thirtyfold.
        return np.asarray(np.einsum("ij,j->i", drawn, self.amounts))


def columns_by_unit(
    unit: IntArray, columns: IntArray, amounts: FloatArray, share: IntArray, width: int
) -> tuple[Column, ...]:
    """Add up what each unit's cells contribute to each column, for one draw of the unit.

    Parameters
    ----------
    unit
        The unit of each cell, shape (n,).
    columns
        The columns that each cell adds to, shape (n, c); `width` where it adds nothing.
    amounts
        What it adds, of a shape that broadcasts to (n, c).
    share
        How many draws the unit's cells stand for, shape (units,).
    width
        Number of columns.
    """
    n_units = len(share)
    places, entry = np.unique(columns * n_units + unit[:, None], return_inverse=True)
    weights = np.broadcast_to(amounts, columns.shape)
    sums = np.bincount(entry.ravel(), weights=weights.ravel(), minlength=len(places))
    units = places % n_units
    ends = np.searchsorted(places, np.arange(1, width + 1) * n_units)
    starts = np.concatenate([[0], ends[:-1]])
    return tuple(
        Column(units[start:end], sums[start:end] / share[units[start:end]])
        for start, end in zip(starts, ends, strict=True)
    )
