"""What a block of queries meets on its way among cells, and the nearest of that, in order.

Single precision only picks the candidates; which of them are nearest is decided by differences of
coordinates as they were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.points import PointArray, Points

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

_PAIRS_IN_CACHE = 2048


@dataclass(frozen=True)
class Found:
    """The nearest cells of queries, themselves left out: rows, -1 for none, and squared distances, or NaN.

    Both of shape (q, k).
    """

    cells: IntArray
    squares: PointArray

    @classmethod
    def nothing(cls, queries: int, k: int, points: Points) -> Found:
        """Start with no cells."""
        return cls(np.full((queries, k), -1), np.full((queries, k), np.nan, dtype=points.exact.dtype))

    def of(self, rows: NDArray[np.bool_]) -> Found:
        """Keep some of the queries."""
        return Found(self.cells[rows], self.squares[rows])


@dataclass(frozen=True)
class Hits:
    """Pairs that pass the bar: row in the block, cell, and score, which may err by the block's slack."""

    row: NDArray[Any]
    cell: NDArray[Any]
    score: SingleArray

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.row)


class Candidates:
    """A block of queries, and the nearest cells that they have met so far.

    Parameters
    ----------
    points
        All cells.
    queries
        Rows of the block's cells, up to 65,536.
    k
        Cells to keep of each.
    """

    def __init__(self, points: Points, queries: IntArray, k: int) -> None:
        self._points, self._queries, self._k = points, queries, k
        self.found = Found.nothing(len(queries), 0, points)

    def keep_best(self, hits: Sequence[Hits], slack: FloatArray) -> None:
        """Keep the nearest of what was met before and of `hits`, whose scores err by up to `slack`, (q,)."""
        row = np.concatenate([each.row for each in hits]).astype(np.uint16)
        order = np.argsort(row, kind="stable")
        cell = np.concatenate([each.cell for each in hits])[order]
        score = np.concatenate([each.score for each in hits])[order]
        score[cell == self._queries[row[order]]] = -np.inf
        count = np.bincount(row, minlength=len(self._queries))
        end, bits = np.cumsum(count), np.frexp(count)[1]
        held, self.found = self.found, Found.nothing(len(count), self._k, self._points)
        # Rows of like width together: one query with very many hits must not widen the table of all.
        for width in np.unique(bits):
            rows = np.flatnonzero(bits == width)
            at = (end - count)[rows, None] + np.arange(count[rows].max())
            known = np.where(at < end[rows, None], score.take(at, mode="clip"), np.float32(-np.inf))
            wanted = _promising(known, self._k, slack[rows])
            self._rank(rows, np.hstack([held.cells[rows], _packed(cell.take(at, mode="clip"), wanted)]))

    def _rank(self, rows: IntArray, cells: IntArray) -> None:
        """Keep the nearest of `cells`, equals by row number; -1 is none."""
        squares = self._distances(rows, cells)
        order = np.argsort(squares, axis=1)
        ranked = np.take_along_axis(squares, order, axis=1)
        # Sorting by two keys takes far longer, and only rows with equals need it.
        equal = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
        order[equal] = np.lexsort((cells[equal], squares[equal]), axis=1)
        width = min(self._k, cells.shape[1])
        self.found.cells[rows, :width] = np.take_along_axis(cells, order, axis=1)[:, :width]
        self.found.squares[rows, :width] = ranked[:, :width]

    def _distances(self, rows: IntArray, cells: IntArray) -> PointArray:
        """Squared distances from each row's query, NaN for cell -1."""
        exact = self._points.exact
        squares = np.empty(cells.shape, dtype=exact.dtype)
        step = max(1, _PAIRS_IN_CACHE // max(1, cells.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            apart = exact.take(cells[part], axis=0)
            apart -= exact[self._queries[rows[part]]][:, None, :]
            squares[part] = np.einsum("rcd,rcd->rc", apart, apart)
        squares[cells < 0] = np.nan
        return squares


def _promising(score: SingleArray, k: int, slack: FloatArray) -> NDArray[np.bool_]:
    """Mark what may be among the k nearest, whatever rounding did to the scores; shape (q, w)."""
    width = score.shape[1]
    if width <= k:
        return score > -np.inf
    lowest = np.partition(score, width - k, axis=1)[:, width - k] - 2 * slack
    return (score >= lowest[:, None]) & (score > -np.inf)


def _packed(cells: IntArray, wanted: NDArray[np.bool_]) -> IntArray:
    """Move the wanted cells of each row to its front, in their order, with -1 behind them."""
    count = wanted.sum(axis=1)
    # NumPy finds what is true in one dimension many times faster than in two.
    flat = np.flatnonzero(wanted)
    row = np.repeat(np.arange(len(cells)), count)
    packed = np.full((len(cells), int(count.max())), -1)
    packed[row, np.arange(len(flat)) - (np.cumsum(count) - count)[row]] = cells.reshape(-1)[flat]
    return packed
