"""Scoring: a model's outputs on every trial of a run, and the truth, become metrics with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.base import MetricValue
from czrun.metrics.classification import (
    CLASS_ABSENT,
    LABEL_COLUMNS,
    METRICS,
    PROBA_COLUMNS,
    RANKING_COLUMNS,
    evaluate,
    label_tally,
    proba_tally,
    problems_in,
    require_sound,
)
from czrun.metrics.margins import confusion_matrix
from czrun.metrics.probabilities import RankingTally
from czrun.scores import ClassificationScores, ClassScore, MetricScore, TrialValue
from czrun.statistics import (
    N_RESAMPLES,
    FoldTallies,
    Resampled,
    Tally,
    Uncertainty,
    Units,
    percentile_interval,
    resample,
)

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ClassifiedTrial:
    """The test cells of one trial, and what the model said of them.

    Attributes
    ----------
    fold
        Trials of one fold have the same test cells in the same order.
    seed
        The model's seed.
    true
        Class codes 0..k-1, shape (n,).
    predicted
        Class codes 0..k-1, or -1 for unassigned, shape (n,).
    proba
        Probabilities, shape (n, k), or None.
    clusters
        The donor, or whatever else cells come in groups by, of each cell, shape (n,); None where unknown.
    """

    fold: int
    seed: int
    true: IntArray
    predicted: IntArray
    proba: FloatArray | None = None
    clusters: NDArray[np.generic] | None = None


def score_classification(
    trials: Sequence[ClassifiedTrial],
    classes: Sequence[str],
    *,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> ClassificationScores:
    """Score a classifier on all its trials, each metric with a 95 % bootstrap interval.

    A metric's value is its mean over the trials, and undefined when it is undefined on any of them; a
    class's F1 is the mean over the trials that have cells of the class. Replicates draw donors where a fold
    has at least two of them, else cells.

    Parameters
    ----------
    trials
        At least one; no two of the same fold and seed.
    classes
        Names of the classes, in the order of their codes.
    seed
        Of the bootstrap.
    n_resamples
        Bootstrap replicates, 0 for no intervals. Metrics of probabilities get fewer, but at least 200,
        where they would take more than 2e8 operations; each interval says how many it has.

    Raises
    ------
    ScoringError
        When the trials don't fit one another or themselves; every problem is listed.
    """
    trials = sorted(trials, key=lambda trial: (trial.fold, trial.seed))
    require_sound(_problems(trials, classes))
    trials = [_as_kernels_want(trial) for trial in trials]
    labels = _label_family(trials, len(classes), seed, n_resamples)
    scores = {name: labels.score(i, METRICS[name].undefined) for i, name in enumerate(LABEL_COLUMNS)}
    scores |= _proba_scores(trials, len(classes), seed, n_resamples)
    confusions = [confusion_matrix(trial.true, trial.predicted, len(classes)) for trial in trials]
    supports = [np.bincount(fold[0].true, minlength=len(classes)) for fold in _by_fold(trials)]
    support = np.sum(supports, axis=0)
    per_class = (
        ClassScore(label, int(cells), labels.score(i, CLASS_ABSENT, partial=True))
        for i, (label, cells) in enumerate(zip(classes, support, strict=True), start=len(LABEL_COLUMNS))
    )
    metrics = {name: scores[name] for name in METRICS}
    return ClassificationScores(metrics, tuple(per_class), np.sum(confusions, axis=0))


@dataclass(frozen=True)
class _Design:
    """What the bootstrap draws within folds, and what a reader of the intervals must know of that."""

    unit: str
    n_clusters: int | None
    note: str

    @classmethod
    def of(cls, folds: Sequence[Sequence[ClassifiedTrial]]) -> _Design:
        clustered = [_clusters(fold[0]) is not None for fold in folds]
        if not any(clustered):
            alone = len(folds) == 1 and folds[0][0].clusters is not None
            note = "all test cells are of one cluster, so it says nothing of other clusters"
            return cls("cells", None, note if alone else "")
        names = [np.unique(fold[0].clusters) for fold in folds if fold[0].clusters is not None]
        distinct = len(np.unique(np.concatenate(names)))
        spanning = distinct < sum(len(each) for each in names)
        return cls(
            "clusters" if all(clustered) else "clusters (cells where a fold has no two clusters)",
            distinct,
            "clusters span folds and are drawn in each on its own, so it may be too narrow"
            if spanning
            else "",
        )


@dataclass(frozen=True)
class _Family:
    """Metrics that were resampled together."""

    trials: Sequence[ClassifiedTrial]
    resampled: Resampled
    design: _Design

    def score(self, column: int, undefined: str, *, partial: bool = False) -> MetricScore:
        """Put one metric's score together; `partial` averages over the trials where it is defined."""
        values = self.resampled.trials[:, column]
        each = tuple(
            TrialValue(trial.fold, trial.seed, MetricValue.of(value, undefined))
            for trial, value in zip(self.trials, values, strict=True)
        )
        known = values[~np.isnan(values)]
        if len(known) == 0 or (len(known) < len(values) and not partial):
            return _without_value(each)
        mean = float(known.mean())
        replicates = self.resampled.partial_replicates if partial else self.resampled.replicates
        uncertainty = percentile_interval(
            replicates[:, column],
            mean,
            drawn=self.resampled.drawn,
            n_clusters=self.design.n_clusters,
            note=self.design.note,
        )
        return _with_value(mean, uncertainty, each)


