"""An engine that can't see the caller's files: they travel through volumes, and nothing else is different."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Czrun


@pytest.fixture
def remote(czrun: Czrun, in_private_mounts: Callable[..., Czrun], shared_home: object) -> Czrun:
    """The command line with a cache that only it can see, and the same folder of runs."""
    return in_private_mounts(f"mount -t tmpfs -o size=2G none {czrun.home}")


def test_the_scores_are_those_of_a_local_engine(czrun: Czrun, remote: Czrun) -> None:
    image = "czrun/logistic-regression:latest"
    czrun.evaluate(image, max_iter="20").succeeded()
    remote.evaluate(image, max_iter="20").succeeded()
    local, other = (czrun.record(run_id) for run_id in czrun.run_ids())
    assert other["containers_started"] == 2
    assert other["model"]["scores"] == local["model"]["scores"]
    assert other["dataset"] == local["dataset"]
    assert {mount["type"] for mount in other["model"]["trials"][0]["fit"]["settings"]["Mounts"]} == {"volume"}
    assert czrun.left_behind() == []


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("pass", "invalid_output", 4),
        ("os.mkfifo(folder() / 'predictions.csv')", "policy_violation", 4),
        ("(folder() / 'predictions.csv').symlink_to('/etc/passwd')", "policy_violation", 4),
        (
            "answer(); os.truncate(os.open(OUTPUT / 'big', os.O_CREAT | os.O_RDWR), 2 << 30)",
            "output_too_large",
            4,
        ),
        ("raise SystemExit(1)", "model_failed", 6),
    ],
)
def test_a_failure_is_the_same_failure(
    czrun: Czrun, remote: Czrun, oracle: str, source: str, status: str, code: int
) -> None:
    remote.evaluate(oracle, predict=source).failed(code)
    assert czrun.record()["status"] == status
    assert czrun.left_behind() == []


def test_a_stopped_evaluation_takes_its_volumes_along(czrun: Czrun, remote: Czrun, oracle: str) -> None:
    process = remote.start(*czrun.evaluation(oracle, predict="time.sleep(600)"))
    # The carrier, the model, and the volumes of /czrun, input, model and output.
    czrun.wait_for(lambda: czrun.runs.exists() and len(czrun.containers()) == 6, process)
    process.send_signal(signal.SIGTERM)
    czrun.end(process).failed(130, "Cancelled")
    assert czrun.record()["status"] == "cancelled"
    assert czrun.left_behind() == []
