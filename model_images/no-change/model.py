"""Predict that a perturbation changes nothing."""

import numpy as np

from czrun_kit import Cells, Expression, Job, main, shifted_controls

TASKS = ("perturbation-prediction",)


def predict(job: Job, cells: Cells, _model: None) -> Expression:
    """Answer with the mean of the control cells of each condition's context."""
    return shifted_controls(job, cells, np.zeros((len(cells.conditions), len(cells.genes))))


if __name__ == "__main__":
    main(predict=predict, tasks=TASKS)
