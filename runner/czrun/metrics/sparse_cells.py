"""Cells by genes in CSR form, on bare arrays: importing SciPy's would take longer than scoring does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SparseCells:
    """Expression of cells, zeros left out.

    Attributes
    ----------
    data
        Stored values, shape (nnz,).
    indices
        Their genes, ascending within a cell, shape (nnz,).
    indptr
        Where each cell begins in `data`, shape (n_obs + 1,), starting at 0.
    n_vars
        Genes.
    """

    data: NDArray[np.float32]
    indices: NDArray[np.int32]
    indptr: IntArray
    n_vars: int

    @classmethod
    def of_dense(cls, cells: NDArray[np.floating]) -> SparseCells:
        """Leave the zeros of a dense array out, (n_obs, n_vars)."""
        cells = cells.astype(np.float32)
        stored = cells != 0
        indptr = np.concatenate([[0], np.cumsum(stored.sum(axis=1))])
        indices = np.nonzero(stored)[1].astype(np.int32)
        return cls(cells[stored], indices, indptr.astype(np.int64), cells.shape[1])

    @property
    def n_obs(self) -> int:
        """Cells."""
        return len(self.indptr) - 1

    def between(self, start: int, end: int) -> SparseCells:
        """Return consecutive cells, without copying their values."""
        first, last = self.indptr[start], self.indptr[end]
        indptr = self.indptr[start : end + 1] - first
        return SparseCells(self.data[first:last], self.indices[first:last], indptr, self.n_vars)

    def rows(self, rows: IntArray) -> SparseCells:
        """Return the cells with these numbers, in this order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return SparseCells(self.data[places], self.indices[places], indptr, self.n_vars)

    def mean(self) -> FloatArray:
        """Average over the cells, shape (n_vars,)."""
        sums = np.bincount(self.indices, weights=self.data, minlength=self.n_vars)
        return np.asarray(sums / self.n_obs)

    def problems(self) -> list[str]:
        """List what keeps these arrays from being cells; empty when nothing does."""
        if self.data.ndim != 1 or self.data.shape != self.indices.shape:
            return [f"values of shape {self.data.shape} with genes of shape {self.indices.shape}"]
        if self.indptr.ndim != 1 or len(self.indptr) < 2:
            return ["no cells"]
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.data) or (np.diff(self.indptr) < 0).any():
            return ["its row pointers don't go up from 0 to the number of values"]
        problems = []
        if len(self.data) and not np.isfinite(self.data).all():
            problems.append(f"{int((~np.isfinite(self.data)).sum())} values aren't finite")
        if len(self.indices) and (self.indices.min() < 0 or self.indices.max() >= self.n_vars):
            problems.append(f"a gene outside 0..{self.n_vars - 1}")
        rises = np.diff(self.indices) > 0
        edges = self.indptr[1:-1]
        rises[edges[(edges > 0) & (edges < len(self.data))] - 1] = True
        if not rises.all():
            problems.append("its genes don't ascend within each cell")
        return problems
