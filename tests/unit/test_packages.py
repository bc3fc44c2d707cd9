"""Packages of others: the guide's example works as written, and one that is broken is named as such."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from asked import asked
from command_line import Czrun
from czrun.contract.job import INPUT_DIR, OUTPUT_DIR
from czrun.evaluation import run_evaluation
from czrun.results import EvaluationResult
from czrun.tasks import registry
from fake_engine import FakeEngine, image
from made_cells import made_cells, written
from reader_here import ReaderHere

REPOSITORY = Path(__file__).parents[2]
PLUGIN = REPOSITORY / "tests" / "support" / "example_plugin"
GUIDE = REPOSITORY / "docs" / "guides" / "add-a-task.md"

Install = Callable[[Path], None]
Alone = Callable[..., str]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put packages on this process's path, as if they were installed."""
    modules = set(sys.modules)

    def add(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        registry._points.cache_clear()

    registry._points.cache_clear()
    yield add
    registry._points.cache_clear()
    for name in {*sys.modules} - modules:
        if name in ("czrun_example", "broken", "another"):
            del sys.modules[name]


@pytest.fixture
def example(install: Install) -> None:
    """Have the guide's example installed."""
    install(PLUGIN)


@pytest.fixture
def _reads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("czrun.collect.OutputReader", ReaderHere)


@pytest.fixture
def alone(tmp_path: Path) -> Alone:
    """Run Python in a process of its own, with packages on its path; give what it prints."""

    def python(*arguments: str, packages: tuple[Path, ...] = (PLUGIN,)) -> str:
        path = os.pathsep.join([str(REPOSITORY / "tests" / "support"), *map(str, packages)])
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
            env=environment,
        ).stdout

    return python


def package(folder: Path, name: str, module: str, **groups: dict[str, str]) -> Path:
    """Write an installed package of one module."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(module)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    points = ConfigParser(delimiters="=")
    points.optionxform = str  # type: ignore[assignment,method-assign]
    points.read_dict({f"czrun.{group}": entries for group, entries in groups.items()})
    with (info / "entry_points.txt").open("w") as file:
        points.write(file)
    return folder


class TestGuide:
    def test_its_module_is_the_example_s(self) -> None:
        (module,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
        assert module == (PLUGIN / "czrun_example.py").read_text()
        assert len(module.splitlines()) <= 60

    def test_its_entry_points_are_the_example_s(self) -> None:
        (lines,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
        installed = ConfigParser(delimiters="=")
        installed.read(PLUGIN / "czrun_example-0.1.dist-info" / "entry_points.txt")
        told = tomllib.loads(lines)["project"]["entry-points"]
        assert told == {group: dict(installed[group]) for group in installed.sections()}


class TestTask:
    def test_it_is_listed_and_shown_like_any_other(self, alone: Alone) -> None:
        main = "from czrun.cli.app import main; main()"
        assert "time-of-cells" in alone("-c", main, "tasks", "list")
        shown = alone("-c", main, "tasks", "show", "time-of-cells")
        for word in ("training cells + time", "time.npy", "0 – ∞", "lower", "czrun-example 0.1"):
            assert word in shown

    def test_answers_are_scored(self, alone: Alone, tmp_path: Path) -> None:
        times = np.arange(40) % 5
        written(made_cells(time=times), tmp_path / "cells.h5ad")
        (tmp_path / "answers").mkdir()
        np.save(tmp_path / "answers" / "time.npy", times + 2.5 * (np.arange(40) % 5 == 0))
        printed = alone(
            "-c", "from czrun.cli.app import main; main()",
            "score", "--task", "time-of-cells", "--dataset", "cells.h5ad", "--predictions", "answers",
            "--format", "json", "--rows", "rows.csv",
        )  # fmt: skip
        scores = json.loads(printed)["scores"]
        error = scores["metrics"]["time_error"]
        assert error["value"] == 0.5
        assert error["interval"]["low"] < 0.5 < error["interval"]["high"]
        assert scores["packages"] == ["czrun-example 0.1"]
        assert (tmp_path / "rows.csv").read_text().splitlines()[1] == "cell_000,0.0,2.5"

    @pytest.mark.usefixtures("example", "_reads_here")
    def test_an_image_is_evaluated(self, tmp_path: Path) -> None:
        path = written(made_cells(time=np.arange(40) % 5), tmp_path / "cells.h5ad")

        def act(job: dict[str, Any], folders: dict[str, Path]) -> None:
            if job["verb"] == "fit":
                with h5py.File(folders[INPUT_DIR] / "train.h5ad") as file:
                    assert set(file["obs/time"][:]) == {0, 1, 2, 3, 4}
            else:
                np.save(folders[OUTPUT_DIR] / "v0" / "time.npy", np.full(job["dataset"]["n_obs"], 2.0))

        engine = FakeEngine(images=(image(tasks=["time-of-cells"]),), act=act)
        result = go(path, tmp_path / "runs", engine, task="time-of-cells")
        assert engine.verbs == ["fit", "predict"]
        assert result.metrics["time_error"].value is not None
        assert result.record.model.scores is not None
        assert result.record.model.scores.packages == ("czrun-example 0.1",)

    @pytest.mark.usefixtures("example")
    def test_a_name_that_is_near_is_suggested(self, czrun: Czrun) -> None:
        done = czrun("tasks", "show", "time-of-cell")
        assert done.returncode == 2
        assert "Did you mean 'time-of-cells'?" in done.stderr


def go(path: Path, runs: Path, engine: FakeEngine, **more: Any) -> EvaluationResult:
    """Evaluate the engine's one image."""
    result = run_evaluation(asked("model:1", path, runs, **more), connect=lambda: engine)
    result.raise_for_status()
    return result


