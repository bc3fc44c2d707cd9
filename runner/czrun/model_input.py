"""A model's input files: made afresh, cells in the published AnnData layout and from an allow-list.

X is filled in from blocks of the source, in an order of our own: memory stays flat, and no byte of the source
comes along.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from czrun.cells import Categorical, Column, Genes, Numeric, RowBlock, Texts
from czrun.scattered import RowWindows

_TEXTS_AT_ONCE = 1 << 16

Ids = npt.NDArray[np.bytes_]
"""Opaque ids of cells, 16 bytes each."""


class H5adWriter:
    """A model's input file, laid out at once and filled from blocks of rows in any order.

    Parameters
    ----------
    path
        A file that doesn't exist yet.
    cell_ids
        The obs index, shape (n_obs,).
    genes
        The var index and its columns.
    obs
        Columns of the allow-list, in contract names.
    row_nnz
        Stored values of each row, in this file's row order, shape (n_obs,).
    """

    def __init__(
        self,
        path: Path,
        cell_ids: Ids | Texts,
        genes: Genes,
        obs: Mapping[str, Column | Texts],
        row_nnz: npt.NDArray[np.int64],
    ) -> None:
        indptr = np.zeros(len(row_nnz) + 1, dtype=np.int64)
        np.cumsum(row_nnz, out=indptr[1:])
        with _disk_errors(), h5py.File(path, "x") as file:
            _mark(file, "anndata", "0.1.0")
            for slot in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
                _mark(file.create_group(slot), "dict", "0.1.0")
            _write_frame(file, "var", genes.ids, genes.columns)
            _write_frame(file, "obs", cell_ids, obs)
            data_at, indices_at = _lay_out_matrix(file, indptr, len(genes.ids))
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._rows = RowWindows(self._descriptor, (data_at, indices_at), indptr)

    def append(self, rows: npt.NDArray[np.int64], block: RowBlock, chosen: npt.NDArray[np.int64]) -> None:
        """Take rows of a block.

        Parameters
        ----------
        rows
            Their row numbers in this file, shape (n,).
        block
            Rows of the source.
        chosen
            Which of the block's rows they are, shape (n,).
        """
        self._rows.append(rows, block, chosen)

    def close(self) -> None:
        """Close the file, leaving X as it is."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the rows in order, unless something went wrong, and close the file."""
        try:
            if kind is None:
                self._rows.settle()
        finally:
            self.close()


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Make an OSError of what HDF5 raises when it can't write what it still has to as it closes a file."""
    try:
        yield
    except RuntimeError as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


class NpyWriter:
    """A .npy file of uint8, laid out at once and filled row by row: the bytes that np.save would write.

    No memory map: on a full disk that kills the process, where a write says so.

    Parameters
    ----------
    path
        A file that doesn't exist yet.
    shape
        Of the whole array, rows first.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._row_bytes = math.prod(shape[1:])
        with path.open("xb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            self._rows_at = file.tell()
            file.truncate(self._rows_at + shape[0] * self._row_bytes)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write_row(self, row: int, values: npt.NDArray[np.uint8]) -> None:
        """Put one row in its place; raises OSError when the disk is full."""
        left, at = np.ascontiguousarray(values).data.cast("B"), self._rows_at + row * self._row_bytes
        while left:
            written = os.pwrite(self._descriptor, left, at)
            left, at = left[written:], at + written

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)


def _lay_out_matrix(file: Any, indptr: npt.NDArray[np.int64], n_vars: int) -> tuple[int, int]:  # noqa: ANN401
    group = file.create_group("X")
    _mark(group, "csr_matrix", "0.1.0")
    group.attrs["shape"] = np.array([len(indptr) - 1, n_vars], dtype=np.int64)
    group.create_dataset("indptr", data=indptr)
    return _reserve(group, "data", "<f4", int(indptr[-1])), _reserve(group, "indices", "<i4", int(indptr[-1]))


def _reserve(group: Any, name: str, dtype: str, length: int) -> int:  # noqa: ANN401
    """Allot a contiguous array without writing it, and return where in the file it begins."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # Unlike h5py's own interface, HDF5 notes the time: the same data would get another hash every second.
    layout.set_obj_track_times(False)
    kind = h5py.h5t.py_create(np.dtype(dtype))
    array = h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple((length,)), layout)
    return int(array.get_offset() or 0)


def _mark(element: Any, kind: str, version: str) -> None:  # noqa: ANN401
    element.attrs["encoding-type"] = kind
    element.attrs["encoding-version"] = version


def _write_frame(
    file: Any,  # noqa: ANN401
    name: str,
    index: Texts | Ids,
    columns: Mapping[str, Texts | Column],
) -> None:
    group = file.create_group(name)
    _mark(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    order = np.array(list(columns), dtype=object)
    group.attrs.create("column-order", order, dtype=h5py.string_dtype() if len(order) else np.float64)
    _write_texts(group, "_index", index)
    for key, column in columns.items():
        if isinstance(column, Categorical):
            _write_categorical(group, key, column)
        elif isinstance(column, Numeric):
            _mark(group.create_dataset(key, data=column.values), "array", "0.2.0")
        else:
            _write_texts(group, key, column)


def _write_texts(group: Any, name: str, texts: Texts | Ids) -> None:  # noqa: ANN401
    dataset = group.create_dataset(name, (len(texts),), dtype=h5py.string_dtype())
    for start, piece in _pieces(texts):
        dataset[start : start + len(piece)] = piece
    _mark(dataset, "string-array", "0.2.0")


def _pieces(texts: Texts | Ids) -> Iterator[tuple[int, Texts]]:
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        piece = texts[start : start + _TEXTS_AT_ONCE].astype(object)
        yield start, np.array([text if text is not None else "" for text in piece], dtype=object)


def _write_categorical(group: Any, name: str, column: Categorical) -> None:  # noqa: ANN401
    element = group.create_group(name)
    _mark(element, "categorical", "0.2.0")
    element.attrs["ordered"] = False
    smallest = np.int8 if len(column.categories) < 128 else np.int32
    codes = element.create_dataset("codes", data=column.codes.astype(smallest))
    _mark(codes, "array", "0.2.0")
    _write_texts(element, "categories", np.array(column.categories, dtype=object))
