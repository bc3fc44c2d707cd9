"""Predict that a perturbation does to any cells what it did to the training cells."""

import numpy as np

from czrun_kit import Cells, Effects, Expression, Job, main, shifted_controls

TASKS = ("perturbation-prediction",)


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Measure what each perturbation did in each context."""
    return Effects.measure(job, cells).arrays()


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Expression:
    """Add each perturbation's own effect to the control cells of the condition's context."""
    effects = Effects.load(model, cells)
    shifts = [effect_of(condition.perturbation, effects) for condition in cells.conditions]
    return shifted_controls(job, cells, np.stack(shifts), with_cells=job.param("cells", True))


def effect_of(perturbation: str, effects: Effects) -> np.ndarray:
    """Return its effect; of a combination A+B the sum of A's and B's; of anything unseen the mean effect."""
    whole = effects.of(perturbation)
    if whole is not None:
        return whole
    parts = [effects.of(part) for part in perturbation.split("+")]
    seen = [part for part in parts if part is not None]
    return np.sum(seen, axis=0) if len(seen) == len(parts) else effects.mean()


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
