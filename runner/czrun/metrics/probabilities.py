"""Metrics of predicted probabilities: log loss, calibration, ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_BINS = 15


def cell_log_loss(true: IntArray, proba: FloatArray) -> FloatArray:
    """Negative natural logarithm of the probability that each cell's true class was given.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    proba
        Probabilities, shape (n, k). Rows are scaled to sum to 1, then clipped to [eps, 1 - eps] with
        float64's eps, so that one cell costs at most 36.04 nats.

    Returns
    -------
    Nats, shape (n,).
    """
    eps = np.finfo(np.float64).eps
    given = _rows_to_one(proba)[np.arange(len(true)), true]
    return np.asarray(-np.log(np.clip(given, eps, 1 - eps)))


def calibration_gaps(true: IntArray, proba: FloatArray) -> tuple[IntArray, FloatArray]:
    """Find each cell's confidence bin, and how far its confidence overstates its being right.

    The top label is the class of highest probability (the first of equals), whether or not the model's
    predicted label is the same: an unassigned cell has a top label too.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    proba
        Probabilities, shape (n, k); rows are scaled to sum to 1.

    Returns
    -------
    bins
        One of 15 equal-width bins, open below and closed above, shape (n,).
    gaps
        Confidence minus 1 if the top label is right, else confidence; shape (n,).
    """
    scaled = _rows_to_one(proba)
    top = scaled.argmax(axis=1)
    confidence = scaled[np.arange(len(true)), top]
    inner_edges = np.linspace(0, 1, N_BINS + 1)[1:-1]
    bins = np.searchsorted(inner_edges, confidence, side="left")
    return bins.astype(np.int64), confidence - (top == true)


@dataclass(frozen=True)
class _ClassRanking:
    """One class's cells among the others by score.

    A positive cell beats the first `below` of the negatives fully, and ties with those up to `upto`.
    """

    positive_units: IntArray
    negative_units: IntArray
    below: IntArray
    upto: IntArray

    @classmethod
    def of(cls, positive: NDArray[np.bool_], score: FloatArray, unit: IntArray) -> _ClassRanking:
        negative_units, negative_score = unit[~positive], score[~positive]
        order = np.argsort(negative_score, kind="stable")
        ladder = negative_score[order]
        return cls(
            positive_units=unit[positive],
            negative_units=negative_units[order],
            below=np.searchsorted(ladder, score[positive], side="left"),
            upto=np.searchsorted(ladder, score[positive], side="right"),
        )

    def auroc(self, draws: NDArray[np.int32]) -> FloatArray:
        """Area under the curve with every cell weighted by its unit's draws; NaN where one side is empty."""
        positive = draws.take(self.positive_units, axis=1)
        beaten = np.zeros((len(draws), len(self.negative_units) + 1), dtype=np.int32)
        # int32: twice as fast as int64 or float here, and a replicate's cells fit.
        np.cumsum(draws.take(self.negative_units, axis=1), axis=1, dtype=np.int32, out=beaten[:, 1:])
        twice = beaten.take(self.below, axis=1) + beaten.take(self.upto, axis=1)
        wins = np.einsum("ij,ij->i", positive, twice, dtype=np.float64) / 2
        pairs = positive.sum(axis=1, dtype=np.float64) * beaten[:, -1]
        return _ratio(wins, pairs)


class RankingTally:
    """One-vs-rest AUROC averaged over classes, for any redraw of the units.

    AUROC compares cells with one another, so no sums over cells do: each class keeps its cells in order.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    proba
        Scores, shape (n, k); only their order within a column matters, so rows aren't scaled.
    unit
        The unit that each cell is drawn with, shape (n,).
    """

    def __init__(self, true: IntArray, proba: FloatArray, unit: IntArray) -> None:
        present = np.unique(true)
        self._classes = [_ClassRanking.of(true == c, proba[:, c], unit) for c in present]
        self.cost = len(true) * len(present)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, 1); NaN where no class has both sides."""
        weights = draws.astype(np.int32)
        total, defined = np.zeros(len(draws)), np.zeros(len(draws))
        for ranking in self._classes:
            auroc = ranking.auroc(weights)
            total += np.nan_to_num(auroc)
            defined += ~np.isnan(auroc)
        return _ratio(total, defined)[:, None]


def _rows_to_one(proba: FloatArray) -> FloatArray:
    rows = proba.astype(np.float64)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    ratio = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio
