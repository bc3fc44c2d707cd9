"""The .h5 files of 10x Genomics' Cell Ranger, and of tools that write the same layout.

They store a matrix of features by cells column by column, which read as rows is cells by genes in CSR.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, RowBlock, Texts
from czrun.datasets.features import Selection, select_genes
from czrun.errors import DatasetError
from czrun.hdf5 import FileKind, open_hdf5, reading
from czrun.row_blocks import Compressed
from czrun.texts import as_texts

_KIND = FileKind(
    ".h5", "a 10x feature-barcode matrix", "Take filtered_feature_bc_matrix.h5 from the run's folder outs/."
)


class TenxFile:
    """A feature-barcode matrix: layout of Cell Ranger 3 and later, or one genome in the layout before.

    Parameters
    ----------
    path
        The file.
    layer
        ``"X"`` or None; the name of a genome where a file of the old layout has several.

    Raises
    ------
    DatasetError
        When the file can't be read, has another layout, or no such layer.
    """

    columns: tuple[str, ...] = ()

    def __init__(self, path: Path, layer: str | None) -> None:
        self.path = path
        self._file = open_hdf5(path, _KIND)
        try:
            with reading(path, _KIND):
                self.layer, self.layers, group = self._select(layer)
                n_features, self.n_obs = (int(size) for size in group["shape"][:])
                self._names = as_texts(group["barcodes"][:])
                self._selected = _features(group, str(path))
                self._check_lengths(n_features)
                self._matrix = Compressed.read(group, self.n_obs, n_features, f"{path}: its matrix")
        except BaseException:
            self._file.close()
            raise
        self.n_vars = self._selected.n_vars
        self.notes = self._selected.notes

    def column(self, key: str) -> Texts:
        """Raise DatasetError: these files say nothing of a cell but its barcode."""
        raise DatasetError(f"{self.path} has no obs column {key!r}.", "Name a table of cells with obs_table.")

    def obs_names(self) -> Texts:
        """Return the barcodes, shape (n_obs,)."""
        return self._names

    def genes(self) -> Genes:
        """Return the features that are genes."""
        return self._selected.genes

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        with reading(self.path, _KIND):
            return self._row_nnz

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, in blocks of bounded size."""
        pieces = self._matrix.row_blocks()
        while True:
            with reading(self.path, _KIND):
                block = next(pieces, None)
            if block is None:
                return
            yield block if self._selected.is_all else _of_genes(block, self._selected)

    def sample(self) -> npt.NDArray[Any]:
        """Return stored values from many places."""
        with reading(self.path, _KIND):
            return self._matrix.sample()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @cached_property
    def _row_nnz(self) -> npt.NDArray[np.int64]:
        matrix, is_gene = self._matrix, self._selected.column >= 0
        if self._selected.is_all:
            return np.diff(matrix.indptr)
        found = np.zeros(self.n_obs, dtype=np.int64)
        for start, stop in matrix.lines():
            ends = np.concatenate([[0], np.cumsum(is_gene[matrix.minor(start, stop)])])
            found[start:stop] = np.diff(ends[matrix.indptr[start : stop + 1] - matrix.indptr[start]])
        return found

    def _select(self, layer: str | None) -> tuple[str, tuple[str, ...], Any]:
        file = self._file
        if "matrix" in file and "features" in file["matrix"]:
            genomes = {"X": file["matrix"]}
        else:
            genomes = {str(name): file[name] for name in file if _is_genome(file[name])}
            if len(genomes) == 1:
                genomes = {"X": next(iter(genomes.values())), **genomes}
        layers = tuple(genomes)
        if not genomes:
            raise DatasetError(
                f"{self.path} is HDF5, but neither AnnData nor of the layout of 10x.", _KIND.mend
            )
        if layer is None and "X" not in genomes:
            raise DatasetError(
                f"{self.path} holds a matrix for each of {len(layers)} genomes: {', '.join(layers)}.",
                f"Name one, for example --layer {layers[0]}.",
            )
        name = layer or "X"
        if name not in genomes:
            raise DatasetError(f"{self.path} has no layer {name!r}.", f"It has: {', '.join(layers)}.")
        return name, layers, genomes[name]

    def _check_lengths(self, n_features: int) -> None:
        for what, said, there in (
            ("barcodes", self.n_obs, len(self._names)),
            ("features", n_features, len(self._selected.column)),
        ):
            if said != there:
                raise DatasetError(
                    f"{self.path}: its matrix is of {said} {what}, and {there} are listed.", _KIND.mend
                )


def holds_anndata(path: Path) -> bool:
    """Tell whether a file is AnnData under another name; raises DatasetError when it can't be opened."""
    with open_hdf5(path, _KIND) as file:
        return "obs" in file and "var" in file


def _is_genome(group: Any) -> bool:  # noqa: ANN401
    return hasattr(group, "keys") and {"barcodes", "genes", "data", "indices", "indptr"} <= set(group)


def _features(group: Any, place: str) -> Selection:  # noqa: ANN401
    if "features" in group:
        features = group["features"]
        kinds = as_texts(features["feature_type"][:]) if "feature_type" in features else None
        return select_genes(as_texts(features["id"][:]), as_texts(features["name"][:]), kinds, place)
    return select_genes(as_texts(group["genes"][:]), as_texts(group["gene_names"][:]), None, place)


def _of_genes(block: RowBlock, selected: Selection) -> RowBlock:
    column = selected.column[block.indices]
    kept = column >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])
    return RowBlock(block.start, block.data[kept], column[kept], ends[block.indptr])
