"""How well batches mix, and labels keep apart, in each cell's neighbourhood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike, NDArray

from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.cell_scores import mean_family, median_family
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.encoding import encode
from czrun.metrics.families import Family, plain_value
from czrun.metrics.neighbourhoods import (
    FEW_CELLS,
    NO_PAIR_OF_BATCHES,
    ONE_BATCH,
    ONE_LABEL,
    ONE_PLACE,
    TOO_FEW_FOR_KBET,
    cell_cilisi,
    cell_entropy,
    cell_kbet,
    cell_lisi,
)

_UNIT = Range(0, 1)
_KORSUNSKY = "Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0"

METRICS: Mapping[str, MetricInfo] = {
    info.id: info
    for info in (
        MetricInfo(
            "mixing_entropy",
            "Batch mixing entropy",
            _UNIT,
            True,
            f"{ONE_BATCH}, or {ONE_PLACE}",
            "Haghverdi et al. 2018, doi:10.1038/nbt.4091",
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "kbet",
            "kBET acceptance",
            _UNIT,
            True,
            f"{ONE_BATCH}, {ONE_PLACE}, or {TOO_FEW_FOR_KBET}",
            "Büttner et al. 2019, doi:10.1038/s41592-018-0254-1",
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "cilisi",
            "CiLISI",
            _UNIT,
            True,
            f"{ONE_PLACE}, or {NO_PAIR_OF_BATCHES}",
            "Andreatta et al. 2024, doi:10.1038/s41467-024-45240-z",
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "ilisi",
            "iLISI",
            _UNIT,
            True,
            f"{ONE_BATCH}, {ONE_PLACE}, or {FEW_CELLS}",
            _KORSUNSKY,
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "clisi",
            "cLISI",
            _UNIT,
            True,
            f"{ONE_LABEL}, {ONE_PLACE}, or {FEW_CELLS}",
            _KORSUNSKY,
            Needs.EMBEDDING,
        ),
    )
}
"""Batches in neighbourhoods, all for higher values where they mix; and labels, for where they don't."""


def mixing_entropy(embedding: NDArray[Any] | Embedded, batches: ArrayLike) -> MetricValue:
    """Average the entropy of batches among each cell's 200 nearest, over that of equal shares.

    0..1, higher is better: 1 where every neighbourhood holds equal shares of all batches, which needs
    batches of equal size. The cell itself counts; so do all cells where there are fewer than 200, and the
    value then says nothing of the embedding. As cz-benchmarks' entropy per cell, with exact neighbours.
    Undefined with one batch, or all cells in one place.

    Parameters
    ----------
    embedding
        Shape (n, d), or `Embedded`.
    batches
        The batch of each cell, shape (n,).

    References
    ----------
    Haghverdi et al. 2018, doi:10.1038/nbt.4091.
    """
    embedded = as_embedded(embedding)
    scores = cell_entropy(embedded, *encode({"batches": batches}, embedded.n_obs))
    return _value(mean_family({"mixing_entropy": scores}), embedded)


def kbet(embedding: NDArray[Any] | Embedded, batches: ArrayLike) -> MetricValue:
    """Share of cells whose 50 nearest pass for a draw from all batches.

    0..1, higher is better: a chi-squared test at 5 % doesn't tell the batches among a cell's neighbours,
    itself included, from those of all cells. As scib-metrics' ``kbet``, over all labels at once: labels
    that batches hold in unequal shares lower it, however well they mix. Undefined with one batch, with all
    cells in one place, or with no more than 50 cells.

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
    scores = cell_kbet(embedded, *encode({"batches": batches}, embedded.n_obs))
    return _value(mean_family({"kbet": scores}), embedded)


def cilisi(embedding: NDArray[Any] | Embedded, labels: ArrayLike, batches: ArrayLike) -> MetricValue:
    """Average over cells the batches in effect among the 30 nearest of the same label.

    0..1, higher is better: 0 for one batch in effect, 1 for as many as the label has, in equal shares.
    Labels with fewer than 10 cells, or one batch, are left out. As scIntegrationMetrics' ``CiLISI``, the
    mean over cells; mixing labels doesn't raise it, unlike iLISI. Undefined when no label is left, or all
    cells are in one place.

    Parameters
    ----------
    embedding
        Shape (n, d), or `Embedded`.
    labels, batches
        Of each cell, shape (n,).

    References
    ----------
    Andreatta et al. 2024, doi:10.1038/s41467-024-45240-z.
    """
    embedded = as_embedded(embedding)
    scores = cell_cilisi(embedded, *encode({"labels": labels, "batches": batches}, embedded.n_obs))
    return _value(mean_family({"cilisi": scores}), embedded)


def ilisi(embedding: NDArray[Any] | Embedded, batches: ArrayLike) -> MetricValue:
    """Median over cells of the batches in effect among the 90 nearest, at perplexity 30.

    0..1, higher is better: 0 for one batch in effect, 1 for all of them in equal shares. As scib-metrics'
    ``ilisi_knn`` computes and scales it. Undefined with one batch, with all cells in one place, or with
    fewer than 10 cells.

    Parameters
    ----------
    embedding
        Shape (n, d), or `Embedded`.
    batches
        The batch of each cell, shape (n,).

    References
    ----------
    Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0.
    """
    embedded = as_embedded(embedding)
    (batch,) = encode({"batches": batches}, embedded.n_obs)
    return _value(median_family(cell_lisi(embedded, {"ilisi": batch})), embedded)


def clisi(embedding: NDArray[Any] | Embedded, labels: ArrayLike) -> MetricValue:
    """Median over cells of the labels in effect among the 90 nearest, at perplexity 30, turned round.

    0..1, higher is better: 1 for one label in effect, 0 for all of them in equal shares. As scib-metrics'
    ``clisi_knn`` computes and scales it. Undefined with one label, with all cells in one place, or with
    fewer than 10 cells.

    Parameters
    ----------
    embedding
        Shape (n, d), or `Embedded`.
    labels
        The label of each cell, shape (n,).

    References
    ----------
    Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0.
    """
    embedded = as_embedded(embedding)
    (label,) = encode({"labels": labels}, embedded.n_obs)
    return _value(median_family(cell_lisi(embedded, {"clisi": label})), embedded)


def mixing_family(embedded: Embedded, batches: ArrayLike, labels: ArrayLike | None = None) -> Family:
    """Mixing entropy and kBET, and CiLISI where there are labels: means over cells."""
    named = {"batches": batches} if labels is None else {"batches": batches, "labels": labels}
    batch, *label = encode(named, embedded.n_obs)
    scores = {"mixing_entropy": cell_entropy(embedded, batch), "kbet": cell_kbet(embedded, batch)}
    if label:
        scores["cilisi"] = cell_cilisi(embedded, label[0], batch)
    return mean_family(scores)


def lisi_family(embedded: Embedded, batches: ArrayLike, labels: ArrayLike | None = None) -> Family:
    """Compute iLISI, and cLISI where there are labels: medians over cells."""
    named = {"batches": batches} if labels is None else {"batches": batches, "labels": labels}
    groups = dict(zip(("ilisi", "clisi"), encode(named, embedded.n_obs), strict=False))
    return median_family(cell_lisi(embedded, groups))


def _value(family: Family, embedded: Embedded) -> MetricValue:
    """Score a family of one metric on all cells."""
    (name,) = family.names
    return plain_value(family, name, embedded.n_obs, METRICS[name].undefined)
