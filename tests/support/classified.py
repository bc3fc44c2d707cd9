"""Classified cells as trials, by the road that every task takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from czrun.metrics.classification import METRICS, label_families
from czrun.scores import MetricScore
from czrun.tasks.base import Task
from czrun.tasks.evidence import Evidence, Truth
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.trial_scores import MeasuredTrial, score_trials


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


def confusion_task() -> tuple[Task, Evidence]:
    """Give the task of cell types, and evidence on four cells of two: each named rightly, wrongly or not."""
    truth = Truth({"label": np.array([0, 0, 1, 1])}, {"label": ("x", "y")})
    return CELL_TYPE_CLASSIFICATION, Evidence({"predictions": np.array([0, 1, 1, -1])}, truth)
