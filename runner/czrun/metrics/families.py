"""Metrics that are computed together and redrawn together, so that one bootstrap serves them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.base import MetricValue
from czrun.metrics.tallies import SumTally, columns_by_unit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Tally(Protocol):
    """Items of one trial, summed up so that any redraw of their units can be scored."""

    @property
    def cost(self) -> int:
        """Elementary operations that one replicate takes."""
        ...

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics); NaN where a metric is undefined."""
        ...


@dataclass(frozen=True)
class Family:
    """Metrics of one trial that share their sums.

    Attributes
    ----------
    names
        Ids of the metrics, in the order of the tally's columns.
    tally
        From the unit of each item, shape (n,), and the share of each unit, shape (units,), see
        `czrun.statistics.Units`, to the tally. Items are test cells, or the conditions of a perturbation
        task. None where none of the metrics has a value in this trial.
    kinds
        All that these metrics see of each item, shape (n, columns): items alike are drawn together, which
        is as exact as one by one and cheaper. None draws them one by one.
    reasons
        Why a metric has no value in this trial, by id, where its general reason doesn't say enough.
    notes
        What a reader must know of a value, by id: above all what an approximation may cost.
    """

    names: tuple[str, ...]
    tally: Callable[[IntArray, IntArray], Tally] | None
    kinds: IntArray | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def undefined(names: tuple[str, ...], reason: str) -> Family:
    """Return metrics that have no value in this trial, all for one reason."""
    return Family(names, None, reasons=dict.fromkeys(names, reason))


def plain_value(family: Family, name: str, n_items: int, undefined: str) -> MetricValue:
    """Score every item once, as the public function of a metric does.

    Parameters
    ----------
    family
        The metric's family.
    name
        Id of the metric.
    n_items
        Items of the family.
    undefined
        `MetricInfo.undefined`: the reason for a missing value where the family gives none of its own.
    """
    if family.tally is None:
        return MetricValue(None, family.reasons.get(name, undefined))
    whole, once = np.zeros(n_items, dtype=np.int64), np.ones(1, dtype=np.int64)
    value = family.tally(whole, once).values(once[None])[0, family.names.index(name)]
    return MetricValue.of(value, family.reasons.get(name, undefined))


def mean_tally(values: FloatArray, unit: IntArray, share: IntArray) -> SumTally:
    """Average values over items, the NaN among them left out.

    Parameters
    ----------
    values
        One column a metric, shape (n, metrics).
    unit, share
        See `Family.tally`.
    """
    return grouped_mean_tally(values, np.zeros(len(values), dtype=np.int64), unit, share)


def grouped_mean_tally(values: FloatArray, group: IntArray, unit: IntArray, share: IntArray) -> SumTally:
    """Average values over the items of each group, then over the groups that have any.

    Parameters
    ----------
    values
        One column a metric, shape (n, metrics); NaN is left out.
    group
        The group of each item, codes from 0, shape (n,).
    unit, share
        See `Family.tally`.
    """
    n_metrics, n_groups = values.shape[1], int(group.max()) + 1
    width = 2 * n_metrics * n_groups
    known = ~np.isnan(values)
    first = (np.arange(n_metrics) * n_groups)[None, :] + group[:, None]
    places = np.where(known, first, width)
    columns = np.concatenate([places, np.where(known, first + width // 2, width)], axis=1)
    amounts = np.concatenate([np.where(known, values, 0.0), np.ones_like(values)], axis=1)

    def of_totals(totals: FloatArray) -> FloatArray:
        table = totals.reshape(len(totals), 2, n_metrics, n_groups)
        means = np.full(table.shape[:1] + table.shape[2:], np.nan)
        np.divide(table[:, 0], table[:, 1], out=means, where=table[:, 1] > 0)
        present = ~np.isnan(means)
        mean = np.full(means.shape[:2], np.nan)
        np.divide(np.nan_to_num(means).sum(axis=2), present.sum(axis=2), out=mean, where=present.any(axis=2))
        return mean

    return SumTally(columns_by_unit(unit, columns, amounts, share, width), of_totals)
