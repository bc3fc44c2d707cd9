"""What the metrics of cell-type classification promise, with scikit-learn as the independent witness."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from czrun.errors import ScoringError
from czrun.metrics import margins as m
from czrun.metrics.base import MetricValue, Needs
from czrun.metrics.classification import METRICS, NO_PROBA, TABLES, evaluate
from czrun.metrics.margins import FloatArray, IntArray, Margins, confusion_matrix
from czrun.metrics.probabilities import calibration_gaps, cell_log_loss


def cells(seed: int, n: int = 200, k: int = 6) -> tuple[IntArray, IntArray, FloatArray, int]:
    rng = np.random.default_rng(seed)
    true = rng.choice(k, size=n, p=rng.dirichlet(np.full(k, 0.7)))
    predicted = np.where(rng.random(n) < 0.6, true, rng.integers(k, size=n))
    predicted[rng.random(n) < 0.1] = -1
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 1.5
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return true, predicted, proba, k


def values(true: Any, predicted: Any, proba: FloatArray | None = None, k: int = 2) -> dict[str, float | None]:
    found = evaluate(np.asarray(true), np.asarray(predicted), proba, k)
    return {name: each.value for name, each in found.items()}


def reasons(true: Any, predicted: Any, proba: FloatArray | None = None, k: int = 2) -> dict[str, str]:
    found = evaluate(np.asarray(true), np.asarray(predicted), proba, k)
    return {name: each.reason for name, each in found.items() if each.value is None}


def sklearn_labels(true: IntArray, predicted: IntArray, k: int) -> dict[str, float]:
    """Ask scikit-learn: unassigned is one label more, averages take the present classes."""
    predicted = np.where(predicted == -1, k, predicted)
    present = np.unique(true)
    average = {"labels": present, "average": "macro", "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "macro_f1": sk.f1_score(true, predicted, **average),
            "accuracy": sk.accuracy_score(true, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(true, predicted),
            "weighted_f1": sk.f1_score(true, predicted, **{**average, "average": "weighted"}),
            "macro_precision": sk.precision_score(true, predicted, **average),
            "macro_recall": sk.recall_score(true, predicted, **average),
            "mcc": sk.matthews_corrcoef(true, predicted),
        }


labelled = st.integers(1, 6).flatmap(
    lambda k: st.lists(st.tuples(st.integers(0, k - 1), st.integers(-1, k - 1)), min_size=1, max_size=40).map(
        lambda pairs: (np.array([t for t, _ in pairs]), np.array([p for _, p in pairs]), k)
    )
)


LabelledCells = tuple[IntArray, IntArray, int]


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("seed", range(10))
    def test_label_metrics_agree(self, seed: int) -> None:
        true, predicted, _, k = cells(seed)
        found = values(true, predicted, k=k)
        for name, expected in sklearn_labels(true, predicted, k).items():
            assert found[name] == pytest.approx(expected, abs=1e-12), name

    @pytest.mark.slow
    @given(labelled)
    @settings(max_examples=150, deadline=None)
    def test_label_metrics_agree_on_any_cells(self, drawn: LabelledCells) -> None:
        true, predicted, k = drawn
        found = values(true, predicted, k=k)
        for name, expected in sklearn_labels(true, predicted, k).items():
            if found[name] is None:
                assert name == "mcc"
                assert expected == 0, "scikit-learn's stand-in for 0 / 0"
            else:
                assert found[name] == pytest.approx(expected, abs=1e-9), name

    @pytest.mark.parametrize("seed", range(5))
    def test_f1_per_class_and_confusion_matrix_agree(self, seed: int) -> None:
        true, predicted, _, k = cells(seed)
        confusion = confusion_matrix(true, predicted, k)
        with_unassigned = np.where(predicted == -1, k, predicted)
        expected = sk.confusion_matrix(true, with_unassigned, labels=range(k + 1))
        np.testing.assert_array_equal(confusion, expected[:k])
        present = np.unique(true)
        f1 = sk.f1_score(true, with_unassigned, labels=present, average=None, zero_division=0)
        np.testing.assert_allclose(m.f1_per_class(Margins.of_confusion(confusion))[present], f1)

    @pytest.mark.parametrize("decimals", [1, 2, 12])
    def test_auroc_agrees_ties_included(self, decimals: int) -> None:
        true, predicted, proba, k = cells(3, n=400)
        # Multiples of a step, shifted between two classes: rows still sum to 1, ties are many.
        step = 10.0**-decimals
        proba = np.floor(proba / step) * step
        proba[:, 0] += 1 - proba.sum(axis=1)
        assert len(np.unique(true)) == k
        expected = sk.roc_auc_score(true, proba, multi_class="ovr", average="macro")
        assert values(true, predicted, proba, k)["auroc_ovr_macro"] == pytest.approx(expected, abs=1e-12)

    def test_auroc_averages_the_classes_that_have_both_sides(self) -> None:
        true, predicted, proba, k = cells(2)
        kept = np.isin(true, np.unique(true)[:3])
        true, predicted, proba = true[kept], predicted[kept], proba[kept]
        expected = np.mean([sk.roc_auc_score(true == c, proba[:, c]) for c in np.unique(true)])
        assert len(np.unique(true)) == 3 < k
        assert values(true, predicted, proba, k)["auroc_ovr_macro"] == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_log_loss_agrees(self, seed: int) -> None:
        true, predicted, proba, k = cells(seed)
        expected = sk.log_loss(true, proba, labels=range(k))
        assert values(true, predicted, proba, k)["log_loss"] == pytest.approx(expected, rel=1e-12)

    def test_log_loss_clips_as_scikit_learn_does(self) -> None:
        true, proba = np.array([0, 1, 1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        expected = sk.log_loss(true, proba)
        assert expected > 10
        assert values(true, true, proba, 2)["log_loss"] == pytest.approx(expected, rel=1e-12)


class TestClosedForms:
    def test_a_worked_example(self) -> None:
        # Truth: 4 cells of class 0, 2 of class 1, 2 of class 2.
        true = [0, 0, 0, 0, 1, 1, 2, 2]
        predicted = [0, 0, 0, 1, 1, -1, 0, 2]
        found = values(true, predicted, k=3)
        assert found["accuracy"] == 5 / 8
        assert found["macro_recall"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
        assert found["macro_precision"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
        assert found["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 2 / 3) / 3)
        assert found["weighted_f1"] == pytest.approx((4 * 3 / 4 + 2 * 1 / 2 + 2 * 2 / 3) / 8)
        assert found["unassigned_rate"] == 1 / 8
        # Gorodkin: c s - t.p over the geometric mean of s^2 - t.t and s^2 - p.p, p with the unassigned cell.
        assert found["mcc"] == pytest.approx(
            (5 * 8 - (4 * 4 + 2 * 2 + 2 * 1)) / math.sqrt((64 - 24) * (64 - 22))
        )

    def test_perfect_predictions_reach_the_good_end_of_every_range(self) -> None:
        true, _, _, k = cells(0)
        found = values(true, true, np.eye(k)[true], k)
        ends = {name: (0 if info.higher_is_better is False else 1) for name, info in METRICS.items()}
        ends["unassigned_rate"] = 0
        assert found == pytest.approx(ends, abs=1e-12)

    def test_an_unassigned_cell_is_wrong_but_nobodys_false_positive(self) -> None:
        named, declined = values([0, 0, 1, 1], [0, 1, 1, 1], k=2), values([0, 0, 1, 1], [0, -1, 1, 1], k=2)
        assert named["accuracy"] == declined["accuracy"] == 3 / 4
        assert named["macro_recall"] == declined["macro_recall"] == 3 / 4
        assert named["macro_precision"] == pytest.approx((1 + 2 / 3) / 2)
        assert declined["macro_precision"] == 1

    def test_all_unassigned_is_zero_everywhere(self) -> None:
        found = values([0, 1, 1], [-1, -1, -1], k=2)
        assert {found[name] for name in ("macro_f1", "accuracy", "macro_recall", "macro_precision")} == {0}
        assert found["unassigned_rate"] == 1

    def test_a_class_outside_the_truth_is_left_out_of_macro_means(self) -> None:
        found = values([0, 0, 1, 1], [0, 2, 1, 1], k=3)
        assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)
        with_it = sk.f1_score([0, 0, 1, 1], [0, 2, 1, 1], average="macro", zero_division=0)
        assert with_it == pytest.approx((2 / 3 + 1 + 0) / 3), "scikit-learn's default averages it in"

    def test_a_present_class_that_is_never_predicted_has_precision_zero(self) -> None:
        assert values([0, 0, 1], [0, 0, 0], k=2)["macro_precision"] == pytest.approx((2 / 3 + 0) / 2)

    def test_random_predictions_have_no_skill(self) -> None:
        rng = np.random.default_rng(0)
        true, predicted = rng.integers(4, size=40_000), rng.integers(4, size=40_000)
        found = values(true, predicted, rng.dirichlet(np.ones(4), size=40_000), 4)
        assert found["mcc"] == pytest.approx(0, abs=0.02)
        assert found["balanced_accuracy"] == pytest.approx(1 / 4, abs=0.02)
        assert found["auroc_ovr_macro"] == pytest.approx(1 / 2, abs=0.02)

    def test_uniform_probabilities(self) -> None:
        true = np.array([0, 0, 0, 1, 2])
        found = values(true, true, np.full((5, 4), 1 / 4), 4)
        assert found["log_loss"] == pytest.approx(math.log(4))
        assert found["auroc_ovr_macro"] == 1 / 2
        assert found["expected_calibration_error"] == pytest.approx(abs(3 / 5 - 1 / 4)), (
            "the first of equals wins"
        )

    def test_expected_calibration_error_adds_up_over_bins(self) -> None:
        # Bins of 1/15: confidence .9 twice with one hit, confidence .6 twice with two hits.
        proba = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
        found = values([0, 1, 1, 1], [0, 0, 1, 1], proba, 2)
        assert found["expected_calibration_error"] == pytest.approx(2 / 4 * 0.4 + 2 / 4 * 0.4)

    def test_gaps_of_one_bin_cancel_and_those_of_two_do_not(self) -> None:
        one_bin = np.array([[0.76, 0.24], [0.76, 0.24]])
        assert values([0, 1], [0, 0], one_bin, 2)["expected_calibration_error"] == pytest.approx(0.26)
        two_bins = np.array([[0.76, 0.24], [0.96, 0.04]])
        assert values([0, 1], [0, 0], two_bins, 2)["expected_calibration_error"] == pytest.approx(
            (0.24 + 0.96) / 2
        )

    def test_bins_are_open_below_and_closed_above(self) -> None:
        confidences = np.array([0.6, np.nextafter(0.6, 1), 1.0])
        proba = np.stack([confidences, 1 - confidences], axis=1)
        bins, _ = calibration_gaps(np.zeros(3, dtype=int), proba)
        assert bins.tolist() == [8, 9, 14]

    def test_rows_are_scaled_to_one_for_log_loss(self) -> None:
        true, proba = np.array([0, 1]), np.array([[0.5, 0.5], [0.2, 0.8]])
        np.testing.assert_allclose(
            cell_log_loss(true, proba * 1.0005), cell_log_loss(true, proba), rtol=1e-12
        )

    def test_a_confidently_wrong_cell_costs_a_finite_loss(self) -> None:
        assert values([0], [0], np.array([[0.0, 1.0]]), 2)["log_loss"] == pytest.approx(36.0436533891)


class TestInvariances:
    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_cells_does_not_matter(self, seed: int) -> None:
        true, predicted, proba, k = cells(seed)
        order = np.random.default_rng(seed).permutation(len(true))
        shuffled = values(true[order], predicted[order], proba[order], k)
        assert shuffled == pytest.approx(values(true, predicted, proba, k), rel=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_order_of_classes_does_not_matter(self, seed: int) -> None:
        true, predicted, proba, k = cells(seed)
        new_code = np.random.default_rng(seed).permutation(k)
        renamed_proba = np.empty_like(proba)
        renamed_proba[:, new_code] = proba
        renamed = values(new_code[true], np.where(predicted == -1, -1, new_code[predicted]), renamed_proba, k)
        assert renamed == pytest.approx(values(true, predicted, proba, k), rel=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_a_class_that_never_occurs_changes_nothing(self, seed: int) -> None:
        true, predicted, proba, k = cells(seed)
        wider = np.concatenate([proba, np.zeros((len(true), 1))], axis=1)
        assert values(true, predicted, wider, k + 1) == pytest.approx(
            values(true, predicted, proba, k), rel=1e-12
        )

    def test_batch_axes_give_what_single_calls_give(self) -> None:
        confusions = np.stack([confusion_matrix(*cells(seed)[:2], 6) for seed in range(4)]).reshape(
            2, 2, 6, 7
        )
        for kernel in (m.macro_f1, m.weighted_f1, m.accuracy, m.macro_precision, m.mcc, m.unassigned_rate):
            together = kernel(Margins.of_confusion(confusions))
            apart = [[float(kernel(Margins.of_confusion(confusions[i, j]))) for j in (0, 1)] for i in (0, 1)]
            np.testing.assert_allclose(together, apart)

    def test_small_integer_codes_do_not_overflow(self) -> None:
        true, predicted, proba, k = cells(0, n=300, k=100)
        narrow = values(true.astype(np.int8), predicted.astype(np.int8), proba, k)
        assert narrow == values(true, predicted, proba, k)

    @pytest.mark.parametrize("n", range(2, 20))
    def test_rounding_carries_no_perfect_correlation_beyond_one(self, n: int) -> None:
        true = np.arange(n) == 0
        found = values(true.astype(int), true.astype(int))["mcc"]
        assert found is not None
        assert 1 - 1e-12 < found <= 1

    def test_values_stay_in_their_range(self) -> None:
        for seed in range(20):
            found = values(*cells(seed, n=12))
            for name, info in METRICS.items():
                if found[name] is not None:
                    assert info.range.low <= found[name] <= (info.range.high or math.inf), name


class TestUndefined:
    def test_mcc_of_a_constant_prediction_is_undefined(self) -> None:
        assert reasons([0, 1, 2], [1, 1, 1], k=3)["mcc"] == METRICS["mcc"].undefined

    def test_mcc_of_all_unassigned_is_undefined(self) -> None:
        assert reasons([0, 1], [-1, -1], k=2)["mcc"] == METRICS["mcc"].undefined

    def test_with_one_class_in_the_truth_mcc_and_auroc_are_undefined_and_nothing_else_is(self) -> None:
        proba = np.array([[0.5, 0.5], [0.8, 0.2]])
        assert reasons([0, 0], [0, 1], proba, 2) == {
            "mcc": METRICS["mcc"].undefined,
            "auroc_ovr_macro": METRICS["auroc_ovr_macro"].undefined,
        }

    def test_without_probabilities_the_metrics_that_need_them_say_so(self) -> None:
        needing = {name for name, info in METRICS.items() if info.needs is Needs.PROBA}
        assert reasons([0, 1], [0, 1], None, 2) == dict.fromkeys(needing, NO_PROBA)
        assert needing == {"auroc_ovr_macro", "log_loss", "expected_calibration_error"}

    def test_f1_of_an_absent_class_is_undefined_even_when_it_was_predicted(self) -> None:
        f1 = m.f1_per_class(Margins.of_confusion(confusion_matrix(np.array([0, 0]), np.array([0, 1]), 3)))
        assert f1[0] == pytest.approx(2 / 3)
        assert np.isnan(f1[1:]).all()

    @given(labelled)
    @settings(max_examples=100, deadline=None)
    def test_nothing_is_ever_nan(self, drawn: LabelledCells) -> None:
        true, predicted, k = drawn
        found = evaluate(true, predicted, np.full((len(true), k), 1 / k), k)
        assert list(found) == list(METRICS)
        assert all((each.value is None) == bool(each.reason) for each in found.values())


class TestRefusals:
    @pytest.mark.parametrize(
        ("true", "predicted", "proba", "says"),
        [
            ([0, 1], [0], None, "2 true labels, but 1 predicted"),
            ([], [], None, "no cells"),
            ([0, 2], [0, 1], None, "true: 1 codes outside 0..1, the first 2 at cell 1"),
            ([0, -1], [0, 1], None, "true: 1 codes outside 0..1, the first -1"),
            ([0, 1], [-2, 1], None, "predicted: 1 codes outside -1..1, the first -2 at cell 0"),
            ([0, 1], [0, 2], None, "predicted: 1 codes outside -1..1"),
            ([0.0, 1.0], [0, 1], None, "true: wants whole numbers"),
            ([[0, 1]], [0, 1], None, "true: wants whole numbers of shape (n,)"),
            ([0, 1], [0, 1], [[0.5, 0.5]], "proba: wants shape (2, 2), got (1, 2)"),
            ([0, 1], [0, 1], [[0, 1], [1, 0]], "proba: wants floating-point"),
            ([0, 1], [0, 1], [[0.5, math.nan], [0.5, 0.5]], "1 cells have a value that isn't finite"),
            ([0, 1], [0, 1], [[0.5, math.inf], [0.5, 0.5]], "1 cells have a value that isn't finite"),
            ([0, 1], [0, 1], [[-0.5, 1.5], [0.5, 0.5]], "1 cells have a value below 0"),
            ([0, 1], [0, 1], [[0.0, 0.0], [0.5, 0.5]], "1 cells have probabilities that sum to 0"),
        ],
    )
    def test_arrays_that_do_not_fit_are_refused(
        self, true: Any, predicted: Any, proba: Any, says: str
    ) -> None:
        arrays = [
            np.array(true, dtype=None if true else int),
            np.array(predicted, dtype=None if predicted else int),
        ]
        with pytest.raises(ScoringError) as caught:
            evaluate(*arrays, None if proba is None else np.array(proba), 2)
        assert says in caught.value.message
        assert caught.value.hint

    def test_all_problems_come_at_once(self) -> None:
        with pytest.raises(ScoringError) as caught:
            evaluate(np.array([0, 5]), np.array([0, 7, 1]), np.ones((2, 3)), 2)
        for part in ("first 5", "first 7", "2 true labels, but 3", "proba: wants shape (2, 2)"):
            assert part in caught.value.message


class TestDescriptions:
    def test_the_primary_metric_comes_first_and_ids_match_their_keys(self) -> None:
        assert next(iter(METRICS)) == "macro_f1"
        assert all(name == info.id for name, info in {**METRICS, **TABLES}.items())

    def test_each_metric_cites_a_source_with_its_doi(self) -> None:
        assert [name for name, info in {**METRICS, **TABLES}.items() if "doi:10." not in info.reference] == []

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_value_is_finite(self, value: float) -> None:
        with pytest.raises(ValueError, match="finite"):
            MetricValue(value)

    def test_a_value_and_a_reason_exclude_one_another(self) -> None:
        with pytest.raises(ValueError, match="reason"):
            MetricValue(None)
        with pytest.raises(ValueError, match="reason"):
            MetricValue(0.5, "because")

    def test_scoring_imports_nothing_heavier_than_numpy(self) -> None:
        heavy = "{'sklearn', 'scipy', 'pandas', 'anndata', 'pydantic', 'matplotlib'}"
        code = f"import sys, czrun.trial_scores; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
