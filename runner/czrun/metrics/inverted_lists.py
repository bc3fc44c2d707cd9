"""Cells sorted into lists of cells that lie together, so that neighbours are sought in few of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.points import Points
from czrun.metrics.threads import in_threads

IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

_CELLS_A_CENTRE = 64
_ROUNDS = 8
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Lists:
    """Every cell in the list whose centre is nearest.

    Attributes
    ----------
    list_of
        The list of each cell, shape (n,).
    by_list
        Cells, list after list and ascending within, shape (n,).
    ends
        Where each list ends in `by_list`, shape (lists,).
    near
        Lists by the distance of their centre to that of the row's list, itself first, shape (lists, lists).
    """

    list_of: IntArray
    by_list: IntArray
    ends: IntArray
    near: IntArray

    @classmethod
    def of(cls, points: Points, seed: int) -> Lists:
        """Make about twice as many lists as the square root of the cells, by k-means on a sample."""
        centres = _centres(points.centred, np.random.default_rng(seed))
        list_of = _nearest_centre(points.centred, centres)
        # Of cells in few places, most centres get none.
        used, list_of = np.unique(list_of, return_inverse=True)
        centres = centres[used]
        apart = np.square(centres).sum(axis=1) - 2 * (centres @ centres.T)
        np.fill_diagonal(apart, -np.inf)
        return cls(
            list_of,
            np.argsort(list_of, kind="stable"),
            np.cumsum(np.bincount(list_of)),
            np.argsort(apart, axis=1, kind="stable"),
        )

    def __len__(self) -> int:
        """How many lists there are."""
        return len(self.ends)

    def members(self, lists: IntArray) -> IntArray:
        """Cells of all these lists, ascending."""
        parts = [self.by_list[self.ends[i - 1] if i else 0 : self.ends[i]] for i in lists]
        return np.sort(np.concatenate(parts))

    def recalls(self, queries: IntArray, cells: IntArray) -> NDArray[np.float64]:
        """Share of these neighbours that lie in a query's nearest list, its two nearest lists, ...

        Parameters
        ----------
        queries
            Cells, shape (q,).
        cells
            Their true neighbours, shape (q, k).
        """
        place = np.argsort(self.near, axis=1)
        met = place[self.list_of[queries][:, None], self.list_of[cells]]
        return np.asarray(np.cumsum(np.bincount(met.ravel(), minlength=len(self))) / met.size)

    def enough_for(self, k: int) -> int:
        """How many nearest lists hold at least `k` cells, whichever list they are near to."""
        sizes = np.diff(self.ends, prepend=0)
        held = np.cumsum(sizes[self.near], axis=1).min(axis=0)
        return int(np.argmax(held >= k)) + 1


def _centres(cells: SingleArray, rng: np.random.Generator) -> SingleArray:
    n_lists = min(2 * math.isqrt(len(cells)), len(cells))
    sample = cells[rng.choice(len(cells), min(len(cells), _CELLS_A_CENTRE * n_lists), replace=False)]
    centres = sample[:n_lists].copy()
    for _ in range(_ROUNDS):
        list_of = _nearest_centre(sample, centres)
        size = np.bincount(list_of, minlength=n_lists)
        sums = np.stack(
            [np.bincount(list_of, weights=column, minlength=n_lists) for column in sample.T], axis=1
        )
        centres[size > 0] = sums[size > 0] / size[size > 0, None]
    return centres


def _nearest_centre(cells: SingleArray, centres: SingleArray) -> IntArray:
    half = np.einsum("ij,ij->i", centres, centres) / 2

    def nearest(start: int) -> IntArray:
        scores = cells[start : start + _ROWS_AT_ONCE] @ centres.T
        scores -= half
        return np.asarray(scores.argmax(axis=1))

    return np.concatenate(list(in_threads(nearest, range(0, len(cells), _ROWS_AT_ONCE))))
