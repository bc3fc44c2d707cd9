"""From evidence to a score sheet: notes, reasons, units and rows, whatever a task measures."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classified import confusion_task
from czrun.assess import AssessedTrial, make_sheet
from czrun.errors import ScoringError
from czrun.metrics.base import MetricInfo, Needs, Range
from czrun.metrics.families import Family, mean_tally, undefined
from czrun.records import ScoreSheet
from czrun.tasks.base import Task
from czrun.tasks.evidence import Evidence, Measured, Truth, per_item
from made_tasks import PLAIN, mean_family

NAMES = tuple(f"cell_{i}" for i in range(20))
DONORS = np.arange(20, dtype=np.int32) % 4
EVIDENCE = Evidence({}, Truth({}))


def task(*families: Family, metrics: tuple[str, ...] = ("mean_score",), **measured: Any) -> Task:
    """Make a task that measures these families, whatever the evidence."""
    found = Measured(families, **{"n_items": 20, **measured})
    return replace(PLAIN, metrics=metrics, measure=lambda _: found)


def trial(of: Task, fold: int = 0, seed: int = 0, clusters: Any = None) -> AssessedTrial:
    return AssessedTrial.of(of, EVIDENCE, fold=fold, seed=seed, names=NAMES, clusters=clusters)


def sheet(*tasks: Task, clusters: Any = None) -> ScoreSheet:
    """Score one trial, a seed each, of every task."""
    return make_sheet(
        tasks[0], [trial(each, seed=seed, clusters=clusters) for seed, each in enumerate(tasks)]
    )


def scores(value: float = 0.0) -> Family:
    return mean_family("mean_score", np.arange(20) + value)


class TestValues:
    def test_a_metric_is_the_mean_over_trials_and_keeps_each(self) -> None:
        metric = sheet(task(scores()), task(scores(1.0))).metrics["mean_score"]
        assert metric.value == 10
        assert metric.per_trial == (9.5, 10.5)
        assert metric.interval is not None
        assert metric.interval.low < 10 < metric.interval.high

    def test_metrics_come_in_the_order_of_the_task_and_no_others(self) -> None:
        families = (
            mean_family("b", np.ones(20)),
            mean_family("a", np.zeros(20)),
            mean_family("x", np.ones(20)),
        )
        assert list(sheet(task(*families, metrics=("a", "b"))).metrics) == ["a", "b"]

    def test_notes_are_told_once_each(self) -> None:
        noted = [
            replace(scores(), notes={"mean_score": note}) for note in ("on a sample", "on a sample", "two")
        ]
        assert sheet(*map(task, noted)).metrics["mean_score"].note == "on a sample; two"

    def test_a_note_on_another_metric_is_not_its_own(self) -> None:
        assert sheet(task(replace(scores(), notes={"other": "x"}))).metrics["mean_score"].note == ""


class TestUndefined:
    def test_a_family_without_a_value_says_why(self) -> None:
        metric = sheet(task(undefined(("mean_score",), "one batch only"))).metrics["mean_score"]
        assert metric.value is None
        assert metric.reason == "one batch only"
        assert metric.interval is None
        assert metric.interval_reason
        assert metric.per_trial == (None,)

    def test_reasons_of_several_trials_are_told_with_how_many(self) -> None:
        metric = sheet(
            task(scores()), task(undefined(("mean_score",), "b")), task(undefined(("mean_score",), "a"))
        ).metrics["mean_score"]
        assert metric.value is None
        assert metric.reason == "a; b (in 2 of 3 trials)"
        assert metric.per_trial == (9.5, None, None)

    def test_a_family_may_lack_one_of_its_metrics(self) -> None:
        values = np.column_stack([np.ones(20), np.full(20, np.nan)])
        family = Family(
            ("known", "unknown"),
            lambda unit, share: mean_tally(values, unit, share),
            reasons={"unknown": "why"},
        )
        found = sheet(task(family, metrics=("known", "unknown"))).metrics
        assert found["known"].value == 1
        assert (found["unknown"].value, found["unknown"].reason) == (None, "why")

    def test_a_metric_s_own_words_stand_in_where_a_trial_gives_no_reason(self) -> None:
        info = MetricInfo("mean_score", "", Range(0, 1), True, "nothing was scored", "", Needs.SCORES)
        family = mean_family("mean_score", np.full(20, np.nan))
        metric = sheet(replace(task(family), infos=(info,))).metrics["mean_score"]
        assert metric.reason == "nothing was scored"


class TestUnits:
    def test_donors_are_drawn_where_the_items_are_cells(self) -> None:
        metric = sheet(task(scores()), clusters=DONORS).metrics["mean_score"]
        assert metric.interval is not None
        assert "clusters" in metric.interval.method
        assert metric.interval.n_clusters == 4

    def test_conditions_are_drawn_one_by_one_whatever_the_donors(self) -> None:
        of = task(
            mean_family("mean_score", np.arange(3)), n_items=3, unit="conditions", items=("a", "b", "c")
        )
        metric = sheet(of, clusters=DONORS).metrics["mean_score"]
        assert metric.interval is not None
        assert "conditions" in metric.interval.method
        assert metric.interval.n_clusters is None


class TestRefused:
    def test_a_metric_that_measure_does_not_give(self) -> None:
        with pytest.raises(
            ScoringError, match="lists metrics that its measure doesn't compute: f1, f2"
        ) as found:
            sheet(task(scores(), metrics=("mean_score", "f1", "f2")))
        assert "Mend the task" in found.value.hint

    def test_trials_of_other_metrics(self) -> None:
        with pytest.raises(ScoringError, match="other metrics than the first trial"):
            sheet(task(scores()), task(mean_family("other", np.ones(20))))

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"rows": {"score": [1.0] * 19}}, "measures 20 cells, but gives 19 'score'"),
            ({"items": ("a", "b")}, "measures 20 cells, but gives 2 names"),
            ({"n_items": 3, "unit": "conditions"}, "measures 3 conditions, but gives 20 names"),
        ],
    )
    def test_rows_and_names_that_do_not_fit_the_items(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(ScoringError, match=said):
            trial(task(scores(), **changes))


class TestRows:
    @staticmethod
    def written(of: Task, tmp_path: Path) -> list[list[str]]:
        trial(of).write_rows(tmp_path / "rows.csv")
        with (tmp_path / "rows.csv").open(newline="") as file:
            return list(csv.reader(file))

    def test_one_row_a_cell_with_its_own_name(self, tmp_path: Path) -> None:
        rows = {"label": ["x,y"] * 20, "score": np.arange(20) / 4, "flag": np.arange(20) == 3}
        found = self.written(task(scores(), rows=rows), tmp_path)
        assert found[0] == ["cell", "label", "score", "flag"]
        assert found[4] == ["cell_3", "x,y", "0.75", "True"]
        assert len(found) == 21

    def test_one_row_a_condition_empty_where_there_is_no_value(self, tmp_path: Path) -> None:
        family = mean_family("mean_score", np.array([1.0, np.nan, 3.0]))
        items = ("a in x", "b in x", "c in y")
        of = task(family, n_items=3, unit="conditions", items=items, rows=per_item([family], 3))
        assert self.written(of, tmp_path) == [
            ["condition", "mean_score"],
            ["a in x", "1.0"],
            ["b in x", ""],
            ["c in y", "3.0"],
        ]

    def test_items_of_an_undefined_family_have_no_column(self) -> None:
        assert per_item([undefined(("a",), "why"), mean_family("b", np.arange(3))], 3) == {"b": [0, 1, 2]}


class TestClasses:
    def test_a_confusion_is_summed_over_trials_and_support_over_folds(self) -> None:
        of, evidence = confusion_task()
        trials = [
            AssessedTrial.of(of, evidence, fold=fold, seed=seed, names=tuple("abcd"), clusters=None)
            for fold, seed in ((0, 0), (0, 1), (1, 0))
        ]
        found = make_sheet(of, trials)
        assert found.confusion == ((3, 3, 0), (0, 3, 3))
        assert [(each.label, each.support) for each in found.classes] == [("x", 4), ("y", 4)]
