"""Which cells lie nearest to which."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics.candidates import Found
from czrun.metrics.exact_search import QUERIES_AT_ONCE, Haystack, search_each
from czrun.metrics.inverted_lists import Lists
from czrun.metrics.mutual_search import search_all
from czrun.metrics.points import Points, sound_points
from czrun.metrics.threads import in_threads

IntArray = NDArray[np.int64]

_RECALL = 0.95
_RECALL_SAMPLE = 1000
_FEW_LISTS = 32
_LARGEST_PART = 6


@dataclass(frozen=True)
class Neighbours:
    """Nearest cells of some query cells, each one itself first.

    Attributes
    ----------
    queries
        Rows of the embedding, shape (q,).
    indices
        Rows of the embedding, nearest first, equals by row number, shape (q, k); column 0 is the query.
    distances
        Euclidean, ascending along a row, shape (q, k); column 0 is 0.
    recall
        None when exact, else the share of true neighbours among those found, measured on a sample.
    """

    queries: IntArray
    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    recall: float | None = None

    @property
    def k(self) -> int:
        """Cells found for each query, itself included."""
        return int(self.indices.shape[1])

    @property
    def note(self) -> str:
        """What a reader of a value that follows from these must know; empty when they are exact."""
        return "" if self.recall is None else f"on approximate neighbours, {self.recall:.1%} of them true"

    def first(self, k: int) -> Neighbours:
        """Keep the `k` nearest, itself included; all there are when there aren't as many."""
        return Neighbours(self.queries, self.indices[:, :k], self.distances[:, :k], self.recall)


def nearest(embedding: NDArray[Any], k: int, queries: IntArray | None = None) -> Neighbours:
    """Find the `k` nearest cells, exactly.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    k
        How many, the cell itself included; clipped to n.
    queries
        Rows whose neighbours are wanted; all of them when None.

    Raises
    ------
    ScoringError
        When the embedding isn't sound, k isn't positive, or a query is no row of it.
    """
    array = sound_points(embedding)
    rows = np.arange(len(array)) if queries is None else _sound_queries(queries, len(array))
    return search_exactly(Points.of(array), rows, sound_k(k, len(array)))


def nearest_approximate(embedding: NDArray[Any], k: int, seed: int = 0) -> Neighbours:
    """Find most of the `k` nearest cells of every cell, for embeddings of millions of cells.

    The cells are sorted into lists by k-means; each cell's neighbours are sought, exactly, in the lists
    nearest to its own, in as many as it takes to find 95 % of the true neighbours, or in a sixth of all.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    k
        How many, the cell itself included; clipped to n.
    seed
        Of the k-means and of the sample of 1,000 cells on which `Neighbours.recall` is measured.

    Raises
    ------
    ScoringError
        When the embedding isn't sound, or k isn't positive.
    """
    array = sound_points(embedding)
    return search_lists(Points.of(array), sound_k(k, len(array)), seed)


def search_exactly(points: Points, queries: IntArray, k: int) -> Neighbours:
    """Find the `k` nearest cells of `queries`, all arguments known to be sound."""
    found = _themselves(queries, k)

    def enter(places: IntArray, nearest: Found) -> None:
        _enter(found, places, nearest, points)

    if k > 1 and np.array_equal(queries, np.arange(len(points.exact))):
        search_all(points, k - 1, enter)
    elif k > 1:
        search_each(points, queries, k - 1, enter)
    return found


def search_lists(points: Points, k: int, seed: int) -> Neighbours:
    """Find most of the `k` nearest cells of every cell, all arguments known to be sound."""
    everyone = np.arange(len(points.exact))
    if k == 1:
        return _themselves(everyone, k)
    lists = Lists.of(points, seed)
    sample = np.random.default_rng(seed).choice(
        len(everyone), min(_RECALL_SAMPLE, len(everyone)), replace=False
    )
    recalls = lists.recalls(sample, search_exactly(points, sample, k).indices[:, 1:].astype(np.int64))
    searched = min(int(np.searchsorted(recalls, _RECALL)) + 1, max(_FEW_LISTS, len(lists) // _LARGEST_PART))
    searched = min(max(searched, lists.enough_for(k)), len(lists))
    found = _themselves(everyone, k)

    def search(number: int) -> None:
        haystack = Haystack(points, lists.members(lists.near[number, :searched]))
        queries = lists.members(np.array([number]))
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            part = queries[start : start + QUERIES_AT_ONCE]
            _enter(found, part, haystack.nearest(part, k - 1), points)

    _exhaust(in_threads(search, range(len(lists))))
    return replace(found, recall=float(recalls[searched - 1]))


def _enter(found: Neighbours, rows: IntArray, block: Found, points: Points) -> None:
    found.indices[rows, 1:] = block.cells
    found.distances[rows, 1:] = np.sqrt(block.squares) / points.scale


def _exhaust(work: Iterable[None]) -> None:
    for _ in work:
        pass


def _themselves(queries: IntArray, k: int) -> Neighbours:
    indices = np.empty((len(queries), k), dtype=np.int32)
    indices[:, 0] = queries
    return Neighbours(queries, indices, np.zeros((len(queries), k), dtype=np.float32))


def sound_k(k: int, n_obs: int) -> int:
    """Clip a number of neighbours to the cells that there are."""
    if k < 1:
        raise ScoringError(f"{k} neighbours make no sense.", "Ask for 1 or more; the cell itself counts.")
    return min(k, n_obs)


def _sound_queries(queries: NDArray[Any], n_obs: int) -> IntArray:
    rows = np.asarray(queries)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        problem = f"got {rows.dtype} of shape {rows.shape}"
    elif len(rows) and (rows.min() < 0 or rows.max() >= n_obs):
        problem = f"some are outside 0..{n_obs - 1}"
    else:
        return rows.astype(np.int64)
    raise ScoringError(f"Queries are rows of the embedding: {problem}.", "Give whole numbers of shape (q,).")
