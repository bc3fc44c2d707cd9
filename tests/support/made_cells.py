"""Tiny real .h5ad files, written and read by anndata itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad  # noqa: TID251 - the tests hold czrun.h5ad against it
from scipy import sparse

from czrun.cells import CellSource
from czrun.datasets.spec import DatasetSpec
from czrun.leases import acquire
from czrun.manifest import PreparedManifest, PrepareRequest, prepared_folder
from czrun.prepare import prepare
from czrun.split_plan import SplitPlan
from czrun.storage import cache_home, file_sha256
from czrun.tasks.base import Task
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION

CLASSES = ("B cell", "T cell")


def made_cells(n_obs: int = 40, n_vars: int = 6, *, seed: int = 0, **obs: Any) -> AnnData:
    """Make counts with a `cell_type` and a `donor_id` column, and whatever `obs` adds or replaces."""
    rng = np.random.default_rng(seed)
    counts = sparse.csr_matrix(rng.poisson(0.8, size=(n_obs, n_vars)).astype(np.float32))
    columns = {
        "cell_type": [CLASSES[i % 2] for i in range(n_obs)],
        "donor_id": [f"donor_{i % 5}" for i in range(n_obs)],
        **obs,
    }
    return AnnData(
        X=counts,
        obs=pd.DataFrame(columns, index=[f"cell_{i:03d}" for i in range(n_obs)]),
        var=pd.DataFrame(index=[f"GENE{i}" for i in range(n_vars)]),
    )


def written(cells: AnnData, path: Path) -> Path:
    """Write cells as a user would."""
    cells.write_h5ad(path)
    return path


def read(path: Path) -> AnnData:
    """Read a file as a model would."""
    return read_h5ad(path)


def dense(matrix: Any) -> np.ndarray[Any, Any]:
    """Spread a matrix out."""
    return np.asarray(matrix.todense() if sparse.issparse(matrix) else matrix)


def matrix(source: CellSource) -> np.ndarray[Any, Any]:
    """Put the blocks of a source together."""
    rows = [
        sparse.csr_matrix((b.data, b.indices, b.indptr), shape=(len(b.indptr) - 1, source.n_vars))
        for b in source.blocks()
    ]
    return dense(sparse.vstack(rows))


def request_for(
    path: Path, plan: SplitPlan | None = None, task: Task = CELL_TYPE_CLASSIFICATION, **spec: Any
) -> PrepareRequest:
    """Ask for a file to be prepared, for cell type classification or another task."""
    described = DatasetSpec(name=path.stem, path=path, **spec)
    return PrepareRequest(described, file_sha256(path), task, plan or SplitPlan())


def prepared(request: PrepareRequest, fold: int = 0) -> tuple[Path, PreparedManifest]:
    """Prepare a request in this test's cache; return one fold's folder and manifest."""
    home = cache_home()
    lease = acquire(home)
    try:
        prepare(request, home, lease)
    finally:
        lease.release()
    return prepared_folder(home, request.key(fold)), request.manifest(home, fold)


def numbered_cells(n_obs: int = 40, n_vars: int = 6, **more: Any) -> AnnData:
    """Make cells each of which has a number of its own in its second gene."""
    cells = made_cells(n_obs, n_vars, **more)
    X = dense(cells.X).copy()
    X[:, 1] = 1000 + np.arange(n_obs)
    cells.X = X
    return cells


def cell_numbers(path: Path) -> list[int]:
    """Say which of `numbered_cells` are in a file, in its order."""
    return (dense(read(path).X)[:, 1] - 1000).astype(int).tolist()
