"""What a split promises: nothing on both sides, nothing lost, the same result on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.conditions import parse_clauses
from czrun.errors import DatasetError, UsageError
from czrun.split_plan import SplitChoice, SplitKind, SplitPlan
from czrun.splits import Split, inner_folds, split

SEEDS = st.integers(0, 2**31 - 1)
ON_EARLY = parse_clauses("--train-on", "time<=2")


def codes(*, most: int, min_size: int, max_size: int = 80) -> st.SearchStrategy[Any]:
    return st.lists(st.integers(0, most), min_size=min_size, max_size=max_size).map(
        lambda values: np.unique(values, return_inverse=True)[1].astype(np.int32)
    )


def plan(kind: SplitKind, **more: Any) -> SplitPlan:
    if kind is SplitKind.DOMAIN:
        more = {"test_on": parse_clauses("--test-on", "tissue=lung"), **more}
    return SplitPlan(kind=kind, **{"group_key": "donor_id", "split_key": "part", **more})


def assert_clean(found: Split, n_obs: int) -> None:
    assert not set(found.train) & set(found.test)
    assert len(found.train)
    assert len(found.test)
    assert sorted([*found.train, *found.test]) == list(range(n_obs))
    assert list(found.train) == sorted(found.train)
    assert list(found.test) == sorted(found.test)


def all_folds(asked: SplitPlan, labels: Any, groups: Any = None) -> list[Split]:
    return [split(asked, fold, labels, groups) for fold in range(asked.n_folds)]


class TestHoldout:
    @given(labels=codes(most=6, min_size=8), seed=SEEDS, share=st.floats(0.1, 0.9))
    def test_every_cell_is_on_one_side(self, labels: Any, seed: int, share: float) -> None:
        if max(Counter(labels.tolist()).values()) < 2:
            return  # every class has one cell, and all of them are for training
        found = split(plan(SplitKind.HOLDOUT, seed=seed, test_size=share), 0, labels)
        assert_clean(found, len(labels))

    @given(labels=codes(most=6, min_size=8), seed=SEEDS, share=st.floats(0.05, 0.95))
    def test_every_class_with_two_cells_is_on_both_sides(self, labels: Any, seed: int, share: float) -> None:
        counts = Counter(labels.tolist())
        if max(counts.values()) < 2:
            return
        found = split(plan(SplitKind.HOLDOUT, seed=seed, test_size=share), 0, labels)
        for label, count in counts.items():
            in_test = int((labels[found.test] == label).sum())
            assert in_test == 0 if count == 1 else 0 < in_test < count

    @given(seed=SEEDS, share=st.floats(0.1, 0.9))
    def test_each_class_keeps_its_share_to_within_one_cell(self, seed: int, share: float) -> None:
        labels = np.repeat(np.arange(4, dtype=np.int32), [100, 50, 33, 17])
        found = split(plan(SplitKind.HOLDOUT, seed=seed, test_size=share), 0, labels)
        tested = np.bincount(labels[found.test], minlength=4)
        assert np.all(np.abs(tested - np.bincount(labels) * share) <= 1)
        assert abs(len(found.test) - 200 * share) <= 1

    def test_a_class_of_one_cell_is_learned_not_asked(self) -> None:
        labels = np.array([0] * 10 + [1], dtype=np.int32)
        assert 10 in split(plan(SplitKind.HOLDOUT), 0, labels).train

    def test_the_order_of_the_file_does_not_decide(self) -> None:
        labels = np.zeros(100, dtype=np.int32)
        found = split(plan(SplitKind.HOLDOUT), 0, labels)
        assert not np.array_equal(found.test, np.arange(20))
        assert not np.array_equal(found.test, np.arange(80, 100))

    def test_classes_of_one_cell_each_leave_nothing_to_test(self) -> None:
        with pytest.raises(DatasetError, match="leaves no test cells") as refused:
            split(plan(SplitKind.HOLDOUT), 0, np.arange(5, dtype=np.int32))
        assert "--test-size" in refused.value.hint


class TestKFold:
    @given(labels=codes(most=5, min_size=10), folds=st.integers(2, 10), seed=SEEDS)
    def test_each_cell_is_tested_exactly_once(self, labels: Any, folds: int, seed: int) -> None:
        found = all_folds(plan(SplitKind.KFOLD, folds=folds, seed=seed), labels)
        for each in found:
            assert_clean(each, len(labels))
        assert sorted(np.concatenate([each.test for each in found])) == list(range(len(labels)))

    @given(labels=codes(most=5, min_size=10), folds=st.integers(2, 10), seed=SEEDS)
    def test_folds_and_their_classes_differ_by_one_cell_at_most(
        self, labels: Any, folds: int, seed: int
    ) -> None:
        found = all_folds(plan(SplitKind.KFOLD, folds=folds, seed=seed), labels)
        sizes = [len(each.test) for each in found]
        assert max(sizes) - min(sizes) <= 1
        per_class = np.array([np.bincount(labels[each.test], minlength=6) for each in found])
        assert np.all(per_class.max(axis=0) - per_class.min(axis=0) <= 1)

    def test_it_is_as_balanced_as_scikit_learn(self) -> None:
        from sklearn.model_selection import StratifiedKFold

        labels = np.repeat(np.arange(5, dtype=np.int32), [61, 37, 22, 9, 6])
        ours = [each.test for each in all_folds(plan(SplitKind.KFOLD, folds=5, seed=3), labels)]
        peer = StratifiedKFold(5, shuffle=True, random_state=3).split(labels, labels)
        theirs = [test for _, test in peer]
        ours_sizes, theirs_sizes = (
            [np.bincount(labels[t], minlength=5) for t in each] for each in (ours, theirs)
        )
        assert np.ptp(ours_sizes, axis=0).max() <= np.ptp(theirs_sizes, axis=0).max()
        assert sorted(map(len, ours)) == sorted(map(len, theirs))

    def test_fewer_cells_than_folds(self) -> None:
        with pytest.raises(DatasetError, match="4 cells can't be divided into 5 folds") as refused:
            split(plan(SplitKind.KFOLD, folds=5), 0, np.zeros(4, dtype=np.int32))
        assert "--folds 4" in refused.value.hint


class TestGroups:
    @given(groups=codes(most=9, min_size=6), seed=SEEDS, share=st.floats(0.1, 0.9))
    def test_a_held_out_group_is_on_one_side(self, groups: Any, seed: int, share: float) -> None:
        if groups.max() < 1:
            return
        labels = np.zeros(len(groups), dtype=np.int32)
        found = split(plan(SplitKind.GROUP_HOLDOUT, seed=seed, test_size=share), 0, labels, groups)
        assert_clean(found, len(groups))
        assert not set(groups[found.train]) & set(groups[found.test])

    @given(groups=codes(most=9, min_size=6), folds=st.integers(2, 6), seed=SEEDS)
    def test_each_group_is_tested_once_and_whole(self, groups: Any, folds: int, seed: int) -> None:
        if groups.max() + 1 < folds:
            return
        labels = np.zeros(len(groups), dtype=np.int32)
        found = all_folds(plan(SplitKind.GROUP_KFOLD, folds=folds, seed=seed), labels, groups)
        for each in found:
            assert_clean(each, len(groups))
            assert not set(groups[each.train]) & set(groups[each.test])
        tested = [group for each in found for group in set(groups[each.test])]
        assert sorted(tested) == sorted(set(groups))

    @given(seed=SEEDS)
    def test_it_is_as_balanced_as_scikit_learn(self, seed: int) -> None:
        from sklearn.model_selection import GroupKFold

        groups = np.repeat(np.arange(8, dtype=np.int32), [858, 408, 1015, 516, 1244, 1256, 1488, 2030])
        ours = all_folds(
            plan(SplitKind.GROUP_KFOLD, folds=4, seed=seed), np.zeros(len(groups), np.int32), groups
        )
        theirs = GroupKFold(4).split(groups, groups=groups)
        assert sorted(len(each.test) for each in ours) == sorted(len(test) for _, test in theirs)

    @given(seed=SEEDS)
    def test_the_held_out_share_is_as_near_as_the_groups_allow(self, seed: int) -> None:
        groups = np.repeat(np.arange(20, dtype=np.int32), 10)
        labels = np.zeros(200, dtype=np.int32)
        found = split(plan(SplitKind.GROUP_HOLDOUT, seed=seed, test_size=0.2), 0, labels, groups)
        assert len(found.test) == 40

    def test_two_groups_give_one_each(self) -> None:
        groups = np.array([0] * 95 + [1] * 5, dtype=np.int32)
        found = split(plan(SplitKind.GROUP_HOLDOUT), 0, np.zeros(100, np.int32), groups)
        assert {len(found.train), len(found.test)} == {95, 5}

    def test_one_group_is_left_to_learn_from_whatever_the_share(self) -> None:
        groups = np.array([0] * 4 + [1] * 2, dtype=np.int32)
        for seed in range(10):
            asked = plan(SplitKind.GROUP_HOLDOUT, test_size=0.95, seed=seed)
            assert len(split(asked, 0, np.zeros(6, np.int32), groups).train)

    @pytest.mark.parametrize(("kind", "needed"), [(SplitKind.GROUP_HOLDOUT, 2), (SplitKind.GROUP_KFOLD, 5)])
    def test_too_few_groups(self, kind: SplitKind, needed: int) -> None:
        labels = np.zeros(30, dtype=np.int32)
        with pytest.raises(DatasetError, match=rf"'donor_id' has 1 group\(s\).* needs {needed}") as refused:
            split(plan(kind), 0, labels, groups=labels)
        assert "--group-key" in refused.value.hint

    def test_groups_that_were_named_are_on_one_side(self) -> None:
        words = np.array(["train", "train", "test", "test"], dtype=object)
        apart, mixed = np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 1, 2], np.int32)
        keyed = plan(SplitKind.PREDEFINED, group_key="donor_id")
        assert split(keyed, 0, np.zeros(4, np.int32), apart, words).test.tolist() == [2, 3]
        with pytest.raises(DatasetError, match=r"1 group\(s\) of 'donor_id' are on both sides of 'part'"):
            split(keyed, 0, np.zeros(4, np.int32), mixed, words)

    def test_without_the_column(self) -> None:
        with pytest.raises(DatasetError, match="needs its column") as refused:
            split(plan(SplitKind.GROUP_HOLDOUT), 0, np.zeros(30, dtype=np.int32))
        assert "--group-key" in refused.value.hint


class TestPredefined:
    @pytest.mark.parametrize("train", ["train", "Training", " fit "])
    @pytest.mark.parametrize("test", ["test", "TESTING", "holdout", "held-out", "predict"])
    def test_the_words_that_are_understood(self, train: str, test: str) -> None:
        words = np.array([train, test, train], dtype=object)
        found = split(plan(SplitKind.PREDEFINED), 0, np.zeros(3, np.int32), predefined=words)
        assert found.train.tolist() == [0, 2]
        assert found.test.tolist() == [1]

    def test_cells_with_another_word_take_no_part(self) -> None:
        words = np.array(["train", "validation", None, "test"], dtype=object)
        found = split(plan(SplitKind.PREDEFINED), 0, np.zeros(4, np.int32), predefined=words)
        assert found.train.tolist() == [0]
        assert found.test.tolist() == [3]

    @pytest.mark.parametrize("words", [["a", "b"], ["train", "train"], ["test", "test"], [None, None]])
    def test_a_column_that_does_not_say_both(self, words: list[str | None]) -> None:
        with pytest.raises(DatasetError, match="'part' doesn't say which cells are train") as refused:
            split(
                plan(SplitKind.PREDEFINED), 0, np.zeros(2, np.int32), predefined=np.array(words, dtype=object)
            )
        assert repr(str(words[0])) in refused.value.message
        assert "'train' and 'test'" in refused.value.hint

    def test_without_the_column(self) -> None:
        with pytest.raises(DatasetError, match="needs its column") as refused:
            split(plan(SplitKind.PREDEFINED), 0, np.zeros(2, np.int32))
        assert "--split-key" in refused.value.hint


class TestStability:
    """A change here changes every published score: the preparer's version must then rise with it."""

    LABELS = np.array([0, 1, 2, 0, 1, 0, 2, 1, 0, 0, 1, 2], dtype=np.int32)
    GROUPS = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5], dtype=np.int32)

    @pytest.mark.parametrize(
        ("kind", "seed", "tests"),
        [
            (SplitKind.HOLDOUT, 0, [[2, 5, 7, 9]]),
            (SplitKind.HOLDOUT, 1, [[4, 5, 8, 11]]),
            (SplitKind.KFOLD, 0, [[2, 3, 4, 9], [5, 8, 10, 11], [0, 1, 6, 7]]),
            (SplitKind.GROUP_HOLDOUT, 0, [[4, 5, 6, 7]]),
            (SplitKind.GROUP_KFOLD, 0, [[8, 9, 10, 11], [0, 1, 6, 7], [2, 3, 4, 5]]),
        ],
    )
    def test_the_same_cells_for_ever(self, kind: SplitKind, seed: int, tests: list[list[int]]) -> None:
        asked = plan(kind, folds=3, test_size=0.3, seed=seed)
        assert [each.test.tolist() for each in all_folds(asked, self.LABELS, self.GROUPS)] == tests

    def test_the_same_cells_for_ever_in_a_large_set(self) -> None:
        labels = (np.arange(10_000) ** 2 % 7).astype(np.int32)
        found = split(plan(SplitKind.HOLDOUT, seed=42), 0, labels)
        assert (
            hashlib.sha256(found.test.astype("<i8").tobytes()).hexdigest()
            == "aa4129709d8971b3c64ff47e08904f713eeefbc3807cd0b995dc1978c6a60ca9"
        )

    def test_another_seed_tests_other_cells(self) -> None:
        labels = np.zeros(50, dtype=np.int32)
        tests = {tuple(split(plan(SplitKind.HOLDOUT, seed=seed), 0, labels).test) for seed in range(5)}
        assert len(tests) == 5


