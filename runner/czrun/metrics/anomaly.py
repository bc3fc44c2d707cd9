"""Whether a model's anomaly scores put the anomalous cells first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.families import Family, plain_value, undefined

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_UNIT = Range(0, 1)
_UNDEFINED = "no cell is anomalous, or all are"
_MANNING = "Manning, Raghavan & Schütze 2008, doi:10.1017/CBO9780511809071 (R-precision)"
METRICS: Mapping[str, MetricInfo] = {
    info.id: info
    for info in (
        MetricInfo(
            "anomaly_auroc",
            "AUROC of anomalies",
            _UNIT,
            True,
            _UNDEFINED,
            "Fawcett 2006, doi:10.1016/j.patrec.2005.10.010",
            Needs.SCORES,
        ),
        MetricInfo(
            "anomaly_auprc",
            "Average precision of anomalies",
            _UNIT,
            True,
            _UNDEFINED,
            "Davis & Goadrich 2006, doi:10.1145/1143844.1143874",
            Needs.SCORES,
        ),
        MetricInfo(
            "precision_at_true_rate",
            "Precision, as many flagged as are anomalous",
            _UNIT,
            True,
            _UNDEFINED,
            _MANNING,
            Needs.SCORES,
        ),
        MetricInfo(
            "recall_at_true_rate",
            "Recall, as many flagged as are anomalous",
            _UNIT,
            True,
            _UNDEFINED,
            _MANNING,
            Needs.SCORES,
        ),
    )
}


def anomaly_auroc(scores: ArrayLike, anomalous: ArrayLike) -> MetricValue:
    """Chance that an anomalous cell scores higher than a normal one; 0..1, higher is better, 0.5 by chance.

    A tie counts half. Undefined when no cell is anomalous, or all are.

    Parameters
    ----------
    scores
        Higher is more anomalous, any scale, shape (n,).
    anomalous
        Whether each cell is: booleans, or 0 and 1, shape (n,).

    Raises
    ------
    ScoringError
        When a score isn't finite, a truth isn't yes or no, or the two don't fit one another.

    References
    ----------
    Fawcett 2006, doi:10.1016/j.patrec.2005.10.010.
    """
    return _value("anomaly_auroc", scores, anomalous)


def anomaly_auprc(scores: ArrayLike, anomalous: ArrayLike) -> MetricValue:
    """Average precision: the precision at each anomalous cell's score, averaged; 0..1, higher is better.

    Cells of equal score are flagged together, as in scikit-learn. By chance it is the share of anomalous
    cells, so it compares models on the same cells only. Undefined when no cell is anomalous, or all are.

    Parameters
    ----------
    scores
        Higher is more anomalous, any scale, shape (n,).
    anomalous
        Whether each cell is: booleans, or 0 and 1, shape (n,).

    Raises
    ------
    ScoringError
        When a score isn't finite, a truth isn't yes or no, or the two don't fit one another.

    References
    ----------
    Davis & Goadrich 2006, doi:10.1145/1143844.1143874.
    """
    return _value("anomaly_auprc", scores, anomalous)


def precision_at_true_rate(scores: ArrayLike, anomalous: ArrayLike) -> MetricValue:
    """Share of anomalous cells among the m that score highest, m being how many there are; 0..1.

    Higher is better. Where equal scores straddle the cut, its expectation over their orders. By chance it
    is the share of anomalous cells. Undefined when no cell is anomalous, or all are.

    Parameters
    ----------
    scores
        Higher is more anomalous, any scale, shape (n,).
    anomalous
        Whether each cell is: booleans, or 0 and 1, shape (n,).

    Raises
    ------
    ScoringError
        When a score isn't finite, a truth isn't yes or no, or the two don't fit one another.

    References
    ----------
    Manning, Raghavan & Schütze 2008, doi:10.1017/CBO9780511809071 (R-precision).
    """
    return _value("precision_at_true_rate", scores, anomalous)


def recall_at_true_rate(scores: ArrayLike, anomalous: ArrayLike) -> MetricValue:
    """Share of the m anomalous cells that are among the m that score highest; 0..1, higher is better.

    As many are flagged as are anomalous, so that misses and false alarms are equally many, and this is
    `precision_at_true_rate` under the name that a reader may look for. Parameters, errors and undefined
    cases are the same.

    References
    ----------
    Manning, Raghavan & Schütze 2008, doi:10.1017/CBO9780511809071 (R-precision).
    """
    return _value("recall_at_true_rate", scores, anomalous)


def anomaly_family(scores: ArrayLike, anomalous: ArrayLike) -> Family:
    """Return `METRICS` as a family of cells; parameters and errors are those of `anomaly_auroc`."""
    score, truth = _sound(np.asarray(scores), np.asarray(anomalous))
    names = tuple(METRICS)
    if truth.all() or not truth.any():
        return undefined(names, "all cells are anomalous" if truth.all() else "no cell is anomalous")
    return Family(names, lambda unit, _: AnomalyTally(score, truth, unit))


class AnomalyTally:
    """The four metrics, in the order of `METRICS`, of any redraw of the units.

    Parameters
    ----------
    score
        Higher is more anomalous, shape (n,).
    truth
        Whether each cell is anomalous, shape (n,).
    unit
        The unit that each cell is drawn with, shape (n,).
    """

    def __init__(self, score: FloatArray, truth: NDArray[np.bool_], unit: IntArray) -> None:
        order = np.argsort(-score, kind="stable")
        self._units, self._truth = unit[order], truth[order]
        # Cells of equal score are flagged together: a step ends where the score changes.
        ranked = score[order]
        self._ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(score) - 1)
        self.cost = 3 * len(score)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, 4); NaN where only one sort was drawn."""
        weights = draws.take(self._units, axis=1)
        flagged = self._upto(weights)
        hits = self._upto(weights * self._truth)
        false = flagged - hits
        anomalous, normal = hits[:, -1], false[:, -1]
        auroc = np.einsum("ij,ij->i", np.diff(false, axis=1), hits[:, :-1] + hits[:, 1:]) / 2
        found = _hits_within(flagged, hits, anomalous)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = [auroc / (anomalous * normal), _average_precision(flagged, hits), found / anomalous]
        table = np.stack([*values, values[-1]], axis=1)
        return np.where(((anomalous > 0) & (normal > 0))[:, None], table, np.nan)

    def _upto(self, weights: IntArray) -> FloatArray:
        """Count up to the start of the first step and the end of each, shape (replicates, steps + 1)."""
        upto = np.zeros((len(weights), len(self._ends) + 1))
        upto[:, 1:] = np.cumsum(weights, axis=1).take(self._ends, axis=1)
        return upto


