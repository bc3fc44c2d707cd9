"""Cells on their way through czrun, whatever file or service they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from czrun.contract.job import GeneIds, XKind

Texts = npt.NDArray[np.object_]
"""An array of str, with None where a value is missing."""

Names = npt.NDArray[Any]
"""Cell ids: an array of str, of objects or of NumPy's StringDType, which holds a million in 16 MB where
objects take 65."""

Flags = npt.NDArray[np.bool_]

_NULL_WORDS = frozenset({"", "nan", "none", "na", "<na>"})
"""What people's files hold where they mean nothing."""

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


def has_value(text: str | None) -> bool:
    """Tell whether a text says anything."""
    return text is not None and text.strip().lower() not in _NULL_WORDS


def is_missing(texts: Texts) -> Flags:
    """Tell where a column has no value, shape (n,)."""
    return each(texts, lambda text: not has_value(text))


def each(texts: Texts, test: Callable[[str | None], bool]) -> Flags:
    """Ask a question of each text, once for each value that there is; shape (n,)."""
    answers = {text: test(text) for text in set(texts.tolist())}
    return np.fromiter((answers[text] for text in texts), dtype=np.bool_, count=len(texts))


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
        is_used = np.bincount(self.codes, minlength=len(self.categories)) > 0
        number = (np.cumsum(is_used) - 1).astype(np.int32)
        kept = tuple(text for text, used in zip(self.categories, is_used.tolist(), strict=True) if used)
        return Categorical(number[self.codes], kept)


def repeated(names: Names) -> list[str]:
    """Return the names that occur twice or more, in sorted order."""
    # By their hashes, 8 bytes each: equal names have equal ones, so nearly always this is the answer.
    hashes = np.fromiter(map(hash, names), dtype=np.int64, count=len(names))
    ordered = np.sort(hashes)
    if not (suspects := np.unique(ordered[1:][ordered[1:] == ordered[:-1]])).size:
        return []
    counts = Counter(names[np.isin(hashes, suspects)].tolist())
    return sorted(str(name) for name, count in counts.items() if count > 1)


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

    def obs_names(self) -> Names:
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
