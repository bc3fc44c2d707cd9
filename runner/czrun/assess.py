"""From the evidence of all trials to a score sheet, wherever the evidence came from."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.records import ClassRecord, IntervalRecord, MetricRecord, ScoreSheet
from czrun.scores import MetricScore
from czrun.tasks.base import SCORER_VERSION, Task
from czrun.tasks.evidence import Confusion, Evidence, Measured
from czrun.tasks.registry import metric_infos
from czrun.trial_scores import MeasuredTrial, score_trials

PER_CLASS = "f1_per_class/"


@dataclass(frozen=True)
class AssessedTrial:
    """One trial, measured, with the names that its items have for the user.

    Attributes
    ----------
    fold, seed
        Which trial.
    measured
        Its metrics.
    names
        The source's own ids of the test cells.
    clusters
        Donor codes of the test cells, or None.
    """

    fold: int
    seed: int
    measured: Measured
    names: Sequence[str]
    clusters: NDArray[np.int32] | None

    @classmethod
    def of(
        cls,
        task: Task,
        evidence: Evidence,
        *,
        fold: int,
        seed: int,
        names: Sequence[str],
        clusters: NDArray[np.int32] | None,
    ) -> AssessedTrial:
        """Measure one trial; raises ScoringError when what is measured doesn't fit together."""
        measured = task.measure(evidence)
        own = clusters if measured.unit == "cells" else None
        named = names if measured.items is None else measured.items
        counts = {"names": len(named), **{repr(name): len(each) for name, each in measured.rows.items()}}
        if wrong := [f"{count:,} {what}" for what, count in counts.items() if count != measured.n_items]:
            raise ScoringError(
                f"Task {task.id} measures {measured.n_items:,} {measured.unit}, but gives "
                f"{', '.join(wrong)}.",
                "Mend the task: every row that measure returns has an entry for each item, and so has items.",
            )
        return cls(fold, seed, measured, named, own)

    def write_rows(self, path: Path) -> None:
        """Write the table of single answers: one row an item."""
        rows = self.measured.rows
        first = "cell" if self.measured.unit == "cells" else self.measured.unit.rstrip("s")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([first, *rows])
            writer.writerows(zip(self.names, *map(_plain, rows.values()), strict=True))


def _plain(values: Sequence[Any] | NDArray[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def make_sheet(task: Task, trials: Sequence[AssessedTrial]) -> ScoreSheet:
    """Score one candidate over all its trials.

    Raises
    ------
    ScoringError
        When the trials don't fit one another, or the task doesn't compute a metric that it lists.
    """
    scores = score_trials(
        [
            MeasuredTrial(
                fold=trial.fold,
                seed=trial.seed,
                families=trial.measured.families,
                n_items=trial.measured.n_items,
                unit=trial.measured.unit,
                clusters=trial.clusters,
            )
            for trial in trials
        ],
        metric_infos(task),
    )
    if missing := [name for name in task.metrics if name not in scores]:
        raise ScoringError(
            f"Task {task.id} lists metrics that its measure doesn't compute: {', '.join(missing)}.",
            "Mend the task: every metric belongs to one of the families that measure returns.",
        )
    confusions = [trial.measured.confusion for trial in trials if trial.measured.confusion]
    return ScoreSheet(
        scorer=SCORER_VERSION,
        numpy=np.__version__,
        packages=task.packages,
        metrics={name: _metric(scores[name]) for name in task.metrics},
        classes=_classes(trials, scores),
        confusion=tuple(tuple(row) for row in np.sum([each.counts for each in confusions], axis=0).tolist())
        if confusions
        else (),
    )


def _classes(trials: Sequence[AssessedTrial], scores: Mapping[str, MetricScore]) -> tuple[ClassRecord, ...]:
    by_fold: dict[int, Confusion] = {
        trial.fold: trial.measured.confusion for trial in trials if trial.measured.confusion
    }
    if not by_fold:
        return ()
    support = np.sum([each.support for each in by_fold.values()], axis=0).tolist()
    names = next(iter(by_fold.values())).classes
    return tuple(
        ClassRecord(label=name, support=cells, f1=_metric(scores[PER_CLASS + name]))
        for name, cells in zip(names, support, strict=True)
        if PER_CLASS + name in scores
    )


def _metric(score: MetricScore) -> MetricRecord:
    interval = None
    if score.interval:
        interval = IntervalRecord(
            low=score.interval.low,
            high=score.interval.high,
            level=score.interval.level,
            method=score.interval.method,
            n_resamples=score.interval.n_resamples,
            n_clusters=score.interval.n_clusters,
            note=score.interval.note,
        )
    return MetricRecord(
        value=score.value.value,
        reason=score.value.reason,
        note=score.note,
        interval=interval,
        interval_reason="" if interval else score.interval_reason,
        per_trial=tuple(trial.value.value for trial in score.trials),
    )
