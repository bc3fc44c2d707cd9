"""What scoring a run returns: frozen values, free of the kernels that computed them."""

from __future__ import annotations

from dataclasses import dataclass

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
    note
        What to bear in mind when reading the value; empty when there is nothing.
    """

    value: MetricValue
    interval: Interval | None
    interval_reason: str
    trials: tuple[TrialValue, ...]
    note: str = ""
