"""What the three classifiers and their folds promise, with scikit-learn's own as witnesses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from czrun.metrics.classifiers import Recipe, judge
from czrun.metrics.cross_validation import CrossJudged, judge_folds, stratified_sample, why_no_folds

pytestmark = pytest.mark.slow

RECIPE = Recipe(centred=True, max_iter=100)


def cells(seed: int, n: int = 120, k: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(k, size=n)
    codes[:k] = np.arange(k)
    return rng.normal(size=(n, 4)) * [1, 5, 0.1, 2] + codes[:, None], codes


class TestJudge:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_each_layer_is_what_scikit_learn_answers(self, dtype: Any) -> None:
        array, codes = cells(0)
        array = array.astype(dtype)
        found = judge(array[:80], codes[:80], array[80:], 3, RECIPE, seed=5)
        oracles = [
            make_pipeline(StandardScaler(), LogisticRegression()),
            make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
            RandomForestClassifier(100, random_state=5),
        ]
        for proba, oracle in zip(found.proba, oracles, strict=True):
            np.testing.assert_allclose(
                proba, oracle.fit(array[:80], codes[:80]).predict_proba(array[80:]), rtol=1e-6, atol=1e-9
            )
        assert found.converged

    def test_a_class_without_training_cells_has_no_probability(self) -> None:
        array, codes = cells(1)
        found = judge(array[:80], codes[:80] + (codes[:80] > 0), array[80:], 5, RECIPE, seed=0)
        assert (found.proba[:, :, [1, 4]] == 0).all()
        np.testing.assert_allclose(found.proba.sum(axis=2), 1)

    def test_whoever_learnt_one_class_answers_it(self) -> None:
        array, _ = cells(2)
        found = judge(array[:80], np.full(80, 1), array[80:], 3, RECIPE, seed=0)
        assert (found.proba == [0, 1, 0]).all()

    def test_running_out_of_steps_is_told_and_raises_nothing(self) -> None:
        array, codes = cells(3)
        assert not judge(array, codes, array, 3, Recipe(centred=True, max_iter=2), seed=0).converged


class TestFolds:
    def test_every_cell_is_named_once_by_others_and_groups_stay_whole(self) -> None:
        array, codes = cells(4)
        group = np.arange(120) // 6
        found = judge_folds(array, codes, 3, group, RECIPE, seed=0)
        assert found is not None
        assert sorted(np.unique(found.fold)) == [0, 1, 2, 3, 4]
        assert all(len(np.unique(found.fold[group == each])) == 1 for each in np.unique(group))
        np.testing.assert_allclose(found.proba.sum(axis=2), 1)

    def test_a_class_smaller_than_the_folds_is_no_obstacle(self) -> None:
        array, codes = cells(5, n=60, k=2)
        codes[:3] = 2
        found = judge_folds(array, codes, 3, None, RECIPE, seed=0)
        assert found is not None
        assert np.isfinite(found.proba).all()

    def test_a_fold_that_leaves_fewer_cells_than_neighbours_is_no_fold(self) -> None:
        array, codes = cells(6, n=30, k=2)
        group = np.array([0, 1, 2, 3] + [4] * 26)
        assert judge_folds(array, codes, 2, group, RECIPE, seed=0) is None

    @pytest.mark.parametrize(
        ("codes", "group", "says"),
        [
            ([1] * 9, None, "all cells have one label"),
            ([0, 0, 0, 0, 1, 1], None, "no label has as many cells as there are folds (5)"),
            ([0, 1] * 5, [0, 1, 2, 3, 3] * 2, "there are 4 groups for 5 folds"),
            ([0, 1] * 5, [0, 1, 2, 3, 4] * 2, ""),
            ([0, 1] * 5, None, ""),
        ],
    )
    def test_cells_that_cannot_be_folded_have_their_reason(self, codes: Any, group: Any, says: str) -> None:
        assert why_no_folds(np.array(codes), None if group is None else np.array(group)) == says

    def test_folds_without_convergence_are_counted(self) -> None:
        nothing = np.zeros(0, dtype=np.int64)
        told = CrossJudged(nothing, np.zeros((3, 0, 2)), 2).linear_note
        assert told == "logistic regression used up its steps in 2 of 5 folds"
        assert CrossJudged(nothing, np.zeros((3, 0, 2)), 0).linear_note == ""


class TestStratifiedSample:
    def test_classes_keep_their_shares_and_small_ones_their_cells(self) -> None:
        codes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [9000, 990, 10]))
        rows = stratified_sample(codes, 1000, at_least=10, seed=1)
        assert len(rows) == len(np.unique(rows)) == 1000
        assert (np.diff(rows) > 0).all()
        counts = np.bincount(codes[rows])
        assert counts[2] == 10
        assert counts[0] / counts[1] == pytest.approx(9000 / 990, rel=0.02)

    def test_the_seed_decides_and_enough_room_takes_all(self) -> None:
        codes = np.arange(100) % 3
        draw = [stratified_sample(codes, 30, at_least=1, seed=seed) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(draw[0], draw[1])
        assert (draw[0] != draw[2]).any()
        np.testing.assert_array_equal(stratified_sample(codes, 100, at_least=1, seed=0), np.arange(100))


def test_nothing_heavier_than_numpy_is_imported_before_it_is_needed() -> None:
    heavy = "{'sklearn', 'scipy', 'pandas', 'joblib'}"
    modules = "probes, transfer, ordering, anomaly"
    code = f"import sys; from czrun.metrics import {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
