"""Scores of one condition's predicted expression, gene by gene: vectors in, one number out.

A delta is a mean's difference from the mean of the control cells. NaN means undefined and doesn't leave this
package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PSEUDOCOUNT = 1e-8
"""Added to both means of a ratio, as in cz-benchmarks."""

_ROUNDING_STEPS = 64


def without_rounding(predicted: NDArray[np.floating], control: FloatArray) -> FloatArray:
    """Replace predicted means that differ from the control mean by mere rounding with the control mean.

    A model that predicts no change writes the control mean as its own arithmetic rounds it. The differences
    that this leaves are no prediction, and correlating them would make a score of noise.

    Parameters
    ----------
    predicted
        Means in any floating dtype, by whose precision rounding is judged; any shape.
    control
        Of a shape that broadcasts to it.
    """
    step = max(np.finfo(predicted.dtype).eps, np.finfo(np.float32).eps)
    size = np.maximum(np.abs(predicted), np.abs(control))
    return np.where(np.abs(predicted - control) <= _ROUNDING_STEPS * step * size, control, predicted)


def pearson(one: FloatArray, other: FloatArray) -> float:
    """Pearson correlation; NaN when there are fewer than two genes, or one side is constant."""
    if len(one) < 2 or _is_constant(one) or _is_constant(other):
        return np.nan
    x, y = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float(np.clip((x * y).sum() / norm, -1, 1)) if norm > 0 else np.nan


def spearman(one: FloatArray, other: FloatArray) -> float:
    """Rank correlation with mid-ranks for ties; NaN as in `pearson`."""
    return pearson(mid_ranks(one), mid_ranks(other))


def mid_ranks(values: FloatArray) -> FloatArray:
    """Rank from 0 upwards, equal values by the middle of their ranks."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    after = np.cumsum(times)
    return np.asarray((after - (times + 1) / 2)[place])


def log_ratio(treated: FloatArray, control: FloatArray) -> FloatArray:
    """Logarithm of the ratio of two means that aren't negative."""
    return np.asarray(np.log((treated + PSEUDOCOUNT) / (control + PSEUDOCOUNT)))


def fold_change_spearman(predicted: FloatArray, true: FloatArray, control: FloatArray) -> float:
    """Rank correlation of the log ratios of predicted and true mean to control mean.

    Where one of the means is negative there are no ratios, and both sides are differences instead.
    """
    if any((means < 0).any() for means in (predicted, true, control)):
        return spearman(predicted - control, true - control)
    return spearman(log_ratio(predicted, control), log_ratio(true, control))


def top_hits(predicted: FloatArray, true: FloatArray, n_top: int) -> float:
    """Count the genes that are among the `n_top` of largest change both in the truth and in the prediction.

    Parameters
    ----------
    predicted, true
        Deltas, shape (genes,).
    n_top
        From 1 to the number of genes.

    Returns
    -------
    Predicted changes that tie for the last places share them evenly, so this may be a fraction.
    """
    chosen = np.argsort(-np.abs(true), kind="stable")[:n_top]
    size = np.abs(predicted)
    last = np.partition(size, -n_top)[-n_top]
    above, tied = size > last, size == last
    share = (n_top - above.sum()) / tied.sum()
    return float(above[chosen].sum() + share * tied[chosen].sum())


def direction_share(predicted: FloatArray, true: FloatArray, significant: BoolArray) -> float:
    """Share of the significant genes whose change has the right sign; NaN where there are none."""
    right = np.sign(predicted[significant]) == np.sign(true[significant])
    return float(right.mean()) if len(right) else np.nan


def discrimination(predicted: FloatArray, true: FloatArray, target_gene: IntArray) -> FloatArray:
    """Rank each condition's true delta among all true deltas by its distance from the predicted one.

    Parameters
    ----------
    predicted, true
        Deltas, shape (conditions, genes).
    target_gene
        The gene that each condition acts on, which is left out of its distances; -1 for none.

    Returns
    -------
    1 - rank / conditions, shape (conditions,): 1 where the true one is nearest. Equal distances share the
    middle of their ranks. NaN when there is only one condition.
    """
    n = len(predicted)
    scores = np.full(n, np.nan)
    gaps = np.empty_like(true)
    for i in range(n if n > 1 else 0):
        np.abs(np.subtract(true, predicted[i], out=gaps), out=gaps)
        if target_gene[i] >= 0:
            gaps[:, target_gene[i]] = 0.0
        distances = gaps.sum(axis=1)
        nearer, tied = (distances < distances[i]).sum(), (distances == distances[i]).sum()
        scores[i] = 1 - (nearer + (tied - 1) / 2) / n
    return scores


def _is_constant(values: FloatArray) -> bool:
    return bool((values == values[0]).all())
