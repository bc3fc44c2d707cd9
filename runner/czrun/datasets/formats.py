"""Which file formats of cells by genes are read, how each is recognised, and who opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from czrun.errors import DatasetError

if TYPE_CHECKING:
    import numpy.typing as npt

    from czrun.cells import Genes, RowBlock, Texts


class CellFile(Protocol):
    """One matrix of a file, or of a folder, and what the file says of cells and genes.

    All methods raise DatasetError.

    Attributes
    ----------
    n_obs, n_vars
        Shape of the matrix.
    columns
        Names of the obs columns.
    layer, layers
        Name of the matrix, and all names that it might have had.
    notes
        What was left out or changed, for people.
    """

    n_obs: int
    n_vars: int
    layer: str
    layers: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    def column(self, key: str) -> Texts:
        """Return one obs column as text, None where it is missing, shape (n_obs,)."""
        ...

    def obs_names(self) -> Texts:
        """Return the cells' own ids, shape (n_obs,)."""
        ...

    def genes(self) -> Genes:
        """Return the columns of the matrix."""
        ...

    def row_nnz(self) -> npt.NDArray[Any]:
        """Return how many values each row stores, shape (n_obs,)."""
        ...

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, in blocks of bounded size."""
        ...

    def sample(self) -> npt.NDArray[Any]:
        """Return stored values from many places of the matrix."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


class Format(StrEnum):
    """A format, by what people call it."""

    H5AD = ".h5ad"
    TENX_H5 = ".h5 of 10x"
    MATRIX_FOLDER = "folder with matrix.mtx, features.tsv and barcodes.tsv"
    LOOM = ".loom"
    ZARR = ".zarr of AnnData"


_SUFFIXES: Mapping[str, Format] = {
    ".h5ad": Format.H5AD,
    ".h5": Format.TENX_H5,
    ".hdf5": Format.TENX_H5,
    ".loom": Format.LOOM,
    ".zarr.zip": Format.ZARR,
}

_MATRIX_ENDS = ("matrix.mtx", "matrix.mtx.gz")


def recognise(path: Path) -> Format | None:
    """Tell the format by the name, of a folder by what is in it; None where it is none of ours."""
    if path.is_dir():
        if matrix_files(path):
            return Format.MATRIX_FOLDER
        is_store = any((path / name).is_file() for name in (".zgroup", "zarr.json"))
        return Format.ZARR if is_store or path.suffix.lower() == ".zarr" else None
    name = path.name.lower()
    return next((found for suffix, found in _SUFFIXES.items() if name.endswith(suffix)), None)


def matrix_files(folder: Path) -> list[Path]:
    """Return a folder's matrices; those from GEO are called ``GSM123_matrix.mtx.gz``."""
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(_MATRIX_ENDS))


def open_file(path: Path, layer: str | None) -> CellFile:
    """Open one matrix of a file.

    Parameters
    ----------
    path
        The file or folder.
    layer
        Name of the matrix; None for the one that the format holds to be the first.

    Raises
    ------
    DatasetError
        When the file can't be read, is of no known format, or has no such layer.
    """
    return _OPENERS[recognise(path) or _unrecognised(path)](path, layer)


def not_read(path: Path) -> DatasetError:
    """Say that a file is of no format that is read, and which are."""
    if path.name.lower().endswith((".mtx", ".mtx.gz")):
        hint = "Name its folder: features.tsv and barcodes.tsv beside it say what the numbers are of."
    else:
        hint = f"Read are {', '.join(Format)}; anything else through adata.write_h5ad('cells.h5ad')."
    return DatasetError(f"{path}: this is no format that is read.", hint)


def _unrecognised(path: Path) -> Format:
    if path.is_dir():
        raise DatasetError(
            f"{path} is a folder without matrix.mtx or images, and no zarr store.",
            f"Name the file itself. Read are {', '.join(Format)}; images as {path.name}/CLASS/NAME.png.",
        )
    if path.exists() and path.suffix:
        raise not_read(path)
    return Format.H5AD  # whose reader says what is wrong with a path


# Imported when called: what is recognised only needs neither NumPy nor h5py.


def _open_anndata(path: Path, layer: str | None) -> CellFile:
    from czrun.h5ad import AnnDataReader

    return AnnDataReader(path, layer)


def _open_tenx(path: Path, layer: str | None) -> CellFile:
    from czrun.datasets.tenx import TenxFile, holds_anndata

    return _open_anndata(path, layer) if holds_anndata(path) else TenxFile(path, layer)


def _open_matrix_folder(path: Path, layer: str | None) -> CellFile:
    from czrun.datasets.matrix_market import MatrixFolder

    return MatrixFolder(path, layer)


def _open_loom(path: Path, layer: str | None) -> CellFile:
    from czrun.datasets.loom import LoomFile

    return LoomFile(path, layer)


_OPENERS: Mapping[Format, Callable[[Path, str | None], CellFile]] = {
    Format.H5AD: _open_anndata,
    Format.ZARR: _open_anndata,
    Format.TENX_H5: _open_tenx,
    Format.MATRIX_FOLDER: _open_matrix_folder,
    Format.LOOM: _open_loom,
}
