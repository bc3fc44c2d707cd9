"""What scoring a run returns: frozen values, free of the kernels that computed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.base import MetricValue
from czrun.statistics import Interval


@dataclass(frozen=True)
class TrialValue:
    """A metric on one trial."""

    fold: int
    seed: int
    value: MetricValue


@dataclass(frozen=True)
class MetricScore:
    """A metric over all trials.

    Attributes
    ----------
    value
        Mean over the trials.
    interval
        None where there is none; `interval_reason` then says why.
    trials
        By fold, then by seed.
    """

    value: MetricValue
    interval: Interval | None
    interval_reason: str
    trials: tuple[TrialValue, ...]


@dataclass(frozen=True)
class ClassScore:
    """How well one class was found.

    Attributes
    ----------
    label
        Its name.
    support
        Its test cells, each counted once however many seeds there are.
    f1
        Its F1, averaged over the trials that have cells of it.
    """

    label: str
    support: int
    f1: MetricScore


@dataclass(frozen=True)
class ClassificationScores:
    """Everything that is said of a run of `cell-type-classification`.

    Attributes
    ----------
    metrics
        One score for each id of `czrun.metrics.classification.METRICS`, in its order.
    per_class
        One a class, in the order of the classes.
    confusion
        Cells by true and predicted class, summed over all trials, the last column unassigned; (k, k + 1).
    """

    metrics: Mapping[str, MetricScore]
    per_class: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
