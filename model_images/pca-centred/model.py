"""Principal components of the variance within batches, the batches' means moved together."""

import numpy as np

from czrun_kit import (
    Cells,
    Embedding,
    Job,
    align_genes,
    group_means,
    log_normalize,
    main,
    principal_axes,
    varying_genes,
)

GROUPED_BY = {"batch-integration": "batch", "cross-species-integration": "organism"}
TASKS = tuple(GROUPED_BY)


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Find the axes along which cells vary within their batch, and each batch's place and spread there."""
    X = log_normalize(cells.X, job.dataset.x)
    kept = varying_genes(X, job.param("n_genes", 2000))
    X = X[:, kept]
    batches, batch = np.unique(cells.column(GROUPED_BY[job.task]), return_inverse=True)
    axes = principal_axes(X, job.param("n_components", 50), job.seed, batch)
    return {"genes": cells.genes[kept], "axes": axes, "batches": batches, **moments(X @ axes, batch)}


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Embedding:
    """Take each batch's mean away; a batch that fit didn't see is centred on its own cells."""
    places = align_genes(log_normalize(cells.X, job.dataset.x), cells.genes, model["genes"]) @ model["axes"]
    batches, batch = np.unique(cells.column(GROUPED_BY[job.task]), return_inverse=True)
    seen = {name: at for at, name in enumerate(model["batches"].tolist())}
    here = moments(places, batch)
    for at, name in enumerate(batches.tolist()):
        if name in seen:
            here["means"][at] = model["means"][seen[name]]
            here["spreads"][at] = model["spreads"][seen[name]]
    places = places - here["means"][batch]
    if job.param("scale", False):
        common = np.sqrt(np.mean(model["spreads"] ** 2, axis=0))
        places *= (common / np.where(here["spreads"] > 0, here["spreads"], common))[batch]
    return Embedding(places.astype(np.float32))


def moments(places: np.ndarray, batch: np.ndarray) -> dict[str, np.ndarray]:
    """Return mean and standard deviation of each batch, each of shape (n_batches, n_axes)."""
    n_batches = batch.max() + 1
    means = group_means(places, batch, n_batches)
    return {"means": means, "spreads": np.sqrt(group_means((places - means[batch]) ** 2, batch, n_batches))}


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
