"""Leiden clusters on UMAP's graph of nearest neighbours, as scanpy makes both."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import chain, repeat
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError

if TYPE_CHECKING:
    from czrun.metrics.neighbours import Neighbours

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]

RESOLUTION = 1.0
N_ITERATIONS = 2

# UMAP's own constants: how near the fuzzy count of neighbours must come to its target, in how many
# halvings, and the least share of the mean distance that a scale may be.
_TOLERANCE = 1e-5
_HALVINGS = 64
_LEAST_SCALE = np.float32(1e-3)
# Cells and edges worked on at once: they stay in the processor's cache.
_BLOCK = 8192
_WORDS = 4096


@dataclass(frozen=True)
class Edges:
    """An undirected weighted graph, each edge once, by its first cell and then by its second.

    Attributes
    ----------
    first, second
        Rows of the embedding, ``first < second``, shape (edges,).
    weight
        Over 0, up to 1, shape (edges,).
    n_obs
        Cells.
    """

    first: IntArray
    second: IntArray
    weight: Float32Array
    n_obs: int


def umap_graph(neighbours: Neighbours) -> Edges:
    """Join cells to their nearest neighbours as UMAP does, and scanpy after it.

    Each cell reaches out to its neighbours with weights that fall exponentially beyond the nearest one, at
    a scale that makes them add up to the logarithm (base 2) of k; what two cells hold of one another is
    joined as the probability that either holds.

    Parameters
    ----------
    neighbours
        Of every cell, k of each, itself included; scanpy takes 15.

    Returns
    -------
    The edges of scanpy's ``connectivities``, above its diagonal.

    References
    ----------
    McInnes, Healy & Melville 2018, doi:10.48550/arXiv.1802.03426.
    """
    n = _n_obs(neighbours)
    # One row a rank, so that sums over neighbours are taken in UMAP's order, and fast.
    distances = np.ascontiguousarray(neighbours.distances.T, dtype=np.float32)
    typical = distances.mean(dtype=np.float64)
    weights = np.empty((distances.shape[0] - 1, n), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        block = slice(start, start + _BLOCK)
        weights[:, block] = _reach(distances[:, block], np.float32(typical))
    return _joined(neighbours.indices[:, 1:], weights, n)


def leiden(neighbours: Neighbours, seed: int = 0) -> IntArray:
    """Cluster cells by the Leiden algorithm: modularity, resolution 1, two iterations.

    The clusters are those of ``scanpy.tl.leiden(flavor="igraph", n_iterations=2, random_state=seed)`` on
    the same neighbours.

    Parameters
    ----------
    neighbours
        Of every cell, k of each, itself included; scanpy takes 15.
    seed
        Of the random generator.

    Returns
    -------
    Cluster of each cell, codes from 0, shape (n,).

    Raises
    ------
    ScoringError
        When igraph isn't installed.

    References
    ----------
    Traag, Waltman & van Eck 2019, doi:10.1038/s41598-019-41695-z.
    """
    igraph = _igraph()
    graph, weights = _as_igraph(igraph, umap_graph(neighbours))
    with _random_numbers(igraph, seed):
        found = graph.community_leiden(
            objective_function="modularity",
            weights=weights.data,
            resolution=RESOLUTION,
            n_iterations=N_ITERATIONS,
        )
    return np.array(found.membership, dtype=np.int64)


def _as_igraph(igraph: ModuleType, edges: Edges) -> tuple[Any, Float32Array]:
    """Make igraph's graph, and the weights of its edges.

    scanpy hands igraph both directions of every edge. Each once with twice the weight clusters the same to
    the last cell, and takes half the time; with the weight as it is, the random merges would differ.
    """
    return igraph.Graph(n=edges.n_obs, edges=_pairs(edges)), 2 * edges.weight


def _pairs(edges: Edges) -> Iterator[tuple[int, int]]:
    """List edges as igraph reads them fastest: it takes three times as long to go through an array."""
    starts = range(0, len(edges.weight), _BLOCK)
    parts = ((edges.first[start : start + _BLOCK], edges.second[start : start + _BLOCK]) for start in starts)
    return chain.from_iterable(zip(first.tolist(), second.tolist(), strict=True) for first, second in parts)


def _n_obs(neighbours: Neighbours) -> int:
    n = len(neighbours.queries)
    if not np.array_equal(neighbours.queries, np.arange(n)) or neighbours.indices.max() >= n:
        raise ScoringError(
            "A graph needs the neighbours of every cell.",
            "Ask for them without naming queries, or use Embedded.graph.",
        )
    return n


def _reach(distances: Float32Array, typical: np.float32) -> Float32Array:
    """Weigh each cell's neighbours from its own side: (k, cells), itself first → (k - 1, cells)."""
    others = distances[1:]
    nearest = np.where(others > 0, others, np.inf).min(axis=0)
    nearest = np.where(np.isinf(nearest), np.float32(0), nearest)
    beyond = np.maximum(others - nearest, np.float32(0))
    scale = _scales(beyond, np.log2(len(distances)))
    least = np.where(nearest > 0, distances.mean(axis=0), typical)
    scale = np.maximum(scale, _LEAST_SCALE * least)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.exp(-(beyond / scale)))


