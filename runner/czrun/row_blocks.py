"""Matrices cut into blocks of rows, whatever array they lie in; every number checked on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.cells import RowBlock
from czrun.errors import DatasetError

BLOCK_VALUES = 1 << 21
"""Stored values in one block: 16 MB of float32 and int32, whatever the number of cells."""

_EXACT = 1 << 24
"""Up to here float32 has every whole number."""

_WIDE_BLOCKS = 4

_SAMPLE_PIECES = 16
_SAMPLE_VALUES = 1 << 15


@dataclass(frozen=True)
class Compressed:
    """The arrays of a compressed sparse matrix; those of a file are read in slices.

    Attributes
    ----------
    data, indices
        Stored values and where they are on the minor axis; anything that slices to NumPy, shape (nnz,).
    indptr
        Where each line of the major axis begins, int64, shape (n_major + 1,).
    n_minor
        Length of the minor axis.
    place
        What the matrix is called in messages.
    """

    data: Any
    indices: Any
    indptr: npt.NDArray[np.int64]
    n_minor: int
    place: str

    @classmethod
    def read(cls, group: Any, n_major: int, n_minor: int, place: str) -> Compressed:  # noqa: ANN401
        """Take the matrix that lies in a group of a file; raises DatasetError where its arrays disagree."""
        data, indices = group["data"], group["indices"]
        indptr = np.asarray(group["indptr"][:]).astype(np.int64)
        whole = len(indptr) == n_major + 1 and indptr[0] == 0 and np.all(np.diff(indptr) >= 0)
        if not whole or not indptr[-1] == data.shape[0] == indices.shape[0]:
            raise DatasetError(
                f"{place} is damaged: where its lines begin and what it stores don't fit together.",
                "Copy or write it again.",
            )
        return cls(data, indices, indptr, n_minor, place)

    def lines(self) -> Iterator[tuple[int, int]]:
        """Yield runs of the major axis, about `BLOCK_VALUES` stored values each."""
        yield from block_bounds(np.diff(self.indptr))

    def minor(self, start: int, stop: int) -> npt.NDArray[np.int32]:
        """Return the indices of some lines, checked."""
        return checked_indices(self.indices[self._stored(start, stop)], self.n_minor, self.place)

    def values(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Return the stored values of some lines."""
        return as_float32(self.data[self._stored(start, stop)], self.place)

    def row_blocks(self) -> Iterator[RowBlock]:
        """Yield all lines as rows."""
        for start, stop in self.lines():
            indptr = self.indptr[start : stop + 1] - self.indptr[start]
            yield _canonical(start, self.values(start, stop), self.minor(start, stop), indptr, self)

    def sample(self) -> npt.NDArray[Any]:
        """Return stored values from many places."""
        pieces = spread(int(self.indptr[-1]), _SAMPLE_VALUES)
        return _numbers(np.concatenate([self.data[piece] for piece in pieces]), self.place)

    def _stored(self, start: int, stop: int) -> slice:
        return slice(int(self.indptr[start]), int(self.indptr[stop]))