class TestPlan:
    @pytest.mark.parametrize(
        ("fields", "message", "hint"),
        [
            ({"kind": SplitKind.KFOLD, "folds": 1}, "--folds 1", "--folds 5"),
            ({"test_size": 0.0}, "--test-size", "0.2"),
            ({"test_size": 1.0}, "--test-size", "0.2"),
            ({"test_size": float("nan")}, "--test-size", "0.2"),
            ({"kind": SplitKind.GROUP_KFOLD}, "needs --group-key", "donor_id"),
        ],
    )
    def test_a_combination_that_makes_no_sense(self, fields: dict[str, Any], message: str, hint: str) -> None:
        with pytest.raises(UsageError) as refused:
            SplitPlan(**fields)
        assert message in refused.value.message
        assert hint in refused.value.hint

    @pytest.mark.parametrize(
        ("kind", "matters"),
        [
            (SplitKind.HOLDOUT, {"seed", "test_size", "inner_folds"}),
            (SplitKind.KFOLD, {"seed", "folds", "inner_folds"}),
            (SplitKind.GROUP_HOLDOUT, {"seed", "test_size", "group_key", "inner_folds"}),
            (SplitKind.GROUP_KFOLD, {"seed", "folds", "group_key", "inner_folds"}),
            (SplitKind.LEAVE_ONE_GROUP_OUT, {"folds", "group_key", "inner_folds"}),
            (SplitKind.DOMAIN, {"train_on", "test_on", "group_key", "inner_folds"}),
            (SplitKind.PREDEFINED, {"split_key", "group_key", "inner_folds"}),
            (SplitKind.WHOLE, {"inner_folds"}),
        ],
    )
    def test_it_is_known_by_what_determines_it(self, kind: SplitKind, matters: set[str]) -> None:
        others = {
            "folds": 7, "test_size": 0.5, "seed": 9, "group_key": "batch", "split_key": "fold",
            "inner_folds": 3, "train_on": ON_EARLY, "test_on": ON_EARLY,
        }  # fmt: skip
        base = plan(kind).describe()
        changing = {name for name, value in others.items() if plan(kind, **{name: value}).describe() != base}
        assert changing == matters

    def test_a_predefined_split_takes_its_column_from_the_flag_then_from_the_data_set(self) -> None:
        asked = SplitPlan(SplitKind.PREDEFINED, split_key="flag")
        assert asked.keyed("spec").split_key == "flag"
        assert SplitPlan(SplitKind.PREDEFINED).keyed("spec").split_key == "spec"
        assert SplitPlan(SplitKind.HOLDOUT).keyed("spec").split_key is None
        with pytest.raises(UsageError, match="needs --split-key") as refused:
            SplitPlan(SplitKind.PREDEFINED).keyed(None)
        assert "original_split" in refused.value.hint

    def test_only_k_fold_kinds_have_several_folds(self) -> None:
        assert {kind: plan(kind, folds=4).n_folds for kind in SplitKind} == {
            SplitKind.HOLDOUT: 1,
            SplitKind.KFOLD: 4,
            SplitKind.GROUP_HOLDOUT: 1,
            SplitKind.GROUP_KFOLD: 4,
            SplitKind.LEAVE_ONE_GROUP_OUT: 4,
            SplitKind.DOMAIN: 1,
            SplitKind.PREDEFINED: 1,
            SplitKind.WHOLE: 1,
        }

    def test_a_group_column_makes_the_split_grouped(self) -> None:
        def settled(kind: SplitKind | None, group_key: str | None) -> SplitKind:
            choice = SplitChoice(kind, group_key=group_key, split_key="part")
            return choice.settle(SplitKind.WHOLE, 5, None, None).kind

        assert settled(SplitKind.HOLDOUT, "donor_id") is SplitKind.GROUP_HOLDOUT
        assert settled(SplitKind.KFOLD, "donor_id") is SplitKind.GROUP_KFOLD
        assert settled(SplitKind.HOLDOUT, None) is SplitKind.HOLDOUT
        assert settled(SplitKind.PREDEFINED, "donor_id") is SplitKind.PREDEFINED
        assert settled(None, None) is SplitKind.WHOLE
        assert settled(None, "donor_id") is SplitKind.GROUP_HOLDOUT

    def test_a_task_s_own_groups_and_folds_serve_where_nobody_chose(self) -> None:
        def settled(**chosen: Any) -> SplitPlan:
            return SplitChoice(**chosen).settle(SplitKind.GROUP_KFOLD, 2, "organism", None)

        assert (settled().folds, settled().group_key) == (2, "organism")
        assert settled(folds=3).folds == 3
        assert settled(group_key="donor_id").group_key == "donor_id"
        assert settled(kind=SplitKind.HOLDOUT).group_key is None


