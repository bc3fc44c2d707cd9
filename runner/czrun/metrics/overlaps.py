"""How many cells each label and each cluster share, and the agreement of the two that follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.chance import expected_information, n_terms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# What a cell count, or a term of an expectation over counts, costs against a plain sum's addend.
_OPERATIONS = 4


@dataclass(frozen=True)
class Overlap:
    """Cells that each label and cluster share, in some replicates, pairs without cells left out.

    Attributes
    ----------
    shared
        Cells of each pair of a label and a cluster, shape (replicates, pairs).
    by_label, by_cluster
        Cells of each, shapes (replicates, labels) and (replicates, clusters).
    """

    shared: FloatArray
    by_label: FloatArray
    by_cluster: FloatArray

    @property
    def n_obs(self) -> FloatArray:
        """Cells in all, shape (replicates,)."""
        return np.asarray(self.by_label.sum(axis=1))

    @property
    def undefined(self) -> NDArray[np.bool_]:
        """Whether all cells have one label, or each its own, shape (replicates,)."""
        return np.asarray(((self.by_label > 0).sum(axis=1) < 2) | (self.by_label.max(axis=1) <= 1))


@dataclass(frozen=True)
class OverlapTally:
    """Metrics that follow from how many cells each label and cluster share, for any redraw of units.

    Attributes
    ----------
    names
        Ids of the metrics.
    units, amounts, starts
        The cells that one draw of a unit adds to a pair: pairs in order, each from its start on.
    label_starts
        The first pair of each label.
    by_cluster, cluster_starts
        The pairs ordered by cluster, and the first of each cluster in that order.
    cost
        Elementary operations that one replicate takes.
    """

    names: tuple[str, ...]
    units: IntArray
    amounts: FloatArray
    starts: IntArray
    label_starts: IntArray
    by_cluster: IntArray
    cluster_starts: IntArray
    cost: int

    @classmethod
    def of(
        cls, names: tuple[str, ...], label: IntArray, cluster: IntArray, unit: IntArray, share: IntArray
    ) -> OverlapTally:
        """Count the cells of each unit, shape and share as of `Family.tally`, by label and cluster."""
        width = int(cluster.max()) + 1
        pairs, pair = np.unique(label * width + cluster, return_inverse=True)
        entries, cells = np.unique(pair * len(share) + unit, return_counts=True)
        units = entries % len(share)
        by_cluster = np.argsort(pairs % width, kind="stable")
        terms = n_terms(np.bincount(label), np.bincount(cluster)) if "ami" in names else 0
        return cls(
            names=names,
            units=units,
            amounts=cells / share[units],
            starts=_starts(entries // len(share)),
            label_starts=_starts(pairs // width),
            by_cluster=by_cluster,
            cluster_starts=_starts((pairs % width)[by_cluster]),
            cost=_OPERATIONS * (len(entries) + terms),
        )

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics); NaN where a metric is undefined."""
        shared = np.add.reduceat(draws.take(self.units, axis=1) * self.amounts, self.starts, axis=1)
        overlap = Overlap(
            shared,
            np.add.reduceat(shared, self.label_starts, axis=1),
            np.add.reduceat(shared.take(self.by_cluster, axis=1), self.cluster_starts, axis=1),
        )
        return np.stack([_KERNELS[name](overlap) for name in self.names], axis=1)


def _starts(groups: IntArray) -> IntArray:
    """Find where each run of equal values starts."""
    return np.concatenate([[0], np.flatnonzero(np.diff(groups)) + 1])


def _ari(overlap: Overlap) -> FloatArray:
    n = overlap.n_obs
    together, in_label, in_cluster = (
        (cells * (cells - 1)).sum(axis=1) for cells in (overlap.shared, overlap.by_label, overlap.by_cluster)
    )
    expected = _ratio(in_label * in_cluster, n * (n - 1), ~overlap.undefined)
    return _ratio(together - expected, (in_label + in_cluster) / 2 - expected, ~overlap.undefined)


def _nmi(overlap: Overlap) -> FloatArray:
    entropies = _entropy(overlap.by_label) + _entropy(overlap.by_cluster)
    return _ratio(2 * _information(overlap), entropies, ~overlap.undefined)


def _homogeneity(overlap: Overlap) -> FloatArray:
    return _ratio(_information(overlap), _entropy(overlap.by_label), ~overlap.undefined)


def _completeness(overlap: Overlap) -> FloatArray:
    one_cluster = (overlap.by_cluster > 0).sum(axis=1) == 1
    share = _ratio(_information(overlap), _entropy(overlap.by_cluster), ~(overlap.undefined | one_cluster))
    return np.asarray(np.where(one_cluster & ~overlap.undefined, 1.0, share))


def _ami(overlap: Overlap) -> FloatArray:
    expected = expected_information(overlap.by_label, overlap.by_cluster)
    highest = (_entropy(overlap.by_label) + _entropy(overlap.by_cluster)) / 2
    return _ratio(_information(overlap) - expected, highest - expected, ~overlap.undefined)


def _n_clusters(overlap: Overlap) -> FloatArray:
    return np.asarray((overlap.by_cluster > 0).sum(axis=1), dtype=np.float64)


_KERNELS: Mapping[str, Callable[[Overlap], FloatArray]] = {
    "ari": _ari,
    "nmi": _nmi,
    "ami": _ami,
    "homogeneity": _homogeneity,
    "completeness": _completeness,
    "n_clusters": _n_clusters,
}


def _entropy(cells: FloatArray) -> FloatArray:
    """Entropy of a partition in nats, from its groups' cells: (replicates, groups) → (replicates,)."""
    n = cells.sum(axis=1)
    logarithms = np.log(cells, out=np.zeros_like(cells), where=cells > 0)
    return np.asarray(np.log(n) - (cells * logarithms).sum(axis=1) / n)


def _information(overlap: Overlap) -> FloatArray:
    """Mutual information of labels and clusters in nats, shape (replicates,)."""
    apart = _entropy(overlap.by_label) + _entropy(overlap.by_cluster)
    return np.maximum(apart - _entropy(overlap.shared), 0.0)


def _ratio(numerator: FloatArray, denominator: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    ratio = np.full(len(where), np.nan)
    np.divide(numerator, denominator, out=ratio, where=where)
    return ratio
