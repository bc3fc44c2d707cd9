""".loom files: genes by cells, stored dense, with attributes of rows and columns beside."""

from __future__ import annotations

import html
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, RowBlock, Texts
from czrun.errors import DatasetError
from czrun.hdf5 import FileKind, open_hdf5, reading
from czrun.row_blocks import BLOCK_VALUES, Dense, as_float32, is_wide
from czrun.row_order import Entries, RowOrdered, as_entries
from czrun.texts import as_texts

_KIND = FileKind(".loom", "loom", "Write it with adata.write_h5ad(...), which keeps more.")

_CELL_IDS = ("CellID", "cell_id", "obs_names", "barcode", "Barcode", "cell_names")
_GENE_IDS = ("Accession", "ensembl_id", "gene_ids", "var_names", "Gene", "gene_names")
_SYMBOLS = ("Gene", "gene_symbol", "gene_names", "gene_name", "var_names")


class LoomFile:
    """The main matrix of a loom file, or one of its layers.

    Parameters
    ----------
    path
        The file.
    layer
        ``"X"`` or None for the main matrix, or a layer's name.

    Raises
    ------
    DatasetError
        When the file can't be read, isn't loom, or has no such layer.
    """

    def __init__(self, path: Path, layer: str | None) -> None:
        self.path = path
        self._file = open_hdf5(path, _KIND)
        try:
            with reading(path, _KIND):
                self._check_layout()
                self.layers = ("X", *map(str, self._file.get("layers", ())))
                self.layer = layer or "X"
                self._matrix = self._select(self.layer)
                self.n_vars, self.n_obs = (int(size) for size in self._matrix.shape)
                self._columns = self._attributes("col_attrs", self.n_obs)
                self._rows = self._attributes("row_attrs", self.n_vars)
                self._id_column = next((name for name in _CELL_IDS if name in self._columns), None)
                self.notes = self._left_out()
                self._names = self._cell_names()
                self._genes = self._named_genes()
        except BaseException:
            self._file.close()
            raise

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the column attributes that have one value a cell."""
        return tuple(name for name in self._columns if name != self._id_column)

    def column(self, key: str) -> Texts:
        """Return one column attribute as text, shape (n_obs,)."""
        with reading(self.path, _KIND):
            return _texts(self._columns[key][:])

    def obs_names(self) -> Texts:
        """Return the cells' ids, shape (n_obs,)."""
        return self._names

    def genes(self) -> Genes:
        """Return the genes, by their accession where the file has it."""
        return self._genes

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many numbers of each cell aren't 0, shape (n_obs,); all is read once for it."""
        with reading(self.path, _KIND):
            return self._row_nnz

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all cells in order, in blocks of bounded size."""
        pieces: Iterator[RowBlock] | None = None
        while True:
            with reading(self.path, _KIND):
                pieces = pieces or (self._turned.blocks() if self._is_across else self._dense.row_blocks())
                block = next(pieces, None)
            if block is None:
                return
            yield block

    def sample(self) -> npt.NDArray[Any]:
        """Return numbers other than 0 from many places."""
        with reading(self.path, _KIND):
            if not self._is_across:
                return self._dense.sample()
            by_gene = Dense(
                lambda start, stop: self._matrix[start:stop], self.n_vars, self.n_obs, self._place
            )
            return by_gene.sample()

    def close(self) -> None:
        """Close the file."""
        if "_turned" in self.__dict__:
            self._turned.close()
        self._file.close()

    @property
    def _place(self) -> str:
        return f"{self.path}: {self.layer}"

    @property
    def _is_across(self) -> bool:
        """Whether pieces of the file span so many cells that a block of cells would read them over again."""
        chunks = self._matrix.chunks
        return bool(chunks) and is_wide(chunks[1], self.n_vars)

    @cached_property
    def _row_nnz(self) -> npt.NDArray[np.int64]:
        return self._turned.row_nnz if self._is_across else self._dense.row_nnz()

    @cached_property
    def _dense(self) -> Dense:
        step = self._matrix.chunks[1] if self._matrix.chunks else 1
        return Dense(
            lambda start, stop: self._matrix[:, start:stop].T, self.n_obs, self.n_vars, self._place, step
        )

    @cached_property
    def _turned(self) -> RowOrdered:
        step = self._matrix.chunks[0]
        height = max(1, BLOCK_VALUES // self.n_obs // step) * step

        def pieces() -> Iterator[tuple[int, npt.NDArray[Any]]]:
            for start in range(0, self.n_vars, height):
                yield start, self._matrix[start : start + height]

        def entries() -> Iterator[Entries]:
            for start, numbers in pieces():
                gene, cell = np.nonzero(numbers)
                yield as_entries(
                    cell.astype(np.int32),
                    (start + gene).astype(np.int32),
                    as_float32(numbers[gene, cell], self._place),
                )

        cells = (np.nonzero(numbers)[1].astype(np.int32) for _, numbers in pieces())
        return RowOrdered(cells, entries, self.n_obs, self.n_vars, self._place)

    def _check_layout(self) -> None:
        missing = [name for name in ("matrix", "row_attrs", "col_attrs") if name not in self._file]
        if missing:
            raise DatasetError(
                f"{self.path} is HDF5 but not loom: it has no {' and no '.join(missing)}.", _KIND.mend
            )

    def _select(self, layer: str) -> Any:  # noqa: ANN401
        if layer not in self.layers:
            raise DatasetError(f"{self.path} has no layer {layer!r}.", f"It has: {', '.join(self.layers)}.")
        matrix, main = self._file["matrix" if layer == "X" else f"layers/{layer}"], self._file["matrix"]
        if matrix.ndim != 2 or matrix.shape != main.shape:
            raise DatasetError(
                f"{self.path}: {layer} is of shape {matrix.shape}, and the matrix of {main.shape}: "
                "both are genes × cells.",
                _KIND.mend,
            )
        return matrix

    def _attributes(self, group: str, length: int) -> dict[str, Any]:
        found = {str(name): array for name, array in self._file[group].items()}
        vectors = {name: array for name, array in found.items() if getattr(array, "ndim", 0) == 1}
        if wrong := [name for name, array in vectors.items() if len(array) != length]:
            raise DatasetError(
                f"{self.path}: {group} {', '.join(wrong)} don't have {length} values, as the matrix has.",
                _KIND.mend,
            )
        return vectors

    def _left_out(self) -> tuple[str, ...]:
        others = [str(name) for name in self._file["col_attrs"] if str(name) not in self._columns]
        return (f"col_attrs with more than one value a cell were left out: {', '.join(others)}",) * bool(
            others
        )

    def _cell_names(self) -> Texts:
        if self._id_column:
            return _texts(self._columns[self._id_column][:])
        self.notes += (f"cells are called by their numbers: there is no col_attr {' or '.join(_CELL_IDS)}",)
        return np.array([str(number) for number in range(self.n_obs)], dtype=object)

    def _named_genes(self) -> Genes:
        present = {name: _texts(self._rows[name][:]) for name in _GENE_IDS if name in self._rows}
        unique = [name for name, texts in present.items() if len(set(texts)) == self.n_vars]
        if not present:
            raise DatasetError(
                f"{self.path} doesn't say which genes its rows are: it has no row_attr "
                f"{' or '.join(_GENE_IDS)}.",
                f"It has: {', '.join(self._rows) or '(none)'}. Rename the right one.",
            )
        ids = [*unique, *present][0]
        symbols = next((name for name in _SYMBOLS if name in self._rows and name != ids), None)
        columns = {"gene_symbol": _texts(self._rows[symbols][:])} if symbols else {}
        genes = Genes(present[ids], columns)
        if columns and self.n_vars and genes.kind == "ensembl":
            columns["ensembl_id"] = genes.ids
        return genes


def _texts(values: npt.NDArray[Any]) -> Texts:
    """Return values as text; loom writes what isn't ASCII as XML entities."""
    texts = as_texts(values)
    if values.dtype.kind in "SO":
        texts[:] = [html.unescape(text) if text is not None and "&" in text else text for text in texts]
    return texts