class TestLeaveOneGroupOut:
    def folds(self, groups: Any, **more: Any) -> list[Split]:
        asked = plan(SplitKind.LEAVE_ONE_GROUP_OUT, folds=len(np.unique(groups)), **more)
        return all_folds(asked, np.zeros(len(groups), np.int32), groups)

    @given(groups=codes(most=7, min_size=20), seed=SEEDS)
    def test_it_is_scikit_learn_s(self, groups: Any, seed: int) -> None:
        from sklearn.model_selection import LeaveOneGroupOut

        if groups.max() < 1:
            return
        ours = self.folds(groups, seed=seed)
        theirs = list(LeaveOneGroupOut().split(groups, groups=groups))
        assert len(ours) == len(theirs)
        for one, (train, test) in zip(ours, theirs, strict=True):
            assert_clean(one, len(groups))
            assert one.train.tolist() == train.tolist()
            assert one.test.tolist() == test.tolist()

    def test_codes_that_no_cell_has_are_no_folds(self) -> None:
        groups = np.array([0, 0, 3, 3, 5, 5, 5], dtype=np.int32)
        assert [each.test.tolist() for each in self.folds(groups)] == [[0, 1], [2, 3], [4, 5, 6]]

    @pytest.mark.parametrize("groups", [[0] * 10, list(range(10))])
    def test_one_group_and_groups_of_single_cells_are_refused(self, groups: list[int]) -> None:
        with pytest.raises(DatasetError, match="leaving one out needs 2 groups") as refused:
            self.folds(np.array(groups, dtype=np.int32))
        assert "--group-key" in refused.value.hint

    def test_folds_are_counted_not_chosen(self) -> None:
        with pytest.raises(UsageError, match="as many folds as there are groups"):
            SplitChoice(SplitKind.LEAVE_ONE_GROUP_OUT, folds=3, group_key="d").settle(
                SplitKind.HOLDOUT, 5, None, None
            )
        with pytest.raises(UsageError, match="needs --group-key"):
            SplitChoice(SplitKind.LEAVE_ONE_GROUP_OUT).settle(SplitKind.HOLDOUT, 5, None, None)
        groups = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
        with pytest.raises(DatasetError, match="3 groups, and 2 folds"):
            split(plan(SplitKind.LEAVE_ONE_GROUP_OUT, folds=2), 0, np.zeros(6, np.int32), groups)


