"""Exact nearest neighbours: single precision finds the candidates, differences decide among them.

One matrix product a tile gives for every pair the *score* x·y - |y|²/2, which is (|x|² - d²)/2: the higher,
the nearer. Each query has a *bar*, estimated from a sample of cells, that its nearest cells pass and few
others. The bar lies lower than that by a bound on rounding, and in the end each query proves that none of its
neighbours can have been missed, or searches again with a lower bar: the answer doesn't depend on the sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.candidates import Candidates, Found, Hits
from czrun.metrics.points import Points
from czrun.metrics.threads import in_threads

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SingleArray = NDArray[np.float32]

Enter = Callable[[IntArray, Found], None]
"""Is told what was found for some queries, from several threads."""

QUERIES_AT_ONCE = 512
_COLUMNS_AT_ONCE = 1024
_SAMPLE = 2048
_HITS_TO_PRUNE = 2**20
_NEVER = np.float32(-1e30)


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
        self._longest = float(points.squares[self.cells].max())
        self._tall = columns(points, self.cells)
        self._sample = self._tall
        if len(self.cells) > 2 * _SAMPLE:
            self._sample = self._tall[drawn(len(self.cells), _SAMPLE)]

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
        missing, rank = np.arange(len(queries)), rank_in_sample(k + 1, len(self._sample), len(self._tall))
        while len(missing):
            bars = Bars.estimated(self.points, queries[missing], self._sample, rank, self._longest)
            block = _Block(self, queries[missing], k, bars)
            block.sweep(self._tall)
            found.cells[missing], found.squares[missing] = block.found.cells, block.found.squares
            exhaustive = rank > len(self._sample)
            missing, rank = missing[~bars.certain(block.found) & (not exhaustive)], 4 * rank
        return found


def search_each(points: Points, queries: IntArray, k: int, enter: Enter) -> None:
    """Find the `k` nearest cells of each query, itself left out, equals by row number.

    Parameters
    ----------
    points
        The cells, more than `k`.
    queries
        Rows, shape (q,).
    enter
        Is told of each query once: by its place in `queries`.
    """
    haystack = Haystack(points)

    def search(start: int) -> None:
        places = np.arange(start, min(start + QUERIES_AT_ONCE, len(queries)))
        enter(places, haystack.nearest(queries[places], k))

    starts = range(0, len(queries), QUERIES_AT_ONCE)
    for _ in in_threads(search, starts) if len(starts) > 1 else map(search, starts):
        pass


def columns(points: Points, cells: IntArray) -> SingleArray:
    """Cells as columns of a product whose rows are `Bars.as_rows`, shape (cells, d + 2)."""
    tall = np.ones((len(cells), points.centred.shape[1] + 2), dtype=np.float32)
    tall[:, :-2] = points.centred.take(cells, axis=0)
    tall[:, -2] = points.squares[cells] / -2
    return tall


def drawn(cells: int, sample: int) -> IntArray:
    """Draw a sample, the same of every so many cells."""
    return np.random.default_rng(0).choice(cells, sample, replace=False)


def rank_in_sample(k: int, sample: int, cells: int, caution: float = 3) -> int:
    """Rank in the sample that the k-th nearest cell of nearly all queries comes before.

    With a caution of 3 of all but one in tens of thousands, with 2 of all but one in hundreds.
    """
    expected = k * sample / cells
    return k if sample == cells else math.ceil(expected + caution * (math.sqrt(expected) + 1))


@dataclass(frozen=True)
class Bars:
    """How near a cell must be for a query to look at it.

    Attributes
    ----------
    length
        Squared length of each query, shape (q,).
    slack
        What rounding may do to its scores, shape (q,).
    reach
        Squared distance within which it is sure to meet every cell, shape (q,).
    crowded
        Queries that many more cells of the sample were that near to than there should be, shape (q,).
    """

    length: FloatArray
    slack: FloatArray
    reach: FloatArray
    crowded: NDArray[np.bool_]

    @classmethod
    def estimated(
        cls, points: Points, queries: IntArray, sample: SingleArray, rank: int, longest: float
    ) -> Bars:
        """Put each query's bar a little below its `rank`-th highest score in the sample.

        Parameters
        ----------
        longest
            Squared length of the longest cell there is: the bar of all queries where the rank is too high.
        """
        length = points.squares[queries].astype(np.float64)
        crowded = np.zeros(len(queries), dtype=np.bool_)
        if rank > len(sample):
            reach = np.square(np.sqrt(length) + math.sqrt(longest))
        else:
            scores = _rows(points, queries, np.float32(0)) @ sample.T
            scores.partition(len(sample) - rank, axis=1)
            reach = np.maximum(length - 2.0 * scores[:, len(sample) - rank], 0)
        # Cells that count have |y| <= |x| + reach; a sum of d products errs by at most d/2 eps |x| |y|.
        span = np.square(np.sqrt(length) + np.sqrt(reach))
        slack = (points.centred.shape[1] + 10) * float(np.finfo(np.float32).eps) * span
        reach += 2 * slack
        if rank <= len(sample):
            lowest = (length - reach) / 2 - slack
            crowded = np.count_nonzero(scores >= lowest[:, None].astype(np.float32), axis=1) > 2 * rank
        return cls(length, slack, reach, crowded)

    @classmethod
    def joined(cls, parts: Sequence[Bars]) -> Bars:
        """Put the bars of several blocks of queries together."""
        return cls(*(np.concatenate([getattr(each, field.name) for each in parts]) for field in fields(cls)))

    def of(self, rows: IntArray) -> Bars:
        """Keep some of the queries."""
        return Bars(self.length[rows], self.slack[rows], self.reach[rows], self.crowded[rows])

    def as_rows(self, points: Points, queries: IntArray) -> SingleArray:
        """Make rows of these queries: a product with `columns` is 0 or more for what passes their bars."""
        return _rows(points, queries, self.slack + (self.reach - self.length) / 2)

    def certain(self, found: Found) -> NDArray[np.bool_]:
        """Whether each query has k cells within the distance that its bar lets pass."""
        return np.asarray(found.squares[:, -1] <= self.reach)


def _rows(points: Points, queries: IntArray, bar: FloatArray | np.float32) -> SingleArray:
    wide = np.ones((len(queries), points.centred.shape[1] + 2), dtype=np.float32)
    wide[:, :-2], wide[:, -1] = points.centred[queries], bar
    return wide


class Tile:
    """Room for the products of some rows and columns, to be used again and again: fresh memory is slow.

    Parameters
    ----------
    pairs
        Rows times columns, at most.
    """

    def __init__(self, pairs: int) -> None:
        self._scores, self._mask = np.empty(pairs, dtype=np.float32), np.empty(pairs, dtype=np.bool_)

    def passing(self, wide: SingleArray, tall: SingleArray) -> Hits:
        """Hold `Bars.as_rows` against `columns`; cells are counted from the first column."""
        pairs, shape = len(wide) * len(tall), (len(wide), len(tall))
        np.matmul(wide, tall.T, out=self._scores[:pairs].reshape(shape))
        flat = _flatnonzero(np.greater_equal(self._scores[:pairs], 0, out=self._mask[:pairs]))
        row, column = np.divmod(flat, len(tall))
        return Hits(row, column, self._scores[flat])


def _flatnonzero(mask: NDArray[np.bool_]) -> IntArray:
    """Find the few that are true: faster by half than NumPy's, which calls a function for each of them."""
    if mask.size % 8:
        return np.flatnonzero(mask)
    words = np.flatnonzero(mask.view(np.uint64) != 0)
    within = np.flatnonzero(mask.reshape(-1, 8)[words])
    return np.asarray(8 * words[within >> 3] + (within & 7))


