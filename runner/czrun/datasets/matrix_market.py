"""Folders with matrix.mtx, features.tsv and barcodes.tsv, as Cell Ranger, STARsolo and GEO have them.

The matrix is text. It is read once, a million values at a time, into a temporary file, from which rows are
put in order: memory stays bounded, whatever the order of the lines.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, RowBlock, Texts
from czrun.datasets.features import select_genes
from czrun.datasets.formats import matrix_files
from czrun.errors import DatasetError
from czrun.hdf5 import FileKind, check_file, reading
from czrun.row_blocks import as_float32
from czrun.row_order import Entries, EntryFile, RowOrdered, as_entries

_KIND = FileKind("matrix.mtx", "Matrix Market", "Take the folder filtered_feature_bc_matrix of the run.")

_LINES = 1 << 20
_FEATURES = ("features.tsv", "genes.tsv")


@dataclass(frozen=True)
class _Header:
    """What the first lines of a matrix say."""

    n_rows: int
    n_columns: int
    n_values: int


class MatrixFolder:
    """The matrix of a folder.

    Parameters
    ----------
    path
        The folder.
    layer
        ``"X"`` or None.

    Raises
    ------
    DatasetError
        When a file is missing or damaged, or the three don't fit together.
    """

    columns: tuple[str, ...] = ()
    layers: tuple[str, ...] = ("X",)

    def __init__(self, path: Path, layer: str | None) -> None:
        if layer not in (None, "X"):
            raise DatasetError(f"{path} has no layer {layer!r}.", "It has: X.")
        self.layer = "X"
        self.path, self._matrix_file = path, _only_matrix(path)
        features = _read_rows(_beside(self._matrix_file, _FEATURES))
        barcodes = _read_rows(_beside(self._matrix_file, ("barcodes.tsv",)))
        self._names = _field(barcodes, 0)
        symbols = _field(features, 1) if _is_full(features, 2) else None
        kinds = _field(features, 2) if _is_full(features, 3) else None
        self._selected = select_genes(_field(features, 0), symbols, kinds, str(path))
        self.n_obs, self.n_vars = len(barcodes), self._selected.n_vars
        self.notes = self._selected.notes
        with reading(self._matrix_file, _KIND), _opened(self._matrix_file) as file:
            header = _read_header(file, self._matrix_file)
            self._is_by_cell = self._check_shape(header, len(features))
            self._rows = self._convert(file, header)
        if self._is_by_cell:
            self.notes += ("the matrix has cells in its rows, not in its columns as 10x has them",)

    def column(self, key: str) -> Texts:
        """Raise DatasetError: these files say nothing of a cell but its barcode."""
        raise DatasetError(f"{self.path} has no obs column {key!r}.", "Put a cells.csv into the folder.")

    def obs_names(self) -> Texts:
        """Return the barcodes, shape (n_obs,)."""
        return self._names

    def genes(self) -> Genes:
        """Return the features that are genes."""
        return self._selected.genes

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        return self._rows.row_nnz

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, in blocks of bounded size."""
        yield from self._rows.blocks()

    def sample(self) -> npt.NDArray[np.float32]:
        """Return stored values from many places."""
        return self._rows.sample()

    def close(self) -> None:
        """Drop the temporary file."""
        self._rows.close()

    def _check_shape(self, header: _Header, n_features: int) -> bool:
        """Tell whether rows of the matrix are cells; raises DatasetError where it has another shape."""
        shape = (header.n_rows, header.n_columns)
        if shape == (n_features, self.n_obs):
            return False
        if shape == (self.n_obs, n_features):
            return True
        raise DatasetError(
            f"{self._matrix_file} says it is of {shape[0]} × {shape[1]}; beside it lie "
            f"{n_features} features and {self.n_obs} barcodes.",
            "Put files of one run together.",
        )

    def _convert(self, file: IO[bytes], header: _Header) -> RowOrdered:
        spool = EntryFile()
        ends = [0]

        def row_numbers() -> Iterator[npt.NDArray[np.int32]]:
            for entries in self._entries(file, header):
                spool.write(ends[-1], entries)
                ends.append(ends[-1] + len(entries))
                yield entries["row"]

        def spooled() -> Iterator[Entries]:
            for start, stop in pairwise(ends):
                yield spool.read(start, stop)

        try:
            return RowOrdered(row_numbers(), spooled, self.n_obs, self.n_vars, str(self._matrix_file))
        finally:
            spool.close()

    def _entries(self, file: IO[bytes], header: _Header) -> Iterator[Entries]:
        """Parse the matrix; yields the values of genes."""
        count = 0
        for lines in _parsed(file, self._matrix_file):
            first, second, values = lines
            count += len(values)
            if count > header.n_values:
                break
            rows = self._numbers(first, header.n_rows, "row")
            columns = self._numbers(second, header.n_columns, "column")
            cells, features = (rows, columns) if self._is_by_cell else (columns, rows)
            genes = self._selected.column[features]
            kept = genes >= 0
            numbers = as_float32(values, str(self._matrix_file))
            yield as_entries(cells[kept], genes[kept], numbers[kept])
        if count != header.n_values:
            raise DatasetError(
                f"{self._matrix_file} says it has {header.n_values:,} values, and has "
                f"{'more' if count > header.n_values else f'{count:,}'}.",
                "Copy it again, whole.",
            )

    def _numbers(self, numbers: npt.NDArray[Any], size: int, what: str) -> npt.NDArray[np.int32]:
        if numbers.dtype.kind != "i":
            raise DatasetError(
                f"{self._matrix_file} has a {what} that is no whole number.", "Copy or write it again."
            )
        if len(numbers) and (numbers.min() < 1 or numbers.max() > size):
            worst = numbers.min() if numbers.min() < 1 else numbers.max()
            raise DatasetError(
                f"{self._matrix_file} has a value in {what} {worst}; {what}s go from 1 to {size}.",
                "Copy or write it again.",
            )
        return (numbers - 1).astype(np.int32)


