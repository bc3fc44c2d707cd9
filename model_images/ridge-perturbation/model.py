"""Ridge regression from a gene's place among the genes to the effect of knocking it out."""

import numpy as np

from czrun_kit import (
    Cells,
    Effects,
    Expression,
    Job,
    expression_of,
    main,
    principal_axes,
    shifted_controls,
)

TASKS = ("perturbation-prediction",)


def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]:
    """Measure what each perturbation did, and place every gene on the cells' principal axes."""
    X = expression_of(job, cells)
    axes = principal_axes(X, job.param("n_components", 20), job.seed)
    return {**Effects.measure(job, cells).arrays(), "places": axes * (X @ axes).std(axis=0)}


def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Expression:
    """Add what was measured where the perturbation was seen, else what its gene's place says."""
    effects = Effects.load(model, cells)
    places = dict(zip(model["genes"].tolist(), model["places"], strict=True))
    unseen = {condition.perturbation for condition in cells.conditions} - set(effects.perturbations.tolist())
    guesses = guess(effects, places, sorted(unseen), job.param("alpha", 1.0))
    shifts = [
        effects.of(c.perturbation) if c.perturbation not in unseen else guesses[c.perturbation]
        for c in cells.conditions
    ]
    return shifted_controls(job, cells, np.stack(shifts))


def guess(
    effects: Effects, places: dict[str, np.ndarray], names: list[str], alpha: float
) -> dict[str, np.ndarray]:
    """Return each perturbation's effect, shape (n_vars,): the mean effect, and a ridge regression on top."""
    mean = effects.mean()
    seen = [name for name in np.unique(effects.perturbations).tolist() if name in places]
    lost = [name for name in names if name not in places or not seen]
    if lost:
        print(f"The mean effect stands in for what is no gene here: {', '.join(lost)}", flush=True)
    guesses = dict.fromkeys(names, mean)
    if placed := [name for name in names if name not in lost]:
        features = np.stack([places[name] for name in seen])
        centre = features.mean(axis=0)
        scale = np.sqrt(((features - centre) ** 2).sum(axis=1).mean()) or 1.0
        features = (features - centre) / scale
        weights = np.linalg.solve(
            features @ features.T + alpha * np.eye(len(seen)),
            np.stack([effects.of(name) - mean for name in seen]),
        )
        for name in placed:
            guesses[name] = mean + (places[name] - centre) / scale @ features.T @ weights
    return guesses


if __name__ == "__main__":
    main(fit=fit, predict=predict, tasks=TASKS)
