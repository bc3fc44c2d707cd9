"""Packages of others: the guide's example works as written, and one that is broken is named as such."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

from made_cells import made_cells, written

REPOSITORY = Path(__file__).parents[2]
PLUGIN = REPOSITORY / "tests" / "support" / "example_plugin"
GUIDE = REPOSITORY / "docs" / "guides" / "add-a-task.md"

Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python in a process of its own that has packages of others on its path."""

    def python(*arguments: str, packages: tuple[Path, ...] = (PLUGIN,)) -> Done:
        path = os.pathsep.join([str(REPOSITORY / "tests" / "support"), *map(str, packages)])
        environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
        )

    return python


@pytest.fixture
def czrun(run: Run) -> Run:
    """Run czrun beside packages of others."""
    main = "from czrun.cli.app import main; main()"
    return lambda *arguments, **more: run("-c", main, *arguments, **more)


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
    def test_it_is_listed_and_shown_like_any_other(self, czrun: Run) -> None:
        assert "time-of-cells" in czrun("tasks", "list").stdout
        shown = czrun("tasks", "show", "time-of-cells")
        assert shown.returncode == 0, shown.stderr
        for word in (
            "training cells + time",
            "time.npy",
            "time_error",
            "0 – ∞",
            "lower",
            "czrun-example 0.1",
        ):
            assert word in shown.stdout

    def test_answers_are_scored(self, czrun: Run, tmp_path: Path) -> None:
        times = np.arange(40) % 5
        written(made_cells(time=times), tmp_path / "cells.h5ad")
        (tmp_path / "answers").mkdir()
        np.save(tmp_path / "answers" / "time.npy", times + 2.5 * (np.arange(40) % 5 == 0))
        done = czrun(
            "score", "--task", "time-of-cells", "--dataset", "cells.h5ad", "--predictions", "answers",
            "--format", "json", "--rows", "rows.csv",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        error = record["scores"]["metrics"]["time_error"]
        assert error["value"] == 0.5
        assert error["interval"]["low"] < 0.5 < error["interval"]["high"]
        assert record["scores"]["packages"] == ["czrun-example 0.1"]
        assert (tmp_path / "rows.csv").read_text().splitlines()[1] == "cell_000,0.0,2.5"

    def test_an_image_is_evaluated(self, run: Run, tmp_path: Path) -> None:
        written(made_cells(time=np.arange(40) % 5), tmp_path / "cells.h5ad")
        script = tmp_path / "evaluate.py"
        script.write_text(
            "import sys\n"
            "from pathlib import Path\n"
            "import h5py, numpy\n"
            "from asked import asked\n"
            "from czrun.contract.job import INPUT_DIR, OUTPUT_DIR\n"
            "from czrun.evaluation import run_evaluation\n"
            "from fake_engine import FakeEngine, image\n"
            "def act(job, folders):\n"
            "    if job['verb'] == 'predict':\n"
            "        n_obs = job['dataset']['n_obs']\n"
            "        numpy.save(folders[OUTPUT_DIR] / 'v0' / 'time.npy', numpy.full(n_obs, 2.0))\n"
            "    else:\n"
            "        with h5py.File(folders[INPUT_DIR] / 'train.h5ad') as file:\n"
            "            assert file['obs/time'][:].max() == 4\n"
            "engine = FakeEngine(images=(image(tasks=['time-of-cells']),), act=act)\n"
            "options = asked('model:1', Path('cells.h5ad'), Path('runs'), task='time-of-cells')\n"
            "result = run_evaluation(options, connect=lambda: engine)\n"
            "result.raise_for_status()\n"
            "print(engine.verbs, result.metrics['time_error'].value, result.record.model.scores.packages)\n"
        )
        done = run(str(script))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("['fit', 'predict'] 1.")
        assert "('czrun-example 0.1',)" in done.stdout

    def test_a_name_that_is_near_is_suggested(self, czrun: Run) -> None:
        done = czrun("tasks", "show", "time-of-cell")
        assert done.returncode == 2
        assert "Did you mean 'time-of-cells'?" in done.stderr


class TestMetric:
    @pytest.fixture
    def answers(self, tmp_path: Path) -> Path:
        """Labels for forty cells: right for the first half, none for the rest but two wrong ones."""
        cells = made_cells()
        labels = [*cells.obs["cell_type"][:20], "T cell", "B cell", *["__unassigned__"] * 18]
        written(cells, tmp_path / "cells.h5ad")
        (tmp_path / "answers").mkdir()
        rows = "".join(f"{cell},{label}\n" for cell, label in zip(cells.obs_names, labels, strict=True))
        (tmp_path / "answers" / "predictions.csv").write_text(f"cell_id,label\n{rows}")
        return tmp_path / "answers"

    ARGUMENTS = ("score", "--dataset", "cells.h5ad", "--predictions", "answers", "--format", "json")

    @pytest.mark.usefixtures("answers")
    def test_it_is_scored_beside_the_task_s_own(self, czrun: Run) -> None:
        done = czrun(*self.ARGUMENTS)
        assert done.returncode == 0, done.stderr
        scores = json.loads(done.stdout)["scores"]
        assert scores["metrics"]["accuracy"]["value"] == 0.5
        assert scores["metrics"]["accuracy_when_named"]["value"] == pytest.approx(20 / 22)
        assert scores["metrics"]["accuracy_when_named"]["interval"] is not None
        assert scores["packages"] == ["czrun-example 0.1"]

    @pytest.mark.usefixtures("answers")
    def test_it_can_be_asked_for_by_name_and_is_shown(self, czrun: Run) -> None:
        done = czrun(*self.ARGUMENTS[:-2], "--metric", "accuracy_when_named")
        assert "accuracy_when_named  0.9091" in done.stdout
        shown = czrun("tasks", "show", "cell-type-classification").stdout
        assert "arXiv.1705.08500" in shown
        assert "czrun-example 0.1" in shown

    def test_it_is_undefined_with_its_own_reason(self, czrun: Run, answers: Path) -> None:
        file = answers / "predictions.csv"
        file.write_text(re.sub(r",[BT] cell", ",__unassigned__", file.read_text()))
        metric = json.loads(czrun(*self.ARGUMENTS).stdout)["scores"]["metrics"]["accuracy_when_named"]
        assert metric["value"] is None
        assert metric["reason"] == "the model named no cell"

    @pytest.mark.usefixtures("answers")
    def test_without_the_package_nothing_of_it_is_there(self, czrun: Run) -> None:
        scores = json.loads(czrun(*self.ARGUMENTS, packages=()).stdout)["scores"]
        assert "accuracy_when_named" not in scores["metrics"]
        assert scores["packages"] == []

    def test_a_cached_run_finds_its_name_without_importing_it(self, run: Run, tmp_path: Path) -> None:
        written(made_cells(), tmp_path / "cells.h5ad")
        script = tmp_path / "repeat.py"
        script.write_text(
            "import sys\n"
            "from pathlib import Path\n"
            "from asked import asked\n"
            "from czrun.evaluation import run_evaluation\n"
            "from fake_engine import FakeEngine\n"
            "result = run_evaluation(asked('model:1', 'cells.h5ad', Path('runs')), connect=FakeEngine)\n"
            "heavy = {'numpy', 'czrun_example', 'czrun.metrics'} & set(sys.modules)\n"
            "metric = result.metrics.get('accuracy_when_named')\n"
            "print(result.record.containers_started, sorted(heavy), metric and metric.value)\n"
        )
        assert run(str(script), packages=()).stdout.startswith("2 ")
        # The package is new: scores are computed again, containers are not.
        assert run(str(script)).stdout.strip() == "0 ['czrun.metrics', 'czrun_example', 'numpy'] 0.5"
        assert run(str(script)).stdout.strip() == "0 [] 0.5"

    def test_another_version_of_the_package_scores_again(self, run: Run, tmp_path: Path) -> None:
        written(made_cells(), tmp_path / "cells.h5ad")
        module = (PLUGIN / "czrun_example.py").read_text()
        entry = {"cell-type-classification.accuracy_when_named": "mine:ACCURACY_WHEN_NAMED"}
        folder = package(tmp_path / "packages", "mine", module, metrics=entry)
        script = tmp_path / "repeat.py"
        script.write_text(
            "from pathlib import Path\n"
            "from asked import asked\n"
            "from czrun.evaluation import run_evaluation\n"
            "from fake_engine import FakeEngine\n"
            "result = run_evaluation(asked('model:1', 'cells.h5ad', Path('runs')), connect=FakeEngine)\n"
            "print(result.metrics['accuracy_when_named'].value)\n"
        )
        assert run(str(script), packages=(folder,)).stdout == "0.5\n"
        (folder / "mine.py").write_text(module.replace("predicted == true)", "0.25)"))
        assert run(str(script), packages=(folder,)).stdout == "0.5\n"
        metadata = folder / "mine-1.0.dist-info" / "METADATA"
        metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
        assert run(str(script), packages=(folder,)).stdout == "0.25\n"


class TestBrokenPackages:
    @pytest.mark.parametrize(
        ("module", "target", "said"),
        [
            ("raise RuntimeError('no GPU')", "broken:TASK", "can't be imported (RuntimeError: no GPU)"),
            ("import nothing_like_it", "broken:TASK", "can't be imported (ModuleNotFoundError"),
            ("", "broken:TASK", "can't be imported (AttributeError"),
            ("TASK = 5", "broken:TASK", "is no Task with the id 'mine'"),
            (
                "from czrun_example import TIME_OF_CELLS as TASK",
                "broken:TASK",
                "is no Task with the id 'mine'",
            ),
        ],
    )
    def test_a_task_that_is_none(
        self, czrun: Run, tmp_path: Path, module: str, target: str, said: str
    ) -> None:
        broken = package(tmp_path / "packages", "broken", module, tasks={"mine": target})
        done = czrun("tasks", "show", "mine", packages=(PLUGIN, broken))
        assert done.returncode == 2
        assert f"Error: czrun.tasks entry point 'mine' of broken 1.0 {said}" in done.stderr
        assert "→ Uninstall that package" in done.stderr
        assert czrun("tasks", "show", "embedding", packages=(PLUGIN, broken)).returncode == 0

    def test_built_in_tasks_can_not_be_replaced(self, czrun: Run, tmp_path: Path) -> None:
        entry = {"embedding": "broken:TASK"}
        broken = package(tmp_path / "packages", "broken", "raise RuntimeError", tasks=entry)
        assert "silhouette" in czrun("tasks", "show", "embedding", packages=(broken,)).stdout

    @pytest.mark.parametrize(
        ("metric", "target", "said"),
        [
            ("accuracy", "czrun_example:ACCURACY_WHEN_NAMED", "is called like a metric that"),
            ("accuracy_when_named", "czrun_example:measure", "is called like that of"),
            ("other", "czrun_example:ACCURACY_WHEN_NAMED", "is no AddedMetric with the id 'other'"),
            ("other", "czrun_example:measure", "is no AddedMetric with the id 'other'"),
        ],
    )
    def test_a_metric_that_is_none_or_has_another_s_name(
        self, czrun: Run, tmp_path: Path, metric: str, target: str, said: str
    ) -> None:
        entry = {f"cell-type-classification.{metric}": target}
        broken = package(tmp_path / "packages", "another", "", metrics=entry)
        done = czrun("tasks", "show", "cell-type-classification", packages=(PLUGIN, broken))
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_metric_that_breaks_is_told_as_its_package_s_fault(self, czrun: Run, tmp_path: Path) -> None:
        written(made_cells(), tmp_path / "cells.h5ad")
        (tmp_path / "answers").mkdir()
        rows = "".join(f"{cell},B cell\n" for cell in made_cells().obs_names)
        (tmp_path / "answers" / "predictions.csv").write_text(f"cell_id,label\n{rows}")
        module = (
            "from dataclasses import replace\n"
            "from czrun_example import ACCURACY_WHEN_NAMED as A\n"
            "BAD = replace(A, info=replace(A.info, id='bad'), family=lambda evidence: 1 / 0)\n"
        )
        entry = {"cell-type-classification.bad": "another:BAD"}
        broken = package(tmp_path / "packages", "another", module, metrics=entry)
        done = czrun(*TestMetric.ARGUMENTS, packages=(PLUGIN, broken))
        assert done.returncode == 7
        assert "'cell-type-classification.bad' of another 1.0 raises ZeroDivisionError" in done.stderr


class TestPlainValues:
    def test_a_task_with_added_metrics_can_be_sent_to_another_process(self, run: Run) -> None:
        script = (
            "import pickle\n"
            "from czrun.tasks.registry import find_task\n"
            "task = find_task('cell-type-classification')\n"
            "again = pickle.loads(pickle.dumps(task))\n"
            "assert again.metrics == task.metrics and again.metrics[-1] == 'accuracy_when_named'\n"
            "assert again.packages == ('czrun-example 0.1',)\n"
            "print(again.measure.args[1][0].load().info.id)\n"
        )
        done = run("-c", script)
        assert done.stdout == "accuracy_when_named\n", done.stderr

    def test_a_built_in_task_is_itself_where_nothing_is_added(self) -> None:
        from czrun.tasks.registry import BUILT_IN, find_task

        for name, task in BUILT_IN.items():
            assert find_task(name) is task
            assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301 - our own
