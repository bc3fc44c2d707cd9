"""Scoring: what was measured on every trial of a run becomes metrics with intervals, whatever the task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics.base import MetricInfo, MetricValue
from czrun.metrics.families import Family
from czrun.scores import MetricScore, TrialValue
from czrun.statistics import (
    N_RESAMPLES,
    FoldTallies,
    Resampled,
    Uncertainty,
    Units,
    percentile_interval,
    resample,
)


@dataclass(frozen=True)
class MeasuredTrial:
    """One trial's metrics, ready to be redrawn.

    Attributes
    ----------
    fold
        Trials of one fold have the same items in the same order.
    seed
        The model's seed.
    families
        Metrics, the same in every trial.
    n_items
        How many items there are to draw.
    unit
        What an item is: cells, or conditions.
    clusters
        The donor, or whatever else items come in groups by, of each item, shape (n_items,); None where
        unknown.
    """

    fold: int
    seed: int
    families: tuple[Family, ...]
    n_items: int
    unit: str = "cells"
    clusters: NDArray[np.generic] | None = None


def score_trials(
    trials: Sequence[MeasuredTrial],
    infos: Mapping[str, MetricInfo],
    *,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, MetricScore]:
    """Score a model on all its trials, each metric with a 95 % bootstrap interval.

    A metric's value is its mean over the trials, and undefined when it is undefined on any of them; a part
    of one (``f1_per_class/LABEL``) is the mean over the trials that have it. Replicates draw donors where a
    fold has at least two of them, else items.

    Parameters
    ----------
    trials
        At least one; no two of the same fold and seed.
    infos
        What the metrics say of themselves, by id; a part of a metric needs none.
    seed
        Of the bootstrap.
    n_resamples
        Bootstrap replicates, 0 for no intervals. A family gets fewer, but at least 200, where they would
        take more than 2e8 operations; each interval says how many it has.

    Raises
    ------
    ScoringError
        When the trials don't fit one another; every problem is listed.
    """
    trials = sorted(trials, key=lambda trial: (trial.fold, trial.seed))
    if problems := _problems(trials):
        raise ScoringError(
            f"These trials can't be scored together:\n{listing(problems)}", "Score them one by one."
        )
    scores: dict[str, MetricScore] = {}
    for number, family in enumerate(trials[0].families):
        resampled = _resampled(trials, number, seed, n_resamples)
        for column, name in enumerate(family.names):
            scores[name] = resampled.score(column, infos[name].undefined if name in infos else "")
    return scores


@dataclass(frozen=True)
class _Design:
    """What the bootstrap draws within folds, and what a reader of the intervals must know of that."""

    unit: str
    n_clusters: int | None
    note: str

    @classmethod
    def of(cls, folds: Sequence[Sequence[MeasuredTrial]]) -> _Design:
        clustered = [_clusters(fold[0]) is not None for fold in folds]
        unit = folds[0][0].unit
        if not any(clustered):
            alone = len(folds) == 1 and folds[0][0].clusters is not None
            note = f"all test {unit} are of one cluster, so it says nothing of other clusters"
            return cls(unit, None, note if alone else "")
        names = [np.unique(fold[0].clusters) for fold in folds if fold[0].clusters is not None]
        distinct = len(np.unique(np.concatenate(names)))
        spanning = distinct < sum(len(each) for each in names)
        return cls(
            "clusters" if all(clustered) else f"clusters ({unit} where a fold has no two clusters)",
            distinct,
            "clusters span folds and are drawn in each on its own, so it may be too narrow"
            if spanning
            else "",
        )


@dataclass(frozen=True)
class _Redrawn:
    """One family over all trials, resampled; `resampled` is None where it has no value in some trial."""

    trials: Sequence[MeasuredTrial]
    families: Sequence[Family]
    resampled: Resampled | None
    values: NDArray[np.float64]
    design: _Design

    def score(self, column: int, undefined: str) -> MetricScore:
        """Put one metric's score together."""
        name = self.families[0].names[column]
        values = self.values[:, column]
        each = tuple(
            TrialValue(trial.fold, trial.seed, MetricValue.of(value, family.reasons.get(name) or undefined))
            for trial, family, value in zip(self.trials, self.families, values, strict=True)
        )
        known, is_part = values[~np.isnan(values)], "/" in name
        if len(known) == 0 or (len(known) < len(values) and not is_part):
            return _without_value(each)
        mean = float(known.mean())
        note = "; ".join(dict.fromkeys(text for f in self.families if (text := f.notes.get(name))))
        uncertainty = self._uncertainty(column, mean, is_part=is_part)
        return MetricScore(MetricValue(mean), uncertainty.interval, uncertainty.reason, each, note)

    def _uncertainty(self, column: int, mean: float, *, is_part: bool) -> Uncertainty:
        if self.resampled is None:
            return Uncertainty(None, "it has no value in some of the trials")
        replicates = self.resampled.partial_replicates if is_part else self.resampled.replicates
        return percentile_interval(
            replicates[:, column],
            mean,
            drawn=self.resampled.drawn,
            n_clusters=self.design.n_clusters,
            note=self.design.note,
        )


