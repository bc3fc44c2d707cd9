"""Local inverse Simpson's index: how many groups each cell has in its neighbourhood, in effect."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.neighbours import Neighbours

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]

# In nats: the entropy of a cell's weights may be that far from the perplexity asked for.
_TOLERANCE = 1e-5
_STEPS = 50
# Of the logarithm of the rate: fifty such steps stay within single precision.
_LONGEST_STEP = 1.5
# Cells worked on at once: their weights stay in the processor's cache.
_BLOCK = 4096


def effective_groups(
    neighbours: Neighbours, groups: Sequence[IntArray], perplexity: float | None
) -> list[FloatArray]:
    """Count each query's neighbouring groups in effect: the inverse of their Simpson index.

    Parameters
    ----------
    neighbours
        Of some cells, each itself first; a cell is no neighbour of its own here.
    groups
        Labellings of all cells, codes from 0, each of shape (n,).
    perplexity
        How many neighbours count in effect: their weights fall exponentially with distance, at a rate that
        gives them the entropy log(perplexity). None weighs all alike.

    Returns
    -------
    1 (all weight on one group) to the number of groups, shape (q,), one array for each labelling.

    References
    ----------
    Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0.
    """
    found = [np.empty(len(neighbours.queries)) for _ in groups]
    for start in range(0, len(neighbours.queries), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = neighbours.distances[block, 1:]
        weights = np.ones_like(distances) if perplexity is None else _weights(distances, perplexity)
        for codes, inverse in zip(groups, found, strict=True):
            shares = _weight_by_group(codes[neighbours.indices[block, 1:]], weights, int(codes.max()) + 1)
            inverse[block] = shares.sum(axis=1) ** 2 / (shares**2).sum(axis=1)
    return found


def _weight_by_group(codes: IntArray, weights: Float32Array, n_groups: int) -> FloatArray:
    """Add up each row's weights by group: (rows, k) → (rows, groups)."""
    rows = len(codes)
    places = codes + np.arange(rows)[:, None] * n_groups
    sums = np.bincount(places.ravel(), weights.ravel(), rows * n_groups).astype(np.float64)
    return sums.reshape(rows, n_groups)


def _weights(distances: Float32Array, perplexity: float) -> Float32Array:
    """Weigh neighbours by exp(-rate * distance), with each row's rate such that the entropy is as asked for.

    Newton's steps in the logarithm of the rate, kept between the rates known to be too low and too high.
    Where more neighbours than asked for tie as the nearest, the entropy can't fall so low: the rate grows
    until they alone have weight.
    """
    # The nearest at 0: weights are the same but for a factor, and never all of them vanish.
    beyond = distances - distances[:, :1]
    mean = beyond.mean(axis=1, keepdims=True)
    beyond = np.divide(beyond, mean, out=beyond, where=mean > 0)
    found, left = np.empty_like(beyond), np.arange(len(beyond))
    rate = np.ones(len(beyond), dtype=np.float32)
    low, high = np.zeros_like(rate), np.full_like(rate, np.inf)
    for _ in range(_STEPS):
        exponents = rate[:, None] * beyond
        weights = np.exp(-exponents)
        entropy, spread = _entropy(weights, exponents)
        off = entropy - np.float32(math.log(perplexity))
        found[left] = weights
        far = np.abs(off) >= _TOLERANCE
        if not far.any():
            break
        left, beyond, rate, off, spread = (each[far] for each in (left, beyond, rate, off, spread))
        low, high = np.where(off > 0, rate, low[far]), np.where(off > 0, high[far], rate)
        rate = _next_rate(rate, off, spread, low, high)
    return np.asarray(found, dtype=np.float32)


def _entropy(weights: Float32Array, exponents: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Entropy of each row's weights in nats, and how fast it falls with the logarithm of the rate."""
    total = weights.sum(axis=1)
    mean = np.einsum("ij,ij->i", weights, exponents) / total
    square = np.einsum("ij,ij,ij->i", weights, exponents, exponents) / total
    return np.log(total) + mean, square - mean**2


def _next_rate(
    rate: Float32Array, off: Float32Array, spread: Float32Array, low: Float32Array, high: Float32Array
) -> Float32Array:
    step = np.divide(off, spread, out=np.sign(off) * np.float32(_LONGEST_STEP), where=spread > 0)
    newton = rate * np.exp(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP))
    halfway = np.where(np.isinf(high), 2 * rate, (low + high) / 2)
    return np.asarray(np.where((low < newton) & (newton < high), newton, halfway))
