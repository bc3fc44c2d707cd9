"""Splits by domain: who trains and who is tested, by conditions; and what can't be parted so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from czrun.annotations import Annotated, annotate
from czrun.arrangement import Arrangement, arrange
from czrun.conditions import parse_clauses
from czrun.datasets.local import LocalCells
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan
from czrun.tasks.base import Task
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from made_cells import made_cells, written
from made_tasks import NOVELTY, PLAIN, TIMES

TISSUES = ["blood", "blood", "lung", "skin", None] * 8
DRUGS = ["ctrl", "A", "B", "C"] * 12


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "cells.h5ad"


def by_domain(
    train_on: str | Sequence[str] = (), test_on: str | Sequence[str] = (), **more: Any
) -> SplitPlan:
    return SplitPlan(
        SplitKind.DOMAIN,
        train_on=parse_clauses("--train-on", train_on),
        test_on=parse_clauses("--test-on", test_on),
        **more,
    )


def arranged(
    path: Path,
    plan: SplitPlan,
    task: Task = PLAIN,
    n_obs: int = 40,
    spec: Mapping[str, Any] | None = None,
    **obs: Any,
) -> tuple[Annotated, Arrangement]:
    cells = made_cells(n_obs, **{"tissue": TISSUES, **obs} if n_obs == 40 else obs)
    described = DatasetSpec(name="cells", path=written(cells, path), **(spec or {}))
    source = LocalCells(described)
    try:
        found = annotate(source, described, plan, task)
    finally:
        source.close()
    return found, arrange(found, task.design, plan, 0)


def values(found: Annotated, rows: Any, of: Sequence[Any]) -> set[Any]:
    return {of[row] for row in found.rows[rows]}


def refused(path: Path, plan: SplitPlan, task: Task = PLAIN, **more: Any) -> DatasetError:
    with pytest.raises(DatasetError) as error:
        arranged(path, plan, task, **more)
    assert error.value.hint
    return error.value


class TestSides:
    def test_each_side_has_the_cells_that_meet_its_conditions(self, path: Path) -> None:
        found, chosen = arranged(path, by_domain("tissue=blood", "tissue=lung"))
        assert values(found, chosen.fit, TISSUES) == {"blood"}
        assert values(found, chosen.predict, TISSUES) == {"lung"}
        assert (len(chosen.fit), len(chosen.predict)) == (16, 8)
        assert chosen.tested == ("tissue=lung",)
        assert found.notes == ("16 cells are on neither side and were left out",)

    def test_without_training_conditions_all_others_train_but_those_that_say_nothing(
        self, path: Path
    ) -> None:
        found, chosen = arranged(path, by_domain(test_on="tissue=lung"))
        assert values(found, chosen.fit, TISSUES) == {"blood", "skin"}
        assert found.notes == ("8 cells are on neither side and were left out",)

    def test_without_test_conditions_all_others_are_tested(self, path: Path) -> None:
        found, chosen = arranged(path, by_domain(train_on="tissue=blood"))
        assert values(found, chosen.predict, TISSUES) == {"lung", "skin"}
        assert chosen.tested == ("all but tissue=blood",)

    def test_conditions_of_one_side_narrow_one_another(self, path: Path) -> None:
        plan = by_domain(["tissue=blood", "donor=donor_0"], ["tissue=lung,skin", "cell_type=B cell"])
        found, chosen = arranged(path, plan)
        assert {row % 5 for row in found.rows[chosen.fit]} == {0}
        assert {row % 2 for row in found.rows[chosen.predict]} == {0}

    def test_early_times_train_and_late_ones_are_tested(self, path: Path) -> None:
        times = [0, 2, 4, 7.5] * 10
        plan = by_domain("time<=2", "time>2")
        found, chosen = arranged(path, plan, TIMES, spec={"obs": {"time": "day"}}, day=times)
        assert values(found, chosen.fit, times) == {0, 2}
        assert values(found, chosen.predict, times) == {4, 7.5}
        assert found.notes == ()

    @given(
        tissues=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=40, max_size=40),
        train=st.sets(st.sampled_from("abcd"), max_size=2),
        test=st.sets(st.sampled_from("abcd"), max_size=2),
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
    def test_no_cell_is_on_both_sides_or_on_the_wrong_one(
        self, path: Path, tissues: list[str], train: set[str], test: set[str]
    ) -> None:
        assume((train or test) and not train & test and train | test <= set(tissues))
        assume((train and test) or set(tissues) - train - test)
        plan = by_domain(
            f"tissue={','.join(train)}" if train else (), f"tissue={','.join(test)}" if test else ()
        )
        path.unlink(missing_ok=True)
        found, chosen = arranged(path, plan, tissue=tissues)
        everyone = set("abcd") & set(tissues)
        assert values(found, chosen.fit, tissues) == (train or everyone - test)
        assert values(found, chosen.predict, tissues) == (test or everyone - train)
        assert not set(chosen.fit) & set(chosen.predict)
        assert len(chosen.fit) + len(chosen.predict) == len(found.rows)


class TestRefusals:
    def test_a_cell_on_both_sides(self, path: Path) -> None:
        error = refused(path, by_domain("tissue=blood", "cell_type=B cell"))
        assert "8 cells have both tissue=blood and cell_type=B cell" in error.message

    def test_conditions_that_every_cell_meets_leave_nobody_else(self, path: Path) -> None:
        error = refused(path, by_domain(test_on="time>=0"), time=[1, 2] * 20)
        assert "No train cells are left: all that take part have time>=0" in error.message
        assert "--train-on COLUMN=VALUE" in error.hint

    def test_all_names_that_are_not_there_on_either_side(self, path: Path) -> None:
        error = refused(path, by_domain("tissue=brain", "plate=1"))
        assert error.message.count("\n  - ") == 2

    def test_groups_that_are_to_stay_whole(self, path: Path) -> None:
        plan = by_domain("cell_type=B cell", "cell_type=T cell", group_key="donor")
        error = refused(path, plan)
        assert "5 group(s) of 'donor' are on both sides of --train-on and --test-on" in error.message


class TestClasses:
    def test_one_class_to_test_is_nothing_to_tell_apart(self, path: Path) -> None:
        labels = ["T cell" if tissue == "lung" else f"c{i % 3}" for i, tissue in enumerate(TISSUES)]
        labels[0] = "T cell"
        error = refused(path, by_domain(test_on="tissue=lung"), CELL_TYPE_CLASSIFICATION, cell_type=labels)
        assert "have one class in common, 'T cell': there is nothing to tell apart" in error.message

    def test_one_class_to_learn_from_is_none(self, path: Path) -> None:
        labels = ["T cell" if tissue == "blood" else f"c{i % 2}" for i, tissue in enumerate(TISSUES)]
        error = refused(path, by_domain("tissue=blood"), CELL_TYPE_CLASSIFICATION, cell_type=labels)
        assert "Train and test cells have no class in common" in error.message
        assert "'c0', 'c1'" in error.message

    def test_classes_that_one_side_does_not_know_are_left_out_of_the_other_and_counted(
        self, path: Path
    ) -> None:
        labels = np.array(["B", "T", "B", "T"] * 10, dtype=object)
        labels[[0, 5]] = "Mast"  # blood
        labels[[2]] = "Club"  # lung
        plan = by_domain("tissue=blood", "tissue=lung")
        found, chosen = arranged(path, plan, CELL_TYPE_CLASSIFICATION, cell_type=labels.tolist())
        assert found.categorical("label").categories == ("B", "T")
        assert (len(chosen.fit), len(chosen.predict)) == (14, 7)
        assert "train: 2 cells of 'Mast' were left out: test has no such class" in found.notes
        assert "test: 1 cells of 'Club' were left out: train has no such class" in found.notes

    def test_labels_that_are_spelled_otherwise_on_the_other_side_are_the_same_class(self, path: Path) -> None:
        labels = [
            "BT"[i % 2] + (" cells" if tissue == "lung" else "-cell") for i, tissue in enumerate(TISSUES)
        ]
        plan = by_domain("tissue=blood", "tissue=lung")
        found, _ = arranged(path, plan, CELL_TYPE_CLASSIFICATION, cell_type=labels)
        assert found.categorical("label").categories == ("B-cell", "T-cell")
        assert any("'B cells' was taken for train's 'B-cell'" in note for note in found.notes)

    def test_classes_that_only_left_out_cells_have_are_none_of_the_task_s(self, path: Path) -> None:
        labels = ["Mast" if tissue == "skin" else "BT"[i // 5 % 2] for i, tissue in enumerate(TISSUES)]
        found, _ = arranged(
            path, by_domain("tissue=blood", "tissue=lung"), CELL_TYPE_CLASSIFICATION, cell_type=labels
        )
        assert found.categorical("label").categories == ("B", "T")


class TestPerturbations:
    def found(self, path: Path, plan: SplitPlan, **more: Any) -> tuple[Annotated, Arrangement]:
        return arranged(path, plan, PERTURBATION_PREDICTION, 48, perturbation=DRUGS, **more)

    @pytest.mark.parametrize("train_on", [(), "perturbation=A,C"])
    def test_perturbations_are_held_out_and_their_controls_are_not(self, path: Path, train_on: Any) -> None:
        found, chosen = self.found(path, by_domain(train_on, "perturbation=B"))
        assert {DRUGS[row] for row in found.rows[chosen.fit]} == {"ctrl", "A", "C"}
        assert {DRUGS[row] for row in found.rows[chosen.predict]} == {"ctrl"}
        assert [each.name for each in chosen.conditions] == ["B"]
        assert len(chosen.predict) == 12

    def test_contexts_are_held_out_by_their_column(self, path: Path) -> None:
        where = ["x"] * 24 + ["y"] * 24
        found, chosen = self.found(path, by_domain(test_on="tissue=y"), tissue=where)
        assert [each.name for each in chosen.conditions] == ["A in y", "B in y", "C in y"]
        seen = {(DRUGS[row], where[row]) for row in found.rows[chosen.fit]}
        assert seen == {("ctrl", "x"), ("ctrl", "y"), ("A", "x"), ("B", "x"), ("C", "x")}

    def test_a_perturbation_in_one_context(self, path: Path) -> None:
        where = ["x"] * 24 + ["y"] * 24
        plan = by_domain(test_on=["tissue=y", "perturbation=A"])
        _, chosen = self.found(path, plan, tissue=where)
        assert [each.name for each in chosen.conditions] == ["A in y"]


def test_held_out_cell_types_are_anomalies_that_fit_never_sees(path: Path) -> None:
    types = ["Mast", "B", "T", "T"] * 10
    spec = {"obs": {"anomaly": "cell_type"}, "anomalous": ("Mast",)}
    found, chosen = arranged(path, SplitPlan(test_size=0.25), NOVELTY, spec=spec, cell_type=types)
    assert values(found, chosen.fit, types) == {"B", "T"}
    assert sum(types[row] == "Mast" for row in found.rows[chosen.predict]) == 10
    assert np.isin(["B", "T"], list(values(found, chosen.predict, types))).all()
