"""A user's own file or folder as a cell source, with its columns and its numbers checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, Names, RowBlock, Texts, repeated
from czrun.contract.job import XKind
from czrun.datasets.counts import Chosen, as_named, find_counts, other_layers
from czrun.datasets.formats import CellFile, open_file
from czrun.datasets.obs_table import ObsTable
from czrun.datasets.spec import AUTO, DatasetSpec
from czrun.datasets.table_beside import find_table
from czrun.errors import DatasetError, listing


class LocalCells:
    """One matrix of a local file or folder; raises DatasetError when it can't serve."""

    def __init__(self, spec: DatasetSpec) -> None:
        self._path = spec.file
        file = open_file(spec.file, None if spec.layer == AUTO else spec.layer)
        try:
            _check_names(spec, file)
            self._table = _table(spec, file)
            chosen = self._choose(spec, file)
        except BaseException:
            file.close()
            raise
        self._file, self.x = chosen.file, chosen.x
        self.notes: tuple[str, ...] = (*chosen.notes, *chosen.file.notes)
        if self._table:
            self.notes += self._table.notes
        self.n_obs, self.n_vars = self._file.n_obs, self._file.n_vars
        self._genes = self._file.genes()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the obs columns, those of a table beside the file after the file's own."""
        return tuple(dict.fromkeys((*self._file.columns, *(self._table.columns if self._table else ()))))

    def column(self, key: str) -> Texts:
        """Return one obs column as text, None where it is missing, shape (n_obs,)."""
        if key not in self.columns:
            raise DatasetError(
                f"{self._path} has no obs column {key!r}.",
                f"Its columns: {', '.join(self.columns) or '(none)'}.",
            )
        if self._table and key in self._table.columns:
            return self._table.column(key)
        return self._file.column(key)

    def obs_names(self) -> Names:
        """Return the obs index, shape (n_obs,)."""
        return self._file.obs_names()

    def genes(self) -> Genes:
        """Return the var index and what else names the genes."""
        return self._genes

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        return self._file.row_nnz()

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order; raises DatasetError after the last if X isn't what it is said to be."""
        checks = XChecks(self.x, self.obs_names(), self._genes.ids)
        for block in self._file.blocks():
            checks.look_at(block)
            yield block
        if checks.problems:
            raise DatasetError(
                f"{self._path}: X is taken for {self.x}, but\n{listing(checks.problems)}",
                other_layers(self._file),
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _choose(self, spec: DatasetSpec, file: CellFile) -> Chosen:
        if spec.layer != AUTO:
            return as_named(file, spec.x, str(self._path))
        return find_counts(file, spec.x, lambda layer: self._open_other(spec, layer), str(self._path))

    def _open_other(self, spec: DatasetSpec, layer: str | None) -> CellFile:
        file = open_file(spec.file, layer)
        try:
            _check_names(spec, file)
        except BaseException:
            file.close()
            raise
        return file


def _table(spec: DatasetSpec, file: CellFile) -> ObsTable | None:
    path = find_table(spec)
    return ObsTable(path, file.obs_names()) if path else None


def _check_names(spec: DatasetSpec, file: CellFile) -> None:
    if not file.n_obs or not file.n_vars:
        raise DatasetError(f"{spec.file} holds {file.n_obs} cells and {file.n_vars} genes.", "It needs both.")
    if twice := repeated(file.obs_names()):
        raise DatasetError(
            f"{spec.file} has duplicated ids: {len(twice)} cell ids (obs_names) appear twice or more, "
            f"such as {twice[0]!r}.",
            "Mend them with adata.obs_names_make_unique() and write the file again.",
        )


class XChecks:
    """Looks for numbers that X can't hold, over all blocks, and remembers how many and the first."""

    def __init__(self, x: XKind, cells: Names, genes: Texts) -> None:
        self._x, self._cells, self._genes = x, cells, genes
        self._found: dict[str, tuple[int, str]] = {}

    def look_at(self, block: RowBlock) -> None:
        """Check one block."""
        self._note("values are NaN or infinite", ~np.isfinite(block.data), block)
        if self._x is not XKind.OTHER:
            self._note("values are negative", block.data < 0, block)
        if self._x is XKind.COUNTS:
            self._note("values aren't whole numbers", block.data != np.floor(block.data), block)

    @property
    def problems(self) -> list[str]:
        """One line for each kind of problem."""
        return [f"{count:,} {what}, the first {where}" for what, (count, where) in self._found.items()]

    def _note(self, what: str, bad: npt.NDArray[np.bool_], block: RowBlock) -> None:
        count = int(np.count_nonzero(bad))
        if not count:
            return
        before, where = self._found.get(what, (0, ""))
        if not where:
            at = int(np.argmax(bad))
            row = block.start + int(np.searchsorted(block.indptr, at, side="right")) - 1
            where = (
                f"{block.data[at]:g} in cell {self._cells[row]!r}, gene {self._genes[block.indices[at]]!r}"
            )
        self._found[what] = (before + count, where)
