"""Silhouettes: whether cells lie nearer to cells of their own label, or batch, than to those of others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.encoding import encode
from czrun.metrics.families import Family, Tally, grouped_mean_tally, plain_value
from czrun.metrics.silhouette_widths import cosine_widths_within, is_one_direction, widths_within

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ONE_PLACE = "all cells lie in one place"
ONE_LABEL = "all cells have one label"
ALL_SINGLE = "every cell has a label of its own"
NO_LABEL_LEFT = "no label has cells of several batches, and more cells than batches"
ONE_DIRECTION = "all cells lie in one direction from the origin"
AT_ORIGIN = "a cell lies at the origin, which has no direction"

_ROUSSEEUW = "Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7"

_ALL: tuple[MetricInfo, ...] = (
    MetricInfo(
        "silhouette",
        "Silhouette of labels",
        Range(0, 1),
        True,
        "all cells have one label, or each its own, or all lie in one place",
        _ROUSSEEUW,
        Needs.EMBEDDING,
    ),
    MetricInfo(
        "time_silhouette",
        "Silhouette of times",
        Range(0, 1),
        True,
        "all cells have one time, or each its own, or all lie in one place",
        _ROUSSEEUW,
        Needs.EMBEDDING,
    ),
    MetricInfo(
        "batch_silhouette",
        "Batch silhouette",
        Range(0, 1),
        True,
        f"{NO_LABEL_LEFT}, or {ONE_PLACE}",
        "Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
        Needs.EMBEDDING,
    ),
    MetricInfo(
        "bras",
        "Batch silhouette, adapted (BRAS)",
        Range(0, 1),
        True,
        f"{NO_LABEL_LEFT}, or {ONE_DIRECTION}, or {AT_ORIGIN}",
        "Rautenstrauch & Ohler 2025, doi:10.1038/s41587-025-02743-4",
        Needs.EMBEDDING,
    ),
)

METRICS: Mapping[str, MetricInfo] = {info.id: info for info in _ALL}
"""The silhouettes, by id."""


def silhouette(embedding: NDArray[Any] | Embedded, labels: ArrayLike) -> MetricValue:
    """Mean silhouette width of labels, rescaled to (s + 1) / 2: 0..1, higher is better, 0.5 is no structure.

    A cell whose label no other cell has counts as 0.5. Distances are Euclidean. With more than 200,000 cells
    the mean is over a seeded sample of them, each held against all cells.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    labels
        One for each cell, shape (n,).

    Returns
    -------
    None when all cells have one label, or each its own, or all lie in one place.

    References
    ----------
    Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7.
    """
    embedded = as_embedded(embedding)
    return _value(silhouette_family(embedded, labels), embedded.n_obs)


def silhouette_by_time(embedding: NDArray[Any] | Embedded, times: ArrayLike) -> MetricValue:
    """Compute `silhouette` with times as labels, the order of times left aside."""
    embedded = as_embedded(embedding)
    return _value(silhouette_family(embedded, times, "time_silhouette"), embedded.n_obs)


def batch_silhouette(
    embedding: NDArray[Any] | Embedded, labels: ArrayLike, batches: ArrayLike
) -> MetricValue:
    """Mean over labels of mean(1 - |s|) within the label, s the width of batches: 0..1, higher is better.

    Labels with one batch, or with as many batches as cells, are left out. Known to mislead where batches
    have effects of different size: read `bras` beside it. With more than 200,000 cells the means are over a
    seeded sample.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    labels, batches
        One for each cell, shape (n,).

    Returns
    -------
    None when no label is left, or all cells lie in one place.

    References
    ----------
    Luecken et al. 2022, doi:10.1038/s41592-021-01336-8.
    """
    embedded = as_embedded(embedding)
    label, batch = encode({"labels": labels, "batches": batches}, embedded.n_obs)
    return _value(_family({"batch_silhouette": _batch_scores(embedded, label, batch)}, label), embedded.n_obs)


def bras(embedding: NDArray[Any] | Embedded, labels: ArrayLike, batches: ArrayLike) -> MetricValue:
    """Batch removal adapted silhouette: 0..1, higher is better.

    As `batch_silhouette`, but by cosine distance, and all other batches of the label together stand for the
    nearest one. Computed on all cells, however many.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    labels, batches
        One for each cell, shape (n,).

    Returns
    -------
    None when no label is left, when all cells lie in one direction from the origin, or one lies at it.

    References
    ----------
    Rautenstrauch & Ohler 2025, doi:10.1038/s41587-025-02743-4.
    """
    embedded = as_embedded(embedding)
    label, batch = encode({"labels": labels, "batches": batches}, embedded.n_obs)
    return _value(_family({"bras": _bras_scores(embedded, label, batch)}, label), embedded.n_obs)


def cell_silhouettes(embedding: NDArray[Any] | Embedded, labels: ArrayLike) -> FloatArray:
    """Silhouette width of each cell, -1..1, shape (n,).

    NaN throughout where `silhouette` is undefined, and for cells that aren't among `Embedded.queries`.
    """
    embedded = as_embedded(embedding)
    (label,) = encode({"labels": labels}, embedded.n_obs)
    return 2 * _label_scores(embedded, label).values - 1


def silhouette_family(embedded: Embedded, labels: ArrayLike, metric_id: str = "silhouette") -> Family:
    """Redraw `silhouette`, or `silhouette_by_time` under its id; every cell's width stays what it is."""
    (label,) = encode({"labels": labels}, embedded.n_obs)
    return _family({metric_id: _label_scores(embedded, label)}, np.zeros_like(label))


