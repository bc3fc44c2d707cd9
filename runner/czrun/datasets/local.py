"""A user's own .h5ad file as a cell source, with its columns and its numbers checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, RowBlock, Texts
from czrun.contract.job import XKind
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError, listing
from czrun.h5ad import H5adReader


class LocalCells:
    """One matrix of a local .h5ad file; raises DatasetError when it can't serve."""

    def __init__(self, spec: DatasetSpec) -> None:
        self._path = spec.file
        self.notes: tuple[str, ...] = ()
        self._reader = H5adReader(spec.file, spec.layer)
        try:
            self.n_obs, self.n_vars = self._reader.n_obs, self._reader.n_vars
            self.columns = self._reader.columns
            self._genes = self._reader.genes()
            self._check_names()
            self.x = spec.x or self._look_at_x(spec.layer)
        except BaseException:
            self._reader.close()
            raise

    def column(self, key: str) -> Texts:
        """Return one obs column as text, None where it is missing, shape (n_obs,)."""
        if key not in self.columns:
            raise DatasetError(
                f"{self._path} has no obs column {key!r}.",
                f"Its columns: {', '.join(self.columns) or '(none)'}.",
            )
        return self._reader.column(key)

    def obs_names(self) -> Texts:
        """Return the obs index, shape (n_obs,)."""
        return self._reader.obs_names()

    def genes(self) -> Genes:
        """Return the var index and what else names the genes."""
        return self._genes

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        return self._reader.row_nnz()

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order; raises DatasetError after the last if X isn't what it is said to be."""
        checks = XChecks(self.x, self.obs_names(), self._genes.ids)
        for block in self._reader.blocks():
            checks.look_at(block)
            yield block
        if checks.problems:
            raise DatasetError(
                f"{self._path}: X is taken for {self.x}, but\n{listing(checks.problems)}",
                self._other_layers(),
            )

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _check_names(self) -> None:
        if not self.n_obs or not self.n_vars:
            raise DatasetError(
                f"{self._path} holds {self.n_obs} cells and {self.n_vars} genes.", "It needs both."
            )
        values, counts = np.unique(self.obs_names().astype(str), return_counts=True)
        if repeated := values[counts > 1].tolist():
            raise DatasetError(
                f"{self._path} has duplicated ids: {len(repeated)} cell ids (obs_names) appear twice or "
                f"more, such as {repeated[0]!r}.",
                "Mend them with adata.obs_names_make_unique() and write the file again.",
            )

    def _look_at_x(self, layer: str) -> XKind:
        """Take X for counts when the first block holds nothing else; else ask, a wrong guess misleads."""
        first = next(self._reader.blocks())
        if np.all(first.data >= 0) and np.all(first.data == np.floor(first.data)):
            return XKind.COUNTS
        odd = first.data[(first.data < 0) | (first.data != np.floor(first.data))][0]
        raise DatasetError(
            f"{self._path}: {layer} doesn't hold counts (it has {odd:g}).",
            f"{self._other_layers()} Or say what it holds with --x log1p, --x normalized or --x other.",
        )

    def _other_layers(self) -> str:
        return f"If the counts lie elsewhere, name them with --layer: {', '.join(self._reader.layers)}."


class XChecks:
    """Looks for numbers that X can't hold, over all blocks, and remembers how many and the first."""

    def __init__(self, x: XKind, cells: Texts, genes: Texts) -> None:
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