def _resampled(trials: Sequence[MeasuredTrial], number: int, seed: int, n_resamples: int) -> _Redrawn:
    families = [trial.families[number] for trial in trials]
    by_fold = _by_fold(trials)
    design = _Design.of(by_fold)
    if any(family.tally is None for family in families):
        return _Redrawn(trials, families, None, _plain_values(trials, families), design)
    folds = []
    for fold in by_fold:
        of_fold = {trial.seed: trial.families[number] for trial in fold}
        units = _units(fold[0], list(of_fold.values()))
        tallies = {s: family.tally(units.code, units.share) for s, family in of_fold.items() if family.tally}
        folds.append(FoldTallies(units, tallies))
    resampled = resample(folds, seed=seed, n_resamples=n_resamples, unit=design.unit)
    return _Redrawn(trials, families, resampled, resampled.trials, design)


def _plain_values(trials: Sequence[MeasuredTrial], families: Sequence[Family]) -> NDArray[np.float64]:
    values = np.full((len(trials), len(families[0].names)), np.nan)
    for row, (trial, family) in enumerate(zip(trials, families, strict=True)):
        if family.tally:
            whole = np.zeros(trial.n_items, dtype=np.int64)
            once = np.ones(1, dtype=np.int64)
            values[row] = family.tally(whole, once).values(once[None])[0]
    return values


def _units(first: MeasuredTrial, families: Sequence[Family]) -> Units:
    clusters = _clusters(first)
    if clusters is not None:
        return Units.clusters(clusters)
    kinds = [family.kinds for family in families if family.kinds is not None]
    if len(kinds) == len(families):
        return Units.alike(np.concatenate(kinds, axis=1))
    return Units.cells(first.n_items)


def _without_value(each: tuple[TrialValue, ...]) -> MetricScore:
    missing = [trial for trial in each if trial.value.value is None]
    reasons = sorted({trial.value.reason for trial in missing})
    where = "" if len(missing) == len(each) else f" (in {len(missing)} of {len(each)} trials)"
    return MetricScore(
        MetricValue(None, "; ".join(reasons) + where), None, "the metric itself has no value", each
    )


def _by_fold(trials: Sequence[MeasuredTrial]) -> list[list[MeasuredTrial]]:
    """Group trials that are sorted by fold."""
    return [list(fold) for _, fold in groupby(trials, key=lambda trial: trial.fold)]


def _clusters(trial: MeasuredTrial) -> NDArray[np.generic] | None:
    """Return the clusters to draw; None where items are to be drawn."""
    if trial.clusters is None or (trial.clusters == trial.clusters[0]).all():
        return None
    return trial.clusters


def _problems(trials: Sequence[MeasuredTrial]) -> list[str]:
    problems = [] if trials else ["there are no trials"]
    firsts: dict[int, MeasuredTrial] = {}
    for (fold, seed), times in Counter((trial.fold, trial.seed) for trial in trials).items():
        if times > 1:
            problems.append(f"fold {fold}, seed {seed}: {times} trials of it")
    for trial in trials:
        own = []
        if trial.clusters is not None and trial.clusters.shape != (trial.n_items,):
            own.append(f"clusters of shape {trial.clusters.shape} for {trial.n_items} {trial.unit}")
        first = firsts.setdefault(trial.fold, trial)
        if not _same_items(trial, first):
            own.append(f"its test {trial.unit} differ from those of seed {first.seed}")
        if [f.names for f in trial.families] != [f.names for f in trials[0].families]:
            own.append("it has other metrics than the first trial")
        problems += [f"fold {trial.fold}, seed {trial.seed}: {problem}" for problem in own]
    return problems


def _same_items(one: MeasuredTrial, other: MeasuredTrial) -> bool:
    if one.n_items != other.n_items:
        return False
    if one.clusters is None or other.clusters is None:
        return one.clusters is other.clusters
    return np.array_equal(one.clusters, other.clusters)