def _average_precision(flagged: FloatArray, hits: FloatArray) -> FloatArray:
    precision = np.zeros_like(hits[:, 1:])
    np.divide(hits[:, 1:], flagged[:, 1:], out=precision, where=flagged[:, 1:] > 0)
    return np.asarray(np.einsum("ij,ij->i", np.diff(hits, axis=1), precision) / hits[:, -1])


def _hits_within(flagged: FloatArray, hits: FloatArray, n_flagged: FloatArray) -> FloatArray:
    """Expect so many hits among the first `n_flagged`, a step that is cut counting by its share."""
    rows = np.arange(len(flagged))
    step = (flagged[:, 1:] >= n_flagged[:, None]).argmax(axis=1)
    inside, size = n_flagged - flagged[rows, step], flagged[rows, step + 1] - flagged[rows, step]
    share = np.divide(inside, size, out=np.zeros_like(inside), where=size > 0)
    return np.asarray(hits[rows, step] + share * (hits[rows, step + 1] - hits[rows, step]))


def _value(name: str, scores: ArrayLike, anomalous: ArrayLike) -> MetricValue:
    family = anomaly_family(scores, anomalous)
    return plain_value(family, name, np.size(scores), METRICS[name].undefined)


def _sound(scores: NDArray[Any], anomalous: NDArray[Any]) -> tuple[FloatArray, NDArray[np.bool_]]:
    problems = []
    if scores.ndim != 1 or scores.dtype.kind not in "fiu":
        problems.append(f"scores: wants numbers of shape (n,), got {scores.dtype} of shape {scores.shape}")
    elif len(scores) == 0:
        problems.append("scores: no cells")
    elif not np.isfinite(scores).all():
        problems.append(f"scores: {int((~np.isfinite(scores)).sum())} cells have none that is finite")
    if anomalous.ndim != 1 or anomalous.dtype.kind not in "biu" or not np.isin(anomalous, (0, 1)).all():
        problems.append(
            f"anomalous: wants 0 or 1 of shape (n,), got {anomalous.dtype} of shape {anomalous.shape}"
        )
    if scores.ndim == anomalous.ndim == 1 and len(scores) != len(anomalous):
        problems.append(f"{len(scores)} scores for {len(anomalous)} cells")
    if problems:
        raise ScoringError(
            f"These scores can't be scored:\n{listing(problems)}",
            "Give every cell one finite number, higher for more anomalous, and whether it is.",
        )
    return scores.astype(np.float64), anomalous.astype(bool)
