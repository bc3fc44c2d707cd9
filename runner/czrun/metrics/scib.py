"""The overall score of batch integration: biology kept and batches mixed, weighed as scIB does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError
from czrun.metrics.base import MetricInfo, Needs, Range

FloatArray = NDArray[np.float64]

BIOLOGY = ("nmi", "ari", "silhouette", "isolated_labels", "clisi")
"""Ids of the metrics of what is kept, in the order that `scib_overall` wants them."""

BATCHES = ("pcr_comparison", "batch_silhouette", "graph_connectivity", "ilisi", "kbet")
"""Ids of the metrics of what is mixed, in the order that `scib_overall` wants them."""

BIOLOGY_WEIGHT = 0.6

METRICS: Mapping[str, MetricInfo] = {
    "scib_overall": MetricInfo(
        "scib_overall",
        "scIB overall",
        Range(-0.06, 1),
        True,
        "one of the metrics that it averages is undefined",
        "Luecken et al. 2022, doi:10.1038/s41592-021-01336-8",
        Needs.EMBEDDING,
    )
}
"""The overall score alone: `partitions`, `mixing`, `conservation` and `batch_effects` have its parts."""


def scib_overall(biology: ArrayLike, batches: ArrayLike) -> FloatArray:
    """Weigh biology kept (0.6) and batches mixed (0.4), each the mean of its metrics.

    -0.06 (ARI alone can be negative) to 1, higher is better. The parts are the classic ones of Luecken et
    al. that need nothing but an embedding, labels, batches and the expression before: `BIOLOGY` and
    `BATCHES`. That is batch silhouette, not BRAS, and iLISI, not CiLISI; ARI and NMI of one clustering at
    resolution 1, not of the best of many; isolated labels by silhouette alone; kBET over all labels at
    once; and nothing scaled between methods, so that a score doesn't hang on what it is compared with.

    Parameters
    ----------
    biology, batches
        Values of `BIOLOGY` and of `BATCHES`, NaN where undefined, shapes (..., 5): of one embedding, or of
        replicates.

    Returns
    -------
    Shape (...); NaN where any part is undefined.

    Raises
    ------
    ScoringError
        When there isn't a value for each of the parts.

    References
    ----------
    Luecken et al. 2022, doi:10.1038/s41592-021-01336-8.
    """
    kept, mixed = (np.asarray(values, dtype=np.float64) for values in (biology, batches))
    if kept.shape != mixed.shape or kept.shape[-1:] != (len(BIOLOGY),):
        raise ScoringError(
            f"The overall score can't be put together from parts of shapes {kept.shape} and {mixed.shape}.",
            f"Give the values of {', '.join(BIOLOGY)}, and those of {', '.join(BATCHES)}, in this order.",
        )
    overall = BIOLOGY_WEIGHT * kept.mean(axis=-1) + (1 - BIOLOGY_WEIGHT) * mixed.mean(axis=-1)
    return np.asarray(overall)
