"""A score for each cell, and the families of metrics that average such scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.families import Family, Tally, grouped_mean_tally, mean_tally
from czrun.metrics.medians import MedianTally

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CellScores:
    """What one metric says of each cell.

    Attributes
    ----------
    values
        NaN for cells that it says nothing of, shape (n,).
    reason
        Why it says nothing of any cell; empty where it does.
    note
        What a reader of their average must know; empty when there is nothing.
    """

    values: FloatArray
    reason: str = ""
    note: str = ""

    @classmethod
    def nowhere(cls, n_obs: int, reason: str) -> CellScores:
        """Say nothing of any cell."""
        return cls(np.full(n_obs, np.nan), reason)

    @classmethod
    def at(cls, cells: IntArray, values: FloatArray, n_obs: int, note: str = "") -> CellScores:
        """Score some cells, and say nothing of the others."""
        everyone = np.full(n_obs, np.nan)
        everyone[cells] = values
        return cls(everyone, note=note)


def mean_family(scores: Mapping[str, CellScores]) -> Family:
    """Average scores over cells."""
    values = _columns(scores)
    return _family(scores, lambda unit, share: mean_tally(values, unit, share))


def grouped_mean_family(scores: Mapping[str, CellScores], group: IntArray) -> Family:
    """Average scores over the cells of each group, then over the groups that have any score."""
    values = _columns(scores)
    return _family(scores, lambda unit, share: grouped_mean_tally(values, group, unit, share))


def median_family(scores: Mapping[str, CellScores]) -> Family:
    """Take medians of scores over cells."""
    values = _columns(scores)
    return _family(scores, lambda unit, share: MedianTally(values, unit, share))


def _columns(scores: Mapping[str, CellScores]) -> FloatArray:
    return np.stack([each.values for each in scores.values()], axis=1)


def _family(scores: Mapping[str, CellScores], tally: Callable[[IntArray, IntArray], Tally]) -> Family:
    return Family(
        names=tuple(scores),
        tally=tally,
        reasons={name: each.reason for name, each in scores.items() if each.reason},
        notes={name: each.note for name, each in scores.items() if each.note},
    )
