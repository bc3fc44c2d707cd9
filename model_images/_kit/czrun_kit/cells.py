"""Reading what a view holds: cells, images, conditions to predict."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from czrun_kit.failures import BadInput
from czrun_kit.job import Input

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Condition:
    """One row of ``conditions.csv``: a perturbation whose effect is to be predicted.

    Attributes
    ----------
    name
        The condition's own name.
    perturbation
        What is done to the cells; a gene knock-out is named by the gene.
    context
        In which cells, for example a cell type; empty where the task knows no contexts.
    n_cells
        How many rows of ``cells.npy`` stand for it.
    """

    name: str
    perturbation: str
    context: str
    n_cells: int


@dataclass(frozen=True)
class Cells:
    """The cells of one view; `X` is read when first asked for.

    Attributes
    ----------
    path
        The h5ad file.
    cell_ids
        One id per row of X, in the order that the outputs must keep.
    genes
        One gene id per column of X.
    obs
        Columns of the obs table by name, for example ``batch`` or, in fit, ``label``.
    view
        The view's id.
    conditions
        What to predict from these cells, in perturbation prediction; else empty.
    """

    path: Path
    cell_ids: NDArray[np.str_]
    genes: NDArray[np.str_]
    obs: Mapping[str, NDArray[Any]]
    view: str = ""
    conditions: tuple[Condition, ...] = ()

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cell_ids)

    @property
    def labels(self) -> NDArray[np.str_]:
        """The training labels, shape (n_obs,); raises BadInput where there are none."""
        return _labels(self.path, self.obs)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of the obs table, shape (n_obs,); raises BadInput where there is none."""
        if name not in self.obs:
            raise BadInput(f"{self.path.name} has no obs[{name!r}]", f"It has: {', '.join(self.obs) or '-'}.")
        return self.obs[name]

    @cached_property
    def X(self) -> csr_matrix:
        """The matrix, shape (n_obs, n_vars), float32; `job.dataset.x` says what the numbers are."""
        from scipy.sparse import csr_matrix

        with _reading(self.path) as file:
            group = _csr_group(file, self.path)
            data = group["data"][:].astype(np.float32, copy=False)
            shape = tuple(int(size) for size in group.attrs["shape"])
            return csr_matrix((data, group["indices"][:], group["indptr"][:]), shape=shape)

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """The sum of each row of X, shape (n_obs,); it needs no SciPy, whose import takes longer."""
        with _reading(self.path) as file:
            group = _csr_group(file, self.path)
            rows = np.repeat(np.arange(len(self)), np.diff(group["indptr"][:]))
            return np.bincount(rows, weights=group["data"][:], minlength=len(self))


@dataclass(frozen=True)
class Images:
    """The images of one view.

    Attributes
    ----------
    path
        The file of the pixels.
    cell_ids
        One id per image, in the order that the outputs must keep.
    pixels
        uint8, shape (n_obs, height, width, channels); mapped into memory, and read where it is looked at.
    obs
        Other columns of ``cells.csv`` by name: in fit, ``label``.
    view
        The view's id.
    """

    path: Path
    cell_ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    obs: Mapping[str, NDArray[np.str_]]
    view: str = ""

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.cell_ids)

    @property
    def labels(self) -> NDArray[np.str_]:
        """The training labels, shape (n_obs,); raises BadInput where there are none."""
        return _labels(self.path, self.obs)


def read_view(view: str, inputs: tuple[Input, ...]) -> Cells | Images:
    """Read the files of one view: cells, cells and conditions, or images.

    Raises
    ------
    BadInput
        When a file can't be read, or isn't what the contract says.
    """
    paths = {entry.format: Path(entry.path) for entry in inputs}
    if len(paths) == len(inputs) and set(paths) == {"npy", "csv"}:
        return _read_images(view, paths["npy"], paths["csv"])
    if len(paths) != len(inputs) or set(paths) - {"csv"} != {"h5ad"}:
        found = ", ".join(entry.format for entry in inputs)
        raise BadInput(f"view {view} has files that this kit can't read together: {found}")
    return read_cells(paths["h5ad"], view, _read_conditions(paths["csv"]) if "csv" in paths else ())