class TestDomainChoice:
    def test_conditions_make_it_a_split_by_domain(self) -> None:
        settled = SplitChoice(train_on=ON_EARLY, group_key="donor").settle(SplitKind.WHOLE, 5, None, None)
        assert (settled.kind, settled.train_on) == (SplitKind.DOMAIN, ON_EARLY)
        assert settled.n_folds == 1

    def test_another_kind_beside_them_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--split kfold: --train-on and --test-on say already"):
            SplitChoice(SplitKind.KFOLD, train_on=ON_EARLY).settle(SplitKind.WHOLE, 5, None, None)
        with pytest.raises(UsageError, match="--split domain needs --train-on or --test-on"):
            SplitChoice(SplitKind.DOMAIN).settle(SplitKind.WHOLE, 5, None, None)


class TestInnerFolds:
    @given(labels=codes(most=4, min_size=12), folds=st.integers(2, 6), seed=SEEDS)
    def test_without_groups_each_class_is_divided_evenly(self, labels: Any, folds: int, seed: int) -> None:
        found = inner_folds(folds, seed, labels)
        per_class = np.array([np.bincount(labels[found == fold], minlength=5) for fold in range(folds)])
        assert set(found) == set(range(folds))
        assert np.ptp(per_class, axis=0).max() <= 1

    @given(labels=codes(most=4, min_size=40, max_size=40), groups=codes(most=11, min_size=40, max_size=40),
           folds=st.integers(2, 5), seed=SEEDS)  # fmt: skip
    def test_groups_are_whole_and_every_fold_has_some(
        self, labels: Any, groups: Any, folds: int, seed: int
    ) -> None:
        if groups.max() + 1 < folds:
            return
        found = inner_folds(folds, seed, labels, groups)
        assert set(found) == set(range(folds))
        assert all(len(set(found[groups == group])) == 1 for group in np.unique(groups))
        assert np.array_equal(found, inner_folds(folds, seed, labels, groups))

    @pytest.mark.parametrize("seed", range(5))
    def test_with_groups_it_is_as_even_as_scikit_learn(self, seed: int) -> None:
        from sklearn.model_selection import StratifiedGroupKFold

        rng = np.random.default_rng(seed)
        groups = rng.integers(0, 20, 600).astype(np.int32)
        labels = ((groups + rng.integers(0, 3, 600)) % 4).astype(np.int32)
        ours = inner_folds(5, seed, labels, groups)
        theirs = np.empty(600, dtype=int)
        for fold, (_, test) in enumerate(StratifiedGroupKFold(5).split(labels, labels, groups)):
            theirs[test] = fold

        def unevenness(folds: Any) -> float:
            shares = np.array([np.bincount(labels[folds == fold], minlength=4) for fold in range(5)])
            return float((shares / np.bincount(labels)).std(axis=0).mean())

        assert unevenness(ours) <= 1.5 * unevenness(theirs)

    def test_fewer_groups_than_folds(self) -> None:
        labels, groups = np.zeros(9, np.int32), np.repeat(np.arange(3, dtype=np.int32), 3)
        with pytest.raises(DatasetError, match="3 training groups can't be divided into 5") as refused:
            inner_folds(5, 0, labels, groups)
        assert "--inner-folds 3" in refused.value.hint

    def test_the_same_folds_for_ever(self) -> None:
        labels, groups = TestStability.LABELS, TestStability.GROUPS
        assert inner_folds(3, 0, labels).tolist() == [2, 2, 0, 0, 0, 1, 2, 2, 1, 0, 1, 1]
        assert inner_folds(3, 0, labels, groups).tolist() == [1, 1, 0, 0, 2, 2, 1, 1, 0, 0, 0, 2]

    @pytest.mark.parametrize("folds", [1, -2])
    def test_one_fold_is_none(self, folds: int) -> None:
        with pytest.raises(UsageError, match=f"--inner-folds {folds}"):
            SplitPlan(inner_folds=folds)
