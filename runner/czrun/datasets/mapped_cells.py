"""Sources whose genes or cells are some of another's: blocks change on their way, none is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from czrun.cells import CellSource, Genes, RowBlock, Texts
from czrun.datasets.genes import Targets, tidy_genes


def with_tidy_genes(source: CellSource, name: str) -> CellSource:
    """Return a source whose gene ids are of one kind, without versions, each once.

    It is the same source where there is nothing to change.

    Raises
    ------
    DatasetError
        When ids are of two kinds; the source is closed then.
    """
    try:
        genes = source.genes()
        tidy = tidy_genes(genes, source.x, name)
    except BaseException:
        source.close()
        raise
    if not tidy.notes and all(
        np.array_equal(tidy.genes.columns[key], texts) for key, texts in genes.columns.items()
    ):
        return source
    return MappedGenes(source, tidy.targets, tidy.genes, tidy.notes)


class MappedGenes:
    """A source with other genes: columns renamed, put in another order, summed, left out.

    Parameters
    ----------
    source
        The cells; closed with this one.
    targets
        Where each of its columns goes, -1 for nowhere, shape (n_vars of the source,).
    genes
        The columns that there are then.
    notes
        What is to be said of it.
    """

    def __init__(
        self, source: CellSource, targets: Targets, genes: Genes, notes: tuple[str, ...] = ()
    ) -> None:
        self._source, self._targets, self._genes = source, targets, genes
        self.notes = (*source.notes, *notes)
        self.n_obs, self.n_vars, self.x = source.n_obs, len(genes.ids), source.x
        self.columns = source.columns
        self.column, self.obs_names, self.close = source.column, source.obs_names, source.close
        self._is_one_to_one = len(genes.ids) == len(targets) and bool((targets >= 0).all())
        self._nnz: npt.NDArray[np.int64] | None = None

    def genes(self) -> Genes:
        """Return the columns of X."""
        return self._genes

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,); counted once where genes merge or go."""
        if self._is_one_to_one:
            return self._source.row_nnz()
        if self._nnz is None:
            counts = [np.diff(block.indptr) for block in self.blocks()]
            self._nnz = np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)
        return self._nnz

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, with their values where they go."""
        if self._is_one_to_one and np.array_equal(self._targets, np.arange(self.n_vars)):
            yield from self._source.blocks()
            return
        for block in self._source.blocks():
            yield _moved(block, self._targets, self.n_vars)


class KeptCells:
    """A source with some of another's cells, in its order.

    Parameters
    ----------
    source
        The cells; closed with this one.
    rows
        Those to keep, ascending, shape (n_kept,).
    notes
        What is to be said of it.
    """

    def __init__(self, source: CellSource, rows: npt.NDArray[np.int64], notes: tuple[str, ...] = ()) -> None:
        self._source, self._rows = source, rows
        self.notes = (*source.notes, *notes)
        self.n_obs, self.n_vars, self.x = len(rows), source.n_vars, source.x
        self.columns = source.columns
        self.genes, self.close = source.genes, source.close

    def column(self, key: str) -> Texts:
        """Return one obs column, shape (n_obs,)."""
        return self._source.column(key)[self._rows]

    def obs_names(self) -> Texts:
        """Return the cell ids, shape (n_obs,)."""
        return self._source.obs_names()[self._rows]

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        return self._source.row_nnz()[self._rows]

    def blocks(self) -> Iterator[RowBlock]:
        """Yield the rows that are kept, numbered anew."""
        start = 0
        for block in self._source.blocks():
            stop = block.start + len(block.indptr) - 1
            first, last = np.searchsorted(self._rows, [block.start, stop])
            if first < last:
                yield _some_rows(block, self._rows[first:last] - block.start, start)
                start += int(last - first)


def _moved(block: RowBlock, targets: Targets, n_vars: int) -> RowBlock:
    """Put the values of a block into the columns where they go, summing those that meet."""
    from scipy import sparse

    columns = targets[block.indices]
    stays = columns >= 0
    bounds = np.concatenate([[0], np.cumsum(stays)])[block.indptr]
    # Indexing by a mask copies: what is sorted and summed in place below is no one else's.
    rows = sparse.csr_matrix((block.data[stays], columns[stays], bounds), shape=(len(bounds) - 1, n_vars))
    rows.sum_duplicates()
    return RowBlock(
        block.start,
        rows.data.astype(np.float32, copy=False),
        rows.indices.astype(np.int32, copy=False),
        rows.indptr.astype(np.int64, copy=False),
    )


def _some_rows(block: RowBlock, rows: npt.NDArray[np.int64], start: int) -> RowBlock:
    if len(rows) == len(block.indptr) - 1:
        return RowBlock(start, block.data, block.indices, block.indptr)
    nnz = np.diff(block.indptr)
    keep = np.zeros(len(nnz), dtype=np.bool_)
    keep[rows] = True
    values = np.repeat(keep, nnz)
    indptr = np.concatenate([[0], np.cumsum(nnz[keep])]).astype(np.int64)
    return RowBlock(start, block.data[values], block.indices[values], indptr)
