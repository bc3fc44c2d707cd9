"""The road's states and faults, on an engine without containers: what is retried, kept, told and skipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from asked import asked, changed
from czrun.contract.job import MODEL_DIR, OUTPUT_DIR, Verb
from czrun.contract.outcome import Status
from czrun.errors import Cancelled, ContractError, EngineError, ModelError, StorageError, UsageError
from czrun.evaluation import run_evaluation
from czrun.options import EvaluateOptions
from czrun.records import RECORD_FILE, RunRecord, run_folders
from czrun.results import EvaluationResult
from czrun.split_plan import SplitKind, SplitPlan
from czrun.storage import cache_home
from fake_engine import CONTROL, INFO, FakeEngine, answer, ended, image
from made_cells import made_cells, written
from reader_here import ReaderHere

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def options(tmp_path: Path) -> EvaluateOptions:
    path = written(made_cells(), tmp_path / "cells.h5ad")
    return asked("model:1", path, tmp_path / "runs")


@pytest.fixture(autouse=True)
def _reads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("czrun.collect.OutputReader", ReaderHere)


def go(options: EvaluateOptions, engine: FakeEngine, **changes: Any) -> EvaluationResult:
    return run_evaluation(changed(options, **changes), connect=lambda: engine)


def idle(job: dict[str, Any], folders: dict[str, Path]) -> None:
    """End well and leave nothing."""


class TestSuccess:
    def test_one_fit_then_one_predict_then_scores(self, options: EvaluateOptions) -> None:
        engine = FakeEngine()
        result = go(options, engine)
        assert engine.verbs == ["fit", "predict"]
        assert result.status is Status.SUCCEEDED
        assert result.metrics["accuracy"].value == 0.5
        assert result.record.containers_started == 2
        assert engine.is_closed

    def test_the_record_on_disk_is_the_result(self, options: EvaluateOptions) -> None:
        result = go(options, FakeEngine())
        assert RunRecord.model_validate_json((result.folder / RECORD_FILE).read_bytes()) == result.record

    def test_predict_sees_the_fitted_model_and_can_not_change_it(self, options: EvaluateOptions) -> None:
        seen = {}

        def act(job: dict[str, Any], folders: dict[str, Path]) -> None:
            if job["verb"] == "predict":
                seen["model"] = json.loads((folders[MODEL_DIR] / "model.json").read_text())
            answer(job, folders)

        engine = FakeEngine(act=act)
        go(options, engine, seeds=(7,))
        assert seen["model"] == {"seed": 7}
        writable = {mount.target for mount in engine.launches[1].mounts if mount.writable}
        assert writable == {OUTPUT_DIR}

    def test_a_pretrained_image_is_not_fitted(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=(image(verbs=["predict"]),))
        result = go(options, engine)
        assert engine.verbs == ["predict"]
        assert result.record.model.trials[0].fit is None

    def test_every_fold_and_seed_is_a_trial(self, options: EvaluateOptions) -> None:
        engine = FakeEngine()
        result = go(options, engine, split=SplitPlan(SplitKind.KFOLD, folds=3), seeds=(0, 1))
        assert [(t.fold, t.seed) for t in result.record.model.trials] == [
            (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1),
        ]  # fmt: skip
        assert engine.verbs == ["fit", "predict"] * 6

    def test_a_job_says_nothing_of_run_or_data_set(self, options: EvaluateOptions) -> None:
        jobs = []
        engine = FakeEngine(act=lambda job, folders: (jobs.append(job), answer(job, folders))[1])
        result = go(options, engine)
        for job in jobs:
            text = json.dumps(job)
            assert result.record.run_id not in text
            assert "cells.h5ad" not in text
            assert str(options.output.parent) not in text

    def test_the_data_set_is_called_what_it_was_called(self, options: EvaluateOptions) -> None:
        go(options, FakeEngine())
        copy = Path(options.data.dataset).with_name("copy.h5ad")
        copy.write_bytes(Path(options.data.dataset).read_bytes())
        again = go(options, FakeEngine(), dataset=str(copy))
        assert again.record.dataset.name == "copy"
        assert again.record.containers_started == 0


class TestCache:
    def test_a_repeat_starts_no_container_and_finds_the_same(self, options: EvaluateOptions) -> None:
        first = go(options, FakeEngine())
        engine = FakeEngine()
        again = go(options, engine)
        assert engine.launches == []
        assert again.is_cached
        assert again.metrics == first.metrics
        assert again.record.run_id != first.record.run_id
        assert again.record.model.trials[0].fit_cached
        assert (again.folder / "logs" / "model-fit.log").read_text() == "fit says hello\n"

    def test_without_the_cache_all_is_done_again(self, options: EvaluateOptions) -> None:
        go(options, FakeEngine())
        engine = FakeEngine()
        go(options, engine, use_cache=False)
        assert engine.verbs == ["fit", "predict"]

    @pytest.mark.parametrize("change", ["digest", "prepared", "params", "seed", "contract"])
    def test_a_fit_is_done_again_when_anything_that_it_depends_on_changes(
        self, options: EvaluateOptions, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        declared = {"params": {"C": {"type": "float"}}}
        go(options, FakeEngine(images=(image(**declared),)))
        engine, changes = FakeEngine(images=(image(**declared),)), {}
        if change == "digest":
            engine.images = (image(digit="b", **declared),)
        elif change == "contract":
            monkeypatch.setattr("czrun.plan.CONTRACT_VERSION", 2)
        else:
            changes = {
                "prepared": {"split": SplitPlan(seed=5)},
                "params": {"params": {"C": "0.5"}},
                "seed": {"seeds": (1,)},
            }[change]
        go(options, engine, **changes)
        assert engine.verbs == ["fit", "predict"]

    @pytest.mark.parametrize("change", ["limits", "reference", "output"])
    def test_nothing_is_done_again_for_what_changes_no_answer(
        self, options: EvaluateOptions, change: str, tmp_path: Path
    ) -> None:
        go(options, FakeEngine())
        engine, changes = FakeEngine(), {}
        if change == "reference":
            engine.images = (image("renamed:2"),)
            changes = {"image": "renamed:2"}
        elif change == "limits":
            changes = {"limits": options.limits.model_copy(update={"cpus": 1.0})}
        else:
            changes = {"output": tmp_path / "elsewhere"}
        go(options, engine, **changes)
        assert engine.launches == []

    def test_a_cached_repeat_imports_no_numpy_and_no_anndata(
        self, options: EvaluateOptions, tmp_path: Path
    ) -> None:
        script = tmp_path / "repeat.py"
        script.write_text(
            "import sys\n"
            "from pathlib import Path\n"
            "from fake_engine import FakeEngine\n"
            "from czrun.evaluation import run_evaluation\n"
            "from asked import asked\n"
            f"options = asked('model:1', {options.data.dataset!r},"
            f" Path({str(options.output)!r}))\n"
            "result = run_evaluation(options, connect=FakeEngine)\n"
            "heavy = {'numpy', 'anndata', 'pandas', 'h5py', 'scipy', 'docker', 'rich'} & set(sys.modules)\n"
            "print(result.record.containers_started, sorted(heavy))\n"
        )

        def run() -> str:
            done = subprocess.run(
                [sys.executable, script],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": str(SUPPORT)},
            )
            return done.stdout.strip()

        assert run().startswith("2 ['anndata'")
        assert run() == "0 []"


class TestFailures:
    def test_an_infrastructure_failure_is_tried_exactly_once_more(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(faults={Verb.FIT: [EngineError("It hung.", "Restart it."), None]})
        result = go(options, engine)
        assert engine.verbs == ["fit", "fit", "predict"]
        assert result.status is Status.SUCCEEDED
        assert result.record.model.trials[0].attempts == 2

    def test_a_second_infrastructure_failure_is_the_result(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(faults={Verb.FIT: [EngineError("It hung.", "Restart it.")] * 3})
        result = go(options, engine)
        assert engine.verbs == ["fit", "fit"]
        assert result.status is Status.INFRASTRUCTURE_FAILED
        with pytest.raises(EngineError, match="It hung") as refused:
            result.raise_for_status()
        assert refused.value.hint == "Restart it."

    def test_a_transient_failure_is_tried_once_more_and_keeps_the_fit(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(faults={Verb.PREDICT: [ended(75), None]})
        assert go(options, engine).status is Status.SUCCEEDED
        assert engine.verbs == ["fit", "predict", "predict"]

    @pytest.mark.parametrize(
        ("end", "status"),
        [
            (ended(1), Status.MODEL_FAILED),
            (ended(64), Status.UNSUPPORTED),
            (ended(65), Status.MODEL_FAILED),
            (ended(0, oom_killed=True), Status.OUT_OF_MEMORY),
            (ended(137, oom_killed=True), Status.OUT_OF_MEMORY),
        ],
    )
    def test_a_model_s_failure_is_not_tried_again(
        self, options: EvaluateOptions, end: Any, status: Status
    ) -> None:
        engine = FakeEngine(faults={Verb.FIT: [end]})
        result = go(options, engine)
        assert engine.verbs == ["fit"]
        assert result.status is status
        assert result.record.model.scores is None
        assert result.record.model.trials[0].failure is not None

    def test_a_failed_model_shows_its_log_and_where_the_whole_of_it_is(
        self, options: EvaluateOptions
    ) -> None:
        result = go(options, FakeEngine(faults={Verb.FIT: [ended(1, log_tail=("no GPU", "bye"))]}))
        with pytest.raises(ModelError) as refused:
            result.raise_for_status()
        assert "| no GPU\n  | bye" in refused.value.message
        assert str(result.folder / "logs" / "model-fit.log") in refused.value.message

    def test_a_failure_is_not_cached(self, options: EvaluateOptions) -> None:
        go(options, FakeEngine(faults={Verb.FIT: [ended(1)]}))
        assert go(options, FakeEngine()).status is Status.SUCCEEDED

    def test_a_model_that_writes_nothing_is_no_success(self, options: EvaluateOptions) -> None:
        result = go(options, FakeEngine(act=idle))
        assert result.status is Status.INVALID_OUTPUT
        with pytest.raises(ContractError, match=r"predictions\.csv is missing"):
            result.raise_for_status()

    def test_a_claim_of_success_does_not_count(self, options: EvaluateOptions) -> None:
        def act(job: dict[str, Any], folders: dict[str, Path]) -> None:
            (folders[OUTPUT_DIR] / "result.json").write_text('{"status": "ok"}')

        assert go(options, FakeEngine(act=act)).status is Status.INVALID_OUTPUT

    def test_a_hostile_output_is_a_policy_violation(self, options: EvaluateOptions) -> None:
        def act(job: dict[str, Any], folders: dict[str, Path]) -> None:
            if job["verb"] == "predict":
                (folders[OUTPUT_DIR] / "v0" / "predictions.csv").symlink_to("/etc/passwd")

        assert go(options, FakeEngine(act=act)).status is Status.POLICY_VIOLATION

    def test_damaged_prepared_data_stop_the_run_before_any_container(self, options: EvaluateOptions) -> None:
        result = go(options, FakeEngine())
        folder = Path(os.environ["CZRUN_HOME"]) / "prepared" / result.record.dataset.prepared[0]
        (folder / "fit" / "train.h5ad").write_bytes(b"damaged")
        engine = FakeEngine()
        with pytest.raises(StorageError, match="changed or damaged"):
            go(options, engine, seeds=(3,))
        assert engine.launches == []


class TestControl:
    BOTH = (image(), image(CONTROL, "c"))

    def test_it_runs_beside_the_model(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=self.BOTH)
        record = go(options, engine, control=True).record
        assert engine.verbs == ["fit", "predict"] * 2
        assert record.control is not None
        assert record.control.scores is not None

    def test_without_its_image_the_run_goes_on_and_says_so(self, options: EvaluateOptions) -> None:
        record = go(options, FakeEngine(), control=True).record
        assert record.status is Status.SUCCEEDED
        assert record.control is None
        assert record.control_note.startswith(f"not run: There is no image {CONTROL}")

    def test_the_control_is_not_its_own_control(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=(image("mine:1"), image(CONTROL)))
        record = go(options, engine, image="mine:1", control=True).record
        assert engine.verbs == ["fit", "predict"]
        assert record.control_note == "the model is the control"

    def test_a_control_that_fails_does_not_fail_the_model(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=self.BOTH, faults={Verb.FIT: [None, ended(1)]})
        record = go(options, engine, control=True).record
        assert record.status is Status.SUCCEEDED
        assert record.control is not None
        assert record.control.status is Status.MODEL_FAILED

    def test_a_control_that_was_not_reached_is_not_called_a_success(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=self.BOTH, faults={Verb.FIT: [ended(1)]})
        record = go(options, engine, control=True).record
        assert record.control is None
        assert record.control_note == "not run: the model failed first"


class TestStopping:
    def test_ctrl_c_is_recorded_as_cancelled(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(faults={Verb.PREDICT: [KeyboardInterrupt()]})
        with pytest.raises(Cancelled) as stopped:
            go(options, engine)
        assert stopped.value.exit_code == 130
        (folder,) = run_folders(options.output)
        record = RunRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
        assert record.status is Status.CANCELLED
        assert engine.is_closed

    def test_what_was_finished_before_ctrl_c_is_kept(self, options: EvaluateOptions) -> None:
        with pytest.raises(Cancelled):
            go(options, FakeEngine(faults={Verb.PREDICT: [KeyboardInterrupt()]}))
        engine = FakeEngine()
        go(options, engine)
        assert engine.verbs == ["predict"]

    def test_nothing_is_left_in_scratch_space_or_locked(self, options: EvaluateOptions, home: Path) -> None:
        with pytest.raises(Cancelled):
            go(options, FakeEngine(faults={Verb.PREDICT: [KeyboardInterrupt()]}))
        assert list((home / "work").iterdir()) == []
        assert list((home / "leases").iterdir()) == []

    @pytest.mark.parametrize("use_cache", [True, False])
    def test_a_killed_run_is_taken_up_in_its_own_folder(
        self, options: EvaluateOptions, tmp_path: Path, use_cache: bool
    ) -> None:
        script = tmp_path / "killed.py"
        script.write_text(
            "import os\n"
            "from pathlib import Path\n"
            "from fake_engine import FakeEngine, answer\n"
            "from czrun.evaluation import run_evaluation\n"
            "from asked import asked\n"
            "def act(job, folders):\n"
            "    os._exit(9) if job['verb'] == 'predict' else answer(job, folders)\n"
            f"options = asked('model:1', {options.data.dataset!r},"
            f" output=Path({str(options.output)!r}), use_cache={use_cache})\n"
            "run_evaluation(options, connect=lambda: FakeEngine(act=act))\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(SUPPORT)}
        assert subprocess.run([sys.executable, script], env=environment, check=False).returncode == 9
        (killed,) = run_folders(options.output)
        engine = FakeEngine()
        result = go(options, engine, use_cache=use_cache)
        assert engine.verbs == ["predict"]
        assert result.folder == killed
        assert result.status is Status.SUCCEEDED
        assert not result.record.model.trials[0].fit_cached


class TestRefusals:
    def test_an_engine_that_can_not_hold_limits_gets_nothing_to_run(self, options: EvaluateOptions) -> None:
        weak = replace(INFO, weaknesses=("memory limits are ignored", "process limits are ignored"))
        engine = FakeEngine(described=weak)
        with pytest.raises(EngineError, match="memory limits are ignored") as refused:
            go(options, engine)
        assert "process limits are ignored" in refused.value.message
        assert "czrun doctor" in refused.value.hint
        assert engine.launches == []

    def test_an_image_of_another_task(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=(image(tasks=["embedding"]),))
        with pytest.raises(ContractError, match="doesn't declare task cell-type-classification") as refused:
            go(options, engine)
        assert "embedding" in refused.value.hint

    def test_an_image_whose_weights_are_not_here(self, options: EvaluateOptions) -> None:
        asset = {"url": "https://example.org/w", "sha256": "b" * 64, "path": "w.bin"}
        engine = FakeEngine(images=(image(assets=[asset]),))
        with pytest.raises(ContractError, match=r"needs 1 weight file\(s\)") as refused:
            go(options, engine)
        assert "curl -fL https://example.org/w -o " in refused.value.hint

    def test_weights_that_are_not_what_was_declared(self, options: EvaluateOptions) -> None:
        weights = b"weights"
        asset = {"url": "https://example.org/w", "sha256": sha256(weights).hexdigest(), "path": "w.bin"}
        engine = FakeEngine(images=(image(assets=[asset]),))
        here = cache_home() / "assets" / asset["sha256"]
        here.parent.mkdir(parents=True)
        here.write_bytes(b"something else")
        with pytest.raises(ContractError, match="weight file"):
            go(options, engine)
        here.write_bytes(weights)
        assert go(options, engine).status is Status.SUCCEEDED
        assert "/czrun/assets/w.bin" in {mount.target for mount in engine.launches[-1].mounts}

    def test_an_unknown_parameter(self, options: EvaluateOptions) -> None:
        engine = FakeEngine(images=(image(params={"alpha": {"type": "float"}}),))
        with pytest.raises(UsageError, match="parameter of this image 'alhpa'") as refused:
            go(options, engine, params={"alhpa": "1"})
        assert "'alpha'" in refused.value.hint

    def test_no_such_image(self, options: EvaluateOptions) -> None:
        with pytest.raises(ContractError, match="no image nothing:1"):
            go(options, FakeEngine(), image="nothing:1")

    def test_a_refusal_makes_no_run(self, options: EvaluateOptions) -> None:
        with pytest.raises(ContractError):
            go(options, FakeEngine(), image="nothing:1")
        assert not options.output.exists()

    def test_an_output_folder_that_is_a_file(self, options: EvaluateOptions) -> None:
        options.output.write_text("")
        with pytest.raises(StorageError, match="in the way"):
            go(options, FakeEngine())
