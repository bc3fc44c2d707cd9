"""Rows of a matrix brought into another order on their way to disk, in bounded memory and long writes.

Writing every row to its place as it comes costs a system call a row and array. Instead the file is cut into
windows of rows. A row that arrives goes to the end of what its window has so far, so a block of the source is
some long writes; once all are there, each window is read back (from the page cache), put in order and written
once more. Every byte of a window belongs to one of its rows, so this needs no room besides the file, and
nothing of the order of arrival is left.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from czrun.cells import RowBlock

_WINDOW_VALUES = 1 << 20
"""Stored values of one window: 8 MB of float32 and int32, whatever the number of cells."""

_FEW_VALUES = 1 << 18
"""Moving fewer values than this takes less time than importing SciPy, which moves them five times as fast."""

Rows = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32] | npt.NDArray[np.int32]


class RowWindows:
    """The two arrays of a CSR matrix, reserved in an open file.

    Parameters
    ----------
    descriptor
        The file, open to read and write.
    places
        Where the values (float32) and their columns (int32) begin in it, in bytes.
    indptr
        Where each row begins, in values, shape (n_rows + 1,).
    """

    def __init__(self, descriptor: int, places: tuple[int, int], indptr: npt.NDArray[np.int64]) -> None:
        self._descriptor, self._places, self._indptr = descriptor, places, indptr
        self._starts = _window_starts(indptr)
        # What arrived, in order of arrival within each window, in the window's own rows.
        self._arrived = np.empty(len(indptr) - 1, dtype=np.int32 if len(indptr) < 1 << 31 else np.int64)
        self._n_arrived = np.zeros(len(self._starts) - 1, dtype=np.int64)
        self._n_values = np.zeros(len(self._starts) - 1, dtype=np.int64)

    def append(self, rows: Rows, block: RowBlock, chosen: Rows) -> None:
        """Take rows of a block: `chosen` are their numbers in it, `rows` those in this file."""
        window = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(window, kind="stable")
        rows, window = rows[order], window[order]
        taken = take_rows(block, chosen[order])
        cuts = np.flatnonzero(np.diff(window)) + 1
        for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
            if first < last:
                self._extend(int(window[first]), rows[first:last], taken, first, last)

    def settle(self) -> None:
        """Put the rows of every window in order; raises ValueError where some never came."""
        sizes = np.diff(self._starts)
        if not np.array_equal(self._n_arrived, sizes):
            raise ValueError(f"{int((sizes - self._n_arrived).sum()):,} rows never arrived")
        for first, last in zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True):
            begin, end = int(self._indptr[first]), int(self._indptr[last])
            arrived = self._arrived[first:last]
            lengths = self._indptr[1:][arrived] - self._indptr[arrived]
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            data, indices = np.empty(end - begin, np.float32), np.empty(end - begin, np.int32)
            _read(self._descriptor, data, self._places[0] + 4 * begin)
            _read(self._descriptor, indices, self._places[1] + 4 * begin)
            ordered = take_rows(RowBlock(0, data, indices, indptr), np.argsort(arrived))
            self._write(ordered.data, ordered.indices, begin)

    def _extend(self, window: int, rows: Rows, taken: RowBlock, first: int, last: int) -> None:
        piece = slice(taken.indptr[first], taken.indptr[last])
        start = int(self._starts[window])
        self._write(
            taken.data[piece], taken.indices[piece], int(self._indptr[start] + self._n_values[window])
        )
        come = start + int(self._n_arrived[window])
        self._arrived[come : come + len(rows)] = rows
        self._n_arrived[window] += len(rows)
        self._n_values[window] += piece.stop - piece.start

    def _write(self, data: npt.NDArray[np.float32], indices: npt.NDArray[np.int32], at: int) -> None:
        _write(self._descriptor, data, self._places[0] + 4 * at)
        _write(self._descriptor, indices, self._places[1] + 4 * at)


def take_rows(block: RowBlock, rows: Rows) -> RowBlock:
    """Return some rows of a block, in the order given."""
    if len(block.data) >= _FEW_VALUES:
        from scipy.sparse import csr_matrix

        shape = (len(block.indptr) - 1, int(np.iinfo(np.int32).max))
        taken = csr_matrix((block.data, block.indices, block.indptr), shape=shape, copy=False)[rows]
        return RowBlock(
            0, taken.data, taken.indices.astype(np.int32, copy=False), taken.indptr.astype(np.int64)
        )
    lengths = (block.indptr[1:] - block.indptr[:-1])[rows]
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    where = np.repeat(block.indptr[:-1][rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
    return RowBlock(0, block.data[where], block.indices[where], indptr)


def _window_starts(indptr: npt.NDArray[np.int64]) -> Rows:
    """Cut rows into windows of about `_WINDOW_VALUES` stored values, and of at least one row."""
    n_rows = len(indptr) - 1
    marks = np.arange(0, int(indptr[-1]), _WINDOW_VALUES, dtype=np.int64)
    starts = np.unique(np.searchsorted(indptr[:-1], marks))
    return np.unique(np.concatenate([[0], starts[starts < n_rows], [n_rows]])).astype(np.int64)


def _write(descriptor: int, array: Values, at: int) -> None:
    """Write all of an array: where the disk is nearly full, a call may write a part and say nothing."""
    rest = memoryview(np.ascontiguousarray(array).data).cast("B")
    while rest:
        done = os.pwrite(descriptor, rest, at)
        rest, at = rest[done:], at + done


def _read(descriptor: int, array: Values, at: int) -> None:
    rest = memoryview(array.data).cast("B")
    while rest:
        done = os.preadv(descriptor, [rest], at)
        if not done:
            raise EOFError("a prepared file ends before its rows do")
        rest, at = rest[done:], at + done
