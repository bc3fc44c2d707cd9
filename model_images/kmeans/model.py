"""k-means in the space of principal components."""

import numpy as np

from czrun_kit import Cells, Embedding, Job, apply_pca, fit_pca, group_means, main

TASKS = ("clustering", "embedding")


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Start several times, keep the centres that lie nearest to their cells."""
    pca = fit_pca(job, cells, job.param("n_genes", 2000), job.param("n_components", 50))
    places = apply_pca(job, cells, pca).astype(np.float64)
    n_clusters = job.param("n_clusters", 10)
    rng = np.random.default_rng(job.seed)
    starts = [spread_out(places, n_clusters, rng) for _ in range(max(1, job.param("n_init", 10)))]
    runs = [settle(places, centres, job.param("max_iter", 100)) for centres in starts]
    best = min(runs, key=lambda centres: distances(places, centres).min(axis=1).sum())
    return {**pca, "centres": best}


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Embedding:
    """Name each cell after the nearest centre."""
    places = apply_pca(job, cells, model)
    return Embedding(places, clusters=distances(places, model["centres"]).argmin(axis=1))


def distances(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return squared Euclidean distances, shape (n_obs, n_clusters)."""
    squares = (places**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return np.maximum(squares - 2 * places @ centres.T, 0)


def spread_out(places: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Choose cells as centres, the likelier the farther from those before (k-means++)."""
    chosen = [int(rng.integers(len(places)))]
    nearest = distances(places, places[chosen])[:, 0]
    while len(chosen) < n_clusters:
        total = nearest.sum()
        chosen.append(int(rng.choice(len(places), p=nearest / total if total > 0 else None)))
        nearest = np.minimum(nearest, distances(places, places[chosen[-1:]])[:, 0])
    return places[chosen]


def settle(places: np.ndarray, centres: np.ndarray, max_iter: int) -> np.ndarray:
    """Move the centres to the mean of their cells until no cell changes sides; one without cells stays."""
    nearest = np.full(len(places), -1)
    for _ in range(max_iter):
        before, nearest = nearest, distances(places, centres).argmin(axis=1)
        if np.array_equal(before, nearest):
            break
        has_cells = np.bincount(nearest, minlength=len(centres)) > 0
        centres = np.where(has_cells[:, None], group_means(places, nearest, len(centres)), centres)
    return centres


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
