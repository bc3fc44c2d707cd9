"""Columns by their contract names: what is read, who takes part, and all that is wrong told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from czrun.annotations import Annotated, annotate
from czrun.datasets.local import LocalCells
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import split
from czrun.tasks.base import Task
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from made_cells import made_cells, written
from made_tasks import BATCHES, NOVELTY, ORGANISMS, PLAIN, TIMES

WHOLE = SplitPlan(SplitKind.WHOLE)
DRUGS = ["DMSO", "drug A", "drug B", "drug C"] * 10


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "cells.h5ad"


def annotated(
    path: Path,
    task: Task,
    plan: SplitPlan = WHOLE,
    n_obs: int = 40,
    spec: Mapping[str, Any] | None = None,
    **obs: Any,
) -> Annotated:
    """Annotate cells that have the columns `obs`, in a data set described by `spec`."""
    described = DatasetSpec(name="cells", path=written(made_cells(n_obs, **obs), path), **(spec or {}))
    source = LocalCells(described)
    try:
        return annotate(source, described, plan, task)
    finally:
        source.close()


def refused(path: Path, task: Task, plan: SplitPlan = WHOLE, **more: Any) -> DatasetError:
    with pytest.raises(DatasetError) as found:
        annotated(path, task, plan, **more)
    assert found.value.hint
    return found.value


class TestLabelsBatchesOrganisms:
    def test_names_are_sorted_and_codes_point_into_them(self, path: Path) -> None:
        found = annotated(path, CELL_TYPE_CLASSIFICATION, cell_type=["b", "a", "c", "b"] * 10)
        label = found.categorical("label")
        assert label.categories == ("a", "b", "c")
        assert [label.categories[code] for code in label.codes[:4]] == ["b", "a", "c", "b"]

    def test_whole_numbers_are_labels_too(self, path: Path) -> None:
        found = annotated(path, CELL_TYPE_CLASSIFICATION, cell_type=[2, 10] * 20)
        assert found.categorical("label").categories == ("10", "2")

    @pytest.mark.parametrize(
        ("task", "column", "what"),
        [
            (CELL_TYPE_CLASSIFICATION, "cell_type", "class"),
            (BATCHES, "batch", "batch"),
            (ORGANISMS, "organism", "organism"),
        ],
    )
    def test_one_of_a_kind_is_nothing_to_tell_apart(
        self, path: Path, task: Task, column: str, what: str
    ) -> None:
        columns = {"batch": ["x", "y"] * 20, "organism": ["mouse", "human"] * 20, column: ["only"] * 40}
        assert f"{column!r} holds one {what} only ('only')" in refused(path, task, **columns).message

    def test_all_that_is_wrong_is_told_at_once(self, path: Path) -> None:
        labels = [None] + ["a", "__unassigned__"] * 19 + ["a"]
        said = refused(path, BATCHES, cell_type=labels, batch=["x"] * 39 + [None]).message
        assert "1 of 40 cells have no 'cell_type': --drop-unlabelled" in said
        assert "1 of 40 cells have no 'batch': --drop-unlabelled" in said
        assert "'cell_type' holds '__unassigned__', by which models decline" in said
        assert "'batch' holds one batch only" in said
        assert said.count("\n  - ") == 4

    def test_organisms_are_named_in_one_form(self, path: Path) -> None:
        names = ["Homo sapiens", "Mus musculus"] * 20
        assert annotated(path, ORGANISMS, organism=names).organisms == ("homo_sapiens", "mus_musculus")

    def test_an_organism_said_for_all_stands_for_the_column(self, path: Path) -> None:
        assert annotated(path, PLAIN, spec={"organism": "Homo sapiens"}).organisms == ("homo_sapiens",)


class TestMissingValues:
    @pytest.mark.parametrize("missing", [None, np.nan, "nan", "", " ", "NA"])
    def test_cells_that_lack_something_are_left_out_when_asked(self, path: Path, missing: Any) -> None:
        batch = np.array(["x", "y"] * 20, dtype=object)
        batch[[3, 7]] = missing
        labels = np.array(["a", "b"] * 20, dtype=object)
        labels[[7, 9]] = missing
        found = annotated(path, BATCHES, batch=batch, cell_type=labels, spec={"drop_unlabelled": True})
        assert sorted(set(range(40)) - set(found.rows.tolist())) == [3, 7, 9]
        assert found.notes == (
            "2 cells without 'batch' were left out",
            "2 cells without 'cell_type' were left out",
        )
        assert all(len(column.take(np.arange(37)).codes) == 37 for column in found.columns.values())

    def test_what_the_source_says_of_itself_comes_first(self, path: Path) -> None:
        labels = [None] + ["a", "b"] * 19 + ["a"]
        spec = DatasetSpec(
            name="cells", path=written(made_cells(cell_type=labels), path), drop_unlabelled=True
        )
        source = LocalCells(spec)
        source.notes = ("counts were found in raw",)
        found = annotate(source, spec, WHOLE, CELL_TYPE_CLASSIFICATION)
        source.close()
        assert found.notes == ("counts were found in raw", "1 cells without 'cell_type' were left out")

    def test_cells_none_of_which_has_everything(self, path: Path) -> None:
        half = [None, "x", None, "y"] * 10
        other = ["a", None, "b", None] * 10
        error = refused(path, BATCHES, batch=half, cell_type=other, spec={"drop_unlabelled": True})
        assert "no cell has all that the task needs" in error.message

    def test_a_column_that_a_model_would_see_must_be_complete(self, path: Path) -> None:
        columns = {"perturbation": DRUGS, "tissue": ["blood", None, "lung", "lung"] * 10}
        error = refused(path, PERTURBATION_PREDICTION, spec={"obs": {"context": "tissue"}}, **columns)
        assert "10 of 40 cells have no 'tissue'" in error.message

    def test_a_column_that_only_helps_scoring_stays_away_where_it_is_incomplete(self, path: Path) -> None:
        task = replace(PLAIN, optional_truth=("donor", "tissue", "assay"))
        donors = ["d1", None] * 20
        found = annotated(path, task, donor_id=donors, tissue=["lung", "blood"] * 20)
        assert set(found.columns) == {"tissue"}
        assert found.notes == ("20 cells have no 'donor_id', so scores make no use of it",)
        assert found.clusters is None

    def test_donors_that_are_all_known_cluster_the_cells(self, path: Path) -> None:
        found = annotated(path, PLAIN)
        assert found.cluster_key == "donor_id"
        assert found.clusters is not None
        assert len(np.unique(found.clusters)) == 5

    def test_the_groups_of_a_split_cluster_the_cells_where_no_donor_is_known(self, path: Path) -> None:
        plan = SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="plate")
        found = annotated(
            path, PLAIN, plan, spec={"obs": {"donor": "plate"}}, plate=["p", "q", "r", "s"] * 10
        )
        assert found.cluster_key == "plate"
        assert np.array_equal(found.clusters, found.groups)


class TestTimes:
    @pytest.mark.parametrize("times", [[0, 1, 2, 3], [0.5, 1.5, -2, 1e3], ["0", "1", "2.5", "1e3"]])
    def test_numbers_in_any_spelling(self, path: Path, times: list[Any]) -> None:
        found = annotated(path, TIMES, time=times * 10)
        assert found.flags("time").values[:4].tolist() == [float(time) for time in times]

    @pytest.mark.parametrize(
        ("times", "said"),
        [
            (["day 1", "day 2"], "'time' holds 'day 1', which is no number: times are numbers"),
            ([0, np.inf], "'time' holds a time that isn't finite"),
            ([7, 7], "'time' holds one time only: there is no order to find"),
            ([0, np.nan], "20 of 40 cells have no 'time': --drop-unlabelled leaves them out"),
        ],
    )
    def test_what_is_no_time(self, path: Path, times: list[Any], said: str) -> None:
        assert said in refused(path, TIMES, time=times * 20).message

    def test_cells_without_a_time_are_left_out_when_asked(self, path: Path) -> None:
        found = annotated(path, TIMES, time=[0, np.nan, 1, 2] * 10, spec={"drop_unlabelled": True})
        assert found.flags("time").values.tolist() == [0, 1, 2] * 10

    def test_times_of_few_values_are_divided_evenly(self, path: Path) -> None:
        found = annotated(path, TIMES, SplitPlan(), time=[0, 1, 2, 5] * 10)
        assert found.strata.tolist() == [0, 1, 2, 3] * 10

    def test_times_that_never_repeat_can_be_held_out(self, path: Path) -> None:
        plan = SplitPlan(test_size=0.25)
        found = annotated(path, TIMES, plan, n_obs=80, time=np.linspace(0, 1, 80))
        tested = found.flags("time").values[split(plan, 0, found.strata).test]
        assert len(tested) == 20
        assert np.histogram(tested, bins=4, range=(0, 1))[0].tolist() == [5, 5, 5, 5]


class TestControls:
    def test_a_column_says_which_cells_are_controls(self, path: Path) -> None:
        flags = [True, False, False, False] * 10
        found = annotated(
            path, PERTURBATION_PREDICTION, perturbation=["wt", "a", "b", "c"] * 10, is_control=flags
        )
        assert found.flags("is_control").values.tolist() == flags
        assert found.flags("is_control").values.dtype == bool
        assert set(found.categorical("perturbation").categories) == {"control", "a", "b", "c"}

    @pytest.mark.parametrize("spelled", [["True", "False"], [1, 0], [1.0, 0.0], ["yes", "no"], ["TRUE", " "]])
    def test_flags_in_any_spelling(self, path: Path, spelled: list[Any]) -> None:
        more = {
            "perturbation": ["wt", "a"] * 20,
            "drug-free": (spelled if spelled[1] != " " else ["TRUE", "-"]) * 20,
        }
        found = annotated(path, PERTURBATION_PREDICTION, spec={"obs": {"is_control": "drug-free"}}, **more)
        assert found.flags("is_control").values.tolist() == [True, False] * 20

    @pytest.mark.parametrize("word", ["control", "Ctrl", "non-targeting", "DMSO", " untreated ", "Vehicle"])
    def test_a_word_says_so_where_no_column_does(self, path: Path, word: str) -> None:
        found = annotated(path, PERTURBATION_PREDICTION, perturbation=[word, "a", "b", "c"] * 10)
        assert found.flags("is_control").values.tolist() == [True, False, False, False] * 10
        assert found.categorical("perturbation").categories == ("a", "b", "c", "control")

    @pytest.mark.parametrize(
        ("perturbations", "which"), [(["a", "b"], "no cell is"), (["ctrl", "DMSO"], "every cell is")]
    )
    def test_none_or_all_are_controls(self, path: Path, perturbations: list[str], which: str) -> None:
        said = refused(path, PERTURBATION_PREDICTION, perturbation=perturbations * 20).message
        assert f"{which} a control" in said
        assert "--obs is_control=COLUMN" in said
        assert "'control' in 'perturbation'" in said
        assert said.count("\n  - ") == 1

    def test_only_cells_that_take_part_count_as_controls(self, path: Path) -> None:
        more = {"perturbation": ["ctrl", "a", "b", "c"] * 10, "site": [None, "x", "y", "x"] * 10}
        error = refused(
            path, PERTURBATION_PREDICTION, spec={"obs": {"context": "site"}, "drop_unlabelled": True}, **more
        )
        assert "no cell is a control" in error.message

    def test_a_flag_that_is_missing_is_no_answer(self, path: Path) -> None:
        flags = np.array([True, False, None, False] * 10, dtype=object)
        more = {"perturbation": ["wt", "a", "b", "c"] * 10, "is_control": flags.astype(str)}
        more["is_control"][2::4] = "nan"
        assert "10 of 40 cells have no 'is_control'" in refused(path, PERTURBATION_PREDICTION, **more).message

    def test_a_perturbation_may_not_be_called_control(self, path: Path) -> None:
        more = {
            "perturbation": ["wt", "control", "a", "b"] * 10,
            "is_control": [True, False, False, False] * 10,
        }
        said = refused(path, PERTURBATION_PREDICTION, **more).message
        assert "10 cells are called 'control' in 'perturbation', and by 'is_control' they are none" in said

    def test_the_column_of_a_grouped_split_is_the_context(self, path: Path) -> None:
        plan = SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="cell_type")
        found = annotated(path, PERTURBATION_PREDICTION, plan, perturbation=DRUGS)
        assert found.categorical("context").categories == ("B cell", "T cell")

    def test_a_context_of_one_s_own_stands_before_it(self, path: Path) -> None:
        plan = SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="donor_id")
        found = annotated(
            path, PERTURBATION_PREDICTION, plan, perturbation=DRUGS, spec={"obs": {"context": "cell_type"}}
        )
        assert found.categorical("context").categories == ("B cell", "T cell")


class TestAnomalies:
    @pytest.mark.parametrize(
        ("values", "anomalous"),
        [
            ([True, False], None),
            (["true", "false"], None),
            ([1, 0], None),
            (["doublet", "singlet"], ("doublet",)),
            (["doublet", "singlet"], ("doublet", "debris")),
        ],
    )
    def test_they_are_told_by_values(self, path: Path, values: list[Any], anomalous: Any) -> None:
        spec = {"obs": {"anomaly": "quality"}, **({"anomalous": anomalous} if anomalous else {})}
        found = annotated(path, NOVELTY, spec=spec, quality=values * 20)
        assert found.flags("anomaly").values.tolist() == [True, False] * 20

    @pytest.mark.parametrize(("values", "which"), [(["a", "b"], "no cell's"), (["yes", "1"], "every cell's")])
    def test_none_or_all_are_anomalous(self, path: Path, values: list[str], which: str) -> None:
        said = refused(path, NOVELTY, spec={"obs": {"anomaly": "quality"}}, quality=values * 20).message
        assert f"{which} 'quality' is one of 'True', 'true', '1', 'yes'" in said
        assert f"it holds {', '.join(map(repr, sorted(values)))}" in said
        assert "--anomaly quality=VALUE" in said

    def test_the_flag_is_named_where_nobody_said_what_is_anomalous(self, path: Path) -> None:
        error = refused(path, NOVELTY)
        assert "needs to know which column holds: anomaly" in error.message
        assert "--anomaly COLUMN=VALUE" in error.hint
        assert "cell_type, donor_id" in error.hint


class TestHints:
    @pytest.mark.parametrize(
        ("task", "flag"),
        [
            (BATCHES, "--batch-key COLUMN"),
            (TIMES, "--time-key COLUMN"),
            (ORGANISMS, "--obs organism=COLUMN"),
            (PERTURBATION_PREDICTION, "--obs perturbation=COLUMN"),
        ],
    )
    def test_a_missing_column_s_flag_is_named(self, path: Path, task: Task, flag: str) -> None:
        assert flag in refused(path, task).hint

    @pytest.mark.parametrize(
        ("plan", "spec", "flag"),
        [
            (SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="plate"), {}, "--group-key COLUMN"),
            (SplitPlan(SplitKind.PREDEFINED, split_key="plate"), {}, "--split-key COLUMN"),
            (WHOLE, {"obs": {"donor": "plate"}}, "--donor-key COLUMN"),
            (WHOLE, {"obs": {"is_control": "plate"}}, "--obs is_control=COLUMN"),
        ],
    )
    def test_a_mistyped_name_is_told_with_its_own_flag(
        self, path: Path, plan: SplitPlan, spec: dict[str, Any], flag: str
    ) -> None:
        error = refused(path, CELL_TYPE_CLASSIFICATION, plan, spec=spec)
        assert "has no obs column 'plate'" in error.message
        assert f"Name the right one with {flag}." in error.hint

    def test_what_nobody_named_and_what_is_not_there_are_told_together(self, path: Path) -> None:
        error = refused(path, replace(NOVELTY, fit_obs=("batch",)))
        assert "needs to know which column holds: anomaly" in error.message
        assert "has no obs column 'batch'" in error.message
        assert "--anomaly COLUMN=VALUE --batch-key COLUMN" in error.hint
