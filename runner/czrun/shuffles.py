"""Whether an order can have come about by chance: exact odds, so that a false alarm is as rare as it says.

Under a random order each count that is looked at here is hypergeometric, whatever the data: no
approximation that fails for twenty cells, and no simulation that can't tell one in a billion.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lgamma, log, log1p

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.integer]

_ID_BITS = 63
_CELLS_FOR_BITS = 1 << 14


def odds_of_order(codes: Codes) -> float:
    """Bound the odds that a random order of cells tells as much of their groups as this one.

    Three things are counted for each group: its cells in the first half (sorted, or drifting), those in even
    places (taking turns), and the pairs of neighbours that are both of it (in blocks, or in longer turns).

    Parameters
    ----------
    codes
        Group of each cell, in the order in question, from 0, shape (n_obs,).

    Returns
    -------
    Natural logarithm of an upper bound of the probability, at most 0.
    """
    n_obs = len(codes)
    if n_obs < 2:
        return 0.0
    sizes, half, n_pairs = np.bincount(codes), n_obs // 2, n_obs // 2
    first = np.bincount(codes[:half], minlength=len(sizes))
    left, right = codes[0 : 2 * n_pairs : 2], codes[1 : 2 * n_pairs : 2]
    # Given which groups the even places hold, the odd places are a random order of what they hold.
    both = np.bincount(left[left == right], minlength=len(sizes))
    lefts, rights = (np.bincount(side, minlength=len(sizes)) for side in (left, right))
    pairs = lefts + rights
    found = np.flatnonzero(sizes).tolist()
    odds = [_log_tail(int(first[group]), n_obs, int(sizes[group]), half) for group in found]
    odds += [_log_tail(int(lefts[group]), 2 * n_pairs, int(pairs[group]), n_pairs) for group in found]
    odds += [_log_tail(int(both[group]), n_pairs, int(lefts[group]), int(rights[group])) for group in found]
    return min(0.0, min(odds) + log(len(odds)))


def odds_of_bits(numbers: npt.NDArray[np.uint64], codes: Codes) -> float:
    """Bound the odds that random numbers' single bits tell as much of the cells' groups as these do.

    Parameters
    ----------
    numbers, codes
        Number and group of each cell, shape (n_obs,); of many cells the first 16,384 are looked at.

    Returns
    -------
    Natural logarithm of an upper bound of the probability, at most 0.
    """
    numbers, codes = numbers[:_CELLS_FOR_BITS], codes[:_CELLS_FOR_BITS]
    sizes = np.bincount(codes)
    groups, odds = np.flatnonzero(sizes).tolist(), [0.0]
    for bit in _bits(numbers):
        marked = np.bincount(codes[bit], minlength=len(sizes))
        total = int(bit.sum())
        odds += [_log_tail(int(marked[group]), len(codes), int(sizes[group]), total) for group in groups]
    return min(0.0, min(odds) + log(len(odds)))


def odds_of_numbers(numbers: npt.NDArray[np.uint64]) -> float:
    """Bound the odds that as many of the 63 bits of random numbers never change: counters have many such.

    Returns
    -------
    Natural logarithm of an upper bound of the probability, at most 0.
    """
    numbers = numbers[:_CELLS_FOR_BITS]
    constant = sum(bool(bit.all() or not bit.any()) for bit in _bits(numbers))
    ways = lgamma(_ID_BITS + 1) - lgamma(constant + 1) - lgamma(_ID_BITS - constant + 1)
    return min(0.0, ways - constant * (len(numbers) - 1) * log(2))


def _bits(numbers: npt.NDArray[np.uint64]) -> Iterator[npt.NDArray[np.bool_]]:
    for place in range(_ID_BITS):
        yield (numbers >> np.uint64(place) & np.uint64(1)).astype(bool)


def _log_tail(found: int, total: int, marked: int, drawn: int) -> float:
    """Bound the odds of a hypergeometric count at least as far out as this one, on either side.

    The ratio of neighbouring probabilities falls with the distance from the mean, so the tail is at most a
    geometric series of the first ratio.
    """
    above = (marked - found) * (drawn - found), (found + 1) * (total - marked - drawn + found + 1)
    below = found * (total - marked - drawn + found), (marked - found + 1) * (drawn - found + 1)
    steps, ways = above if found * total > marked * drawn else below
    if steps >= ways:
        return 0.0
    log_odds = _log_choose(marked, found) + _log_choose(total - marked, drawn - found)
    log_odds -= _log_choose(total, drawn)
    return min(0.0, log(2) + log_odds - log1p(-steps / ways))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
