"""Runs: begun, taken up after a kill, found by part of their id, and read back strictly."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from czrun.errors import StorageError, UsageError
from czrun.records import (
    RECORD_FILE,
    RunFolder,
    RunPlan,
    RunRecord,
    begin_run,
    find_run,
    is_abandoned,
    load_record,
    remove_run,
    run_folders,
)
from made_records import RUN_ID, made_record, saved
from processes import running

PLAN = RunPlan(plan="key", started="2026-01-02T03:04:05+00:00", image="m:1", task="embedding", dataset="d")

BEGIN = """
from pathlib import Path
from czrun.records import RunFolder, RunPlan
run = RunFolder.begin(Path({!r}), RunPlan.model_validate_json({!r}))
print(run.run_id)
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def begun_elsewhere(runs: Path) -> str:
    return BEGIN.format(str(runs), PLAN.model_dump_json())


class TestBeginning:
    def test_a_new_run_has_a_plan_a_place_for_logs_and_no_record(self, runs: Path) -> None:
        with begin_run(runs, PLAN) as run:
            assert RunPlan.model_validate_json((run.path / "plan.json").read_bytes()) == PLAN
            assert (run.path / "logs").is_dir()
            assert not (run.path / RECORD_FILE).exists()

    def test_a_killed_run_with_the_same_plan_is_taken_up(self, runs: Path) -> None:
        with running(begun_elsewhere(runs)) as (process, run_id):
            process.kill()
            process.wait()
            with begin_run(runs, PLAN.model_copy(update={"started": "later"})) as run:
                assert run.run_id == run_id
                assert run.plan.started == PLAN.started

    def test_a_living_run_with_the_same_plan_is_left_alone(self, runs: Path) -> None:
        with running(begun_elsewhere(runs)) as (_, run_id), begin_run(runs, PLAN) as run:
            assert run.run_id != run_id
            assert not is_abandoned(runs / run_id)

    def test_a_killed_run_with_another_plan_is_left_alone(self, runs: Path) -> None:
        with begin_run(runs, PLAN) as first:
            pass
        with begin_run(runs, PLAN.model_copy(update={"plan": "other"})) as second:
            assert second.run_id != first.run_id
            assert is_abandoned(first.path)

    def test_a_finished_run_is_never_taken_up(self, runs: Path) -> None:
        with begin_run(runs, PLAN) as first:
            made_record(first.run_id).save(first.path)
        with begin_run(runs, PLAN) as second:
            assert second.run_id != first.run_id

    def test_a_damaged_plan_is_passed_over(self, runs: Path) -> None:
        with begin_run(runs, PLAN) as first:
            (first.path / "plan.json").write_text("{")
        with begin_run(runs, PLAN) as second:
            assert second.run_id != first.run_id

    def test_nobody_sees_a_run_before_it_is_locked(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        really, seen = fcntl.flock, []

        def watched(descriptor: int, how: int) -> None:
            seen.extend(runs.glob("*/plan.json"))
            really(descriptor, how)

        monkeypatch.setattr("czrun.records.fcntl.flock", watched)
        RunFolder.begin(runs, PLAN).release()
        assert seen == []

    def test_a_folder_that_can_not_be_made(self, runs: Path) -> None:
        runs.write_text("a file")
        with pytest.raises(StorageError, match="in the way"), begin_run(runs, PLAN):
            pass


class TestFinding:
    @pytest.fixture(autouse=True)
    def three(self, runs: Path) -> None:
        for run_id in (RUN_ID, "20260103-030405-def456", "20260104-030405-def789"):
            saved(runs, made_record(run_id))

    @pytest.mark.parametrize("name", [RUN_ID, "20260102", "abc123"])
    def test_by_id_or_a_part_of_it(self, runs: Path, name: str) -> None:
        assert find_run(runs, name).name == RUN_ID
        assert load_record(runs, name).run_id == RUN_ID

    def test_by_last(self, runs: Path) -> None:
        assert find_run(runs, "last").name == "20260104-030405-def789"

    def test_the_last_of_one_second_is_the_one_begun_later(self, runs: Path) -> None:
        for number, name in enumerate(("20270101-000000-fff", "20270101-000000-aaa")):
            saved(runs, made_record(run_id=name))
            os.utime(runs / name / "plan.json", (number, number))
        assert find_run(runs, "last").name == "20270101-000000-aaa"

    def test_a_part_that_fits_several(self, runs: Path) -> None:
        with pytest.raises(UsageError, match="fits 3 runs") as refused:
            find_run(runs, "030405")
        assert "more of the id" in refused.value.hint

    @pytest.mark.parametrize("name", ["", "abc", "20260102-030405-abc124", "../runs"])
    def test_what_there_is_not(self, runs: Path, name: str) -> None:
        with pytest.raises(UsageError, match="There is no run") as refused:
            find_run(runs, name)
        assert RUN_ID in refused.value.hint

    def test_they_are_listed_oldest_first(self, runs: Path) -> None:
        assert [path.name[:8] for path in run_folders(runs)] == ["20260102", "20260103", "20260104"]

    def test_one_is_removed_and_the_others_stay(self, runs: Path) -> None:
        remove_run(runs, "abc123")
        assert len(run_folders(runs)) == 2


class TestReading:
    def test_a_record_comes_back_as_it_was_saved(self, runs: Path) -> None:
        record = made_record()
        saved(runs, record)
        assert load_record(runs, "last") == record

    def test_a_record_is_strict_json(self, runs: Path) -> None:
        def refuse(name: str) -> None:
            raise AssertionError(name)

        text = (saved(runs, made_record()) / RECORD_FILE).read_text()
        assert (
            json.loads(text, parse_constant=refuse)["model"]["scores"]["metrics"]["log_loss"]["value"] is None
        )

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_a_number_that_is_none_is_never_recorded(self, number: float) -> None:
        with pytest.raises(ValidationError):
            made_record(seconds=number)

    @pytest.mark.parametrize("spoil", [{"extra": 1}, {"schema_version": 2}, {"status": "ok"}, {"seeds": 1}])
    def test_a_record_of_another_shape_is_refused(self, runs: Path, spoil: dict[str, Any]) -> None:
        folder = saved(runs, made_record())
        content = json.loads((folder / RECORD_FILE).read_text())
        (folder / RECORD_FILE).write_text(json.dumps({**content, **spoil}))
        with pytest.raises(UsageError, match="can't be read"):
            load_record(runs, "last")

    def test_a_killed_run_says_what_to_do(self, runs: Path) -> None:
        (saved(runs, made_record()) / RECORD_FILE).unlink()
        with pytest.raises(UsageError, match="killed before its end") as refused:
            load_record(runs, "last")
        assert "czrun runs rm" in refused.value.hint

    def test_no_runs_at_all(self, runs: Path) -> None:
        with pytest.raises(UsageError, match="There is no run"):
            load_record(runs, "last")

    def test_a_record_can_not_be_changed(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            made_record().status = "failed"  # type: ignore[assignment]

    def test_every_field_is_in_the_schema(self) -> None:
        assert set(RunRecord.model_json_schema()["properties"]) == set(RunRecord.model_fields)
