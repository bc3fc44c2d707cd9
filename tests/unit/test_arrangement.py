"""Who goes where, for every design and split: what fit may see, what is asked, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from czrun.annotations import Annotated
from czrun.arrangement import MIN_TREATED, Arrangement, arrange
from czrun.cells import Categorical, Numeric
from czrun.columns import CONTROL, encode
from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan
from czrun.tasks.base import Design

WHOLE = SplitPlan(SplitKind.WHOLE)
HOLDOUT = SplitPlan(test_size=0.25)
BY_GROUP = SplitPlan(SplitKind.GROUP_HOLDOUT, test_size=0.3, group_key="donor")
PREDEFINED = SplitPlan(SplitKind.PREDEFINED, split_key="part")


def codes(values: Sequence[Any]) -> Categorical:
    names, numbers = encode(np.array(values, dtype=object))
    return Categorical(numbers, names)


def cells(n: int, *, groups: Any = None, words: Any = None, **columns: Any) -> Annotated:
    """Make annotated cells; texts become categorical columns, flags numeric ones."""
    found = {
        name: codes(values) if isinstance(values[0], str) else Numeric(np.array(values))
        for name, values in columns.items()
    }
    return Annotated(
        rows=np.arange(n),
        columns=found,
        strata=np.zeros(n, dtype=np.int32),
        groups=None if groups is None else codes(groups).codes,
        group_names=() if groups is None else codes(groups).categories,
        clusters=None,
        cluster_key=None,
        predefined=None if words is None else np.array(words, dtype=object),
        organisms=(),
        notes=(),
    )


def perturbed(names: Sequence[str], contexts: Sequence[str] | None = None, **more: Any) -> Annotated:
    """Make cells under perturbations; those called control are."""
    columns: dict[str, Any] = {"perturbation": names, "is_control": [name == CONTROL for name in names]}
    if contexts is not None:
        columns["context"] = contexts
    return cells(len(names), **columns, **more)


def asked(found: Arrangement) -> list[tuple[str, str, int]]:
    return [(each.perturbation, each.context, each.n_cells) for each in found.conditions]


def anomalies(n: int, every: int = 5) -> list[bool]:
    return [row % every == 0 for row in range(n)]


class TestCells:
    def test_the_whole_is_all_cells_on_both_sides(self) -> None:
        found = arrange(cells(10), Design.CELLS, WHOLE, 0)
        assert found.fit.tolist() == found.predict.tolist() == list(range(10))

    @pytest.mark.parametrize(
        "plan",
        [HOLDOUT, SplitPlan(SplitKind.KFOLD, folds=3), BY_GROUP, PREDEFINED],
        ids=lambda plan: str(plan.kind),
    )
    def test_no_cell_is_on_both_sides_of_any_other_split(self, plan: SplitPlan) -> None:
        some = cells(40, groups=[f"d{i % 8}" for i in range(40)], words=(["train"] * 3 + ["test"]) * 10)
        for fold in range(plan.n_folds):
            found = arrange(some, Design.CELLS, plan, fold)
            assert not set(found.fit) & set(found.predict)
            assert len(found.fit) + len(found.predict) == 40
            assert found.conditions == ()
            assert len(found.treated) == len(found.treated_condition) == 0


class TestClasses:
    def taught(self, labels: list[str], groups: list[str]) -> Annotated:
        return replace(cells(len(labels), label=labels, groups=groups), teaches_classes=True)

    def test_a_fold_that_teaches_one_class_is_refused_by_what_it_tests(self) -> None:
        some = self.taught(["B"] * 4 + ["B", "T"] * 2, ["d1"] * 4 + ["d2"] * 4)
        plan = SplitPlan(SplitKind.LEAVE_ONE_GROUP_OUT, folds=2, group_key="donor")
        with pytest.raises(DatasetError, match="All training cells are 'B' where d2 is tested") as refused:
            arrange(some, Design.CELLS, plan, 1)
        assert "--group-key" in refused.value.hint

    def test_sides_without_a_class_in_common_are_refused(self) -> None:
        some = self.taught(["A", "B"] * 2 + ["C", "D"] * 2, ["d1"] * 4 + ["d2"] * 4)
        plan = SplitPlan(SplitKind.LEAVE_ONE_GROUP_OUT, folds=2, group_key="donor")
        with pytest.raises(DatasetError, match="no class in common where d1 is tested"):
            arrange(some, Design.CELLS, plan, 0)

    def test_classes_that_a_fold_leaves_out_are_told_by_what_it_tests(self) -> None:
        some = self.taught(["A", "B", "A", "C", "A", "A"], ["d1", "d1", "d2", "d2", "d3", "d3"])
        plan = SplitPlan(SplitKind.LEAVE_ONE_GROUP_OUT, folds=3, group_key="donor")
        found = [arrange(some, Design.CELLS, plan, fold) for fold in range(3)]
        assert [each.tested for each in found] == [("d1",), ("d2",), ("d3",)]
        assert found[0].notes == (
            "fold 0 tests d1",
            "no training cells of B where d1 is tested",
            "no test cells of C where d1 is tested",
        )
        assert "all test cells are A where d3 is tested" in found[2].notes

    def test_a_task_that_teaches_none_may_see_one(self) -> None:
        some = cells(8, label=["B"] * 4 + ["B", "T"] * 2, groups=["d1"] * 4 + ["d2"] * 4)
        plan = SplitPlan(SplitKind.LEAVE_ONE_GROUP_OUT, folds=2, group_key="donor")
        assert arrange(some, Design.CELLS, plan, 1).notes == ("fold 1 tests d2",)


class TestNovelty:
    @pytest.mark.parametrize(
        "plan",
        [WHOLE, HOLDOUT, SplitPlan(SplitKind.KFOLD, folds=4), BY_GROUP, PREDEFINED],
        ids=lambda plan: str(plan.kind),
    )
    def test_fit_never_sees_an_anomaly(self, plan: SplitPlan) -> None:
        flags = np.array(anomalies(40))
        some = cells(
            40,
            anomaly=flags.tolist(),
            groups=[f"d{i % 8}" for i in range(40)],
            words=(["train"] * 3 + ["test"]) * 10,
        )
        for fold in range(plan.n_folds):
            found = arrange(some, Design.NOVELTY, plan, fold)
            assert not flags[found.fit].any()
            assert flags[found.predict].any()
            assert not flags[found.predict].all()
            if plan is not WHOLE:
                assert not set(found.fit) & set(found.predict)

    @pytest.mark.parametrize("plan", [HOLDOUT, SplitPlan(SplitKind.KFOLD, folds=4)], ids=["holdout", "kfold"])
    def test_where_cells_are_split_one_by_one_every_anomaly_is_tested(self, plan: SplitPlan) -> None:
        flags = np.array(anomalies(40))
        for fold in range(plan.n_folds):
            found = arrange(cells(40, anomaly=flags.tolist()), Design.NOVELTY, plan, fold)
            assert set(np.flatnonzero(flags)) <= set(found.predict)
            assert found.predict.tolist() == sorted(found.predict)
            assert len(found.fit) + len(found.predict) == 40

    @pytest.mark.parametrize("plan", [BY_GROUP, PREDEFINED], ids=["groups", "predefined"])
    def test_where_groups_are_split_anomalies_of_the_training_side_are_on_none(self, plan: SplitPlan) -> None:
        flags = np.array(anomalies(40, every=3))
        donors = np.array([f"d{i % 8}" for i in range(40)])
        words = np.where(np.isin(donors, ["d1", "d2"]), "test", "train")
        some = cells(40, anomaly=flags.tolist(), groups=donors.tolist(), words=words.tolist())
        found = arrange(some, Design.NOVELTY, plan, 0)
        assert not set(donors[found.fit]) & set(donors[found.predict])
        left_out = set(range(40)) - set(found.fit) - set(found.predict)
        assert left_out
        assert all(flags[row] and donors[row] not in donors[found.predict] for row in left_out)

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ([True] * 4 + [False] * 4, ["train"] * 4 + ["test"] * 4),
            ([False] * 4 + [True] * 4, ["train"] * 4 + ["test"] * 4),
            ([True] * 4 + [False, True] * 2, ["train"] * 4 + ["test"] * 4),
        ],
        ids=["no anomaly tested", "no normal cell tested", "nothing to fit"],
    )
    def test_a_side_that_lacks_what_it_needs(self, flags: list[bool], words: list[str]) -> None:
        with pytest.raises(DatasetError, match="This split leaves") as found:
            arrange(cells(8, anomaly=flags, words=words), Design.NOVELTY, PREDEFINED, 0)
        assert "choose another split" in found.value.hint

    @given(flags=st.lists(st.booleans(), min_size=6, max_size=60), seed=st.integers(0, 9))
    def test_any_flags_give_clean_sides_or_an_error(self, flags: list[bool], seed: int) -> None:
        some = cells(len(flags), anomaly=flags)
        try:
            found = arrange(some, Design.NOVELTY, SplitPlan(SplitKind.KFOLD, folds=3, seed=seed), seed % 3)
        except DatasetError:
            assume(False)
        assert not np.array(flags)[found.fit].any()
        assert sorted([*found.fit, *found.predict]) == list(range(len(flags)))


NAMES = (["control"] * 4 + ["A"] * 3 + ["B"] * 4 + ["C"] * 5) * 2
CONTEXTS = ["blood"] * 16 + ["lung"] * 16


class TestPerturbations:
    def test_the_whole_asks_for_every_condition_and_teaches_control_cells_only(self) -> None:
        found = arrange(perturbed(NAMES), Design.PERTURBATION, WHOLE, 0)
        assert asked(found) == [("A", "", 6), ("B", "", 8), ("C", "", 10)]
        controls = [row for row, name in enumerate(NAMES) if name == "control"]
        assert found.fit.tolist() == found.predict.tolist() == controls
        assert found.notes == ()

    def test_conditions_are_counted_by_context(self) -> None:
        found = arrange(perturbed(NAMES, CONTEXTS), Design.PERTURBATION, WHOLE, 0)
        assert asked(found) == [
            (name, context, n_cells)
            for name, n_cells in (("A", 3), ("B", 4), ("C", 5))
            for context in ("blood", "lung")
        ]
        assert [each.name for each in found.conditions][:2] == ["A in blood", "A in lung"]

    @pytest.mark.parametrize("contexts", [None, CONTEXTS], ids=["one context", "two contexts"])
    def test_a_holdout_holds_whole_perturbations_out(self, contexts: Any) -> None:
        names = np.array(NAMES)
        found = arrange(perturbed(NAMES, contexts), Design.PERTURBATION, HOLDOUT, 0)
        held_out = {each.perturbation for each in found.conditions}
        assert held_out
        assert not held_out & set(names[found.fit])
        assert not held_out & set(names[found.predict])
        assert set(names[found.treated]) == held_out
        assert set(names[found.predict]) == {"control"}

    def test_treated_cells_lie_by_condition(self) -> None:
        found = arrange(perturbed(NAMES, CONTEXTS), Design.PERTURBATION, WHOLE, 0)
        assert found.treated_condition.tolist() == sorted(found.treated_condition)
        for number, each in enumerate(found.conditions):
            own = found.treated[found.treated_condition == number]
            assert len(own) == each.n_cells
            assert {(NAMES[row], CONTEXTS[row]) for row in own} == {(each.perturbation, each.context)}

    def test_groups_hold_contexts_out(self) -> None:
        plan = SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="tissue", test_size=0.4)
        found = arrange(perturbed(NAMES, CONTEXTS, groups=CONTEXTS), Design.PERTURBATION, plan, 0)
        (tested,) = {each.context for each in found.conditions}
        seen = {(NAMES[row], CONTEXTS[row]) for row in found.fit}
        assert {name for name, context in seen if context == tested} == {"control"}
        assert {name for name, context in seen if context != tested} == {"control", "A", "B", "C"}
        assert {CONTEXTS[row] for row in found.predict} == {"blood", "lung"}

    def test_conditions_of_too_few_cells_or_without_controls_are_left_out_and_noted(self) -> None:
        names = ["control"] * 4 + ["A"] * MIN_TREATED + ["B"] * (MIN_TREATED - 1) + ["C"] * 5
        contexts = ["blood"] * (len(names) - 5) + ["lung"] * 5
        found = arrange(perturbed(names, contexts), Design.PERTURBATION, WHOLE, 0)
        assert asked(found) == [("A", "blood", 3)]
        assert len(found.treated) == 3
        assert found.notes == (
            "2 conditions of fewer than 3 cells, or without control cells in their context, were left out",
        )

    def test_conditions_that_are_left_out_are_not_shown_to_fit_either(self) -> None:
        names = ["control"] * 4 + ["A"] * 5 + ["B"] * 2 + ["C"] * 5
        words = ["train"] * 9 + ["test"] * 7
        found = arrange(perturbed(names, words=words), Design.PERTURBATION, PREDEFINED, 0)
        assert {names[row] for row in found.fit} == {"control", "A"}
        assert asked(found) == [("C", "", 5)]

    def test_cells_that_a_predefined_split_leaves_out_are_on_no_side(self) -> None:
        names = ["control"] * 6 + ["A"] * 5 + ["B"] * 5 + ["C"] * 5
        words = ["train"] * 2 + ["test"] * 2 + ["other"] * 2 + ["train"] * 5 + ["test"] * 5 + ["other"] * 5
        found = arrange(perturbed(names, words=words), Design.PERTURBATION, PREDEFINED, 0)
        assert found.predict.tolist() == [0, 1, 2, 3]
        assert found.fit.tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10]
        assert found.treated.tolist() == [11, 12, 13, 14, 15]

    def test_a_split_that_parts_the_cells_of_a_condition_is_noted(self) -> None:
        names = ["control"] * 4 + ["A"] * 8 + ["B"] * 8
        words = ["train"] * 4 + ["train", "test"] * 4 + ["train"] * 8
        found = arrange(perturbed(names, words=words), Design.PERTURBATION, PREDEFINED, 0)
        assert not set(found.fit) & set(found.treated)
        assert found.notes == ("fit sees other cells of 1 of the conditions asked for: the split parts them",)

    @pytest.mark.parametrize(
        ("plan", "names", "said"),
        [
            (HOLDOUT, ["control"] * 4 + ["A"] * 8, "1 perturbations besides the control; this split needs 2"),
            (
                SplitPlan(SplitKind.KFOLD, folds=5),
                NAMES,
                "3 perturbations besides the control; this split needs 5",
            ),
        ],
    )
    def test_too_few_perturbations_say_the_way_out(
        self, plan: SplitPlan, names: list[str], said: str
    ) -> None:
        with pytest.raises(DatasetError, match=said) as found:
            arrange(perturbed(names), Design.PERTURBATION, plan, 0)
        assert "--group-key" in found.value.hint

    @pytest.mark.parametrize(
        ("names", "words", "said"),
        [
            (
                ["control"] * 3 + ["A"] * 2 + ["B"] * 5,
                ["train"] * 3 + ["test"] * 2 + ["train"] * 5,
                "asks for 0",
            ),
            (["control"] * 3 + ["A"] * 5, ["train"] * 3 + ["test"] * 5, "lets fit see 0 perturbed cells"),
        ],
    )
    def test_nothing_to_ask_or_nothing_to_learn(self, names: list[str], words: list[str], said: str) -> None:
        with pytest.raises(DatasetError, match=said) as found:
            arrange(perturbed(names, words=words), Design.PERTURBATION, PREDEFINED, 0)
        assert "at least 3 cells" in found.value.hint


@st.composite
def experiments(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Draw a perturbation and a context for each of some cells, controls among them."""
    n = draw(st.integers(20, 80))
    names = draw(st.lists(st.sampled_from([CONTROL, "A", "B", "C", "D"]), min_size=n, max_size=n))
    contexts = draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=n, max_size=n))
    return names, contexts


