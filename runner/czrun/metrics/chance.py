"""The mutual information that two partitions of some cells share by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A hypergeometric count lies this many standard deviations, and cells, from its mean with a probability
# under 1e-14: what lies further adds nothing to an expectation.
_SPREADS, _CELLS = 8.0, 16.0
# Counts of a pair that are worked on at once: enough that NumPy's calls cost little, few enough that little
# is done beyond the last likely count.
_BLOCK = 32


@dataclass(frozen=True)
class _Pairs:
    """Pairs of group sizes: a cells have the label, b are in the cluster, of n in all; each shape (pairs,).

    Attributes
    ----------
    a, b, n
        Cells.
    times
        How many pairs have these sizes.
    replicate
        The replicate that the pair belongs to.
    """

    a: IntArray
    b: IntArray
    n: IntArray
    times: IntArray
    replicate: IntArray

    @classmethod
    def of(cls, by_label: FloatArray, by_cluster: FloatArray) -> _Pairs:
        columns = []
        for replicate, (labels, clusters) in enumerate(zip(by_label, by_cluster, strict=True)):
            (a, a_times), (b, b_times) = _sizes(labels), _sizes(clusters)
            size = len(a) * len(b)
            n = np.full(size, np.dot(a, a_times))
            times = np.outer(a_times, b_times).ravel()
            columns.append(
                np.stack([np.repeat(a, len(b)), np.tile(b, len(a)), n, times, np.full(size, replicate)])
            )
        return cls(*np.concatenate(columns, axis=1))

    def taken(self, order: IntArray) -> _Pairs:
        """Put them in another order."""
        return _Pairs(*(each[order] for each in (self.a, self.b, self.n, self.times, self.replicate)))

    def likely(self) -> tuple[IntArray, IntArray]:
        """Bound the cells that the groups share by chance: the fewest, and how many values there are."""
        mean = self.a * (self.b / self.n)
        reach = _SPREADS * np.sqrt(mean * (1 - self.a / self.n)) + _CELLS
        low = np.maximum(np.maximum(1, self.a + self.b - self.n), np.floor(mean - reach).astype(np.int64))
        high = np.minimum(np.minimum(self.a, self.b), np.ceil(mean + reach).astype(np.int64))
        return low, high - low + 1


def expected_information(by_label: FloatArray, by_cluster: FloatArray) -> FloatArray:
    """Work out the mutual information that partitions into groups of such sizes share by chance.

    The cells that a label and a cluster share are then hypergeometric: the expectation runs over the counts
    that are not next to impossible, each one's probability following from the one before.

    Parameters
    ----------
    by_label, by_cluster
        Cells of each group, shapes (replicates, labels) and (replicates, clusters); whole numbers.

    Returns
    -------
    Nats, shape (replicates,).

    References
    ----------
    Vinh, Epps & Bailey 2009, doi:10.1145/1553374.1553511.
    """
    pairs = _Pairs.of(by_label, by_cluster)
    low, width = pairs.likely()
    order = np.argsort(-width, kind="stable")
    pairs, low, width = pairs.taken(order), low[order], width[order]
    chance = np.exp(_log_chance(pairs, low))
    total, share = np.zeros(len(low)), np.zeros(len(low))
    for start in range(0, int(width[0]), _BLOCK):
        # Those with the most counts come first.
        left = int(np.searchsorted(-width, -start))
        counts = low[:left, None] + np.arange(start, start + _BLOCK)
        chances = chance[:left, None] * _cumulated(_growth(pairs, counts))
        chance = chances[:, -1]
        total[:left] += np.einsum("ij,ij->i", chances[:, :-1], _n_log_n(int(pairs.n.max()))[counts])
        share[:left] += np.einsum("ij,ij->i", chances[:, :-1], counts.astype(np.float64))
    logarithm = np.log(pairs.n) - np.log(pairs.a) - np.log(pairs.b)
    information = pairs.times * (total + share * logarithm) / pairs.n
    return np.bincount(pairs.replicate, information, len(by_label)).astype(np.float64)


def n_terms(by_label: IntArray, by_cluster: IntArray) -> int:
    """Count the terms of `expected_information` for one replicate with groups of these sizes."""
    sizes = (cells[None].astype(np.float64) for cells in (by_label, by_cluster))
    return int(_Pairs.of(*sizes).likely()[1].sum())


def _sizes(cells: FloatArray) -> tuple[IntArray, IntArray]:
    """Count the groups of each size, empty ones left out."""
    sizes, times = np.unique(np.rint(cells[cells > 0]).astype(np.int64), return_counts=True)
    return sizes, times


def _log_chance(pairs: _Pairs, shared: IntArray) -> FloatArray:
    """Logarithm of the hypergeometric probability that groups share so many cells."""
    f = _log_factorials(int(pairs.n.max()))
    a, b, n = pairs.a, pairs.b, pairs.n
    ways = f[a] + f[b] + f[n - a] + f[n - b] - f[n]
    return np.asarray(ways - f[shared] - f[a - shared] - f[b - shared] - f[n - a - b + shared])


def _growth(pairs: _Pairs, counts: IntArray) -> FloatArray:
    """Divide the probability of one more shared cell than `counts` by that of `counts`."""
    first = slice(0, len(counts))
    a, b, n = (each[first, None] for each in (pairs.a, pairs.b, pairs.n))
    # As floats: a product of sizes can pass 64 bits. It is 0 at the smaller group's size, and what is
    # multiplied up beyond that stays 0.
    more = (a - counts).astype(np.float64) * (b - counts)
    return np.asarray(more / ((counts + 1.0) * (n - a - b + counts + 1)))


def _cumulated(growth: FloatArray) -> FloatArray:
    """Multiply up along rows, starting with 1: (pairs, m) → (pairs, m + 1)."""
    padded = np.pad(growth, ((0, 0), (1, 0)), constant_values=1.0)
    return np.asarray(np.cumprod(padded, axis=1), dtype=np.float64)


def _table_size(n: int) -> int:
    # A power of two, so that redraws of donors, whose cells differ in number, share one table.
    return (1 << n.bit_length()) + _BLOCK


def _log_factorials(n: int) -> FloatArray:
    """Natural logarithms of 0!, 1!, ... to at least n!."""
    return _log_factorial_table(_table_size(n))


def _n_log_n(n: int) -> FloatArray:
    """0, 1 log 1, 2 log 2, ... to at least n log n, and `_BLOCK` further."""
    return _n_log_n_table(_table_size(n))


@lru_cache(maxsize=1)
def _log_factorial_table(size: int) -> FloatArray:
    return np.fromiter(map(math.lgamma, range(1, size + 1)), dtype=np.float64, count=size)


@lru_cache(maxsize=1)
def _n_log_n_table(size: int) -> FloatArray:
    n = np.arange(size, dtype=np.float64)
    return np.asarray(n * np.log(np.maximum(n, 1)))