def read_cells(path: str | Path, view: str = "", conditions: tuple[Condition, ...] = ()) -> Cells:
    """Read an h5ad file that follows the contract, all but its matrix.

    Raises
    ------
    BadInput
        When the file can't be read, or isn't what the contract says.
    """
    path = Path(path)
    with _reading(path) as file:
        obs = {str(name): _column(file["obs"][name]) for name in file["obs"].attrs["column-order"]}
        return Cells(path, _index(file["obs"]), _index(file["var"]), obs, view, conditions)


def _labels(path: Path, obs: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    if "label" not in obs:
        raise BadInput(f"{path.name} has no labels", "Only the input of fit carries them.")
    return obs["label"]


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, LookupError, ValueError) as error:
        raise BadInput(f"{path.name} is not an input of the contract: {error}") from error


def _csr_group(file: h5py.File, path: Path) -> h5py.Group:
    group = file["X"]
    if not isinstance(group, h5py.Group) or group.attrs.get("encoding-type") != "csr_matrix":
        raise BadInput(f"X of {path.name} is not a CSR matrix")
    return group


def _index(table: h5py.Group) -> NDArray[np.str_]:
    return _column(table[table.attrs["_index"]]).astype(np.str_, copy=False)


def _column(node: h5py.Dataset | h5py.Group) -> NDArray[Any]:
    if isinstance(node, h5py.Dataset):
        if h5py.check_string_dtype(node.dtype) is None:
            return np.asarray(node[:])
        return np.array(node.asstr()[:], dtype=np.str_)
    if "categories" in node:
        categories, codes = _column(node["categories"]), node["codes"][:]
        missing = "" if categories.dtype.kind == "U" else np.nan
        return np.asarray(np.append(categories, missing)[codes])  # code -1, missing, takes the last entry
    values, missing_at = _column(node["values"]), node["mask"][:]
    if values.dtype.kind == "U":
        return np.where(missing_at, "", values)
    return np.where(missing_at, np.nan, values) if missing_at.any() else values


def _read_images(view: str, pixels_path: Path, cells_path: Path) -> Images:
    table = _read_table(cells_path, ("cell_id",))
    try:
        pixels = np.load(pixels_path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"{pixels_path.name} is not an input of the contract: {error}") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != len(table["cell_id"]):
        raise BadInput(
            f"{pixels_path.name} holds {pixels.dtype} of shape {pixels.shape} for "
            f"{len(table['cell_id'])} cells; uint8 (n_obs, height, width, channels) was expected"
        )
    return Images(pixels_path, table.pop("cell_id"), pixels, table, view)


def _read_conditions(path: Path) -> tuple[Condition, ...]:
    table = _read_table(path, ("condition", "perturbation", "context", "n_cells"))
    try:
        counts = [int(text) for text in table["n_cells"]]
    except ValueError as error:
        raise BadInput(f"{path.name}, column n_cells: {error}") from None
    columns = (table[name].tolist() for name in ("condition", "perturbation", "context"))
    return tuple(Condition(*row) for row in zip(*columns, counts, strict=True))


def _read_table(path: Path, needed: tuple[str, ...]) -> dict[str, NDArray[np.str_]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file, strict=True)
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{path.name} is not an input of the contract: {error}") from error
    if missing := [name for name in needed if name not in header]:
        raise BadInput(f"{path.name} lacks the columns {', '.join(missing)}")
    if any(len(row) != len(header) for row in rows):
        raise BadInput(f"{path.name} has rows that aren't as long as its header")
    return {name: np.array([row[at] for row in rows], dtype=np.str_) for at, name in enumerate(header)}
