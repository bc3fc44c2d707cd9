"""Cells that two data sets both hold: found by what X says of them, whatever either calls them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from czrun.cells import CellSource
from czrun.errors import DatasetError

ENOUGH_GENES = 20
"""Genes that a cell must show for the same numbers to be no accident."""


@dataclass(frozen=True)
class Prints:
    """What one pass over a source saw of its rows.

    Attributes
    ----------
    nnz
        Stored values, shape (n_obs,).
    prints
        A number that two rows share when they hold the same, shape (n_obs,).
    """

    nnz: npt.NDArray[np.int64]
    prints: npt.NDArray[np.float64]


def fingerprints(source: CellSource) -> Prints:
    """Read all rows once; raises DatasetError when the source can't be read."""
    weights = np.random.Generator(np.random.PCG64(0)).random(source.n_vars)
    nnz: list[npt.NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    prints: list[npt.NDArray[np.float64]] = [np.zeros(0)]
    for block in source.blocks():
        sizes = np.diff(block.indptr)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        # Summed one after the other, in the order of the columns: the same row gives the same bits.
        sums = np.bincount(rows, block.data * weights[block.indices], minlength=len(sizes))
        prints.append(sums.astype(np.float64, copy=False))
        nnz.append(sizes.astype(np.int64))
    return Prints(np.concatenate(nnz), np.concatenate(prints))


def refuse_same_cells(
    prints: tuple[Prints, Prints], names: tuple[str, str], sources: tuple[CellSource, CellSource]
) -> None:
    """Raise DatasetError when cells of one source are in the other: a model would be tested on them."""
    first, second = (np.where(each.nnz >= ENOUGH_GENES, each.prints, np.nan) for each in prints)
    shared = np.intersect1d(first[~np.isnan(first)], second[~np.isnan(second)])
    if not len(shared):
        return
    count = int(np.isin(second, shared).sum())
    one = sources[0].obs_names()[np.flatnonzero(first == shared[0])[0]]
    other = sources[1].obs_names()[np.flatnonzero(second == shared[0])[0]]
    raise DatasetError(
        f"{count:,} cells of {names[1]} are in {names[0]} too: X of both is the same for all "
        f"{sources[0].n_vars:,} shared genes, for example of {one!r} and {other!r}. A model would be tested "
        f"on cells that it was fitted on.",
        "Choose data sets of different cells; parts of one study are best split by donor, with --group-key.",
    )
