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
    sums
        What one draw of each unit adds to the sums, shape (units, columns).
    of_totals
        From totals, (replicates, columns), to values, (replicates, metrics), NaN where undefined.
    """

    sums: FloatArray
    of_totals: Callable[[FloatArray], FloatArray]

    @property
    def cost(self) -> int:
        """Elementary operations of one replicate, for the budget of a bootstrap."""
        return len(self.sums)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics)."""
        return self.of_totals(draws.astype(np.float64) @ self.sums)


def sums_by_unit(
    unit: IntArray, columns: IntArray, amounts: FloatArray, share: IntArray, width: int
) -> FloatArray:
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

    Returns
    -------
    Shape (units, width).
    """
    places = unit[:, None] * (width + 1) + columns
    weights = np.broadcast_to(amounts, places.shape)
    size = len(share) * (width + 1)
    sums = np.bincount(places.ravel(), weights=weights.ravel(), minlength=size)
    return np.asarray(sums.reshape(len(share), width + 1)[:, :width] / share[:, None])
