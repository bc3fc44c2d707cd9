"""A random forest on log-normalised genes."""

from typing import Any

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from czrun_kit import Cells, Job, Prediction, align_genes, gene_variances, log_normalize, main, top_genes

TASKS = ("cell-type-classification", "cross-species-label-transfer")


def fit(job: Job, cells: Cells) -> dict[str, Any]:
    """Choose the most variable genes, grow the trees on them."""
    X = log_normalize(cells.X, job.dataset.x)
    kept = top_genes(gene_variances(X), job.param("n_genes", 2000))
    forest = RandomForestClassifier(
        n_estimators=job.param("n_estimators", 100),
        min_samples_leaf=job.param("min_samples_leaf", 1),
        n_jobs=job.threads,
        random_state=job.seed,
    )
    forest.fit(X[:, kept].toarray(), cells.labels)
    # One thread in predict: several add the trees' votes in an order that changes from run to run.
    return {"genes": cells.genes[kept], "forest": forest.set_params(n_jobs=1)}


def predict(job: Job, cells: Cells, model: dict[str, Any]) -> Prediction:
    """Average the trees' votes."""
    X = align_genes(log_normalize(cells.X, job.dataset.x), cells.genes, model["genes"])
    proba: np.ndarray = model["forest"].predict_proba(X)
    return Prediction.from_proba(proba, job.dataset.classes, model["forest"].classes_)


if __name__ == "__main__":
    # A pickle is fine here: it never leaves this image's own containers.
    main(fit=fit, predict=predict, tasks=TASKS, save=joblib.dump, load=joblib.load)