def _scales(beyond: Float32Array, target: float) -> Float32Array:
    """Find, by halving, the scale at which each cell's weights add up to the target; shape (cells,)."""
    n = beyond.shape[1]
    found, left = np.empty(n, dtype=np.float32), np.arange(n)
    low, high = np.zeros(n, dtype=np.float32), np.full(n, np.inf, dtype=np.float32)
    scale = np.ones(n, dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        for _ in range(_HALVINGS):
            total = np.exp(-(beyond / scale)).sum(axis=0)
            off = total.astype(np.float64) - target
            open_ = np.abs(off) >= _TOLERANCE
            if not open_.all():
                found[left[~open_]] = scale[~open_]
                left, beyond, off = left[open_], beyond[:, open_], off[open_]
                low, high, scale = low[open_], high[open_], scale[open_]
            low, high = np.where(off > 0, low, scale), np.where(off > 0, scale, high)
            scale = np.where(np.isinf(high), 2 * scale, (low + high) / 2)
    found[left] = scale
    return found


def _joined(others: NDArray[np.int32], weights: Float32Array, n: int) -> Edges:
    """Join what two cells hold of one another, a and b, to a + b - a b; `weights` has one row a rank."""
    cells, key = np.arange(n), np.empty(weights.shape, dtype=np.int64)
    for rank, other in enumerate(others.T):
        key[rank] = np.minimum(cells, other) * n + np.maximum(cells, other)
    held = weights > 0
    key, weights = key[held], weights[held]
    order = np.argsort(key)
    key, weights = key[order], weights[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    mutual = np.diff(starts, append=len(key)) == 2
    joined, back = weights[starts], np.zeros(len(starts), dtype=np.float32)
    back[mutual] = weights[starts[mutual] + 1]
    first, second = np.divmod(key[starts], n)
    return Edges(first, second, joined + back - joined * back, n)


def _igraph() -> ModuleType:
    try:
        return import_module("igraph")
    except ImportError:
        raise ScoringError(
            "Clusters need igraph, which is not installed.",
            "pip install 'czrun[leiden]', or let the model write clusters itself.",
        ) from None


@contextmanager
def _random_numbers(igraph: ModuleType, seed: int) -> Iterator[None]:
    """Let igraph draw from a generator of its own, then from Python's again, as is its default."""
    igraph.set_random_number_generator(_Draws(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


class _Draws:
    """NumPy's legacy generator behind the methods that igraph calls, with the numbers scanpy gives it.

    Both methods that Leiden's algorithm calls take 64 bits of the one stream. So they are drawn in blocks,
    and with as little Python a call as can be: a clustering makes seven calls a cell.
    """

    def __init__(self, seed: int) -> None:
        state = np.random.RandomState(seed)
        self.randint, self.gauss = state.randint, state.normal
        words: Iterator[int] = chain.from_iterable(_words(state) for _ in repeat(None))
        # igraph asks for 32 bits, always: next() takes the number for what to return when there are no more.
        self.getrandbits: Callable[[int], int] = partial(next, map(0xFFFFFFFF.__and__, words))
        self._next = words.__next__

    def random(self) -> float:
        """Return a number from 0 to below 1: the 27 and 26 high bits of two 32-bit words, as NumPy does."""
        word = self._next()
        return ((word >> 36) << 26 | (word >> 5) & 0x3FFFFFF) * 2.0**-53


def _words(state: np.random.RandomState) -> list[int]:
    """Draw what as many calls of its `tomaxint` would, which takes thirty times as long."""
    halves = state.randint(0, 2**32, size=(_WORDS, 2), dtype=np.uint32).astype(np.uint64)
    found: list[int] = ((halves[:, 0] << 31) | (halves[:, 1] >> 1)).tolist()
    return found
