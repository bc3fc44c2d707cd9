"""Matrices whose values don't come row by row, put in row order through a temporary file.

A bucket sort: how many values each row has is counted first, so that every run of rows that makes one block
has its place in the file; then each value is put into its run's place, and a run is sorted when it is read.
Memory holds one piece and one run, about 100 MB, whatever the matrix; the file has 12 bytes a value.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from czrun.cells import RowBlock
from czrun.row_blocks import Compressed, block_bounds, spread, twice
from czrun.storage import cache_home, make_folder, storage_errors

ENTRY = np.dtype([("row", "<i4"), ("column", "<i4"), ("value", "<f4")])
"""One stored value of a matrix and where it is."""

Entries = npt.NDArray[np.void]
"""Some of them, of dtype `ENTRY`."""

_SAMPLE_VALUES = 1 << 15


class EntryFile:
    """Entries in a temporary file without a name: the system drops it with the process, however that ends."""

    def __init__(self) -> None:
        self._folder = make_folder(cache_home() / "work")
        with storage_errors(self._folder):
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - kept open

    def reserve(self, count: int) -> None:
        """Take the room for this many entries; raises StorageError where there isn't any."""
        if count and hasattr(os, "posix_fallocate"):
            with storage_errors(self._folder):
                os.posix_fallocate(self._file.fileno(), 0, count * ENTRY.itemsize)

    def write(self, at: int, entries: Entries) -> None:
        """Put entries at a position counted in entries; raises StorageError when the disk is full."""
        # Never through mmap: a full disk would then be a bus error, and no Python exception.
        left, offset = np.ascontiguousarray(entries).view(np.uint8).data, at * ENTRY.itemsize
        with storage_errors(self._folder):
            while left:
                count = os.pwrite(self._file.fileno(), left, offset)
                left, offset = left[count:], offset + count

    def read(self, start: int, stop: int) -> Entries:
        """Return the entries from one position to another."""
        entries = np.empty(stop - start, dtype=ENTRY)
        left, offset = entries.view(np.uint8).data, start * ENTRY.itemsize
        while left:
            count = os.preadv(self._file.fileno(), [left], offset)
            if not count:
                raise EOFError(f"the temporary file ends at {offset}")
            left, offset = left[count:], offset + count
        return entries

    def close(self) -> None:
        """Drop the file."""
        self._file.close()


class RowOrdered:
    """A matrix in row order, made from its values in any order.

    Parameters
    ----------
    row_numbers
        Rows of all values, in pieces; read to the end before `entries` is called.
    entries
        Gives all values, in pieces.
    n_obs, n_vars
        Shape of the matrix.
    place
        What it is called in messages.

    Raises
    ------
    StorageError
        When there is no room for the temporary file.
    """

    def __init__(
        self,
        row_numbers: Iterable[npt.NDArray[np.int32]],
        entries: Callable[[], Iterator[Entries]],
        n_obs: int,
        n_vars: int,
        place: str,
    ) -> None:
        self._n_vars, self._place = n_vars, place
        self.row_nnz = np.zeros(n_obs, dtype=np.int64)
        for rows in row_numbers:
            if len(rows):
                first = int(rows.min())
                counts = np.bincount(rows - first)
                self.row_nnz[first : first + len(counts)] += counts
        self._indptr = np.concatenate([[0], np.cumsum(self.row_nnz)])
        self._runs = np.array([start for start, _ in block_bounds(self.row_nnz)], dtype=np.int64)
        self._file = EntryFile()
        try:
            self._file.reserve(int(self._indptr[-1]))
            self._distribute(entries())
        except BaseException:
            self._file.close()
            raise

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order."""
        for start, stop in zip(self._runs, [*self._runs[1:], len(self.row_nnz)], strict=True):
            entries = self._file.read(int(self._indptr[start]), int(self._indptr[stop]))
            # One number for row and column sorts five times as fast as the two of them, and shows doubles.
            keys = entries["row"].astype(np.int64) * self._n_vars + entries["column"]
            order = np.argsort(keys)
            keys = keys[order]
            if np.any(keys[1:] == keys[:-1]):
                raise twice(self._place, int(start))
            indptr = self._indptr[start : stop + 1] - self._indptr[start]
            yield RowBlock(int(start), entries["value"][order], entries["column"][order], indptr)

    def sample(self) -> npt.NDArray[np.float32]:
        """Return values from many places."""
        pieces = spread(int(self._indptr[-1]), _SAMPLE_VALUES)
        return np.concatenate([self._file.read(piece.start, piece.stop)["value"] for piece in pieces])

    def close(self) -> None:
        """Drop the temporary file."""
        self._file.close()

    def _distribute(self, pieces: Iterator[Entries]) -> None:
        free = self._indptr[self._runs]
        for piece in pieces:
            run = np.searchsorted(self._runs, piece["row"], side="right") - 1
            ordered = piece[np.argsort(run, kind="stable")]
            counts = np.bincount(run, minlength=len(self._runs))
            done = 0
            for number in np.flatnonzero(counts):
                count = int(counts[number])
                self._file.write(int(free[number]), ordered[done : done + count])
                free[number] += count
                done += count


def turned(columns: Compressed, n_vars: int) -> RowOrdered:
    """Put a matrix that is stored column by column in row order.

    Parameters
    ----------
    columns
        Genes are its major axis, cells the minor one.
    n_vars
        Genes.
    """

    def entries() -> Iterator[Entries]:
        for start, stop in columns.lines():
            genes = np.arange(start, stop, dtype=np.int32)
            yield as_entries(
                columns.minor(start, stop),
                np.repeat(genes, np.diff(columns.indptr[start : stop + 1])),
                columns.values(start, stop),
            )

    rows = (columns.minor(start, stop) for start, stop in columns.lines())
    return RowOrdered(rows, entries, columns.n_minor, n_vars, columns.place)


def as_entries(
    rows: npt.NDArray[np.int32], columns: npt.NDArray[np.int32], values: npt.NDArray[np.float32]
) -> Entries:
    """Put the three numbers of each value together."""
    entries = np.empty(len(values), dtype=ENTRY)
    entries["row"], entries["column"], entries["value"] = rows, columns, values
    return entries
