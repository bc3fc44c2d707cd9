"""Clusters against labels: how far one partition of the cells agrees with another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.encoding import IntArray, encode
from czrun.metrics.families import Family, plain_value
from czrun.metrics.overlaps import OverlapTally

_UNDEFINED = "all cells have one label, or every cell has its own"
_ROSENBERG = "Rosenberg & Hirschberg 2007, https://aclanthology.org/D07-1043"

METRICS: Mapping[str, MetricInfo] = {
    info.id: info
    for info in (
        MetricInfo(
            "ari",
            "Adjusted Rand index",
            Range(-0.5, 1),
            True,
            _UNDEFINED,
            "Hubert & Arabie 1985, doi:10.1007/BF01908075",
            Needs.CLUSTERS,
        ),
        MetricInfo(
            "nmi",
            "Normalized mutual information",
            Range(0, 1),
            True,
            _UNDEFINED,
            "Danon et al. 2005, doi:10.1088/1742-5468/2005/09/P09008",
            Needs.CLUSTERS,
        ),
        MetricInfo(
            "ami",
            "Adjusted mutual information",
            Range(None, 1),
            True,
            _UNDEFINED,
            "Vinh, Epps & Bailey 2009, doi:10.1145/1553374.1553511",
            Needs.CLUSTERS,
        ),
        MetricInfo("homogeneity", "Homogeneity", Range(0, 1), True, _UNDEFINED, _ROSENBERG, Needs.CLUSTERS),
        MetricInfo("completeness", "Completeness", Range(0, 1), True, _UNDEFINED, _ROSENBERG, Needs.CLUSTERS),
        MetricInfo(
            "n_clusters",
            "Clusters",
            Range(1, None),
            None,
            "",
            "Traag, Waltman & van Eck 2019, doi:10.1038/s41598-019-41695-z",
            Needs.CLUSTERS,
        ),
    )
}
"""Clusters against labels; all of them follow from how many cells each label and cluster share."""


def ari(labels: ArrayLike, clusters: ArrayLike) -> MetricValue:
    """Count the pairs of cells that both partitions keep together, beyond chance; -0.5..1, higher is better.

    The adjusted Rand index: 0 by chance, 1 for partitions alike.

    Undefined when all cells have one label, or every cell its own.

    Parameters
    ----------
    labels, clusters
        The label and the cluster of each cell, shape (n,).

    References
    ----------
    Hubert & Arabie 1985, doi:10.1007/BF01908075.
    """
    return _value("ari", labels, clusters)


def nmi(labels: ArrayLike, clusters: ArrayLike) -> MetricValue:
    """Mutual information over the mean of the two entropies; 0..1, higher is better.

    Not corrected for chance: many small clusters score high. Undefined when all cells have one label, or
    every cell its own.

    Parameters
    ----------
    labels, clusters
        The label and the cluster of each cell, shape (n,).

    References
    ----------
    Danon et al. 2005, doi:10.1088/1742-5468/2005/09/P09008.
    """
    return _value("nmi", labels, clusters)


def ami(labels: ArrayLike, clusters: ArrayLike) -> MetricValue:
    """Mutual information in excess of chance, over the mean entropy in excess; up to 1, 0 by chance.

    Higher is better. Undefined when all cells have one label, or every cell its own.

    Parameters
    ----------
    labels, clusters
        The label and the cluster of each cell, shape (n,).

    References
    ----------
    Vinh, Epps & Bailey 2009, doi:10.1145/1553374.1553511 (their arithmetic mean).
    """
    return _value("ami", labels, clusters)


def homogeneity(labels: ArrayLike, clusters: ArrayLike) -> MetricValue:
    """Share of the labels' entropy that the clusters explain; 0..1, higher is better.

    1 where every cluster holds cells of one label. Undefined when all cells have one label, or every cell
    its own.

    Parameters
    ----------
    labels, clusters
        The label and the cluster of each cell, shape (n,).

    References
    ----------
    Rosenberg & Hirschberg 2007, https://aclanthology.org/D07-1043.
    """
    return _value("homogeneity", labels, clusters)


def completeness(labels: ArrayLike, clusters: ArrayLike) -> MetricValue:
    """Share of the clusters' entropy that the labels explain; 0..1, higher is better.

    1 where every label lies in one cluster, a single cluster of all cells included. Undefined when all
    cells have one label, or every cell its own.

    Parameters
    ----------
    labels, clusters
        The label and the cluster of each cell, shape (n,).

    References
    ----------
    Rosenberg & Hirschberg 2007, https://aclanthology.org/D07-1043.
    """
    return _value("completeness", labels, clusters)


def n_clusters(clusters: ArrayLike) -> MetricValue:
    """Count the clusters; 1 or more, neither direction is better; always defined.

    Parameters
    ----------
    clusters
        The cluster of each cell, shape (n,).
    """
    return _value("n_clusters", clusters, clusters)


def partition_family(labels: ArrayLike, clusters: ArrayLike, note: str = "") -> Family:
    """All of `METRICS` but AMI, which costs much more a replicate and has `ami_family`.

    Parameters
    ----------
    note
        What a reader must know of these clusters, see `Embedded.clusters_note`.
    """
    return _family(tuple(name for name in METRICS if name != "ami"), labels, clusters, note)


def ami_family(labels: ArrayLike, clusters: ArrayLike, note: str = "") -> Family:
    """AMI on its own: its expectation is computed anew for every replicate."""
    return _family(("ami",), labels, clusters, note)


def _value(name: str, labels: ArrayLike, clusters: ArrayLike) -> MetricValue:
    label, cluster = encode({"labels": labels, "clusters": clusters})
    return plain_value(_of_codes((name,), label, cluster), name, len(label), METRICS[name].undefined)


def _family(names: tuple[str, ...], labels: ArrayLike, clusters: ArrayLike, note: str) -> Family:
    label, cluster = encode({"labels": labels, "clusters": clusters})
    return _of_codes(names, label, cluster, note)


def _of_codes(names: tuple[str, ...], label: IntArray, cluster: IntArray, note: str = "") -> Family:
    def tally(unit: IntArray, share: IntArray) -> OverlapTally:
        return OverlapTally.of(names, label, cluster, unit, share)

    notes = dict.fromkeys(names, note) if note else {}
    return Family(names, tally, kinds=np.stack([label, cluster], axis=1), notes=notes)
