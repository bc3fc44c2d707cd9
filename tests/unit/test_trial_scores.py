"""What scoring a classifier promises: means over trials, intervals that fit the design, reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from classified import ClassificationScores, ClassifiedTrial, score_classification
from czrun.errors import ScoringError
from czrun.metrics.classification import CLASS_ABSENT, METRICS, NO_PROBA, evaluate
from czrun.scores import MetricScore
from czrun.statistics import Interval

CLASSES = ("B cell", "T cell", "monocyte")


def trial(
    n: int = 120, fold: int = 0, seed: int = 0, skill: float = 0.7, donors: int | None = None
) -> ClassifiedTrial:
    rng = np.random.default_rng([fold, n])
    true = rng.integers(3, size=n)
    clusters = None if donors is None else rng.integers(donors, size=n)
    rng = np.random.default_rng([fold, n, seed, 1])
    predicted = np.where(rng.random(n) < skill, true, rng.integers(-1, 3, size=n))
    logits = rng.normal(size=(n, 3))
    logits[np.arange(n), true] += 1
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return ClassifiedTrial(fold, seed, true, predicted, proba, clusters)


def score(*trials: ClassifiedTrial, n_resamples: int = 300, **more: Any) -> ClassificationScores:
    return score_classification(trials, CLASSES, n_resamples=n_resamples, **more)


def interval(scored: MetricScore) -> Interval:
    assert scored.interval is not None, scored.interval_reason
    return scored.interval


def width(scored: MetricScore) -> float:
    return interval(scored).high - interval(scored).low


class TestPoints:
    @pytest.mark.parametrize("donors", [None, 6])
    def test_one_trial_scores_what_the_metrics_say(self, donors: int | None) -> None:
        one = trial(donors=donors)
        expected = evaluate(one.true, one.predicted, one.proba, 3)
        found = score(one).metrics
        assert list(found) == list(METRICS)
        for name, each in found.items():
            assert each.value.value == pytest.approx(expected[name].value, abs=1e-12), name

    def test_several_trials_score_the_mean_and_keep_each_value(self) -> None:
        trials = [trial(fold=f, seed=s) for f in (0, 1) for s in (0, 1, 2)]
        found = score(*trials).metrics["macro_f1"]
        each = [evaluate(t.true, t.predicted, t.proba, 3)["macro_f1"].value for t in trials]
        assert [t.value.value for t in found.trials] == pytest.approx(each)
        assert [(t.fold, t.seed) for t in found.trials] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
        assert found.value.value == pytest.approx(np.mean(np.array(each, dtype=float)))

    def test_the_order_of_trials_changes_nothing(self) -> None:
        trials = [trial(fold=f, seed=s) for f in (0, 1) for s in (0, 1)]
        one, other = score(*trials), score(*reversed(trials))
        assert one.metrics == other.metrics
        assert one.f1 == other.f1

    def test_narrow_integers_score_as_wide_ones(self) -> None:
        wide = trial()
        narrow = replace(wide, true=wide.true.astype(np.int8), predicted=wide.predicted.astype(np.int8))
        assert score(narrow).metrics == score(wide).metrics


class TestIntervals:
    def test_every_metric_has_one_and_it_holds_the_estimate(self) -> None:
        for name, each in score(trial(n=400)).metrics.items():
            if name != "expected_calibration_error":
                assert each.value.value is not None
                assert interval(each).low < each.value.value < interval(each).high, name
                assert interval(each).method == "percentile bootstrap over cells"

    def test_the_same_call_twice_gives_the_same_and_another_seed_other_intervals(self) -> None:
        assert score(trial()).metrics == score(trial()).metrics
        assert score(trial(), seed=1).metrics["mcc"] != score(trial(), seed=2).metrics["mcc"]

    @pytest.mark.slow
    def test_intervals_of_labels_equal_those_of_cells_drawn_one_by_one(self) -> None:
        one = trial(n=150)
        rng = np.random.default_rng(0)
        draws = (rng.integers(150, size=150) for _ in range(3000))
        by_hand = [evaluate(one.true[d], one.predicted[d], None, 3) for d in draws]
        found = score(one, n_resamples=3000).metrics
        for name in ("macro_f1", "mcc", "macro_precision", "unassigned_rate"):
            low, high = np.quantile([float(each[name].value or 0) for each in by_hand], [0.025, 0.975])
            tolerance = 0.06 * (high - low)
            assert interval(found[name]).low == pytest.approx(low, abs=tolerance), name
            assert interval(found[name]).high == pytest.approx(high, abs=tolerance), name

    @pytest.mark.slow
    @pytest.mark.parametrize("donors", [None, 8])
    def test_intervals_of_probabilities_equal_those_drawn_by_hand(self, donors: int | None) -> None:
        one = trial(n=150, donors=donors)
        assert one.proba is not None
        rng = np.random.default_rng(0)
        groups = np.arange(150) if one.clusters is None else one.clusters
        members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
        found = score(one, n_resamples=2000).metrics
        names = ("auroc_ovr_macro", "log_loss", "expected_calibration_error")
        by_hand = []
        for _ in range(2000):
            d = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
            values = evaluate(one.true[d], one.predicted[d], one.proba[d], 3)
            by_hand.append([float(values[name].value or 0) for name in names])
        lows, highs = np.quantile(by_hand, [0.025, 0.975], axis=0)
        for name, low, high in zip(names, lows, highs, strict=True):
            tolerance = 0.08 * (high - low)
            assert interval(found[name]).low == pytest.approx(low, abs=tolerance), name
            assert interval(found[name]).high == pytest.approx(high, abs=tolerance), name

    def test_donors_that_differ_widen_the_interval(self) -> None:
        rng = np.random.default_rng(0)
        donor = np.repeat(np.arange(10), 60)
        true = rng.integers(3, size=600)
        right = rng.random(600) < np.linspace(0.2, 1, 10)[donor]
        alone = ClassifiedTrial(0, 0, true, np.where(right, true, (true + 1) % 3))
        by_cell, by_donor = (
            score(alone).metrics["accuracy"],
            score(replace(alone, clusters=donor)).metrics["accuracy"],
        )
        assert width(by_donor) > 3 * width(by_cell)
        assert interval(by_donor).n_clusters == 10
        assert interval(by_donor).method == "percentile bootstrap over clusters"

    def test_donor_names_do_as_well_as_codes(self) -> None:
        coded = trial(donors=6)
        assert coded.clusters is not None
        named = replace(coded, clusters=np.array([f"donor-{code}" for code in coded.clusters]))
        assert score(named).metrics == score(coded).metrics

    def test_few_donors_are_called_rough(self) -> None:
        assert "only 3 clusters" in interval(score(trial(donors=3)).metrics["accuracy"]).note
        assert interval(score(trial(donors=20)).metrics["accuracy"]).note == ""

    def test_one_donor_falls_back_to_cells_and_says_so(self) -> None:
        found = interval(score(replace(trial(), clusters=np.zeros(120, dtype=int))).metrics["accuracy"])
        assert (found.n_clusters, found.method) == (None, "percentile bootstrap over cells")
        assert "says nothing of other clusters" in found.note

    def test_leave_one_donor_out_draws_folds_and_their_cells(self) -> None:
        trials = [replace(trial(fold=f), clusters=np.full(120, f)) for f in range(5)]
        found = interval(score(*trials).metrics["accuracy"])
        assert (found.method, found.note) == ("percentile bootstrap over folds, cells", "")

    def test_donors_in_several_folds_are_pointed_out(self) -> None:
        trials = [trial(fold=f, donors=8) for f in range(3)]
        assert "clusters span folds" in interval(score(*trials).metrics["accuracy"]).note
        apart = [replace(t, clusters=t.clusters + 8 * t.fold) for t in trials if t.clusters is not None]
        found = interval(score(*apart).metrics["accuracy"])
        assert found.note == ""
        assert found.n_clusters == 24

    def test_seeds_and_folds_are_drawn_when_there_are_several(self) -> None:
        found = score(*(trial(fold=f, seed=s, donors=9) for f in (0, 1) for s in (0, 1)))
        assert interval(found.metrics["mcc"]).method == "percentile bootstrap over seeds, folds, clusters"

    def test_seeds_that_agree_add_no_certainty(self) -> None:
        alone = trial()
        copies = [replace(alone, seed=s) for s in range(5)]
        one, five = (score(*trials, n_resamples=2000).metrics["accuracy"] for trials in ([alone], copies))
        assert width(five) == pytest.approx(width(one), rel=0.1)

    def test_cells_are_alike_only_if_they_are_so_under_every_seed(self) -> None:
        true = np.zeros(200, dtype=int)
        steady = ClassifiedTrial(0, 0, true, true)
        found = score(steady, replace(steady, seed=1, predicted=np.arange(200) % 2), n_resamples=2000)
        assert interval(found.metrics["accuracy"]).low < 0.48, "seed 1 drawn twice, and its cells redrawn"

    def test_one_cell_has_a_value_but_no_interval(self) -> None:
        found = score(ClassifiedTrial(0, 0, np.array([1]), np.array([1]))).metrics["accuracy"]
        assert found.value.value == 1
        assert found.interval is None
        assert "only one test cell" in found.interval_reason

    def test_a_perfect_score_has_an_interval_that_admits_to_showing_no_spread(self) -> None:
        one = trial()
        found = interval(score(replace(one, predicted=one.true)).metrics["accuracy"])
        assert (found.low, found.high) == (1, 1)
        assert "no spread" in found.note

    @pytest.mark.slow
    def test_large_rankings_get_fewer_replicates_and_say_how_many(self) -> None:
        found = score(trial(n=50_000), n_resamples=2000).metrics
        assert interval(found["auroc_ovr_macro"]).n_resamples == 2e8 // (50_000 * 3)
        assert interval(found["log_loss"]).n_resamples == interval(found["macro_f1"]).n_resamples == 2000


class TestUndefined:
    def test_a_metric_without_a_value_has_no_interval_either(self) -> None:
        one = trial()
        found = score(replace(one, predicted=np.zeros(120, dtype=int))).metrics["mcc"]
        assert found.value.reason == METRICS["mcc"].undefined
        assert found.interval is None
        assert found.interval_reason

    def test_undefined_in_one_trial_is_undefined_in_all_and_says_where(self) -> None:
        constant = replace(trial(fold=1), predicted=np.zeros(120, dtype=int))
        found = score(trial(fold=0), constant).metrics["mcc"]
        assert found.value.value is None
        assert found.value.reason == f"{METRICS['mcc'].undefined} (in 1 of 2 trials)"
        assert found.trials[0].value.value is not None

    def test_probabilities_in_some_trials_only_leave_their_metrics_without_value(self) -> None:
        found = score(trial(seed=0), replace(trial(seed=1), proba=None)).metrics
        for name in ("auroc_ovr_macro", "log_loss", "expected_calibration_error"):
            assert found[name].value.value is None
            assert found[name].value.reason == f"{NO_PROBA} (in 1 of 2 trials)"
            assert found[name].interval is None
            assert found[name].trials[0].value.value is not None
            assert found[name].trials[1].value.reason == NO_PROBA
        assert found["macro_f1"].interval is not None

    def test_f1_of_a_class_without_cells_is_undefined_with_its_reason(self) -> None:
        one = ClassifiedTrial(0, 0, np.array([0, 0, 1, 1] * 5), np.array([0, 1, 1, 2] * 5))
        absent = score(one).f1["monocyte"]
        assert (absent.value.value, absent.value.reason) == (None, CLASS_ABSENT)
        assert absent.interval is None

    def test_f1_of_a_class_is_the_mean_over_the_trials_that_have_it(self) -> None:
        with_it, without = np.array([0, 1, 2, 2] * 5), np.array([0, 1, 0, 1] * 5)
        trials = [
            ClassifiedTrial(0, 0, with_it, np.array([0, 1, 2, 0] * 5)),
            ClassifiedTrial(1, 0, without, without),
        ]
        f1 = score(*trials).f1["monocyte"]
        assert f1.value.value == pytest.approx(2 / 3)
        assert [t.value.reason for t in f1.trials] == ["", CLASS_ABSENT]
        assert "replicates were undefined" in interval(f1).note, "fold 1 drawn twice"

    def test_a_class_of_one_cell_is_missing_from_many_replicates(self) -> None:
        true = np.array([0] * 50 + [1] * 49 + [2])
        rare = score(ClassifiedTrial(0, 0, true, true), n_resamples=2000).f1["monocyte"]
        assert rare.value.value == 1
        left_out = int(interval(rare).note.split(" of ")[0])
        assert left_out / 2000 == pytest.approx((1 - 1 / 100) ** 100, abs=0.04)


class TestRefusals:
    @pytest.mark.parametrize(
        ("broken", "says"),
        [
            ({"predicted": np.full(120, 3)}, "predicted: 120 codes outside -1..2"),
            ({"predicted": np.zeros(7, dtype=int)}, "120 true labels, but 7 predicted"),
            (
                {"proba": np.full((120, 3), np.nan)},
                "proba: 120 cells have a value that isn't",
            ),
            ({"clusters": np.zeros(7)}, "fold 1, seed 0: clusters of shape (7,)"),
            ({"fold": 0}, "fold 0, seed 0: 2 trials of it"),
            (
                {
                    "fold": 0,
                    "seed": 5,
                    "true": np.zeros(7, dtype=int),
                    "predicted": np.zeros(7, dtype=int),
                    "proba": None,
                },
                "fold 0, seed 5: its test cells differ from those of seed 0",
            ),
        ],
    )
    def test_trials_that_do_not_fit_are_refused_by_name(self, broken: dict[str, Any], says: str) -> None:
        with pytest.raises(ScoringError) as caught:
            score(trial(fold=0), replace(trial(fold=1), **broken))
        assert says in caught.value.message
        assert caught.value.hint

    def test_seeds_of_a_fold_have_the_same_donors(self) -> None:
        one = trial(donors=4)
        for clusters in (None, one.true):
            with pytest.raises(ScoringError, match="differ from those of seed 0"):
                score(one, replace(one, seed=1, clusters=clusters))

    def test_no_trials_are_refused(self) -> None:
        with pytest.raises(ScoringError, match="no trials"):
            score()
