"""Classified cells as trials, by the road that every task takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from czrun.metrics.classification import METRICS, label_families
from czrun.pooling import MeasuredTrial, score_trials
from czrun.scores import MetricScore


@dataclass(frozen=True)
class ClassifiedTrial:
    fold: int
    seed: int
    true: Any
    predicted: Any
    proba: Any = None
    clusters: Any = None


@dataclass(frozen=True)
class ClassificationScores:
    metrics: Mapping[str, MetricScore]
    f1: Mapping[str, MetricScore]


def score_classification(
    trials: Sequence[ClassifiedTrial], classes: Sequence[str], **more: Any
) -> ClassificationScores:
    measured = []
    for each in trials:
        families = label_families(each.true, each.predicted, each.proba, classes)
        measured.append(MeasuredTrial(each.fold, each.seed, families, len(each.true), clusters=each.clusters))
    scores = score_trials(measured, METRICS, **more)
    parts = {name.partition("/")[2]: each for name, each in scores.items() if "/" in name}
    return ClassificationScores({name: scores[name] for name in METRICS}, parts)
