"""Expression of chosen cells, in memory and in the space that predictions and baselines are measured in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.cells import CellSource
from czrun.contract.job import ExpressionSpace, XKind
from czrun.metrics.sparse_cells import SparseCells
from czrun.splits import Rows

_COUNTS_PER_CELL = 1e4
_N_GENES = 2000
_N_COMPONENTS = 50
_OVERSAMPLED = 10
_POWER_ITERATIONS = 3


@dataclass(frozen=True)
class Space:
    """What expression is measured in, and what X holds."""

    expression: ExpressionSpace
    x: XKind
    n_vars: int

    @classmethod
    def of(cls, x: XKind, n_vars: int) -> Space:
        """Return the space that goes with what X holds."""
        counts = x is XKind.COUNTS
        return cls(ExpressionSpace.LOG1P_CP10K if counts else ExpressionSpace.AS_X, x, n_vars)

    @property
    def is_log1p(self) -> bool:
        """Whether its values are log1p of normalized counts."""
        return self.expression is ExpressionSpace.LOG1P_CP10K or self.x is XKind.LOG1P

    def cells(
        self, data: NDArray[np.float32], indices: NDArray[np.int32], indptr: NDArray[np.int64]
    ) -> SparseCells:
        """Bring rows of X into this space."""
        if self.expression is ExpressionSpace.LOG1P_CP10K:
            lengths = np.diff(indptr)
            rows = np.repeat(np.arange(len(lengths)), lengths)
            totals = np.bincount(rows, weights=data, minlength=len(lengths))
            scale = np.divide(_COUNTS_PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)
            data = np.log1p(data * scale[rows]).astype(np.float32)
        return SparseCells(data, indices, indptr, self.n_vars)


def read_cells(file: Any, space: Space) -> SparseCells:  # noqa: ANN401 - h5py has no types
    """Read all cells of an open input file."""
    return space.cells(file["X/data"][:], file["X/indices"][:], file["X/indptr"][:])


def gather_cells(source: CellSource, rows: Rows, space: Space) -> SparseCells:
    """Collect some rows of a source, in their order, from one pass over it."""
    nnz = source.row_nnz()
    indptr = np.concatenate([[0], np.cumsum(nnz[rows])]).astype(np.int64)
    data, indices = np.empty(indptr[-1], dtype=np.float32), np.empty(indptr[-1], dtype=np.int32)
    place = np.full(source.n_obs, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    for block in source.blocks():
        for row, target in enumerate(place[block.start : block.start + len(block.indptr) - 1].tolist()):
            if target >= 0:
                piece = slice(block.indptr[row], block.indptr[row + 1])
                data[indptr[target] : indptr[target + 1]] = block.data[piece]
                indices[indptr[target] : indptr[target + 1]] = block.indices[piece]
    return space.cells(data, indices, indptr)


def principal_components(cells: SparseCells, seed: int = 0) -> NDArray[np.float64]:
    """Return the cells' places along 50 principal components of the 2,000 most variable genes.

    A randomized decomposition (Halko, Martinsson & Tropp 2011, doi:10.1137/090771806) of the centred matrix,
    which is never spread out.

    Returns
    -------
    Shape (n_obs, components), by falling variance.
    """
    from scipy.sparse import csr_matrix

    X = csr_matrix((cells.data, cells.indices, cells.indptr), shape=(cells.n_obs, cells.n_vars))
    mean = np.asarray(X.mean(axis=0, dtype=np.float64)).ravel()
    variance = np.asarray(X.multiply(X).mean(axis=0, dtype=np.float64)).ravel() - mean**2
    chosen = np.sort(np.argsort(-variance, kind="stable")[:_N_GENES])
    X, mean = X[:, chosen].astype(np.float64), mean[chosen]
    size = min(_N_COMPONENTS + _OVERSAMPLED, *X.shape)
    basis = np.random.default_rng(seed).normal(size=(X.shape[1], size))
    for _ in range(_POWER_ITERATIONS):
        q, _ = np.linalg.qr(X @ basis - mean @ basis)
        basis = X.T @ q - np.outer(mean, q.sum(axis=0))
    q, _ = np.linalg.qr(basis)
    places = X @ q - mean @ q
    rotation = np.linalg.svd(places, full_matrices=False)[2].T
    return np.asarray((places @ rotation)[:, :_N_COMPONENTS])