def _only_matrix(folder: Path) -> Path:
    found = matrix_files(folder)
    if len(found) > 1:
        raise DatasetError(
            f"{folder} holds {len(found)} matrices: {', '.join(path.name for path in found[:5])}.",
            "Give each a folder of its own, with its features and barcodes.",
        )
    return found[0]


def _beside(matrix: Path, names: tuple[str, ...]) -> Path:
    """Find a table of the same run: GEO puts one prefix before the names of its files."""
    prefix = matrix.name[: matrix.name.lower().rindex("matrix.mtx")]
    wanted = [f"{prefix}{name}{end}" for name in names for end in ("", ".gz")]
    found = [path for name in wanted if (path := matrix.with_name(name)).is_file()]
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none of them"
        raise DatasetError(
            f"{matrix.parent} needs one of {', '.join(wanted)} beside its matrix, and has {there}.",
            "Put the files of one run together, and nothing else.",
        )
    return found[0]


def _opened(path: Path) -> IO[bytes]:
    check_file(path, _KIND.name)
    return cast(IO[bytes], gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb"))


def _read_rows(path: Path) -> list[list[str]]:
    with reading(path, FileKind(path.name, "lines of text", _KIND.mend)), _opened(path) as file:
        return [line.split("\t") for line in file.read().decode("utf-8").splitlines()]


def _is_full(rows: list[list[str]], width: int) -> bool:
    return bool(rows) and all(len(row) >= width for row in rows)


def _field(rows: list[list[str]], number: int) -> Texts:
    return np.array([row[number] for row in rows], dtype=object)


def _read_header(file: IO[bytes], path: Path) -> _Header:
    words = file.readline(1000).decode("ascii", errors="replace").lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise DatasetError(f"{path} doesn't begin like a Matrix Market file.", _KIND.mend)
    _, _, layout, numbers, symmetry = words
    if layout != "coordinate" or numbers not in ("integer", "real") or symmetry != "general":
        raise DatasetError(
            f"{path} is a matrix of kind `{layout} {numbers} {symmetry}`.",
            "Counts of cells are `coordinate integer general`, other numbers `coordinate real general`.",
        )
    line = file.readline(1000)
    while line.startswith(b"%") or line.isspace():
        line = file.readline(1000)
    sizes = line.split()
    if len(sizes) != 3 or not all(size.isdigit() for size in sizes):
        raise DatasetError(f"{path} doesn't say of which size its matrix is.", "Copy or write it again.")
    return _Header(*map(int, sizes))


def _parsed(
    file: IO[bytes], path: Path
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]]:
    import pandas as pd

    try:
        # Python's own conversion of decimals, so that a number is the same one that other formats hold.
        tables = pd.read_csv(file, sep=r"\s+", header=None, chunksize=_LINES, float_precision="round_trip")
    except pd.errors.EmptyDataError:
        return
    with tables:
        for table in tables:
            if table.shape[1] != 3:
                raise DatasetError(f"{path} has lines that aren't three numbers.", "Copy or write it again.")
            yield table[0].to_numpy(), table[1].to_numpy(), table[2].to_numpy()
