"""Vote of the nearest training cells, in the space of a truncated SVD."""

import numpy as np
from scipy.sparse.linalg import svds

from czrun_kit import Cells, Job, Prediction, align_genes, gene_variances, log_normalize, main, top_genes

TASKS = ("cell-type-classification", "cross-species-label-transfer")
BLOCK = 1024  # cells whose distances to all training cells are held at once


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Find the components of the most variable genes, keep the training cells' place in them."""
    X = log_normalize(cells.X, job.dataset.x)
    kept = top_genes(gene_variances(X), job.param("n_genes", 2000))
    X = X[:, kept]
    n_components = min(job.param("n_components", 50), min(X.shape) - 1)
    components = svds(X, k=n_components, rng=np.random.default_rng(job.seed))[2].T
    return {
        "genes": cells.genes[kept],
        "components": components,
        "places": X @ components,
        "classes": np.array([job.dataset.classes.index(label) for label in cells.labels]),
    }


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Prediction:
    """Share of each class among the nearest training cells, by Euclidean distance."""
    X = align_genes(log_normalize(cells.X, job.dataset.x), cells.genes, model["genes"])
    places, train = X @ model["components"], model["places"]
    k = min(job.param("k", 15), len(train))
    votes = np.zeros((len(cells), len(job.dataset.classes)))
    for start in range(0, len(cells), BLOCK):
        block = slice(start, start + BLOCK)
        # The squared distance, less the term that is the same for every training cell.
        distances = (train**2).sum(axis=1) - 2 * places[block] @ train.T
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        np.add.at(votes[block], (np.arange(len(nearest))[:, None], model["classes"][nearest]), 1 / k)
    return Prediction.from_proba(votes, job.dataset.classes)


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