SCORE = ("score", "--dataset", "cells.h5ad", "--predictions", "answers", "--format", "json")


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Labels for forty cells: right for the first half, none for the rest but two wrong ones."""
    cells = made_cells()
    labels = [*cells.obs["cell_type"][:20], "T cell", "B cell", *["__unassigned__"] * 18]
    written(cells, tmp_path / "cells.h5ad")
    (tmp_path / "answers").mkdir()
    rows = "".join(f"{cell},{label}\n" for cell, label in zip(cells.obs_names, labels, strict=True))
    (tmp_path / "answers" / "predictions.csv").write_text(f"cell_id,label\n{rows}")
    return tmp_path / "answers"


class TestMetric:
    @pytest.mark.usefixtures("answers", "example")
    def test_it_is_scored_beside_the_task_s_own(self, czrun: Czrun) -> None:
        done = czrun(*SCORE)
        assert done.returncode == 0, done.stderr
        scores = json.loads(done.stdout)["scores"]
        assert scores["metrics"]["accuracy"]["value"] == 0.5
        assert scores["metrics"]["accuracy_when_named"]["value"] == pytest.approx(20 / 22)
        assert scores["metrics"]["accuracy_when_named"]["interval"] is not None
        assert scores["packages"] == ["czrun-example 0.1"]

    @pytest.mark.usefixtures("answers", "example")
    def test_it_can_be_asked_for_by_name_and_is_shown(self, czrun: Czrun) -> None:
        assert "accuracy_when_named  0.9091" in czrun(*SCORE[:-2], "--metric", "accuracy_when_named").stdout
        shown = czrun("tasks", "show", "cell-type-classification").stdout
        assert "arXiv.1705.08500" in shown
        assert "czrun-example 0.1" in shown

    @pytest.mark.usefixtures("example")
    def test_it_is_undefined_with_its_own_reason(self, czrun: Czrun, answers: Path) -> None:
        file = answers / "predictions.csv"
        file.write_text(re.sub(r",[BT] cell", ",__unassigned__", file.read_text()))
        metric = json.loads(czrun(*SCORE).stdout)["scores"]["metrics"]["accuracy_when_named"]
        assert metric["value"] is None
        assert metric["reason"] == "the model named no cell"

    @pytest.mark.usefixtures("answers")
    def test_without_the_package_nothing_of_it_is_there(self, czrun: Czrun) -> None:
        scores = json.loads(czrun(*SCORE).stdout)["scores"]
        assert "accuracy_when_named" not in scores["metrics"]
        assert scores["packages"] == []

    @pytest.mark.usefixtures("_reads_here")
    def test_a_cached_run_finds_its_name_without_importing_it(
        self, alone: Alone, install: Install, tmp_path: Path
    ) -> None:
        path, runs = written(made_cells(), tmp_path / "cells.h5ad"), tmp_path / "runs"
        assert "accuracy_when_named" not in go(path, runs, FakeEngine()).metrics
        install(PLUGIN)
        engine = FakeEngine()
        assert go(path, runs, engine).metrics["accuracy_when_named"].value == 0.5
        assert engine.launches == [], "a new metric needs new scores, but no container"
        printed = alone(
            "-c",
            "import sys\n"
            "from pathlib import Path\n"
            "from asked import asked\n"
            "from czrun.evaluation import run_evaluation\n"
            "from fake_engine import FakeEngine\n"
            f"result = run_evaluation(asked('model:1', {str(path)!r}, Path('runs')), connect=FakeEngine)\n"
            "print(sorted({'numpy', 'czrun_example', 'czrun.metrics'} & set(sys.modules)))\n"
            "print(result.record.containers_started, result.metrics['accuracy_when_named'].value)\n",
        )
        assert printed == "[]\n0 0.5\n"

    @pytest.mark.usefixtures("_reads_here")
    def test_another_version_of_the_package_scores_again(self, install: Install, tmp_path: Path) -> None:
        path, runs = written(made_cells(), tmp_path / "cells.h5ad"), tmp_path / "runs"
        module = (PLUGIN / "czrun_example.py").read_text()
        entry = {"cell-type-classification.accuracy_when_named": "another:ACCURACY_WHEN_NAMED"}
        folder = package(tmp_path / "packages", "another", module, metrics=entry)

        def score() -> float | None:
            sys.modules.pop("another", None)
            install(folder)
            return go(path, runs, FakeEngine()).metrics["accuracy_when_named"].value

        assert score() == 0.5
        (folder / "another.py").write_text(module.replace("predicted == true)", "0.25)"))
        assert score() == 0.5
        metadata = folder / "another-1.0.dist-info" / "METADATA"
        metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
        assert score() == 0.25


class TestBrokenPackages:
    @pytest.mark.parametrize(
        ("module", "target", "said"),
        [
            ("raise RuntimeError('no GPU')", "broken:TASK", "can't be imported (RuntimeError: no GPU)"),
            ("import nothing_like_it", "broken:TASK", "can't be imported (ModuleNotFoundError"),
            ("", "broken:TASK", "can't be imported (AttributeError"),
            ("TASK = 5", "broken:TASK", "is no Task with the id 'mine'"),
            ("", "czrun_example:TIME_OF_CELLS", "is no Task with the id 'mine'"),
        ],
    )
    @pytest.mark.usefixtures("example")
    def test_a_task_that_is_none(
        self, czrun: Czrun, install: Install, tmp_path: Path, module: str, target: str, said: str
    ) -> None:
        install(package(tmp_path / "packages", "broken", module, tasks={"mine": target}))
        done = czrun("tasks", "show", "mine")
        assert done.returncode == 2
        assert f"Error: czrun.tasks entry point 'mine' of broken 1.0 {said}" in done.stderr
        assert "→ Uninstall that package" in done.stderr
        assert czrun("tasks", "show", "embedding").returncode == 0

    def test_built_in_tasks_can_not_be_replaced(self, czrun: Czrun, install: Install, tmp_path: Path) -> None:
        entry = {"embedding": "broken:TASK"}
        install(package(tmp_path / "packages", "broken", "raise RuntimeError", tasks=entry))
        assert "silhouette" in czrun("tasks", "show", "embedding").stdout
        assert czrun("tasks", "list").returncode == 0

    @pytest.mark.parametrize(
        ("metric", "target", "said"),
        [
            ("accuracy", "czrun_example:ACCURACY_WHEN_NAMED", "is called like a metric that"),
            ("accuracy_when_named", "czrun_example:measure", "is called like that of"),
            ("other", "czrun_example:ACCURACY_WHEN_NAMED", "is no AddedMetric with the id 'other'"),
            ("other", "czrun_example:measure", "is no AddedMetric with the id 'other'"),
        ],
    )
    @pytest.mark.usefixtures("example")
    def test_a_metric_that_is_none_or_has_another_s_name(
        self, czrun: Czrun, install: Install, tmp_path: Path, metric: str, target: str, said: str
    ) -> None:
        entry = {f"cell-type-classification.{metric}": target}
        install(package(tmp_path / "packages", "another", "", metrics=entry))
        done = czrun("tasks", "show", "cell-type-classification")
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.usefixtures("example", "answers")
    def test_a_metric_that_breaks_is_told_as_its_package_s_fault(
        self, czrun: Czrun, install: Install, tmp_path: Path
    ) -> None:
        module = (
            "from dataclasses import replace\n"
            "from czrun_example import ACCURACY_WHEN_NAMED as A\n"
            "BAD = replace(A, info=replace(A.info, id='bad'), family=lambda evidence: 1 / 0)\n"
        )
        entry = {"cell-type-classification.bad": "another:BAD"}
        install(package(tmp_path / "packages", "another", module, metrics=entry))
        done = czrun(*SCORE)
        assert done.returncode == 7
        assert "'cell-type-classification.bad' of another 1.0 raises ZeroDivisionError" in done.stderr


class TestPlainValues:
    @pytest.mark.usefixtures("example")
    def test_a_task_with_added_metrics_can_be_sent_to_another_process(self) -> None:
        task = registry.find_task("cell-type-classification")
        again = pickle.loads(pickle.dumps(task))  # noqa: S301 - our own
        assert again.metrics == task.metrics
        assert again.metrics[-1] == "accuracy_when_named"
        assert again.packages == ("czrun-example 0.1",)

    @pytest.mark.usefixtures("install")
    def test_a_built_in_task_is_itself_where_nothing_is_added(self) -> None:
        for name, task in registry.BUILT_IN.items():
            assert registry.find_task(name) is task
