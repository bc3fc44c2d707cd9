"""Exact nearest neighbours of all cells: each pair is looked at once, for both its ends.

Cells are sorted by the reach of their bars, the farthest first, and cut into blocks. A block is held against
itself and all later ones, which don't reach as far: a pair that doesn't pass the earlier cell's bar doesn't
pass the later cell's. So half of the products and comparisons are enough.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.candidates import Candidates, Hits
from czrun.metrics.exact_search import (
    QUERIES_AT_ONCE,
    Bars,
    Enter,
    Tile,
    columns,
    drawn,
    rank_in_sample,
    search_each,
)
from czrun.metrics.points import Points
from czrun.metrics.threads import in_threads

IntArray = NDArray[np.int64]

_BLOCK = 1024
_LEAST_SAMPLE = 512
_CELLS_A_SAMPLED = 40
_CAUTION = 2


def search_all(points: Points, k: int, enter: Enter) -> None:
    """Find the `k` nearest cells of every cell, itself left out, equals by row number.

    Parameters
    ----------
    points
        The cells, more than `k`.
    enter
        Is told of each cell once, by its row.
    """
    n = len(points.exact)
    sample = max(_LEAST_SAMPLE, n // _CELLS_A_SAMPLED)
    rank = rank_in_sample(k + 1, sample, n, _CAUTION)
    left = np.arange(n)
    # Where the bars let a large share of all cells pass, half the products are the least of the work.
    if n >= 2 * sample >= 4 * rank:
        triangle = _Triangle(points, k, _bars(points, sample, rank), enter)
        for _ in in_threads(triangle.turn, range(len(triangle))):
            pass
        left = np.concatenate([triangle.crowded, *triangle.uncertain])
    if len(left):
        search_each(points, left, k, lambda places, found: enter(left[places], found))


def _bars(points: Points, sample: int, rank: int) -> Bars:
    n, longest = len(points.exact), float(points.squares.max())
    tall = columns(points, drawn(n, sample))

    def estimate(start: int) -> Bars:
        queries = np.arange(start, min(start + QUERIES_AT_ONCE, n))
        return Bars.estimated(points, queries, tall, rank, longest)

    return Bars.joined(list(in_threads(estimate, range(0, n, QUERIES_AT_ONCE))))


class _Triangle:
    """Blocks of cells, each to be held against itself and all later ones.

    Crowded cells lie in no block: too many pairs would pass their bars. But the others meet them.

    Attributes
    ----------
    crowded
        Rows of the cells that nothing is found for here.
    uncertain
        Rows of further ones, complete after the last turn: there may be nearer cells than they have met.
    """

    def __init__(self, points: Points, k: int, bars: Bars, enter: Enter) -> None:
        self._points, self._k, self._bars, self._enter = points, k, bars, enter
        self.crowded = np.flatnonzero(bars.crowded)
        self.uncertain: list[IntArray] = []
        farthest_first = np.argsort(-bars.reach, kind="stable")
        order = np.concatenate([self.crowded, farthest_first[~bars.crowded[farthest_first]]])
        self._cells = order.astype(np.int32)
        self._tall = columns(points, order)
        self._half_reach = (bars.reach[order] / 2).astype(np.float32)
        self._slack = bars.slack[order].astype(np.float32)
        self._starts = range(len(self.crowded), len(order), _BLOCK)
        self._met: list[list[Hits]] = [[] for _ in self._starts]
        self._tiles: list[Tile] = []
        self._lock, self._swept, self._settled = Lock(), [False for _ in self._starts], 0

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self._starts)

    def turn(self, block: int) -> None:
        """Take one block's turn, then rank what those have met that all earlier ones have had theirs."""
        self._sweep(block)
        with self._lock:
            self._swept[block] = True
            first = self._settled
            while self._settled < len(self) and self._swept[self._settled]:
                self._settled += 1
            complete = range(first, self._settled)
        for each in complete:
            self._settle(each)

    def _rows(self, block: int) -> slice:
        start = self._starts[block]
        return slice(start, min(start + _BLOCK, len(self._cells)))

    def _sweep(self, block: int) -> None:
        """Hold a block's cells against the crowded ones, themselves and all later ones."""
        rows = self._rows(block)
        queries = self._cells[rows].astype(np.int64)
        wide = self._bars.of(queries).as_rows(self._points, queries)
        tile = self._tiles.pop() if self._tiles else Tile(_BLOCK**2)
        for start in range(0, len(self.crowded), _BLOCK):
            end = min(start + _BLOCK, len(self.crowded))
            self._note(block, tile.passing(wide, self._tall[start:end]), start)
        for later in range(block, len(self)):
            there = self._rows(later)
            hits = tile.passing(wide, self._tall[there])
            self._note(block, hits, there.start)
            if later > block:
                self._note_back(later, hits, rows.start)
        self._tiles.append(tile)

    def _note(self, block: int, hits: Hits, start: int) -> None:
        """Note what a block's cells have met among those from `start` on."""
        score = hits.score - self._slack[hits.row + self._starts[block]]
        self._met[block].append(Hits(hits.row.astype(np.uint16), self._cells[hits.cell + start], score))

    def _note_back(self, block: int, hits: Hits, start: int) -> None:
        """Note which of the cells from `start` on have met a block's cells and pass their bars as well."""
        near, far = hits.cell + self._starts[block], hits.row + start
        score = hits.score - (self._half_reach[far] - self._half_reach[near])
        passing = np.flatnonzero(score >= 0)
        row, far = hits.cell[passing].astype(np.uint16), far[passing]
        self._met[block].append(Hits(row, self._cells[far], score[passing] - self._slack[far]))

    def _settle(self, block: int) -> None:
        """Rank what a block's cells have met."""
        queries = self._cells[self._rows(block)].astype(np.int64)
        met, self._met[block] = self._met[block], []
        # The score of a pair errs by the slack of whichever cell's turn it was.
        others = max(float(self._bars.slack[hits.cell].max(initial=0)) for hits in met)
        candidates = Candidates(self._points, queries, self._k)
        candidates.keep_best(met, np.maximum(self._bars.slack[queries], others))
        certain = self._bars.of(queries).certain(candidates.found)
        self._enter(queries[certain], candidates.found.of(certain))
        self.uncertain.append(queries[~certain])