def batch_silhouette_family(embedded: Embedded, labels: ArrayLike, batches: ArrayLike) -> Family:
    """Redraw `batch_silhouette` and `bras`; every cell's width stays what it is."""
    label, batch = encode({"labels": labels, "batches": batches}, embedded.n_obs)
    scores = {
        "batch_silhouette": _batch_scores(embedded, label, batch),
        "bras": _bras_scores(embedded, label, batch),
    }
    return _family(scores, label)


@dataclass(frozen=True)
class _Scores:
    """What a metric averages: a value for each cell, NaN for those left out; or why there are none."""

    values: FloatArray
    reason: str = ""
    note: str = ""


def _undefined(n_obs: int, reason: str) -> _Scores:
    return _Scores(np.full(n_obs, np.nan), reason)


def _label_scores(embedded: Embedded, label: IntArray) -> _Scores:
    n_labels = int(label.max()) + 1
    if n_labels == 1:
        return _undefined(embedded.n_obs, ONE_LABEL)
    if n_labels == embedded.n_obs:
        return _undefined(embedded.n_obs, ALL_SINGLE)
    if embedded.is_constant:
        return _undefined(embedded.n_obs, ONE_PLACE)
    values = np.full(embedded.n_obs, np.nan)
    values[embedded.queries] = (embedded.silhouette_widths(label) + 1) / 2
    return _Scores(values, note=_note(embedded, values, np.zeros_like(label)))


def _batch_scores(embedded: Embedded, label: IntArray, batch: IntArray) -> _Scores:
    groups = _mixed_labels(label, batch)
    if not groups:
        return _undefined(embedded.n_obs, NO_LABEL_LEFT)
    if embedded.is_constant:
        return _undefined(embedded.n_obs, ONE_PLACE)
    values = 1 - np.abs(widths_within(embedded.points.exact, groups, batch, embedded.queries))
    return _Scores(values, note=_note(embedded, values, label))


def _bras_scores(embedded: Embedded, label: IntArray, batch: IntArray) -> _Scores:
    groups = _mixed_labels(label, batch)
    if not groups:
        return _undefined(embedded.n_obs, NO_LABEL_LEFT)
    if is_one_direction(embedded.points.exact):
        return _undefined(embedded.n_obs, ONE_DIRECTION)
    values = 1 - np.abs(cosine_widths_within(embedded.points.exact, groups, batch))
    if np.isnan(values[np.concatenate(groups)]).any():
        return _undefined(embedded.n_obs, AT_ORIGIN)
    return _Scores(values)


def _mixed_labels(label: IntArray, batch: IntArray) -> list[IntArray]:
    """Cells of each label that has several batches, and more cells than batches."""
    order = np.argsort(label, kind="stable")
    cells = np.split(order, np.cumsum(np.bincount(label))[:-1])
    return [each for each in cells if 1 < len(np.unique(batch[each])) < len(each)]


def _note(embedded: Embedded, values: FloatArray, group: IntArray) -> str:
    """Say how far a mean over a sample may be off; empty where it is over all cells."""
    if not embedded.is_sampled:
        return ""
    known = ~np.isnan(values)
    count = np.bincount(group[known])
    present = count > 0
    mean = np.bincount(group[known], weights=values[known])[present] / count[present]
    square = np.bincount(group[known], weights=values[known] ** 2)[present] / count[present]
    error = np.sqrt(((square - mean**2) / count[present]).sum()) / len(mean)
    return embedded.sampling_note(error)


def _family(scores: Mapping[str, _Scores], group: IntArray) -> Family:
    values = np.stack([each.values for each in scores.values()], axis=1)

    def tally(unit: IntArray, share: IntArray) -> Tally:
        return grouped_mean_tally(values, group, unit, share)

    return Family(
        names=tuple(scores),
        tally=None if all(each.reason for each in scores.values()) else tally,
        reasons={name: each.reason for name, each in scores.items() if each.reason},
        notes={name: each.note for name, each in scores.items() if each.note},
    )


def _value(family: Family, n_obs: int) -> MetricValue:
    (name,) = family.names
    return plain_value(family, name, n_obs, METRICS[name].undefined)
