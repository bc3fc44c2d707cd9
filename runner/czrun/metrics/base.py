"""What every metric says of itself, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Needs(StrEnum):
    """The output of a model that a metric is computed from."""

    PREDICTIONS = "predictions"
    PROBA = "proba"
    EMBEDDING = "embedding"
    CLUSTERS = "clusters"
    PSEUDOTIME = "pseudotime"
    EXPRESSION = "expression"
    CELLS = "cells"
    SCORES = "scores"


@dataclass(frozen=True)
class Range:
    """The values that a metric can take, both ends included; None is an open end."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class MetricInfo:
    """A metric's description, as records, reports and ``czrun metrics`` show it.

    Attributes
    ----------
    id
        In snake_case; it never changes its meaning.
    title
        For tables and axes.
    range
        The values it can take.
    higher_is_better
        None where neither direction is better.
    undefined
        When it has no value, in words that also do as the reason beside a missing value; empty when it
        always has one.
    reference
        Citation with DOI.
    needs
        The model output that it is computed from.
    """

    id: str
    title: str
    range: Range
    higher_is_better: bool | None
    undefined: str
    reference: str
    needs: Needs


@dataclass(frozen=True)
class MetricValue:
    """A metric's value, or the reason why there is none.

    Raises
    ------
    ValueError
        When the value isn't finite, or when there is not exactly one of a value and a reason.
    """

    value: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        """Check that there is exactly one of a finite value and a reason."""
        if self.value is not None and not math.isfinite(self.value):
            msg = f"a metric's value is finite or None, not {self.value}"
            raise ValueError(msg)
        if (self.value is None) != bool(self.reason):
            msg = "a missing value has a reason, and only a missing value has one"
            raise ValueError(msg)

    @classmethod
    def of(cls, value: float, undefined: str) -> MetricValue:
        """Wrap a kernel's answer, in which NaN stands for undefined, with `undefined` as the reason."""
        return cls(None, undefined) if math.isnan(value) else cls(float(value))
