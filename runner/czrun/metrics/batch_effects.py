"""How much of an embedding's variance the batches explain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError
from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.encoding import IntArray, encode
from czrun.metrics.families import Family, plain_value
from czrun.metrics.neighbourhoods import ONE_BATCH, ONE_PLACE
from czrun.metrics.tallies import SumTally, columns_by_unit

FloatArray = NDArray[np.float64]

NO_EFFECT_BEFORE = "batches explain nothing of the expression before integration"

_BUETTNER = "Büttner et al. 2019, doi:10.1038/s41592-018-0254-1"
# Cells worked on at once.
_BLOCK = 16_384
# A share of variance below this is rounding.
_NOTHING = 1e-12

METRICS: Mapping[str, MetricInfo] = {
    info.id: info
    for info in (
        MetricInfo(
            "pcr",
            "Variance explained by batch (PCR)",
            Range(0, 1),
            False,
            f"{ONE_BATCH}, or {ONE_PLACE}",
            _BUETTNER,
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "pcr_comparison",
            "PCR comparison",
            Range(0, 1),
            True,
            f"{ONE_BATCH}, {ONE_PLACE}, or {NO_EFFECT_BEFORE}",
            _BUETTNER,
            Needs.EMBEDDING,
        ),
    )
}
"""Batch effects by principal-component regression."""


def pcr(embedding: NDArray[Any] | Embedded, batches: ArrayLike) -> MetricValue:
    """Share of an embedding's variance that the batches explain; 0..1, lower is better.

    The share explained of each principal component, weighted by the component's variance. Over all
    components that is the variance between batches over all variance, so none need be computed.
    Undefined with one batch, or all cells in one place.

    Parameters
    ----------
    embedding
        Shape (n, d), or `Embedded`.
    batches
        The batch of each cell, shape (n,).

    References
    ----------
    Büttner et al. 2019, doi:10.1038/s41592-018-0254-1.
    """
    embedded = as_embedded(embedding)
    return _value("pcr", pcr_family(embedded, batches), embedded.n_obs)


def pcr_comparison(
    before: NDArray[Any] | Embedded, after: NDArray[Any] | Embedded, batches: ArrayLike
) -> MetricValue:
    """Share by which integration lowers the variance that batches explain; 0..1, higher is better.

    1 - `pcr` after / `pcr` before, and 0 where integration raises it, as in scib. Undefined with one batch,
    all cells in one place, or no batch effect before.

    Parameters
    ----------
    before
        Principal components of the expression that was integrated, shape (n, d); scib takes 50 of them.
    after
        The embedding, shape (n, e).
    batches
        The batch of each cell, shape (n,).

    References
    ----------
    Büttner et al. 2019, doi:10.1038/s41592-018-0254-1.
    """
    embedded = as_embedded(after)
    return _value("pcr_comparison", pcr_family(embedded, batches, as_embedded(before)), embedded.n_obs)


def pcr_family(embedded: Embedded, batches: ArrayLike, before: Embedded | None = None) -> Family:
    """PCR, and its comparison with `before` where given; centres of batches stay where they are."""
    (batch,) = encode({"batches": batches}, embedded.n_obs)
    if before is not None and before.n_obs != embedded.n_obs:
        raise ScoringError(
            f"{before.n_obs} cells before integration, {embedded.n_obs} after.",
            "Compare the same cells, in the same order.",
        )
    spaces = [_Spread.of(space, batch) for space in (embedded, before) if space is not None]
    reasons = _reasons(batch, embedded, spaces)
    names = tuple(METRICS)[: len(spaces)]
    amounts = np.stack([each for space in spaces for each in (space.within, space.total)], axis=1)
    columns = np.broadcast_to(np.arange(amounts.shape[1]), amounts.shape)

    def values(totals: FloatArray) -> FloatArray:
        explained = [_fall(totals[:, i + 1], totals[:, i]) for i in range(0, totals.shape[1], 2)]
        found = {"pcr": explained[0], "pcr_comparison": _fall(explained[-1], explained[0])}
        return np.stack([np.where(name in reasons, np.nan, found[name]) for name in names], axis=1)

    def tally(unit: IntArray, share: IntArray) -> SumTally:
        return SumTally(columns_by_unit(unit, columns, amounts, share, amounts.shape[1]), values)

    return Family(names, tally, reasons=reasons)


@dataclass(frozen=True)
class _Spread:
    """Squared distances of each cell to the centre of its batch, and to that of all cells; shapes (n,)."""

    within: FloatArray
    total: FloatArray

    @classmethod
    def of(cls, embedded: Embedded, batch: IntArray) -> _Spread:
        cells = np.bincount(batch)
        array, centre = embedded.array, embedded.array.mean(axis=0, dtype=np.float64)
        centres = np.zeros((len(cells), array.shape[1]))
        for code in range(len(cells)):
            centres[code] = array[batch == code].mean(axis=0, dtype=np.float64)
        spread = cls(np.empty(len(batch)), np.empty(len(batch)))
        for start in range(0, len(batch), _BLOCK):
            rows = slice(start, start + _BLOCK)
            block = array[rows].astype(np.float64)
            spread.within[rows] = ((block - centres[batch[rows]]) ** 2).sum(axis=1)
            spread.total[rows] = ((block - centre) ** 2).sum(axis=1)
        return spread

    @property
    def explained(self) -> float:
        """Share of the variance that lies between batches."""
        return float(_fall(self.total.sum(keepdims=True), self.within.sum(keepdims=True))[0])


def _reasons(batch: IntArray, embedded: Embedded, spaces: list[_Spread]) -> dict[str, str]:
    """Say which metrics have no value, and why."""
    names = tuple(METRICS)[: len(spaces)]
    if batch.max() == 0:
        return dict.fromkeys(names, ONE_BATCH)
    if embedded.is_constant:
        return dict.fromkeys(names, ONE_PLACE)
    if len(spaces) > 1 and not spaces[1].explained > _NOTHING:
        return {"pcr_comparison": NO_EFFECT_BEFORE}
    return {}


def _fall(start: FloatArray, end: FloatArray) -> FloatArray:
    """Share by which `end` is lower than `start`, 0 where it is higher; NaN from 0."""
    share = np.full(len(start), np.nan)
    np.divide(start - end, start, out=share, where=start > 0)
    return np.asarray(np.clip(share, 0, 1))


def _value(name: str, family: Family, n_obs: int) -> MetricValue:
    return plain_value(family, name, n_obs, METRICS[name].undefined)
