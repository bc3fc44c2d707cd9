"""Users' AnnData, as .h5ad or zarr, in every spelling that it has had. The only importer of anndata."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, Names, RowBlock, Texts
from czrun.errors import DatasetError
from czrun.hdf5 import FileKind, check_file, open_hdf5, reading
from czrun.row_blocks import Compressed, Dense
from czrun.row_order import RowOrdered, turned
from czrun.texts import as_texts

_H5AD = FileKind(".h5ad", "AnnData", "Write it with adata.write_h5ad(...).")
_ZARR = FileKind(".zarr", "AnnData", "Write it with adata.write_zarr(...).")

_TEXTS_AT_ONCE = 1 << 16

_SYMBOL_COLUMNS = ("gene_symbol", "gene_symbols", "feature_name", "symbol", "gene_name")
_ENSEMBL_COLUMNS = ("ensembl_id", "gene_ids", "gene_id", "feature_id", "ensembl")


class AnnDataReader:
    """One matrix of an .h5ad file, or of a zarr store of AnnData, with its annotations.

    Parameters
    ----------
    path
        The file, or the store's folder or zip.
    layer
        ``"X"``, ``"raw"``, or a layer's name; None for X, or the first that there is where there is no X.

    Raises
    ------
    DatasetError
        When the file can't be read, isn't AnnData, or has no such layer.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path, layer: str | None = "X") -> None:
        self.path = path
        self._kind = _kind(path)
        self._file = _open(path)
        try:
            with reading(path, self._kind):
                self.layers = self._checked_layers()
                self.layer = self.layers[0] if layer is None else layer
                element, self._obs, self._var = self._select(self.layer)
                self.n_obs, self.n_vars = (int(size) for size in _shape(element))
                self._names = _names(self._obs)
                self._check_rows(self.layer)
                self._matrix = self._as_matrix(element)
        except BaseException:
            self._file.close()
            raise

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the obs columns."""
        return _columns(self._obs)

    def column(self, key: str) -> Texts:
        """Return one obs column as text, None where it is missing, shape (n_obs,)."""
        with reading(self.path, self._kind):
            return _column_texts(self._obs, key)

    def obs_names(self) -> Names:
        """Return the obs index, shape (n_obs,)."""
        return self._names

    def genes(self) -> Genes:
        """Return the var index, with gene symbols and Ensembl ids where a column holds them."""
        found = {}
        with reading(self.path, self._kind):
            present = _columns(self._var)
            for name, spellings in (("gene_symbol", _SYMBOL_COLUMNS), ("ensembl_id", _ENSEMBL_COLUMNS)):
                for spelling in spellings:
                    if spelling in present and name not in found:
                        found[name] = as_texts(_read_column(self._var, spelling))
            return Genes(_index(self._var), found)

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,); a dense matrix is read once for it."""
        with reading(self.path, self._kind):
            return self._row_nnz

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, about two million stored values at a time."""
        pieces: Iterator[RowBlock] | None = None
        while True:
            with reading(self.path, self._kind):
                pieces = pieces or self._pieces()
                block = next(pieces, None)
            if block is None:
                return
            yield block

    def sample(self) -> npt.NDArray[Any]:
        """Return stored values from many places of the matrix, as the file has them."""
        with reading(self.path, self._kind):
            return self._matrix.sample()

    def close(self) -> None:
        """Close the file."""
        if "_turned" in self.__dict__:
            self._turned.close()
        self._file.close()

    def _pieces(self) -> Iterator[RowBlock]:
        if isinstance(self._matrix, Compressed) and self._is_by_column:
            return self._turned.blocks()
        return self._matrix.row_blocks()

    @cached_property
    def _row_nnz(self) -> npt.NDArray[np.int64]:
        if isinstance(self._matrix, Dense):
            return self._matrix.row_nnz()
        return self._turned.row_nnz if self._is_by_column else np.diff(self._matrix.indptr)

    @cached_property
    def _turned(self) -> RowOrdered:
        assert isinstance(self._matrix, Compressed)  # noqa: S101 - a dense matrix isn't turned
        return turned(self._matrix, self.n_vars)

    def _as_matrix(self, element: Any) -> Compressed | Dense:  # noqa: ANN401
        self._is_by_column = False
        place = f"{self.path}: {self.layer}"
        if _is_array(element):
            step = int(element.chunks[0]) if element.chunks else 1
            if self._kind is _ZARR and (missing := _missing_pieces(element)):
                self.notes = (f"{missing} of {self.layer} aren't in the store, which stands for zeros",)
            return Dense(lambda start, stop: element[start:stop], self.n_obs, self.n_vars, place, step)
        encoding = str(element.attrs.get("encoding-type", element.attrs.get("h5sparse_format")))
        if encoding.removesuffix("_matrix") not in ("csr", "csc"):
            raise DatasetError(
                f"{place} is stored as {encoding!r}, neither dense nor CSR nor CSC.", self._kind.mend
            )
        self._is_by_column = encoding.startswith("csc")
        major, minor = (self.n_obs, self.n_vars)[:: -1 if self._is_by_column else 1]
        # No piece of what is stored because it isn't zero can be left out for being zero.
        if self._kind is _ZARR and (missing := _missing_pieces(element["data"])):
            raise DatasetError(
                f"{place} is incomplete: {missing} of its values are missing.",
                "Copy the store again, whole.",
            )
        return Compressed.read(element, major, minor, place)

    def _check_rows(self, layer: str) -> None:
        if len(self._names) != self.n_obs:
            raise DatasetError(
                f"{self.path}: {layer} has {self.n_obs} rows, obs has {len(self._names)}.",
                "Write the file again.",
            )

    def _checked_layers(self) -> tuple[str, ...]:
        names = _layer_names(self._file)
        missing = [slot for slot in ("obs", "var") if slot not in self._file]
        if missing or not names:
            what = "a zarr store" if self._kind is _ZARR else "HDF5"
            raise DatasetError(
                f"{self.path} is {what} but not AnnData: it has no {' and no '.join(missing or ['X'])}.",
                self._kind.mend,
            )
        return names

    def _select(self, layer: str) -> tuple[Any, Any, Any]:
        file = self._file
        if layer not in self.layers:
            raise DatasetError(f"{self.path} has no layer {layer!r}.", f"It has: {', '.join(self.layers)}.")
        frames = file
        if _is_array(file["obs"]):
            frames = _legacy_frames(self.path)
        if layer == "raw" and _has_raw(file):
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
    with reading(path, _kind(path)), closing(_open(path)) as file:
        names = [str(name) for name in file["obsm"]] if "obsm" in file else []
        if key not in names:
            raise DatasetError(f"{path} has no obsm {key!r}.", f"It has: {', '.join(names) or '(none)'}.")
        array = file["obsm"][key]
        if not _is_array(array) or array.ndim != 2 or array.dtype.kind not in "fiu":
            raise DatasetError(f"{path}: obsm {key!r} is no plain array (n_obs, n_dims).", "Choose another.")
        found: npt.NDArray[np.floating[Any]] = array[:]
    return found if found.dtype.kind == "f" else found.astype(np.float64)


def _kind(path: Path) -> FileKind:
    is_store = path.is_dir() and path.suffix.lower() != ".h5ad"
    return _ZARR if is_store or path.name.lower().endswith(".zarr.zip") else _H5AD


def _open(path: Path) -> Any:  # noqa: ANN401 - h5py has no types
    return open_hdf5(path, _H5AD) if _kind(path) is _H5AD else _ZarrStore(path)


class _ZarrStore:
    """A zarr store as far as h5py's files have the same methods."""

    def __init__(self, path: Path) -> None:
        import zarr

        is_zip = not path.is_dir()
        if is_zip:
            check_file(path, ".zarr.zip")
        with reading(path, _ZARR):
            self._store = zarr.storage.ZipStore(path, mode="r") if is_zip else zarr.storage.LocalStore(path)
            # What metadata once gathered in one file say may be older than the store.
            self._group = zarr.open_group(self._store, mode="r", use_consolidated=False)

    def __contains__(self, name: str) -> bool:
        return name in self._group

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return self._group[name]

    def close(self) -> None:
        self._store.close()