@dataclass(frozen=True)
class Dense:
    """A matrix that stores every number.

    Attributes
    ----------
    rows
        Gives rows `start` to `stop`, shape (rows, n_vars).
    n_obs, n_vars
        Its shape.
    place
        What it is called in messages.
    step
        Rows are best read in multiples of this, which is how many a piece of the file holds.
    """

    rows: Callable[[int, int], npt.NDArray[Any]]
    n_obs: int
    n_vars: int
    place: str
    step: int = 1

    def row_blocks(self) -> Iterator[RowBlock]:
        """Yield all rows."""
        step = 1 if is_wide(self.step, self.n_vars) else self.step
        height = max(1, BLOCK_VALUES // max(1, self.n_vars) // step) * step
        for start in range(0, self.n_obs, height):
            dense = self.rows(start, min(start + height, self.n_obs))
            row, column = np.nonzero(dense)
            indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(dense)))]).astype(np.int64)
            yield RowBlock(start, as_float32(dense[row, column], self.place), column.astype(np.int32), indptr)

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Read all of it once, for how many numbers of each row aren't 0."""
        return np.concatenate([np.diff(block.indptr) for block in self.row_blocks()])

    def sample(self) -> npt.NDArray[Any]:
        """Return numbers other than 0 from many places."""
        pieces = spread(self.n_obs, max(1, _SAMPLE_VALUES // max(1, self.n_vars)))
        found = [self.rows(piece.start, piece.stop) for piece in pieces]
        return _numbers(np.concatenate([numbers[np.nonzero(numbers)] for numbers in found]), self.place)


def is_wide(step: int, n_vars: int) -> bool:
    """Tell whether this many rows are too many to be read at once."""
    return step * n_vars > _WIDE_BLOCKS * BLOCK_VALUES


def block_bounds(nnz: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of at most `BLOCK_VALUES` stored values, and of at least one row."""
    ends = np.cumsum(nnz)
    start = 0
    while start < len(nnz):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK_VALUES, side="right")))
        yield start, stop
        start = stop


def spread(total: int, size: int) -> Sequence[slice]:
    """Return slices of `size`, evenly from the first to the last; one of everything when that is less."""
    if total <= size * _SAMPLE_PIECES:
        return [slice(0, total)]
    starts = np.linspace(0, total - size, _SAMPLE_PIECES).astype(np.int64).tolist()
    return [slice(start, start + size) for start in starts]


def as_float32(values: npt.NDArray[Any], place: str) -> npt.NDArray[np.float32]:
    """Return numbers as float32; raises DatasetError where a whole number would become another one."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = _numbers(values, place).astype(np.float32, copy=False)
        if values.dtype.itemsize <= 2 or single is values:
            return single
        large = np.flatnonzero(np.abs(single) >= _EXACT)
        there, kept = values[large], single[large].astype(values.dtype)
        lost = there[(there != kept) & (there == np.floor(there))]
    if len(lost):
        raise DatasetError(
            f"{place} holds {lost[0]:.0f}, and X is kept as float32, which has no such whole number.",
            "Is it a count? If its rounding does no harm, write X as float32 and name that.",
        )
    return single


def checked_indices(indices: npt.NDArray[Any], size: int, place: str) -> npt.NDArray[np.int32]:
    """Return indices as int32; raises DatasetError where one is outside of 0 to `size`."""
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        worst = indices.max() if indices.max() >= size else indices.min()
        raise DatasetError(
            f"{place} is damaged: it has a value at position {worst} of {size}.", "Copy or write it again."
        )
    return indices.astype(np.int32, copy=False)


def twice(place: str, start: int) -> DatasetError:
    """Say that one cell has two values for one gene."""
    return DatasetError(
        f"{place} names the same gene twice in one cell (near row {start}).",
        "Mend it with adata.X.sum_duplicates() and write it again.",
    )


def _numbers(values: npt.NDArray[Any], place: str) -> npt.NDArray[Any]:
    if values.dtype.kind not in "fiub":
        raise DatasetError(
            f"{place} doesn't hold plain numbers but {values.dtype}.", "Write it with numbers, as float32."
        )
    return values


def _canonical(
    start: int,
    data: npt.NDArray[np.float32],
    indices: npt.NDArray[np.int32],
    indptr: npt.NDArray[np.int64],
    matrix: Compressed,
) -> RowBlock:
    from scipy import sparse

    rows = sparse.csr_array((data, indices, indptr), shape=(len(indptr) - 1, matrix.n_minor))
    if not rows.has_sorted_indices:
        rows.sort_indices()
    if not rows.has_canonical_format:
        raise twice(matrix.place, start)
    return RowBlock(start, rows.data, rows.indices.astype(np.int32, copy=False), indptr)
