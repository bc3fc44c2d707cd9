"""Ridge regression of time on principal components."""

import numpy as np

from czrun_kit import BadInput, Cells, Embedding, Job, apply_pca, fit_pca, main

TASKS = ("sequential-ordering",)


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Regress the known times on the cells' places; keep each component's correlation with time."""
    times = cells.column("time").astype(np.float64)
    known = np.isfinite(times)
    if len(np.unique(times[known])) < 2:
        raise BadInput("all known times are equal, or none is known: there is no order to learn")
    pca = fit_pca(job, cells, job.param("n_genes", 2000), job.param("n_components", 50))
    places = apply_pca(job, cells, pca)[known].astype(np.float64)
    centre = places.mean(axis=0)
    spread = places.std(axis=0)
    spread[spread == 0] = 1
    standard, target = (places - centre) / spread, times[known] - times[known].mean()
    penalty = job.param("alpha", 1.0) * np.eye(standard.shape[1])
    slopes = np.linalg.solve(standard.T @ standard + penalty, standard.T @ target)
    return {
        **pca,
        "slopes": slopes / spread,
        "start": times[known].mean() - centre @ (slopes / spread),
        "correlations": standard.T @ target / (len(target) * target.std()),
    }


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Embedding:
    """Predict each cell's time, and place it on the components as far as they go with time."""
    places = apply_pca(job, cells, model)
    return Embedding(
        places * np.abs(model["correlations"]), pseudotime=places @ model["slopes"] + model["start"]
    )


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
