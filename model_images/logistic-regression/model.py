"""Multinomial logistic regression on log-normalised genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from czrun_kit import (
    BadInput,
    Cells,
    Job,
    Prediction,
    align_genes,
    gene_variances,
    log_normalize,
    main,
    top_genes,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
TASKS = ("cell-type-classification", "cross-species-label-transfer")


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Choose the most variable genes, fit on them; scaling them to unit variance cost accuracy, and time."""
    X = log_normalize(cells.X, job.dataset.x)
    kept = top_genes(gene_variances(X), job.param("n_genes", 2000))
    strength = tuned(job, X, cells) if job.param("tune", False) else job.param("C", 1.0)
    classifier = fitted(job, X[:, kept], cells.labels, strength)
    weights, intercepts = classifier.coef_, classifier.intercept_
    if len(intercepts) == 1:  # scikit-learn keeps one row for two classes: the first one's score is 0
        weights, intercepts = np.vstack([0 * weights, weights]), np.append(0, intercepts)
    return {
        "genes": cells.genes[kept],
        "weights": weights,
        "intercepts": intercepts,
        "classes": classifier.classes_,
    }


def fitted(job: Job, X: csr_matrix, labels: np.ndarray, strength: float) -> LogisticRegression:
    """Fit one classifier."""
    from sklearn.linear_model import LogisticRegression  # only fit pays for this import

    classifier = LogisticRegression(C=strength, max_iter=job.param("max_iter", 200), random_state=job.seed)
    return classifier.fit(X, labels)


def tuned(job: Job, X: csr_matrix, cells: Cells) -> float:
    """Choose C by the mean accuracy on the inner folds; genes are chosen without the fold that is tested."""
    if "fold" not in cells.obs:
        raise BadInput("parameter tune=True needs inner folds", "Ask for them with --inner-folds 5.")
    folds, labels = cells.obs["fold"], cells.labels
    accuracies = np.zeros(len(STRENGTHS))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        if len(np.unique(labels[train])) == 1:
            continue  # nothing to tell apart
        kept = top_genes(gene_variances(X[train]), job.param("n_genes", 2000))
        for number, strength in enumerate(STRENGTHS):
            classifier = fitted(job, X[train][:, kept], labels[train], strength)
            accuracies[number] += np.mean(classifier.predict(X[test][:, kept]) == labels[test])
    best = STRENGTHS[int(np.argmax(accuracies))]  # the simplest of equals
    print(f"C={best:g}, by {len(np.unique(folds))} inner folds")
    return best


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Prediction:
    """Softmax of the linear scores."""
    X = align_genes(log_normalize(cells.X, job.dataset.x), cells.genes, model["genes"])
    scores = X @ model["weights"].T + model["intercepts"]
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return Prediction.from_proba(proba, job.dataset.classes, model["classes"])


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
