"""A model's input files: made afresh, cells in the published AnnData layout and from an allow-list.

X is filled in row by row, in an order of our own: memory stays flat, and no byte of the source comes along.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from czrun.cells import Categorical, Column, Genes, Numeric, Texts


class H5adWriter:
    """A model's input file, laid out at once and filled row by row.

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
        cell_ids: Texts,
        genes: Genes,
        obs: Mapping[str, Column | Texts],
        row_nnz: npt.NDArray[np.int64],
    ) -> None:
        self._indptr = np.concatenate([[0], np.cumsum(row_nnz)]).astype(np.int64)
        with h5py.File(path, "x") as file:
            _mark(file, "anndata", "0.1.0")
            for slot in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
                _mark(file.create_group(slot), "dict", "0.1.0")
            _write_frame(file, "var", genes.ids, genes.columns)
            _write_frame(file, "obs", cell_ids, obs)
            self._data_at, self._indices_at = _lay_out_matrix(file, self._indptr, len(genes.ids))
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write_row(self, row: int, data: memoryview, indices: memoryview) -> None:
        """Put one row in its place.

        Parameters
        ----------
        row
            Row number in this file.
        data, indices
            The row's values (float32) and columns (int32), as bytes.
        """
        offset = 4 * int(self._indptr[row])
        if len(data):
            os.pwrite(self._descriptor, data, self._data_at + offset)
            os.pwrite(self._descriptor, indices, self._indices_at + offset)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)


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


def _write_frame(file: Any, name: str, index: Texts, columns: Mapping[str, Texts | Column]) -> None:  # noqa: ANN401
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


def _write_texts(group: Any, name: str, texts: Texts) -> None:  # noqa: ANN401
    filled = np.array([text if text is not None else "" for text in texts], dtype=object)
    _mark(group.create_dataset(name, data=filled, dtype=h5py.string_dtype()), "string-array", "0.2.0")


def _write_categorical(group: Any, name: str, column: Categorical) -> None:  # noqa: ANN401
    element = group.create_group(name)
    _mark(element, "categorical", "0.2.0")
    element.attrs["ordered"] = False
    smallest = np.int8 if len(column.categories) < 128 else np.int32
    codes = element.create_dataset("codes", data=column.codes.astype(smallest))
    _mark(codes, "array", "0.2.0")
    _write_texts(element, "categories", np.array(column.categories, dtype=object))
