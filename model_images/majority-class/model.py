"""Name every cell after the most frequent class of the training cells."""

import numpy as np

from czrun_kit import Cells, Images, Job, Prediction, main

TASKS = ("cell-type-classification", "cross-species-label-transfer", "image-classification")


def fit(job: Job, cells: Cells | Images) -> dict[str, np.ndarray]:
    """Count the training labels; the matrix is never read."""
    counts = np.array([np.count_nonzero(cells.labels == name) for name in job.dataset.classes])
    return {"frequencies": counts / counts.sum()}


def predict(job: Job, cells: Cells | Images, model: dict[str, np.ndarray]) -> Prediction:
    """Give every cell the class frequencies; the first of equally frequent classes names it."""
    proba = np.tile(model["frequencies"], (len(cells), 1))
    return Prediction.from_proba(proba, job.dataset.classes)


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
