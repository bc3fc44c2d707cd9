"""Medians of any redraw of the cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# What a cell costs against a plain sum's addend: it is taken, accumulated and compared.
_OPERATIONS = 4


@dataclass(frozen=True)
class _Ladder:
    """One metric's values in ascending order, and the unit that each is drawn with."""

    values: FloatArray
    units: IntArray

    def median(self, times: FloatArray) -> FloatArray:
        """Find the median with every unit as many times as drawn, (replicates, units) → (replicates,)."""
        if len(self.values) == 0:
            return np.full(len(times), np.nan)
        reached = np.cumsum(times.take(self.units, axis=1), axis=1)
        half = reached[:, -1:] / 2
        last = len(self.values) - 1
        lower = np.minimum((reached < half).sum(axis=1), last)
        upper = np.minimum((reached <= half).sum(axis=1), last)
        middle = (self.values[lower] + self.values[upper]) / 2
        return np.where(half[:, 0] > 0, middle, np.nan)


class MedianTally:
    """Medians over items, the NaN among them left out.

    Parameters
    ----------
    values
        One column a metric, shape (n, metrics).
    unit, share
        See `czrun.metrics.families.Family.tally`.
    """

    def __init__(self, values: FloatArray, unit: IntArray, share: IntArray) -> None:
        self._share = share
        self._ladders = []
        for column in values.T:
            order = np.argsort(column, kind="stable")[: int((~np.isnan(column)).sum())]
            self._ladders.append(_Ladder(column[order], unit[order]))
        self.cost = _OPERATIONS * sum(len(ladder.values) for ladder in self._ladders)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics); NaN where no item has a value."""
        times = draws / self._share
        return np.stack([ladder.median(times) for ladder in self._ladders], axis=1)
