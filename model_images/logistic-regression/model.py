"""Multinomial logistic regression on log-normalised genes."""

import numpy as np

from czrun_kit import Cells, Job, Prediction, align_genes, gene_variances, log_normalize, main, top_genes

TASKS = ("cell-type-classification", "cross-species-label-transfer")


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Choose the most variable genes, fit on them; scaling them to unit variance cost accuracy, and time."""
    from sklearn.linear_model import LogisticRegression  # only fit pays for this import

    X = log_normalize(cells.X, job.dataset.x)
    kept = top_genes(gene_variances(X), job.param("n_genes", 2000))
    classifier = LogisticRegression(
        C=job.param("C", 1.0), max_iter=job.param("max_iter", 200), random_state=job.seed
    )
    classifier.fit(X[:, kept], cells.labels)
    weights, intercepts = classifier.coef_, classifier.intercept_
    if len(intercepts) == 1:  # scikit-learn keeps one row for two classes: the first one's score is 0
        weights, intercepts = np.vstack([0 * weights, weights]), np.append(0, intercepts)
    return {
        "genes": cells.genes[kept],
        "weights": weights,
        "intercepts": intercepts,
        "classes": classifier.classes_,
    }


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Prediction:
    """Softmax of the linear scores."""
    X = align_genes(log_normalize(cells.X, job.dataset.x), cells.genes, model["genes"])
    scores = X @ model["weights"].T + model["intercepts"]
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    proba /= proba.sum(axis=1, keepdims=True)
    return Prediction.from_proba(proba, job.dataset.classes, model["classes"])


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
