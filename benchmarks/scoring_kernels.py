"""Seconds that scoring a classifier takes, all metrics with intervals, beside scikit-learn's bare points.

Usage: uv run python benchmarks/scoring_kernels.py
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn.metrics as sk
from numpy.typing import NDArray

from czrun.metrics.classification import METRICS, evaluate, label_families
from czrun.pooling import MeasuredTrial, score_trials


@dataclass(frozen=True)
class Classified:
    """Cells, and what a classifier made of them."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    proba: NDArray[np.float64]

    def score(self, donors: NDArray[np.int64] | None = None) -> dict[str, Any]:
        """Compute all metrics with their intervals."""
        classes = [f"class {code}" for code in range(self.proba.shape[1])]
        families = label_families(self.true, self.predicted, self.proba, classes)
        return dict(score_trials([MeasuredTrial(0, 0, families, len(self.true), clusters=donors)], METRICS))


def cells(n: int, k: int) -> Classified:
    """Make `n` cells of `k` classes and a classifier that is right about every other time."""
    rng = np.random.default_rng(0)
    true = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 2
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Classified(true, proba.argmax(axis=1), proba)


def scikit_learn_points(trial: Classified) -> None:
    """Compute what scikit-learn has of the same metrics: no intervals, no calibration error."""
    true, predicted = trial.true, trial.predicted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sk.f1_score(true, predicted, average="macro")
        sk.f1_score(true, predicted, average="weighted")
        sk.f1_score(true, predicted, average=None)
        sk.accuracy_score(true, predicted)
        sk.balanced_accuracy_score(true, predicted)
        sk.precision_score(true, predicted, average="macro")
        sk.recall_score(true, predicted, average="macro")
        sk.matthews_corrcoef(true, predicted)
        sk.confusion_matrix(true, predicted)
        sk.roc_auc_score(true, trial.proba, multi_class="ovr")
        sk.log_loss(true, trial.proba)


def best_of(repeats: int, work: Callable[[], object]) -> float:
    """Return the shortest of `repeats` timings, in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def report(n: int, k: int, repeats: int) -> None:
    """Print one line for `n` cells of `k` classes."""
    one = cells(n, k)
    peer = best_of(repeats, lambda: scikit_learn_points(one))
    points = best_of(repeats, lambda: evaluate(one.true, one.predicted, one.proba, k))
    by_cell = best_of(repeats, one.score)
    by_donor = best_of(repeats, lambda: one.score(np.arange(n) % 12))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n:>8,} cells, {k:>2} classes: scikit-learn points {peer:.3f} s; points {points:.3f} s "
        f"({points / peer:.2f}x); with intervals over cells {by_cell:.3f} s ({by_cell / peer:.1f}x), "
        f"over 12 donors {by_donor:.3f} s ({by_donor / peer:.1f}x); peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    report(700, 8, 5)
    report(10_000, 12, 3)
    report(100_000, 20, 1)
