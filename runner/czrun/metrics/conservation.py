"""What of the biology an embedding keeps: labels that hang together, and rare ones that stand apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError
from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.cell_scores import CellScores, grouped_mean_family
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.encoding import IntArray, encode
from czrun.metrics.families import Family, plain_value
from czrun.metrics.neighbourhoods import ONE_BATCH, ONE_LABEL, ONE_PLACE
from czrun.metrics.neighbours import Neighbours

FloatArray = NDArray[np.float64]

GRAPH_K = 15
NO_SILHOUETTE = "no cell of the isolated labels has a silhouette"

_LUECKEN = "Luecken et al. 2022, doi:10.1038/s41592-021-01336-8"

METRICS: Mapping[str, MetricInfo] = {
    info.id: info
    for info in (
        MetricInfo(
            "graph_connectivity",
            "Graph connectivity",
            Range(0, 1),
            True,
            ONE_PLACE,
            _LUECKEN,
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "isolated_labels",
            "Isolated labels' silhouette",
            Range(0, 1),
            True,
            f"{ONE_LABEL}, {ONE_BATCH}, or {NO_SILHOUETTE}",
            _LUECKEN,
            Needs.EMBEDDING,
        ),
    )
}
"""Higher where labels are kept."""


def graph_connectivity(embedding: NDArray[Any] | Embedded, labels: ArrayLike) -> MetricValue:
    """Average over labels the share of a label's cells that hang together among their 15 nearest.

    Over 0, up to 1, higher is better: 1 where every label's cells can reach one another by steps between
    neighbours of that label. Two cells are neighbours when either is among the other's 15 nearest, itself
    included, as in scib; scib-metrics goes from cell to neighbour only, and finds less. Undefined when all
    cells are in one place.

    Parameters
    ----------
    embedding
        Shape (n, d), or `Embedded`.
    labels
        The label of each cell, shape (n,).

    References
    ----------
    Luecken et al. 2022, doi:10.1038/s41592-021-01336-8.
    """
    embedded = as_embedded(embedding)
    return _value(connectivity_family(embedded, labels), embedded.n_obs)


def isolated_labels(silhouettes: ArrayLike, labels: ArrayLike, batches: ArrayLike) -> MetricValue:
    """Average over the labels found in the fewest batches their cells' silhouettes, scaled to 0..1.

    Higher is better: (s + 1) / 2 of how much nearer the cells of such a label lie to one another than to
    those of the nearest other label. Where all labels are in equally many batches they all count, as in
    scib. Undefined with one label or one batch.

    Parameters
    ----------
    silhouettes
        Of each cell among the labels, -1..1, shape (n,); NaN for a cell that none was computed of.
    labels, batches
        Of each cell, shape (n,).

    References
    ----------
    Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; by silhouettes, as scib-metrics'
    ``isolated_labels``.
    """
    return _value(isolated_family(silhouettes, labels, batches), len(np.asarray(labels)))


def connectivity_family(embedded: Embedded, labels: ArrayLike) -> Family:
    """Graph connectivity, with the graph as it is: a redraw weighs cells and labels anew."""
    (label,) = encode({"labels": labels}, embedded.n_obs)
    return grouped_mean_family({"graph_connectivity": _cell_connected(embedded, label)}, label)


def isolated_family(silhouettes: ArrayLike, labels: ArrayLike, batches: ArrayLike) -> Family:
    """Isolated labels, with silhouettes, and which labels are isolated, as they are."""
    label, batch = encode({"labels": labels, "batches": batches})
    scores = _cell_isolated(_sound(silhouettes, len(label)), label, batch)
    return grouped_mean_family({"isolated_labels": scores}, label)


def _value(family: Family, n_obs: int) -> MetricValue:
    """Score a family of one metric on all cells."""
    (name,) = family.names
    return plain_value(family, name, n_obs, METRICS[name].undefined)


def _cell_connected(embedded: Embedded, label: IntArray) -> CellScores:
    """Whether each cell is in its label's largest part of the graph: 1, or else 0."""
    if embedded.is_constant:
        return CellScores.nowhere(embedded.n_obs, ONE_PLACE)
    graph = embedded.graph(GRAPH_K)
    part = _parts(graph, label)
    sizes = np.bincount(part)
    label_of_part = np.empty(len(sizes), dtype=np.int64)
    label_of_part[part] = label
    largest = np.zeros(int(label.max()) + 1, dtype=np.int64)
    # Ascending, so that the largest part of each label is entered last; of equals, any will do.
    by_size = np.argsort(sizes, kind="stable")
    largest[label_of_part[by_size]] = by_size
    return CellScores((part == largest[label]).astype(np.float64), note=graph.note)


def _parts(graph: Neighbours, label: IntArray) -> IntArray:
    """Cut apart neighbours of different labels, and number what hangs together, shape (n,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(graph.queries)
    cells = np.repeat(graph.queries, graph.k)
    others = graph.indices.ravel()
    alike = label[cells] == label[others]
    joined = coo_array((np.ones(int(alike.sum()), dtype=np.bool_), (cells[alike], others[alike])), (n, n))
    return np.asarray(connected_components(joined.tocsr(), directed=False)[1], dtype=np.int64)


def _cell_isolated(silhouettes: FloatArray, label: IntArray, batch: IntArray) -> CellScores:
    """Scale the silhouettes of the cells of isolated labels; NaN elsewhere."""
    n = len(label)
    if label.max() == 0 or batch.max() == 0:
        return CellScores.nowhere(n, ONE_LABEL if label.max() == 0 else ONE_BATCH)
    pairs = np.unique(label * (batch.max() + 1) + batch)
    n_batches = np.bincount(pairs // (batch.max() + 1))
    isolated = n_batches == n_batches.min()
    values = np.where(isolated[label], (silhouettes + 1) / 2, np.nan)
    if np.isnan(values).all():
        return CellScores.nowhere(n, NO_SILHOUETTE)
    note = "all labels are in equally many batches, so all of them count" if isolated.all() else ""
    return CellScores(values, note=note)


def _sound(silhouettes: ArrayLike, n_obs: int) -> FloatArray:
    values = np.asarray(silhouettes, dtype=np.float64)
    if values.shape != (n_obs,):
        problem = f"shape {values.shape} for {n_obs} cells"
    elif (np.abs(values) > 1 + 1e-6).any():
        problem = "some are outside -1..1"
    else:
        return values
    raise ScoringError(f"These silhouettes can't be used: {problem}.", "Give one of -1..1 a cell, or NaN.")
