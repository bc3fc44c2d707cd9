"""Exact nearest neighbours: single precision finds the candidates, differences decide among them.

One matrix product a tile gives for every pair the *score* x·y - |y|²/2, which is (|x|² - d²)/2: the higher,
the nearer. Each query has a *bar*, estimated from a sample of cells, that its nearest cells pass and few
others. The bar lies lower than that by a bound on rounding, and in the end each query proves that none of its
neighbours can have been missed, or searches again with a lower bar: the answer doesn't depend on the sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.points import PointArray, Points

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

QUERIES_AT_ONCE = 512
_COLUMNS_AT_ONCE = 1024
_SAMPLE = 2048
_HITS_TO_PRUNE = 2**20
_PAIRS_IN_CACHE = 2048
_NEVER = np.float32(-1e30)


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


@dataclass(frozen=True)
class _Hits:
    """Pairs that pass the bar: row in the block, cell, score above the bar."""

    row: IntArray
    cell: IntArray
    score: SingleArray


class Haystack:
    """Cells to search among.

    Parameters
    ----------
    points
        All cells.
    cells
        Rows of those to search among, ascending; all when None.
    """

    def __init__(self, points: Points, cells: IntArray | None = None) -> None:
        self.points = points
        self.cells = np.arange(len(points.exact)) if cells is None else cells
        self.longest = float(points.squares[self.cells].max())
        self._tall = np.ones((len(self.cells), points.centred.shape[1] + 2), dtype=np.float32)
        self._tall[:, :-2] = points.centred.take(self.cells, axis=0)
        self._tall[:, -2] = points.squares[self.cells] / -2
        self._sample = self._tall
        if len(self.cells) > 2 * _SAMPLE:
            drawn = np.random.default_rng(0).choice(len(self.cells), _SAMPLE, replace=False)
            self._sample = self._tall[drawn]

    def nearest(self, queries: IntArray, k: int) -> Found:
        """Find the `k` nearest cells of each query, itself left out, equals by row number.

        Parameters
        ----------
        queries
            Rows among the cells to search, shape (q,).
        k
            1 to the number of cells less one.
        """
        found = Found.nothing(len(queries), k, self.points)
        missing, rank = np.arange(len(queries)), self._rank(k + 1)
        while len(missing):
            block = _Block(self, queries[missing], k)
            block.set_bar(self._sample, rank)
            block.sweep(self._tall)
            found.cells[missing], found.squares[missing] = block.found.cells, block.found.squares
            exhaustive = rank > len(self._sample)
            missing, rank = missing[~block.certain() & (not exhaustive)], 4 * rank
        return found

    def _rank(self, k: int) -> int:
        """Rank in the sample that the k-th nearest cell of all but one query in thousands comes before."""
        share = len(self._sample) / len(self._tall)
        return k if share == 1 else math.ceil(k * share + 3 * math.sqrt(k * share) + 3)


class _Block:
    """Queries on their way through a haystack, and the nearest cells that they have met so far."""

    def __init__(self, haystack: Haystack, queries: IntArray, k: int) -> None:
        self._haystack, self._queries, self._k = haystack, queries, k
        points = haystack.points
        self._length = points.squares[queries].astype(np.float64)
        self._wide = np.ones((len(queries), points.centred.shape[1] + 2), dtype=np.float32)
        self._wide[:, :-2], self._wide[:, -1] = points.centred[queries], 0
        self.found = Found.nothing(len(queries), 0, points)

    def set_bar(self, sample: SingleArray, rank: int) -> None:
        """Put each query's bar a little below its `rank`-th highest score in the sample."""
        if rank > len(sample):
            reach = np.square(np.sqrt(self._length) + math.sqrt(self._haystack.longest))
        else:
            scores = self._wide @ sample.T
            scores.partition(len(sample) - rank, axis=1)
            reach = np.maximum(self._length - 2.0 * scores[:, len(sample) - rank], 0)
        # Cells that count have |y| <= |x| + reach; a sum of d products errs by at most d/2 eps |x| |y|.
        span = np.square(np.sqrt(self._length) + np.sqrt(reach))
        self._slack = (self._wide.shape[1] + 8) * float(np.finfo(np.float32).eps) * span
        self._reach = reach + 2 * self._slack
        self._wide[:, -1] = self._slack + (self._reach - self._length) / 2

    def certain(self) -> NDArray[np.bool_]:
        """Whether each query has k cells within the distance that its bar lets pass."""
        return np.asarray(self.found.squares[:, -1] <= self._reach)

    def sweep(self, tall: SingleArray) -> None:
        """Hold every query against every column."""
        scores = np.empty(len(self._wide) * _COLUMNS_AT_ONCE, dtype=np.float32)
        hits: list[_Hits] = []
        room = limit = max(_HITS_TO_PRUNE, 4 * self._k * len(self._queries))
        for start in range(0, len(tall), _COLUMNS_AT_ONCE):
            hits.append(self._passing(tall[start : start + _COLUMNS_AT_ONCE], start, scores))
            room -= len(hits[-1].row)
            if room < 0:
                self._keep_best(hits)
                self._raise_bar()
                hits, room = [], limit
        self._keep_best(hits)

    def _passing(self, tile: SingleArray, start: int, buffer: SingleArray) -> _Hits:
        scores = buffer[: len(self._wide) * len(tile)].reshape(len(self._wide), len(tile))
        np.matmul(self._wide, tile.T, out=scores)
        flat = np.flatnonzero(scores >= 0)
        row, column = np.divmod(flat, len(tile))
        return _Hits(row, self._haystack.cells[column + start], buffer[flat])

    def _raise_bar(self) -> None:
        """Let pass only what may be nearer than the k-th of those met so far."""
        farthest = self.found.squares[:, -1].astype(np.float64)
        bar = self._slack + (farthest - self._length) / 2
        # Of cells in the same place as k others, later ones have higher row numbers and can't come first.
        self._wide[:, -1] = np.where(farthest == 0, _NEVER, np.fmin(self._wide[:, -1], bar))

    def _keep_best(self, hits: list[_Hits]) -> None:
        row = np.concatenate([each.row for each in hits]).astype(np.uint16)
        order = np.argsort(row, kind="stable")
        cell = np.concatenate([each.cell for each in hits])[order]
        score = np.concatenate([each.score for each in hits])[order]
        score[cell == self._queries[row[order]]] = -np.inf
        count = np.bincount(row, minlength=len(self._queries))
        end, bits = np.cumsum(count), np.frexp(count)[1]
        held, self.found = self.found, Found.nothing(len(count), self._k, self._haystack.points)
        # Rows of like width together: one query with very many hits must not widen the table of all.
        for width in np.unique(bits):
            rows = np.flatnonzero(bits == width)
            at = (end - count)[rows, None] + np.arange(count[rows].max())
            known = np.where(at < end[rows, None], score.take(at, mode="clip"), np.float32(-np.inf))
            wanted = _promising(known, self._k, self._slack[rows])
            self._rank(rows, np.hstack([held.cells[rows], _packed(cell.take(at, mode="clip"), wanted)]))

    def _rank(self, rows: IntArray, cells: IntArray) -> None:
        """Keep the nearest of `cells`, which ascend among equals; -1 is none."""
        squares = self._distances(rows, cells)
        order = np.argsort(squares, axis=1)
        ranked = np.take_along_axis(squares, order, axis=1)
        # A stable sort takes three times as long, and only rows with equals need it.
        equal = (ranked[:, 1:] == ranked[:, :-1]).any(axis=1)
        order[equal] = np.argsort(squares[equal], axis=1, kind="stable")
        width = min(self._k, cells.shape[1])
        self.found.cells[rows, :width] = np.take_along_axis(cells, order, axis=1)[:, :width]
        self.found.squares[rows, :width] = ranked[:, :width]

    def _distances(self, rows: IntArray, cells: IntArray) -> PointArray:
        """Squared distances from each row's query, NaN for cell -1."""
        exact = self._haystack.points.exact
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
    row, column = np.nonzero(wanted)
    packed = np.full((len(cells), int(count.max())), -1)
    packed[row, np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)] = cells[row, column]
    return packed
