"""Sums of distances from cells to groups of cells, without a matrix of all distances.

Cells are sorted by group and cut into blocks; a matrix product makes the squared distances of two blocks from
one another, and their square roots are summed by group while the tile is in the cache. A distance counts from
both its ends, so half of the tiles do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.points import PointArray
from czrun.metrics.threads import in_threads

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Spread = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]

_BLOCK = 1024
_DOUBLE_PRECISION_UP_TO = 5_000


class GroupedCells:
    """Cells sorted by group; `rows`, here, are places in that order.

    Parameters
    ----------
    exact
        Coordinates, shape (n, d).
    groups
        The group of each cell, codes from 0 of which each occurs, shape (n,).
    """

    def __init__(self, exact: PointArray, groups: IntArray) -> None:
        self.order = np.argsort(groups, kind="stable")
        self.groups = groups[self.order]
        self.sizes = np.bincount(groups)
        self._ends = np.cumsum(self.sizes)
        self._cells = exact.take(self.order, axis=0)
        # Single precision can give cells in one place a distance, which weighs in where cells are few.
        self._precision = np.float64 if len(exact) <= _DOUBLE_PRECISION_UP_TO else np.float32

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def sums(self, spread: Spread = in_threads) -> FloatArray:
        """Sum the distances from every cell to the cells of each group, shape (groups, n).

        Parameters
        ----------
        spread
            How to go through the blocks: `in_threads`, or `map` where a thread is all there is.
        """
        total = np.zeros((len(self.sizes), len(self)))
        starts = range(0, len(self), _BLOCK)
        for start, (across, groups, down) in zip(starts, spread(self._strip, starts), strict=True):
            total[:, start : start + _BLOCK] += across
            total[groups, start + across.shape[1] :] += down
        return total

    def sums_of(self, rows: IntArray, spread: Spread = in_threads) -> FloatArray:
        """Sum the distances from the cells `rows` to the cells of each group, shape (groups, rows)."""
        parts = spread(lambda start: self._across(rows[start : start + _BLOCK]), range(0, len(rows), _BLOCK))
        return np.concatenate(list(parts), axis=1)

    def _across(self, rows: IntArray) -> FloatArray:
        sums = np.zeros((len(self.sizes), len(rows)))
        for columns, tile in self._tiles(rows, 0):
            self._add_rows(sums, columns, tile)
        return sums

    def _strip(self, start: int) -> tuple[FloatArray, IntArray, NDArray[Any]]:
        """Hold one block against itself and all later ones.

        Returns
        -------
        Sums from the block's cells to each group, (groups, block); the groups in the block; sums from the
        later cells to these, (its groups, later cells).
        """
        stop = min(start + _BLOCK, len(self))
        own = self._runs(slice(start, stop))
        across = np.zeros((len(self.sizes), stop - start))
        down = np.empty((len(own), len(self) - stop), dtype=self._precision)
        for columns, tile in self._tiles(np.arange(start, stop), start):
            self._add_rows(across, columns, tile)
            if columns.start >= stop:
                for i, (_, run) in enumerate(own):
                    later = slice(columns.start - stop, columns.stop - stop)
                    np.matmul(np.ones(run.stop - run.start, tile.dtype), tile[run], out=down[i, later])
        return across, np.array([group for group, _ in own]), down

    def _add_rows(self, sums: FloatArray, columns: slice, tile: NDArray[Any]) -> None:
        for group, run in self._runs(columns):
            sums[group] += tile[:, run] @ np.ones(run.stop - run.start, tile.dtype)

    def _runs(self, rows: slice) -> list[tuple[int, slice]]:
        """Cut a range of rows where the group changes: each group, and its rows counted from the first."""
        first, last = int(self.groups[rows.start]), int(self.groups[rows.stop - 1])
        cuts = [rows.start, *self._ends[first:last].tolist(), rows.stop]
        return [
            (first + i, slice(cuts[i] - rows.start, cuts[i + 1] - rows.start)) for i in range(len(cuts) - 1)
        ]

    def _tiles(self, rows: IntArray, start: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Measure distances from `rows` to blocks of cells from `start` on; a tile lives until the next."""
        # Seen from one of the rows, so that digits are lost to neither a far origin nor an outlier.
        origin = self._cells[rows[len(rows) // 2]]
        near = (self._cells[rows] - origin).astype(self._precision)
        left = np.column_stack([-2 * near, np.einsum("ij,ij->i", near, near), np.ones_like(near[:, 0])])
        buffer = np.empty(len(rows) * _BLOCK, dtype=self._precision)
        for first in range(start, len(self), _BLOCK):
            columns = slice(first, min(first + _BLOCK, len(self)))
            far = (self._cells[columns] - origin).astype(self._precision)
            right = np.column_stack([far, np.ones_like(far[:, 0]), np.einsum("ij,ij->i", far, far)])
            tile = buffer[: len(rows) * len(far)].reshape(len(rows), len(far))
            np.matmul(left, right.T, out=tile)
            # Rounding leaves some squares a trifle below zero; abs costs a quarter of maximum.
            np.sqrt(np.abs(tile, out=tile), out=tile)
            own = np.flatnonzero((rows >= columns.start) & (rows < columns.stop))
            tile[own, rows[own] - columns.start] = 0
            yield columns, tile
