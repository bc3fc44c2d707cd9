"""Choosing some of many cells: seeded, the same on every machine, and before any of their counts are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def combined_strata(columns: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.int32]:
    """Return one code for each combination of values that occurs.

    Parameters
    ----------
    columns
        Codes of each column, shape (n_obs,); a negative code, for a missing value, is a value of its own.
    """
    strata = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, codes = np.unique(column, return_inverse=True)
        # Packed anew after each column, so that no number of columns overflows.
        strata = np.unique(strata * len(values) + codes, return_inverse=True)[1]
    return strata.astype(np.int32)


def choose_stratified(
    strata: npt.NDArray[np.int32], ids: npt.NDArray[np.int64], n: int, seed: int
) -> npt.NDArray[np.int64]:
    """Choose cells so that strata keep their shares.

    Each stratum gives its share of `n` to within one cell, and at least one cell when `n` is not below the
    number of strata. Which of its cells those are is a matter of their ids and of the seed alone: neither
    the order of the cells nor the numbers of the strata counts, and when a stratum gives more of them, the
    others are still among them.

    Parameters
    ----------
    strata
        Stratum of each cell, codes from 0, shape (n_obs,).
    ids
        What a cell is known by wherever it stands, no two alike, shape (n_obs,).
    n
        How many to choose; all, when there are no more.
    seed
        Another seed chooses other cells, in the same numbers but for ties.

    Returns
    -------
    Positions of the chosen, ascending, shape (min(n, n_obs),).
    """
    if n >= len(ids):
        return np.arange(len(ids), dtype=np.int64)
    draws = _draws(ids, seed)
    order = np.lexsort((draws, strata))
    counts = np.bincount(strata)
    starts = np.cumsum(counts) - counts
    # Where shares tie, the stratum with the lowest draw goes first: codes may be numbered in any order.
    lowest = np.full(len(counts), np.iinfo(np.uint64).max, dtype=np.uint64)
    lowest[counts > 0] = draws[order[starts[counts > 0]]]
    by_stratum = strata[order]
    rank = np.arange(len(ids)) - starts[by_stratum]
    chosen = order[rank < _quotas(counts, n, lowest)[by_stratum]]
    return np.sort(chosen).astype(np.int64)


def _quotas(counts: npt.NDArray[np.int64], n: int, lowest: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Share `n` among the strata by largest remainder, in whole numbers: nothing is lost to rounding."""
    quotas = np.zeros(len(counts), dtype=np.int64)
    sharing = counts > 0
    if n >= np.count_nonzero(sharing):
        # Who would get less than one gets one, and the rest share what remains; that may make it too
        # little for others in turn.
        while len(small := np.flatnonzero(sharing & (counts * n < counts[sharing].sum()))):
            quotas[small] = 1
            sharing[small] = False
            n -= len(small)
    strata = np.flatnonzero(sharing)
    if len(strata):
        total = counts[strata].sum()
        quotas[strata], remainders = np.divmod(counts[strata] * n, total)
        by_remainder = strata[np.lexsort((lowest[strata], -remainders))]
        quotas[by_remainder[: n - quotas[strata].sum()]] += 1
    return quotas


def _draws(ids: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint64]:
    """Draw a number for each id: SplitMix64, under which no two ids draw the same."""
    with np.errstate(over="ignore"):
        start = _mixed(np.array([seed], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        return _mixed(ids.astype(np.uint64) ^ start)


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
