"""Cells on their way through czrun, whatever file or service they come from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from czrun.contract.job import GeneIds, XKind

Texts = npt.NDArray[np.object_]
"""An array of str, with None where a value is missing."""

_ENSEMBL = re.compile(r"^ENS[A-Z]*G\d{6,}(\.\d+)?$")


@dataclass(frozen=True)
class Genes:
    """The columns of X.

    Attributes
    ----------
    ids
        The var index, shape (n_vars,).
    columns
        ``gene_symbol`` and ``ensembl_id`` where the source has them, each of shape (n_vars,).
    """

    ids: Texts
    columns: dict[str, Texts]

    @property
    def kind(self) -> GeneIds:
        """What the ids are: Ensembl when nine in ten look so, else symbols."""
        ensembl = sum(bool(_ENSEMBL.match(gene)) for gene in self.ids)
        return "ensembl" if ensembl >= 0.9 * len(self.ids) else "symbol"


@dataclass(frozen=True)
class RowBlock:
    """Consecutive rows of X in CSR form.

    Attributes
    ----------
    start
        Number of the first row.
    data
        Stored values, float32, shape (nnz,).
    indices
        Their columns, int32, ascending within a row, shape (nnz,).
    indptr
        Where each row begins in `data`, int64, shape (rows + 1,), starting at 0.
    """

    start: int
    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Categorical:
    """A categorical obs column: `codes` of shape (n_obs,) into `categories`."""

    codes: npt.NDArray[np.int32]
    categories: tuple[str, ...]

    def take(self, rows: npt.NDArray[np.int64]) -> Categorical:
        """Return the same column for some rows."""
        return Categorical(self.codes[rows], self.categories)

    def used(self) -> Categorical:
        """Return the same column without the values that no cell has."""
        present, codes = np.unique(self.codes, return_inverse=True)
        return Categorical(codes.astype(np.int32), tuple(self.categories[code] for code in present.tolist()))


@dataclass(frozen=True)
class Numeric:
    """A numeric obs column: float64, int32 or bool; shape (n_obs,)."""

    values: npt.NDArray[np.float64] | npt.NDArray[np.int32] | npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.int64]) -> Numeric:
        """Return the same column for some rows."""
        return Numeric(self.values[rows])


Column = Categorical | Numeric


class ObsSource(Protocol):
    """Cells and what is known of each. All methods raise DatasetError."""

    @property
    def n_obs(self) -> int:
        """Cells."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the obs columns, in the source's own words."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the source guessed, left out or changed, for people."""
        ...

    def column(self, key: str) -> Texts:
        """Return one obs column as text, shape (n_obs,)."""
        ...

    def obs_names(self) -> Texts:
        """Return the source's own cell ids, shape (n_obs,)."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


@dataclass(frozen=True)
class ImageBlock:
    """Images of some cells.

    Attributes
    ----------
    rows
        Numbers of the cells, shape (k,).
    images
        Their images, uint8, shape (k, height, width, channels).
    """

    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]


class ImageSource(ObsSource, Protocol):
    """One image a cell, read in pieces. All methods raise DatasetError."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        ...

    def image_blocks(self) -> Iterator[ImageBlock]:
        """Yield every image once, in the order that reads best, in blocks of bounded size."""
        ...


class CellSource(ObsSource, Protocol):
    """A matrix of cells by genes, read in pieces. All methods raise DatasetError."""

    @property
    def n_vars(self) -> int:
        """Genes."""
        ...

    @property
    def x(self) -> XKind:
        """What the numbers in X are."""
        ...

    def genes(self) -> Genes:
        """Return the columns of X."""
        ...

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        ...

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, in blocks of bounded size."""
        ...