def _with_value(mean: float, uncertainty: Uncertainty, each: tuple[TrialValue, ...]) -> MetricScore:
    return MetricScore(MetricValue(mean), uncertainty.interval, uncertainty.reason, each)


def _without_value(each: tuple[TrialValue, ...]) -> MetricScore:
    missing = [trial for trial in each if trial.value.value is None]
    reasons = sorted({trial.value.reason for trial in missing})
    where = "" if len(missing) == len(each) else f" (in {len(missing)} of {len(each)} trials)"
    return MetricScore(
        MetricValue(None, "; ".join(reasons) + where), None, "the metric itself has no value", each
    )


def _label_family(trials: Sequence[ClassifiedTrial], n_classes: int, seed: int, n_resamples: int) -> _Family:
    def tally(trial: ClassifiedTrial, units: Units) -> Tally:
        return label_tally(trial.true, trial.predicted, n_classes, units.code, units.share)

    def cells(fold: Sequence[ClassifiedTrial]) -> Units:
        return Units.alike(np.stack([fold[0].true, *(trial.predicted for trial in fold)], axis=-1))

    return _family(trials, tally, cells, seed, n_resamples)


def _proba_scores(
    trials: Sequence[ClassifiedTrial], n_classes: int, seed: int, n_resamples: int
) -> dict[str, MetricScore]:
    probas = {(trial.fold, trial.seed): trial.proba for trial in trials if trial.proba is not None}
    if len(probas) < len(trials):
        found = [(t.fold, t.seed, evaluate(t.true, t.predicted, t.proba, n_classes)) for t in trials]
        return {
            name: _without_value(
                tuple(TrialValue(fold, model_seed, each[name]) for fold, model_seed, each in found)
            )
            for name in (*PROBA_COLUMNS, *RANKING_COLUMNS)
        }

    def sums(trial: ClassifiedTrial, units: Units) -> Tally:
        return proba_tally(trial.true, probas[trial.fold, trial.seed], units.code, units.share)

    def ranking(trial: ClassifiedTrial, units: Units) -> Tally:
        return RankingTally(trial.true, probas[trial.fold, trial.seed], units.code)

    def cells(fold: Sequence[ClassifiedTrial]) -> Units:
        return Units.cells(len(fold[0].true))

    scores: dict[str, MetricScore] = {}
    for columns, tally in ((PROBA_COLUMNS, sums), (RANKING_COLUMNS, ranking)):
        family = _family(trials, tally, cells, seed, n_resamples)
        scores |= {name: family.score(i, METRICS[name].undefined) for i, name in enumerate(columns)}
    return scores


def _family(
    trials: Sequence[ClassifiedTrial],
    tally: Callable[[ClassifiedTrial, Units], Tally],
    cells: Callable[[Sequence[ClassifiedTrial]], Units],
    seed: int,
    n_resamples: int,
) -> _Family:
    by_fold = _by_fold(trials)
    design = _Design.of(by_fold)
    folds = []
    for fold in by_fold:
        clusters = _clusters(fold[0])
        units = cells(fold) if clusters is None else Units.clusters(clusters)
        folds.append(FoldTallies(units, {trial.seed: tally(trial, units) for trial in fold}))
    return _Family(trials, resample(folds, seed=seed, n_resamples=n_resamples, unit=design.unit), design)


def _by_fold(trials: Sequence[ClassifiedTrial]) -> list[list[ClassifiedTrial]]:
    """Group trials that are sorted by fold."""
    return [list(fold) for _, fold in groupby(trials, key=lambda trial: trial.fold)]


def _clusters(trial: ClassifiedTrial) -> NDArray[np.generic] | None:
    """Return the clusters to draw; None where cells are to be drawn."""
    if trial.clusters is None or (trial.clusters == trial.clusters[0]).all():
        return None
    return trial.clusters


def _as_kernels_want(trial: ClassifiedTrial) -> ClassifiedTrial:
    return replace(trial, true=trial.true.astype(np.int64), predicted=trial.predicted.astype(np.int64))


def _problems(trials: Sequence[ClassifiedTrial], classes: Sequence[str]) -> list[str]:
    problems = [] if trials else ["there are no trials"]
    problems += [f"class {name!r} comes twice" for name, times in Counter(classes).items() if times > 1]
    firsts: dict[int, ClassifiedTrial] = {}
    for (fold, seed), times in Counter((trial.fold, trial.seed) for trial in trials).items():
        if times > 1:
            problems.append(f"fold {fold}, seed {seed}: {times} trials of it")
    for trial in trials:
        own = problems_in(trial.true, trial.predicted, trial.proba, len(classes))
        if trial.clusters is not None and trial.clusters.shape != trial.true.shape:
            own.append(f"clusters of shape {trial.clusters.shape} for cells of shape {trial.true.shape}")
        first = firsts.setdefault(trial.fold, trial)
        if not _same_cells(trial, first):
            own.append(f"its test cells differ from those of seed {first.seed}")
        problems += [f"fold {trial.fold}, seed {trial.seed}: {problem}" for problem in own]
    return problems


def _same_cells(one: ClassifiedTrial, other: ClassifiedTrial) -> bool:
    if one.clusters is None or other.clusters is None:
        return one.clusters is other.clusters and np.array_equal(one.true, other.true)
    return np.array_equal(one.clusters, other.clusters) and np.array_equal(one.true, other.true)
