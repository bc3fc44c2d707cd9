"""An embedding, and what its metrics share."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.neighbours import Neighbours, search_exactly, search_lists, sound_k
from czrun.metrics.points import PointArray, Points, is_one_point, sound_points
from czrun.metrics.silhouette_widths import widths

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_CELLS_IN_FULL = 200_000
"""With more, pairs of all cells take too long: metrics look at a sample, graphs are approximate."""

SAMPLED_CELLS = 20_000
CLUSTERING_K = 15


class Embedded:
    """An embedding and what its metrics share, each computed once, when first asked for.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    seed
        Of the sample of cells, and of the clustering.

    Attributes
    ----------
    array
        The embedding as float32 or float64, shape (n, d).
    seed
        As given.

    Raises
    ------
    ScoringError
        When the embedding isn't two-dimensional, is empty, or isn't finite throughout.
    """

    def __init__(self, embedding: NDArray[Any], seed: int = 0) -> None:
        self.array: PointArray = sound_points(embedding)
        self.seed = seed
        self._exact: Neighbours | None = None
        self._approximate: Neighbours | None = None
        self._widths: tuple[IntArray, FloatArray] | None = None

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.array)

    @property
    def is_sampled(self) -> bool:
        """Whether `queries` are a sample of the cells."""
        return self.n_obs > MOST_CELLS_IN_FULL

    @cached_property
    def is_constant(self) -> bool:
        """Whether all cells lie in one place: most metrics are undefined then."""
        return is_one_point(self.array)

    @cached_property
    def points(self) -> Points:
        """The cells as kernels want them."""
        return Points.of(self.array)

    @cached_property
    def queries(self) -> IntArray:
        """Rows that metrics are averaged over, ascending: all cells, or a seeded sample of very many."""
        if not self.is_sampled:
            return np.arange(self.n_obs)
        drawn = np.random.default_rng(self.seed).choice(self.n_obs, SAMPLED_CELLS, replace=False)
        return np.sort(drawn)

    def sampling_note(self, error: float) -> str:
        """Say which cells an average is over, and its standard error; empty when it is all of them.

        For example "on 20,000 of 1,000,000 cells, drawn with seed 0; standard error 0.0012".
        """
        if not self.is_sampled:
            return ""
        drawn = f"on {SAMPLED_CELLS:,} of {self.n_obs:,} cells, drawn with seed {self.seed}"
        return f"{drawn}; standard error {error:.2g}"

    def neighbours(self, k: int) -> Neighbours:
        """Find the `k` nearest cells of each of `queries`, itself first, exactly; `k` is clipped to n_obs.

        Ask for the largest k first: a smaller one is then a part of it.
        """
        k = sound_k(k, self.n_obs)
        if self._exact is None or self._exact.k < k:
            self._exact = search_exactly(self.points, self.queries, k)
        return self._exact.first(k)

    def graph(self, k: int) -> Neighbours:
        """Find the `k` nearest cells of every cell, itself first: exactly, or approximately for very many."""
        if not self.is_sampled:
            return self.neighbours(k)
        k = sound_k(k, self.n_obs)
        if self._approximate is None or self._approximate.k < k:
            # Of a million cells they are 200 MB, which Leiden would want beside its own: not kept here.
            self._approximate = search_lists(Points.of(self.array), k, self.seed)
        return self._approximate.first(k)

    def silhouette_widths(self, codes: IntArray) -> FloatArray:
        """Silhouette width of each of `queries`, -1..1; kept for the labelling last asked for.

        Parameters
        ----------
        codes
            The label of each cell, codes from 0 of which each occurs, at least two; shape (n_obs,).
        """
        if self._widths is None or not np.array_equal(self._widths[0], codes):
            self._widths = codes, widths(self.points.exact, codes, self.queries)
        return self._widths[1]

    @cached_property
    def _clusters(self) -> IntArray:
        from czrun.metrics.leiden import leiden

        return leiden(self.graph(CLUSTERING_K), self.seed)

    def clusters(self) -> IntArray:
        """Cluster the cells: Leiden on the graph of 15 neighbours, codes of shape (n_obs,)."""
        return self._clusters

    def clusters_note(self) -> str:
        """Say that the clusters are those of approximate neighbours, and how good these are, if so."""
        return self.graph(CLUSTERING_K).note


def as_embedded(embedding: NDArray[Any] | Embedded) -> Embedded:
    """Take an array, or an embedding whose work is shared."""
    return embedding if isinstance(embedding, Embedded) else Embedded(embedding)
