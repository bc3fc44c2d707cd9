"""kill -9 in each phase, then the same command: it reaps the orphan, takes the run up, and nothing shows."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    import subprocess

    from .conftest import Czrun

PHASES = ("image", "prepare", "fit", "predict", "score")
N_CELLS, N_GENES, N_VALUES = 12_000, 300, 40

# It learns something that predict needs, so that a half-made fit couldn't pass for a whole one.
FIT = "hold(); (MODEL / 'favourite').write_text('2')"
PREDICT = "hold(); answer(int((MODEL / 'favourite').read_text())); proba()"


@pytest.fixture(scope="session")
def many_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many cells that preparing and scoring them take a while."""
    import pandas as pd
    from anndata import AnnData  # noqa: TID251 - a user's file
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(7)
    columns = np.argsort(rng.random((N_CELLS, N_GENES)), axis=1)[:, :N_VALUES]
    counts = csr_matrix(
        (
            rng.integers(1, 9, size=columns.size).astype(np.float32),
            np.sort(columns, axis=1).ravel(),
            np.arange(0, columns.size + 1, N_VALUES),
        ),
        shape=(N_CELLS, N_GENES),
    )
    names = [f"cell{number}" for number in range(N_CELLS)]
    obs = pd.DataFrame({"cell_type": rng.choice(["B", "T", "NK", "mono"], N_CELLS)}, index=names)
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(N_GENES)])
    path = tmp_path_factory.mktemp("data") / "many.h5ad"
    AnnData(counts, obs=obs, var=var).write_h5ad(path)
    return path


def command(czrun: Czrun, puppet: str, data: Path) -> tuple[str, ...]:
    return czrun.evaluation(puppet, "--dataset", str(data), fit=FIT, predict=PREDICT)


def kill_in_image(czrun: Czrun, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Kill it while it waits for an engine that takes its time."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        czrun.environment["DOCKER_HOST"] = f"unix://{tmp_path}/silent.sock"
        process = czrun.start(*arguments)
        czrun.environment.clear()
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            kill(czrun, process)
    assert len(list((czrun.home / "leases").iterdir())) == 1


def kill_in_prepare(czrun: Czrun, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Kill it when the first prepared file has begun to be."""
    process = czrun.start(*arguments)
    czrun.wait_for(lambda: list(czrun.home.glob("work/*/*/fit/train.h5ad")), process)
    kill(czrun, process)
    assert not list(czrun.home.glob("prepared/*"))


def kill_in_fit(czrun: Czrun, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Kill it while its container fits, which goes on without it."""
    process = czrun.start(*arguments)
    czrun.held(process)
    kill(czrun, process)
    assert len(czrun.containers()) == 1
    assert not list(czrun.home.glob("fits/*"))


def kill_in_predict(czrun: Czrun, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Kill it while its container predicts."""
    process = czrun.start(*arguments)
    czrun.go(czrun.held(process))
    czrun.wait_for(lambda: list(czrun.home.glob("fits/*/phase.json")), process)
    czrun.held(process)
    kill(czrun, process)
    assert len(czrun.containers()) == 1
    assert not list(czrun.home.glob("predictions/*"))


def kill_in_score(czrun: Czrun, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Kill it when the predictions are there, before the scores are."""
    process = czrun.start(*arguments)

    def predicted() -> bool:
        for folder in czrun.waiting():
            czrun.go(folder)
        return bool(list(czrun.home.glob("predictions/*/phase.json")))

    czrun.wait_for(predicted, process)
    kill(czrun, process)
    assert not list(czrun.home.glob("scores/*"))


def kill(czrun: Czrun, process: subprocess.Popen[str]) -> None:
    process.kill()
    assert czrun.end(process).code == -9
    assert not list(czrun.runs.glob("*/record.json"))


KILL: dict[str, Callable[[Czrun, tuple[str, ...], Path], None]] = {
    "image": kill_in_image,
    "prepare": kill_in_prepare,
    "fit": kill_in_fit,
    "predict": kill_in_predict,
    "score": kill_in_score,
}


def essence(record: dict[str, Any]) -> dict[str, Any]:
    """Return what of a record doesn't depend on when, how fast and in how many goes it came about.

    Every phase must be this run's own work: a run that was taken up doesn't pass its results off as cached.
    """
    assert record.pop("seconds") > 0
    assert record.pop("started")
    record.pop("containers_started")
    run_id = record.pop("run_id")
    for trial in record["model"]["trials"]:
        for phase in (trial["fit"], trial["predict"]):
            assert phase.pop("run_id") == run_id
            assert phase.pop("seconds") > 0
            del phase["cpu_seconds"], phase["peak_memory_bytes"]
    return record


def differences(one: Any, other: Any, where: str = "record") -> list[str]:
    """Name every place where two JSON values differ, be it in a type, a key, a length or a value."""
    if type(one) is not type(other):
        return [f"{where}: {one!r} != {other!r}"]
    if isinstance(one, list):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if not isinstance(one, dict):
        return [] if one == other else [f"{where}: {one!r} != {other!r}"]
    found = [f"{where}.{key}: only on one side" for key in one.keys() ^ other.keys()]
    for key in one.keys() & other.keys():
        found += differences(one[key], other[key], f"{where}.{key}")
    return found


@pytest.fixture(scope="session")
def undisturbed(
    engine: Any,
    puppet: str,
    many_cells: Path,
    tmp_path_factory: pytest.TempPathFactory,
    czrun_type: type[Czrun],
) -> tuple[dict[str, Any], bytes]:
    """The essence and the predictions of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    czrun = czrun_type(engine, folder / "home", folder / "runs")
    czrun.ushered(czrun.start(*command(czrun, puppet, many_cells))).succeeded()
    assert czrun.close() == []
    return essence(czrun.record()), predictions(czrun)


def predictions(czrun: Czrun) -> bytes:
    (file,) = czrun.runs.glob("*/predictions/*.csv")
    return file.read_bytes()


@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed_in_any_phase_is_taken_up_and_ends_as_if_nothing_had_been(
    fresh: Czrun,
    puppet: str,
    many_cells: Path,
    undisturbed: tuple[dict[str, Any], bytes],
    phase: str,
    tmp_path: Path,
) -> None:
    arguments = command(fresh, puppet, many_cells)
    KILL[phase](fresh, arguments, tmp_path)
    begun = fresh.run_ids() if fresh.runs.exists() else []
    assert len(begun) == (0 if phase in {"image", "prepare"} else 1)
    done = fresh.ushered(fresh.start(*arguments)).succeeded()
    assert fresh.left_behind() == []
    assert not begun or fresh.run_ids() == begun
    record = fresh.record()
    expected_containers = {"predict": 1, "score": 0}.get(phase, 2)
    assert record["containers_started"] == expected_containers
    assert differences(essence(record), undisturbed[0]) == []
    assert predictions(fresh) == undisturbed[1]
    assert "fit model: cached" not in done.err


def test_another_command_does_not_take_up_a_killed_run(fresh: Czrun, oracle: str) -> None:
    process = fresh.start(*fresh.evaluation(oracle, predict="hold(); answer()"))
    fresh.held(process)
    kill(fresh, process)
    fresh.evaluate(oracle, predict="answer()").succeeded()
    assert len(fresh.run_ids()) == 2
    fresh("runs", "show", fresh.run_ids()[0]).failed(2, "it was killed before its end", "take it up")
