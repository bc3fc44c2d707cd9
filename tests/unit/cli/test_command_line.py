"""The command line: light at the start, exact in its exit codes, safe to look at."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Czrun, Done
from czrun.version import __version__
from made_cells import made_cells, written
from made_records import RUN_ID, made_record, saved

HEAVY = ("numpy", "pandas", "anndata", "scipy", "h5py", "docker", "rich", "yaml", "sklearn", "czrun.records")
# typer imports pydantic by itself; that czrun's own models stay out is what `czrun.records` stands for.

# Runs the console script's own function, then tells on the last line of stderr which heavy modules it met.
TELL_TALE = f"""
import atexit, sys
from czrun.cli.app import main
atexit.register(lambda: print("HEAVY", *sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr))
main()
"""

MISTYPED = [
    (["evalaute"], "No such command 'evalaute'"),
    (["evaluate"], "Missing option '--image'"),
    (["evaluate", "--image", "m", "--foldz", "3"], "--folds"),
    (["evaluate", "--image", "m", "--folds", "three"], "valid integer"),
    (["evaluate", "--image", "m", "--format", "xml"], "'table', 'json', 'csv'"),
    (["evaluate", "--image", "m", "--param", "C"], "NAME=VALUE"),
    (["runs", "logs", "last", "--phase", "score"], "'fit', 'predict'"),
    (["tasks", "show"], "Missing argument"),
    (["--verbose"], "No such option"),
]


@pytest.fixture
def czrun_alone(tmp_path: Path) -> Czrun:
    """Run the command line in a process of its own, in a folder of its own."""

    def run(*arguments: str, **environment: str) -> Done:
        return subprocess.run(
            [sys.executable, "-c", TELL_TALE, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **environment},
        )

    return run


def heavy(done: Done) -> list[str]:
    return done.stderr.splitlines()[-1].split()[1:]


class TestLightness:
    @pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--help"], ["--version"], ["runs", "-h"]])
    def test_help_and_version_import_nothing_heavy(self, czrun_alone: Czrun, arguments: list[str]) -> None:
        done = czrun_alone(*arguments)
        assert done.returncode == 0
        assert heavy(done) == []
        assert "czrun" in done.stdout

    @pytest.mark.parametrize(("arguments", "said"), MISTYPED)
    def test_a_mistyped_command_ends_with_2(self, czrun: Czrun, arguments: list[str], said: str) -> None:
        done = czrun(*arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stdout == ""

    def test_mistyped_commands_import_nothing_heavy(self) -> None:
        script = (
            "import sys\n"
            "from czrun.cli.app import main\n"
            f"for arguments in {[arguments for arguments, _ in MISTYPED]}:\n"
            "    sys.argv = ['czrun', *arguments]\n"
            "    try:\n"
            "        main()\n"
            "    except SystemExit as ended:\n"
            "        assert ended.code == 2, arguments\n"
            f"print(sorted(set({HEAVY}) & set(sys.modules)))\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    def test_the_version_is_the_package_s(self, czrun_alone: Czrun) -> None:
        assert czrun_alone("--version").stdout == f"czrun {__version__}\n"

    def test_the_console_script_is_installed(self) -> None:
        script = Path(sys.executable).with_name("czrun")
        done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"czrun {__version__}\n"


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "said", "hint"),
        [
            (["evaluate", "--image", "m", "--task", "cell-type"], 2, "no task 'cell-type'", "Did you mean"),
            (["evaluate", "--image", "m", "--split", "kfolds"], 2, "no split 'kfolds'", "'kfold'"),
            (["evaluate", "--image", "m", "--dataset", "pbmc68k"], 2, "no data set", "pbmc68k_reduced"),
            (["evaluate", "--image", "m", "--dataset", "none.h5ad"], 3, "no file none.h5ad", "datasets list"),
            (["evaluate", "--image", "m", "--memory", "lots"], 2, "'lots' is not a size", "4GiB"),
            (["evaluate", "--image", "m", "--memory", "1KiB"], 2, "memory_bytes", "--memory 4GiB"),
            (["evaluate", "--image", "m", "--timeout", "soon"], 2, "not a duration", "30m"),
            (["evaluate", "--image", "m", "--seeds", "0"], 2, "at least one", "--seeds 3"),
            (["evaluate", "--image", "m", "--split", "predefined"], 2, "needs --split-key", "original_split"),
            (["evaluate", "--image", "m", "--x", "umi"], 2, "no kind of X 'umi'", "counts"),
            (["tasks", "show", "cell-type"], 2, "no task", "cell-type-classification"),
            (["datasets", "show", "pbmc"], 2, "no data set", "pbmc68k_reduced"),
            (["runs", "show", "last"], 2, "There is no run", "Valid: (none)"),
            (["runs", "rm", "something"], 2, "There is no run", "Valid"),
            (["schema", "jobb"], 2, "no schema 'jobb'", "Did you mean 'job'?"),
        ],
    )
    def test_what_is_wrong_and_what_to_do(
        self, czrun: Czrun, arguments: list[str], code: int, said: str, hint: str
    ) -> None:
        done = czrun(*arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "  → " in done.stderr
        assert hint in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_without_an_engine_it_ends_with_5_and_says_what_to_start(self, czrun_alone: Czrun) -> None:
        done = czrun_alone("evaluate", "--image", "m")
        assert done.returncode == 5
        assert "  → " in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("at", [0, 2, 3])
    def test_a_traceback_comes_with_debug_wherever_it_stands(self, czrun: Czrun, at: int) -> None:
        arguments = ["tasks", "show", "nothing"]
        arguments.insert(at, "--debug")
        done = czrun(*arguments)
        assert done.returncode == 2
        assert "Traceback" in done.stderr
        assert "Error: There is no task 'nothing'." in done.stderr

    def test_a_traceback_comes_with_the_variable(self, czrun: Czrun) -> None:
        assert "Traceback" in czrun("tasks", "show", "nothing", CZRUN_DEBUG="1").stderr

    @pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x9b31m"])
    def test_no_name_steers_the_terminal(self, czrun: Czrun, text: str) -> None:
        for arguments in (["tasks", "show", text], ["evaluate", "--image", "m", "--dataset", f"{text}.h5ad"]):
            done = czrun(*arguments)
            assert text not in done.stdout + done.stderr

    def test_a_reader_that_leaves_is_no_error(self) -> None:
        command = f'"{sys.executable}" -c "from czrun.cli.app import main; main()" schema record | head -c 1'
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        assert done.stdout == "{"
        assert done.stderr == ""


class TestTasksAndDatasets:
    def test_tasks_are_listed_and_shown(self, czrun: Czrun) -> None:
        assert "cell-type-classification" in czrun("tasks", "list").stdout
        shown = czrun("tasks", "show", "cell-type-classification").stdout
        for word in ("macro_f1", "predictions.csv", "proba.npy", "czrun/majority-class", "+ label"):
            assert word in shown

    def test_data_sets_are_listed_and_shown(self, czrun: Czrun) -> None:
        assert "pbmc68k_reduced" in czrun("datasets", "list").stdout
        shown = czrun("datasets", "show", "pbmc68k_reduced").stdout
        assert "700 cells\n765 genes by symbols" in shown
        assert "bulk_labels" in shown
        assert "log1p" in shown

    def test_a_file_is_shown_with_its_columns(self, czrun: Czrun, tmp_path: Path) -> None:
        written(made_cells(), tmp_path / "cells.h5ad")
        shown = czrun("datasets", "show", "cells.h5ad").stdout
        assert "cells: 40 cells\n6 genes" in shown
        assert "B cell 20, T cell 20" in shown

    def test_a_file_can_not_steer_the_terminal(self, czrun: Czrun, tmp_path: Path) -> None:
        cells = made_cells(**{"evil\x1b[2J": ["\x1b[31m[bold]x[/bold]", "b"] * 20})
        written(cells, tmp_path / "cells.h5ad")
        done = czrun("datasets", "show", "cells.h5ad")
        assert done.returncode == 0
        assert "\x1b" not in done.stdout
        assert "[bold]x[/bold]" in done.stdout


class TestSchemas:
    def test_their_names_and_one_of_them(self, czrun: Czrun) -> None:
        assert czrun("schema").stdout.split() == ["job", "progress", "result", "model", "dataset", "record"]
        assert json.loads(czrun("schema", "job").stdout)["title"] == "Job"

    def test_all_are_written_and_a_stale_one_ends_with_4(self, czrun: Czrun, tmp_path: Path) -> None:
        assert len(czrun("schema", "--write", "schemas").stdout.splitlines()) == 6
        assert czrun("schema", "--check", "schemas").returncode == 0
        (tmp_path / "schemas" / "job.v1.schema.json").write_text("{}")
        stale = czrun("schema", "--check", "schemas")
        assert stale.returncode == 4
        assert "Not current: job.v1.schema.json" in stale.stderr
        assert "czrun schema --write schemas" in stale.stderr


class TestRuns:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        folder = saved(tmp_path / "runs", made_record())
        (folder / "logs" / "model-fit.log").write_text("fitting\n")
        (folder / "logs" / "model-predict.log").write_text("asking\n")
        return folder

    def test_none_yet(self, czrun: Czrun) -> None:
        done = czrun("runs", "list")
        assert done.returncode == 0
        assert "There are no runs in runs" in done.stdout

    @pytest.mark.usefixtures("run")
    def test_they_are_listed_with_their_score(self, czrun: Czrun) -> None:
        done = czrun("runs", "list")
        assert RUN_ID in done.stdout
        assert "macro_f1 0.7000" in done.stdout

    def test_unfinished_and_unreadable_ones_are_listed_as_such(self, czrun: Czrun, run: Path) -> None:
        other = saved(run.parent, made_record("20260105-030405-aaaaaa"))
        (other / "record.json").unlink()
        (run / "record.json").write_text("{")
        shown = czrun("runs", "list").stdout
        assert "unfinished" in shown
        assert "unreadable" in shown

    def test_another_folder_by_flag_or_variable(self, czrun: Czrun, tmp_path: Path) -> None:
        saved(tmp_path / "elsewhere", made_record())
        assert RUN_ID in czrun("runs", "list", "--output", "elsewhere").stdout
        assert RUN_ID in czrun("runs", "list", CZRUN_RUNS="elsewhere").stdout

    @pytest.mark.usefixtures("run")
    def test_a_table_has_value_interval_and_control(self, czrun: Czrun) -> None:
        shown = czrun("runs", "show", "last").stdout
        row = next(line for line in shown.splitlines() if line.startswith("macro_f1"))
        assert row.split() == ["macro_f1", "0.7000", "0.6000", "–", "0.8000", "0.1000"]
        assert "undefined: no proba" in shown
        assert "fit 1.5 s" in shown
        assert "95% intervals: bootstrap over cells, 2,000 resamples" in shown

    def test_json_is_the_record(self, czrun: Czrun, run: Path) -> None:
        shown = czrun("runs", "show", "abc123", "--format", "json").stdout
        assert json.loads(shown) == json.loads((run / "record.json").read_text())

    @pytest.mark.usefixtures("run")
    def test_csv_has_one_row_a_metric_and_numbers_in_full(self, czrun: Czrun) -> None:
        rows = list(csv.DictReader(io.StringIO(czrun("runs", "show", "last", "--format", "csv").stdout)))
        assert [row["metric"] for row in rows] == ["macro_f1", "log_loss"]
        assert float(rows[0]["low"]) == pytest.approx(0.6)
        assert rows[1]["value"] == ""
        assert rows[1]["reason"] == "no proba"

    def test_a_failed_run_is_shown_with_its_error_and_exit_code(self, czrun: Czrun, tmp_path: Path) -> None:
        record = made_record().model_dump(mode="json")
        failure = {"phase": "fit", "status": "timed_out", "message": "Too slow.", "hint": "Wait longer."}
        trial = {"fold": 0, "seed": 0, "prepared": "0" * 64, "status": "timed_out", "failure": failure}
        record["model"].update(status="timed_out", trials=[trial], scores=None)
        saved(tmp_path / "runs", made_record(status="timed_out", model=record["model"]))
        done = czrun("runs", "show", "last")
        assert done.returncode == 6
        assert "Too slow." in done.stderr
        assert "Wait longer." in done.stderr

    @pytest.mark.usefixtures("run")
    def test_logs_of_all_phases_or_one(self, czrun: Czrun) -> None:
        assert czrun("runs", "logs", "last", "--phase", "predict").stdout == "asking\n"
        both = czrun("runs", "logs", "last").stdout
        assert "== model-fit.log" in both
        assert "asking" in both

    def test_a_run_is_removed(self, czrun: Czrun, run: Path) -> None:
        assert czrun("runs", "rm", RUN_ID).returncode == 0
        assert not run.exists()

    def test_cleaning_without_an_engine_says_so(self, czrun_alone: Czrun, run: Path) -> None:
        (run / "record.json").unlink()
        done = czrun_alone("runs", "clean")
        assert done.returncode == 0
        assert "1 unfinished run(s)" in done.stdout
        assert "Containers were not looked for" in done.stderr
        assert not run.exists()
