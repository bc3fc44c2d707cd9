"""Cells that come block by block, nobody knowing how many values are still to come, as an .h5ad file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from czrun.cells import Column, Genes, RowBlock, Texts
from czrun.model_input import H5adWriter


def write_incoming(
    path: Path, cell_ids: Texts, genes: Genes, obs: Mapping[str, Column | Texts], blocks: Iterable[RowBlock]
) -> int:
    """Write cells to an .h5ad file, holding one block at a time.

    Values are spooled first, beside the file: the layout needs the length of every row.

    Parameters
    ----------
    path
        A file that doesn't exist yet.
    cell_ids
        The obs index, shape (n_obs,).
    genes, obs
        The var index with its columns, and the obs columns.
    blocks
        All rows in order.

    Returns
    -------
    How many values X stores.
    """
    spooled = path.with_suffix(".data"), path.with_suffix(".indices")
    row_nnz = []
    with spooled[0].open("wb") as data, spooled[1].open("wb") as indices:
        for block in blocks:
            data.write(block.data.tobytes())
            indices.write(block.indices.tobytes())
            row_nnz.append(np.diff(block.indptr))
    lengths = np.concatenate(row_nnz) if row_nnz else np.zeros(0, dtype=np.int64)
    with (
        H5adWriter(path, cell_ids, genes, obs, lengths) as writer,
        spooled[0].open("rb") as data,
        spooled[1].open("rb") as indices,
    ):
        row = 0
        for block_nnz in row_nnz:
            indptr = np.concatenate([[0], np.cumsum(block_nnz)]).astype(np.int64)
            size = 4 * int(indptr[-1])
            values, genes_of = np.frombuffer(data.read(size), "<f4"), np.frombuffer(indices.read(size), "<i4")
            own = np.arange(len(block_nnz))
            writer.append(row + own, RowBlock(row, values, genes_of, indptr), own)
            row += len(block_nnz)
    for file in spooled:
        file.unlink()
    return int(lengths.sum())