class _Block(Candidates):
    """Queries on their way through a haystack."""

    def __init__(self, haystack: Haystack, queries: IntArray, k: int, bars: Bars) -> None:
        super().__init__(haystack.points, queries, k)
        self._cells, self._bars, self._wide = haystack.cells, bars, bars.as_rows(haystack.points, queries)

    def sweep(self, tall: SingleArray) -> None:
        """Hold every query against every column."""
        tile = Tile(len(self._wide) * min(_COLUMNS_AT_ONCE, len(tall)))
        hits: list[Hits] = []
        room = limit = max(_HITS_TO_PRUNE, 4 * self._k * len(self._queries))
        for start in range(0, len(tall), _COLUMNS_AT_ONCE):
            met = tile.passing(self._wide, tall[start : start + _COLUMNS_AT_ONCE])
            hits.append(Hits(met.row, self._cells[met.cell + start], met.score))
            room -= len(met)
            if room < 0:
                self.keep_best(hits, self._bars.slack)
                self._raise_bar()
                hits, room = [], limit
        if hits:
            self.keep_best(hits, self._bars.slack)

    def _raise_bar(self) -> None:
        """Let pass only what may be nearer than the k-th of those met so far."""
        farthest = self.found.squares[:, -1].astype(np.float64)
        bar = self._bars.slack + (farthest - self._bars.length) / 2
        # Of cells in the same place as k others, later ones have higher row numbers and can't come first.
        self._wide[:, -1] = np.where(farthest == 0, _NEVER, np.fmin(self._wide[:, -1], bar))
