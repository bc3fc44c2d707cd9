"""Preparing X: normalisation, genes, means, principal components."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from czrun_kit.cells import Cells
from czrun_kit.failures import BadInput
from czrun_kit.job import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

COUNTS_PER_CELL = 1e4
POWER_ITERATIONS = 6
OVERSAMPLING = 20
RANK_TOLERANCE = 1e-12  # of squares: float32 holds no direction below it


def log_normalize(X: csr_matrix, x_kind: str) -> csr_matrix:
    """Bring X to log1p of counts per 10,000.

    Parameters
    ----------
    X
        Shape (n_obs, n_vars); not changed.
    x_kind
        What X holds, `job.dataset.x`: ``counts`` are scaled per cell and logged, ``normalized`` values are
        logged, ``log1p`` and ``other`` are returned as they are.
    """
    if x_kind not in ("counts", "normalized"):
        return X
    X = X.astype(np.float32, copy=True)
    if x_kind == "counts":
        totals = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
        factors = np.divide(COUNTS_PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)
        X.data *= np.repeat(factors, np.diff(X.indptr)).astype(np.float32)
    np.log1p(X.data, out=X.data)
    return X


def align_genes(X: csr_matrix, genes: Sequence[str] | NDArray[np.str_], wanted: Iterable[str]) -> csr_matrix:
    """Return X with exactly the columns `wanted`, by gene id; a gene that X lacks is zero throughout.

    Parameters
    ----------
    X
        Shape (n_obs, len(genes)).
    genes
        Gene ids of X's columns; where an id occurs twice, its first column counts.
    wanted
        Gene ids of the result's columns.

    Returns
    -------
    csr_matrix
        Shape (n_obs, len(wanted)).
    """
    from scipy.sparse import csr_matrix

    wanted = [str(gene) for gene in wanted]
    column = {str(gene): at for at, gene in reversed(list(enumerate(genes)))}
    pairs = [(column[gene], to) for to, gene in enumerate(wanted) if gene in column]
    rows, cols = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ones = np.ones(len(pairs), dtype=X.dtype)
    return (X @ csr_matrix((ones, (rows, cols)), shape=(X.shape[1], len(wanted)))).tocsr()


def gene_variances(X: csr_matrix) -> NDArray[np.float64]:
    """Return the variance of each column of X, shape (n_vars,)."""
    n_obs, n_vars = X.shape
    values = X.data.astype(np.float64)
    mean = np.bincount(X.indices, weights=values, minlength=n_vars) / n_obs
    square = np.bincount(X.indices, weights=values**2, minlength=n_vars) / n_obs
    return np.asarray(np.maximum(square - mean**2, 0.0), dtype=np.float64)


def top_genes(variances: NDArray[np.float64], n_genes: int) -> NDArray[np.intp]:
    """Return the columns, ascending, of the `n_genes` highest variances; never a column without variance."""
    order = np.argsort(-variances, kind="stable")[: max(1, n_genes)]
    return np.sort(order[variances[order] > 0])


def group_means(X: csr_matrix | NDArray[Any], groups: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    """Return the mean of the rows of each group, shape (n_groups, n_vars); zero for a group without rows.

    Parameters
    ----------
    X
        Shape (n_obs, n_vars).
    groups
        The group of each row, 0 to n_groups - 1, shape (n_obs,).
    n_groups
        How many groups there are.
    """
    from scipy.sparse import csr_matrix

    counts = np.bincount(groups, minlength=n_groups)
    weights = 1 / np.maximum(counts, 1)[groups]
    average = csr_matrix((weights, (groups, np.arange(len(groups)))), shape=(n_groups, len(groups)))
    means = average @ X
    return np.asarray(means if isinstance(means, np.ndarray) else means.toarray(), dtype=np.float64)


def principal_axes(
    X: csr_matrix, n_components: int, seed: int, groups: NDArray[np.intp] | None = None
) -> NDArray[np.float32]:
    """Return the principal axes of X, those of the largest variance first, by subspace iteration.

    Parameters
    ----------
    X
        Shape (n_obs, n_vars); centred on the way, never made dense.
    n_components
        How many axes; fewer come where X varies in fewer directions.
    seed
        Of the random start.
    groups
        Each row's group, shape (n_obs,), to centre the rows of each group by themselves: the axes are then
        those of the variance within groups.

    Returns
    -------
    ndarray
        Orthonormal columns, shape (n_vars, n_axes), each with its largest entry positive.

    References
    ----------
    Halko, Martinsson, Tropp 2011, doi:10.1137/090771806. NumPy does it in less time than
    scipy.sparse.linalg takes to import, and on more cells in about the same.
    """
    n_vars = X.shape[1]
    groups = np.zeros(X.shape[0], dtype=np.intp) if groups is None else groups
    n_groups = int(groups.max()) + 1
    means = group_means(X, groups, n_groups).astype(np.float32)
    counts = np.bincount(groups, minlength=n_groups).astype(np.float32)[:, None]

    def project(axes: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(X @ axes - (means @ axes)[groups])

    def back(places: NDArray[np.float32]) -> NDArray[np.float32]:
        sums = (group_means(places, groups, n_groups) * counts).astype(np.float32)
        return np.asarray(X.T @ places - means.T @ sums)

    width = min(n_components + OVERSAMPLING, n_vars)
    axes = np.random.default_rng(seed).standard_normal((n_vars, width), dtype=np.float32)
    for _ in range(POWER_ITERATIONS):
        axes = _orthonormal(back(project(_orthonormal(axes))))
    places = project(axes).astype(np.float64)
    rotation = np.linalg.eigh(places.T @ places)[1][:, ::-1][:, :n_components]
    axes = axes @ rotation.astype(np.float32)
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return axes * np.where(largest < 0, -1, 1).astype(np.float32)


def _orthonormal(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an orthonormal basis of the columns' span."""
    # Not by QR: on busy cores LAPACK's threads wait for each other in it, 1 s for 2000 × 70 (measured).
    exact = columns.astype(np.float64)
    squares, directions = np.linalg.eigh(exact.T @ exact)
    kept = squares > RANK_TOLERANCE * squares[-1]
    return np.asarray(exact @ (directions[:, kept] / np.sqrt(squares[kept])), dtype=np.float32)


def fit_pca(job: Job, cells: Cells, n_genes: int, n_components: int) -> dict[str, NDArray[Any]]:
    """Find the principal axes of the log-normalised most variable genes.

    Returns
    -------
    dict
        What `apply_pca` needs: ``genes``, ``means`` (n_genes,) and ``axes`` (n_genes, n_axes).

    Raises
    ------
    BadInput
        When no gene varies.
    """
    X = log_normalize(cells.X, job.dataset.x)
    kept = varying_genes(X, n_genes)
    X = X[:, kept]
    return {
        "genes": cells.genes[kept],
        "means": X.mean(axis=0, dtype=np.float64).A1,
        "axes": principal_axes(X, n_components, job.seed),
    }


def apply_pca(job: Job, cells: Cells, model: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return where cells lie on the axes that `fit_pca` found, shape (n_obs, n_axes)."""
    X = align_genes(log_normalize(cells.X, job.dataset.x), cells.genes, model["genes"])
    return np.asarray(X @ model["axes"] - model["means"] @ model["axes"], dtype=np.float32)


def varying_genes(X: csr_matrix, n_genes: int) -> NDArray[np.intp]:
    """Return the columns of the `n_genes` highest variances; raises BadInput where no gene varies."""
    kept = top_genes(gene_variances(X), n_genes)
    if len(kept) == 0:
        raise BadInput("no gene varies from cell to cell")
    return kept
