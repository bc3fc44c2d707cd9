"""An isolation forest on principal components, total counts and numbers of genes."""

from typing import Any

import joblib
import numpy as np
from sklearn.ensemble import IsolationForest

from czrun_kit import Cells, Job, Scores, apply_pca, fit_pca, main

TASKS = ("anomaly-detection",)


def fit(job: Job, cells: Cells) -> dict[str, Any]:
    """Grow trees that set normal cells apart by chance; what needs few cuts is anomalous."""
    pca = fit_pca(job, cells, job.param("n_genes", 2000), job.param("n_components", 10))
    forest = IsolationForest(
        n_estimators=job.param("n_estimators", 300),
        max_samples=min(len(cells), job.param("max_samples", 256)),
        random_state=job.seed,
        n_jobs=1,  # more of them take longer to start than to grow these trees
    )
    return {"pca": pca, "forest": forest.fit(features(job, cells, pca))}


def predict(job: Job, cells: Cells, model: dict[str, Any]) -> Scores:
    """Score each cell by how few cuts set it apart."""
    return Scores(-model["forest"].score_samples(features(job, cells, model["pca"])))


def features(job: Job, cells: Cells, pca: dict[str, np.ndarray]) -> np.ndarray:
    """Return each cell's components, log of its total, and number of genes: (n_obs, n_axes + 2)."""
    totals = np.log1p(np.maximum(cells.totals, 0))
    return np.c_[apply_pca(job, cells, pca), totals, cells.X.getnnz(axis=1)]


if __name__ == "__main__":
    # A pickle is fine here: it never leaves this image's own containers.
    main(fit=fit, predict=predict, tasks=TASKS, save=joblib.dump, load=joblib.load)
