"""Users' AnnData files, in every spelling that the format has had. The only importer of anndata."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, Names, RowBlock, Texts
from czrun.errors import DatasetError

_BLOCK_VALUES = 1 << 21
"""Stored values in one block: 16 MB of float32 and int32, whatever the number of cells."""

_TEXTS_AT_ONCE = 1 << 16

_SYMBOL_COLUMNS = ("gene_symbol", "gene_symbols", "feature_name", "symbol", "gene_name")
_ENSEMBL_COLUMNS = ("ensembl_id", "gene_ids", "gene_id", "feature_id", "ensembl")


class H5adReader:
    """One matrix of an .h5ad file with its annotations.

    Parameters
    ----------
    path
        The file.
    layer
        ``"X"``, ``"raw"``, or a layer's name.

    Raises
    ------
    DatasetError
        When the file can't be read, isn't AnnData, or has no such layer.
    """

    def __init__(self, path: Path, layer: str = "X") -> None:
        self.path = path
        self._file = _open(path)
        try:
            with _reading(path):
                self._matrix, self._obs, self._var = self._select(layer)
                self.n_obs, self.n_vars = (int(size) for size in self._shape())
                self._names = _names(self._obs)
                self._check_rows(layer)
        except BaseException:
            self._file.close()
            raise

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the obs columns."""
        return _columns(self._obs)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names that `layer` may take in this file."""
        return _layer_names(self._file)

    def column(self, key: str) -> Texts:
        """Return one obs column as text, None where it is missing, shape (n_obs,)."""
        with _reading(self.path):
            return _column_texts(self._obs, key)

    def obs_names(self) -> Names:
        """Return the obs index, shape (n_obs,)."""
        return self._names

    def genes(self) -> Genes:
        """Return the var index, with gene symbols and Ensembl ids where a column holds them."""
        found = {}
        with _reading(self.path):
            present = _columns(self._var)
            for name, spellings in (("gene_symbol", _SYMBOL_COLUMNS), ("ensembl_id", _ENSEMBL_COLUMNS)):
                for spelling in spellings:
                    if spelling in present and name not in found:
                        found[name] = _texts(_read_column(self._var, spelling))
            return Genes(_index(self._var), found)

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,); a dense matrix is read once for it."""
        if self._is_csr():
            with _reading(self.path):
                indptr: npt.NDArray[np.int64] = self._matrix["indptr"][:].astype(np.int64)
            return np.diff(indptr)
        return np.concatenate([np.diff(block.indptr) for block in self.blocks()])

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, about two million stored values at a time."""
        is_dense = isinstance(self._matrix, h5py.Dataset)
        pieces = self._dense_blocks() if is_dense else self._sparse_blocks()
        while True:
            with _reading(self.path):
                block = next(pieces, None)
            if block is None:
                return
            yield block

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _sparse_blocks(self) -> Iterator[RowBlock]:
        from anndata.io import sparse_dataset  # noqa: TID251 - this module is anndata's one home

        matrix = sparse_dataset(self._matrix)
        if matrix.format != "csr":
            # Rows of a CSC matrix lie scattered over the whole file: it is turned round in memory.
            matrix = matrix.to_memory().tocsr()
            nnz = np.diff(matrix.indptr)
        else:
            nnz = self.row_nnz()
        for start, stop in _block_bounds(nnz):
            yield _canonical(matrix[start:stop], start, self.path)

    def _dense_blocks(self) -> Iterator[RowBlock]:
        rows = max(1, _BLOCK_VALUES // max(1, self.n_vars))
        for start in range(0, self.n_obs, rows):
            dense = self._matrix[start : start + rows]
            row, column = np.nonzero(dense)
            indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(dense)))]).astype(np.int64)
            yield RowBlock(start, dense[row, column].astype(np.float32), column.astype(np.int32), indptr)

    def _is_csr(self) -> bool:
        if isinstance(self._matrix, h5py.Dataset):
            return False
        attrs = self._matrix.attrs
        return attrs.get("encoding-type", attrs.get("h5sparse_format")) in ("csr_matrix", "csr")

    def _shape(self) -> Any:  # noqa: ANN401
        if isinstance(self._matrix, h5py.Dataset):
            return self._matrix.shape
        attrs = self._matrix.attrs
        return attrs["shape"] if "shape" in attrs else attrs["h5sparse_shape"]

    def _check_rows(self, layer: str) -> None:
        if len(self._names) != self.n_obs:
            raise DatasetError(
                f"{self.path}: {layer} has {self.n_obs} rows, obs has {len(self._names)}.",
                "Write the file again.",
            )

    def _select(self, layer: str) -> tuple[Any, Any, Any]:
        file, names = self._file, _layer_names(self._file)
        missing = [slot for slot in ("obs", "var") if slot not in file]
        if missing or not names:
            raise DatasetError(
                f"{self.path} is HDF5 but not AnnData: it has no {' and no '.join(missing or ['X'])}.",
                "Write it with adata.write_h5ad(...).",
            )
        if layer not in names:
            raise DatasetError(f"{self.path} has no layer {layer!r}.", f"It has: {', '.join(names)}.")
        frames = file
        if isinstance(file["obs"], h5py.Dataset):
            frames = _legacy_frames(self.path)
        if layer == "raw":
            old = "raw.X" in file
            return file["raw.X" if old else "raw/X"], frames["obs"], frames["raw.var" if old else "raw/var"]
        return file["X" if layer == "X" else f"layers/{layer}"], frames["obs"], frames["var"]


def read_obsm(path: Path, key: str) -> npt.NDArray[np.floating[Any]]:
    """Read an embedding that lies in the file, shape (n_obs, n_dims).

    Raises
    ------
    DatasetError
        When the file can't be read, has no such obsm, or not as a plain array of numbers.
    """
    with _reading(path), _open(path) as file:
        names = [str(name) for name in file["obsm"]] if "obsm" in file else []
        if key not in names:
            raise DatasetError(f"{path} has no obsm {key!r}.", f"It has: {', '.join(names) or '(none)'}.")
        array = file["obsm"][key]
        if not isinstance(array, h5py.Dataset) or array.ndim != 2 or array.dtype.kind not in "fiu":
            raise DatasetError(f"{path}: obsm {key!r} is no plain array (n_obs, n_dims).", "Choose another.")
        found: npt.NDArray[np.floating[Any]] = array[:]
    return found if found.dtype.kind == "f" else found.astype(np.float64)


def _open(path: Path) -> Any:  # noqa: ANN401 - h5py has no types
    if path.is_dir():
        raise DatasetError(f"{path} is a folder.", "Name the .h5ad file itself.")
    if not path.exists():
        raise DatasetError(
            f"There is no file {path}.", "Check the path; `czrun datasets list` shows names that work."
        )
    if path.stat().st_size == 0:
        raise DatasetError(f"{path} is empty (0 bytes).", "Copy or write it again.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise DatasetError(f"{path} is cut off: {_reason(error)}.", "Copy it again, whole.") from error
        if isinstance(error, PermissionError):
            raise DatasetError(f"{path} may not be read.", f"Try `chmod u+r {path}`.") from error
        raise DatasetError(
            f"{path} is not an HDF5 file, so it can't be .h5ad.", "Write it with adata.write_h5ad(...)."
        ) from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever h5py, anndata, pandas and NumPy raise over a damaged or odd file into a DatasetError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata tells its users to rewrite old files; ours can't
            yield
    except (DatasetError, MemoryError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise DatasetError(
            f"{path} can't be read: it is damaged, or not laid out as AnnData ({what}).",
            "Copy it again; or, if anndata.read_h5ad opens it, write it again with adata.write_h5ad(...).",
        ) from error


def _reason(error: OSError) -> str:
    text = str(error)
    return text[text.find("truncated file") :].rstrip(")")


def _layer_names(file: Any) -> tuple[str, ...]:  # noqa: ANN401
    names = ["X"] if "X" in file else []
    if "raw.X" in file or ("raw" in file and "X" in file["raw"]):
        names.append("raw")
    if "layers" in file:
        names.extend(file["layers"].keys())
    return tuple(names)


def _legacy_frames(path: Path) -> dict[str, Any]:
    """Read the frames of a file from before anndata 0.7: compound arrays, their categories kept in uns."""
    from anndata import read_h5ad  # noqa: TID251

    old = read_h5ad(path, backed="r")
    frames = {"obs": old.obs, "var": old.var}
    if old.raw is not None:
        frames["raw.var"] = old.raw.var
    old.file.close()
    return frames


def _columns(frame: Any) -> tuple[str, ...]:  # noqa: ANN401 - an h5py group, or a legacy file's DataFrame
    names = frame.attrs.get("column-order", ()) if isinstance(frame, h5py.Group) else frame.columns
    return tuple(str(name) for name in names)


def _names(frame: Any) -> Names:  # noqa: ANN401
    """Return the index of a frame in little memory."""
    key = str(frame.attrs.get("_index", "_index")) if isinstance(frame, h5py.Group) else ""
    if not key or not _is_plain_text(frame[key]):
        return _index(frame)
    names: Names = np.empty(frame[key].shape, dtype=np.dtypes.StringDType())
    for start, piece in _pieces(frame[key]):
        names[start : start + len(piece)] = piece
    return names


def _column_texts(frame: Any, key: str) -> Texts:  # noqa: ANN401
    if not isinstance(frame, h5py.Group) or not _is_plain_text(frame[key]):
        return _texts(_read_column(frame, key))
    # One object for each value, not for each cell: a million labels are a few.
    known: dict[str, str] = {}
    texts: Texts = np.empty(frame[key].shape, dtype=object)
    for start, piece in _pieces(frame[key]):
        texts[start : start + len(piece)] = [known.setdefault(text, text) for text in piece]
    return texts


def _is_plain_text(element: Any) -> bool:  # noqa: ANN401
    is_text = isinstance(element, h5py.Dataset) and h5py.check_string_dtype(element.dtype) is not None
    return is_text and element.ndim == 1 and element.attrs.get("encoding-type") == "string-array"


def _pieces(dataset: Any) -> Iterator[tuple[int, list[str]]]:  # noqa: ANN401
    texts = dataset.asstr()
    for start in range(0, len(dataset), _TEXTS_AT_ONCE):
        yield start, texts[start : start + _TEXTS_AT_ONCE].tolist()


def _index(frame: Any) -> Texts:  # noqa: ANN401
    if isinstance(frame, h5py.Group):
        return _texts(_read_column(frame, str(frame.attrs.get("_index", "_index"))))
    return _texts(frame.index)


def _read_column(frame: Any, key: str) -> Any:  # noqa: ANN401
    from anndata.io import read_elem  # noqa: TID251

    return read_elem(frame[key]) if isinstance(frame, h5py.Group) else frame[key]


def _texts(values: Any) -> Texts:  # noqa: ANN401
    import pandas as pd

    series = pd.Series(np.asarray(values) if isinstance(values, pd.Index) else values)
    if isinstance(series.dtype, pd.CategoricalDtype):
        # By way of the categories: spread out, whole numbers with one missing would turn into 1.0, 2.0.
        names = np.array([*(str(name) for name in series.cat.categories), None], dtype=object)
        named: Texts = names[series.cat.codes.to_numpy()]
        return named
    missing = series.isna().to_numpy()
    texts = np.array([str(value) for value in series.to_numpy(dtype=object)], dtype=object)
    texts[missing] = None
    return texts


def _block_bounds(nnz: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Cut rows into runs of at most `_BLOCK_VALUES` stored values, and of at least one row."""
    ends = np.cumsum(nnz)
    start = 0
    while start < len(nnz):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK_VALUES, side="right")))
        yield start, stop
        start = stop


def _canonical(rows: Any, start: int, path: Path) -> RowBlock:  # noqa: ANN401 - a scipy matrix
    if not rows.has_sorted_indices:
        rows.sort_indices()
    if not rows.has_canonical_format:
        raise DatasetError(
            f"{path}: X names the same gene twice in one cell (near row {start}).",
            "Mend it with adata.X.sum_duplicates() and write it again.",
        )
    return RowBlock(
        start,
        rows.data.astype(np.float32, copy=False),
        rows.indices.astype(np.int32, copy=False),
        rows.indptr.astype(np.int64, copy=False),
    )
