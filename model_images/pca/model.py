"""Principal components of log-normalised genes."""

import numpy as np

from czrun_kit import Cells, Embedding, Job, apply_pca, fit_pca, main

TASKS = (
    "embedding",
    "clustering",
    "batch-integration",
    "cross-species-integration",
    "sequential-ordering",
    "cross-species-label-transfer",
)


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Find the axes along which the cells of fit vary most."""
    return fit_pca(job, cells, job.param("n_genes", 2000), job.param("n_components", 50))


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Embedding:
    """Place cells on those axes."""
    return Embedding(apply_pca(job, cells, model))


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
