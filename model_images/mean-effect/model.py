"""Predict the mean effect of the training perturbations, whatever the perturbation."""

import numpy as np

from czrun_kit import Cells, Effects, Expression, Job, main, shifted_controls

TASKS = ("perturbation-prediction",)


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Measure what each perturbation did."""
    return Effects.measure(job, cells).arrays()


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Expression:
    """Add the same change to the control mean of each condition's context."""
    effect = Effects.load(model, cells).mean()
    return shifted_controls(job, cells, np.tile(effect, (len(cells.conditions), 1)))


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