def folds(names: list[str], contexts: list[str], plan: SplitPlan) -> list[Arrangement]:
    some = perturbed(names, contexts, groups=contexts)
    try:
        return [arrange(some, Design.PERTURBATION, plan, fold) for fold in range(plan.n_folds)]
    except DatasetError:
        assume(False)
        return []


PLANS = st.builds(
    lambda kind, seed: SplitPlan(kind, folds=3, test_size=0.4, seed=seed, group_key="context"),
    st.sampled_from([kind for kind in SplitKind if kind not in (SplitKind.PREDEFINED, SplitKind.DOMAIN)]),
    st.integers(0, 5),
)


class TestAnyExperiment:
    @given(experiment=experiments(), plan=PLANS)
    def test_no_cell_that_is_asked_for_is_in_any_file(
        self, experiment: tuple[list[str], list[str]], plan: SplitPlan
    ) -> None:
        names, contexts = experiment
        for found in folds(names, contexts, plan):
            conditions = {(each.perturbation, each.context) for each in found.conditions}
            shown = {(names[row], contexts[row]) for row in (*found.fit, *found.predict)}
            assert not conditions & shown
            assert not set(found.treated) & {*found.fit, *found.predict}

    @given(experiment=experiments(), plan=PLANS)
    def test_what_is_asked_for_is_exactly_its_cells(
        self, experiment: tuple[list[str], list[str]], plan: SplitPlan
    ) -> None:
        names, contexts = experiment
        for found in folds(names, contexts, plan):
            for number, each in enumerate(found.conditions):
                own = [
                    row
                    for row in range(len(names))
                    if (names[row], contexts[row]) == (each.perturbation, each.context)
                ]
                assert found.treated[found.treated_condition == number].tolist() == own
                assert each.n_cells == len(own) >= MIN_TREATED
                assert CONTROL in {names[row] for row in found.predict if contexts[row] == each.context}

    @given(experiment=experiments(), kind=st.sampled_from([SplitKind.KFOLD, SplitKind.GROUP_KFOLD]))
    def test_over_all_folds_each_condition_is_asked_for_once(
        self, experiment: tuple[list[str], list[str]], kind: SplitKind
    ) -> None:
        names, contexts = experiment
        found = folds(names, contexts, SplitPlan(kind, folds=2, group_key="context"))
        every = [condition for each in found for condition in asked(each)]
        at_once = arrange(perturbed(names, contexts), Design.PERTURBATION, WHOLE, 0)
        assert sorted(every) == asked(at_once)
        assert all(each.predict.tolist() == at_once.predict.tolist() for each in found)