def _missing_pieces(element: Any) -> str:  # noqa: ANN401
    """Say which pieces of a zarr array aren't there: whatever zarr doesn't find it takes for zeros."""
    missing = element.nchunks - element.nchunks_initialized
    return f"{missing:,} of {element.nchunks:,} pieces" if missing > 0 else ""


def _is_array(element: Any) -> bool:  # noqa: ANN401 - of h5py or zarr
    return hasattr(element, "dtype")


def _shape(element: Any) -> Any:  # noqa: ANN401
    if _is_array(element):
        return element.shape
    return element.attrs["shape"] if "shape" in element.attrs else element.attrs["h5sparse_shape"]


def _has_raw(file: Any) -> bool:  # noqa: ANN401
    return "raw.X" in file or ("raw" in file and "X" in file["raw"])


def _layer_names(file: Any) -> tuple[str, ...]:  # noqa: ANN401
    names = ["X"] if "X" in file else []
    if _has_raw(file):
        names.append("raw")
    if "layers" in file:
        names.extend(str(name) for name in file["layers"].keys())  # noqa: SIM118 - a zarr group isn't a mapping
    return tuple(dict.fromkeys(names))


def _legacy_frames(path: Path) -> dict[str, Any]:
    """Read the frames of a file from before anndata 0.7: compound arrays, their categories kept in uns."""
    from anndata import read_h5ad  # noqa: TID251 - this module is anndata's one home

    old = read_h5ad(path, backed="r")
    frames = {"obs": old.obs, "var": old.var}
    if old.raw is not None:
        frames["raw.var"] = old.raw.var
    old.file.close()
    return frames


def _is_frame(frame: Any) -> bool:  # noqa: ANN401
    """Tell a legacy file's DataFrame from a group."""
    return hasattr(frame, "iloc")


def _columns(frame: Any) -> tuple[str, ...]:  # noqa: ANN401
    names = frame.columns if _is_frame(frame) else frame.attrs.get("column-order", ())
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
        return as_texts(_read_column(frame, key))
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
    if _is_frame(frame):
        return as_texts(frame.index)
    return as_texts(_read_column(frame, str(frame.attrs.get("_index", "_index"))))


def _read_column(frame: Any, key: str) -> Any:  # noqa: ANN401
    from anndata.io import read_elem  # noqa: TID251

    return frame[key] if _is_frame(frame) else read_elem(frame[key])
