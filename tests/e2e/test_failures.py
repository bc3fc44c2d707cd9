"""Every way to fail says whose fault it was, what to do, and leaves a record and nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Czrun

USAGE, DATASET, CONTRACT, ENGINE, MODEL, CANCELLED = 2, 3, 4, 5, 6, 130


def trial_of(czrun: Czrun, status: str, phase: str = "predict") -> dict[str, Any]:
    """Return the only trial of the only run, which ended with this status in this phase."""
    record = czrun.record()
    (trial,) = record["model"]["trials"]
    assert record["status"] == record["model"]["status"] == trial["status"] == status
    assert trial["failure"]["status"] == status
    assert trial["failure"]["phase"] == phase
    assert record["model"]["scores"] is None
    return trial


# What can't begin: no run's folder is left.


def test_a_missing_image_is_told_with_its_nearest_local_name_and_how_to_get_it(
    czrun: Czrun, puppet: str
) -> None:
    name = puppet.replace("puppet", "pupet")
    czrun.evaluate(name).failed(CONTRACT, f"no image {name}", f"Did you mean {puppet}", "docker pull")
    assert not czrun.runs.exists()


def test_a_missing_model_image_of_ours_is_told_with_the_command_that_builds_it(czrun: Czrun) -> None:
    done = czrun.evaluate("czrun/logistic-regresion:latest").failed(CONTRACT, "`make images`")
    assert "Did you mean czrun/logistic-regression:latest" in done.err


def test_an_image_without_labels_is_told_which_to_add(czrun: Czrun, build: Callable[..., str]) -> None:
    czrun.evaluate(build("unlabelled", labels={})).failed(CONTRACT, 'LABEL org.czrun.contract="1"')


def test_an_image_of_another_contract_is_refused_with_both_numbers(
    czrun: Czrun, build: Callable[..., str]
) -> None:
    labels = {"org.czrun.contract": "2", "org.czrun.tasks": "cell-type-classification"}
    czrun.evaluate(build("contract2", labels=labels)).failed(CONTRACT, "'2'", "this czrun speaks 1")


def test_an_image_for_other_tasks_is_told_which_it_declares(czrun: Czrun, build: Callable[..., str]) -> None:
    labels = {"org.czrun.contract": "1", "org.czrun.tasks": "embedding"}
    czrun.evaluate(build("embedder", labels=labels)).failed(
        CONTRACT, "doesn't declare task cell-type-classification", "It declares: embedding"
    )


def test_an_unknown_parameter_is_told_with_the_valid_ones(czrun: Czrun, puppet: str) -> None:
    czrun.evaluate(puppet, preditc="answer()").failed(USAGE, "Did you mean 'predict'?", "fit, n, predict")
    assert not czrun.runs.exists()


def test_a_bad_value_of_a_parameter_is_told_with_what_it_takes(czrun: Czrun, puppet: str) -> None:
    czrun.evaluate(puppet, "--param", "n").failed(USAGE, "NAME=VALUE")
    czrun.evaluate(puppet, n="many").failed(USAGE, "n takes a whole number")


def test_no_engine_is_told_with_what_to_start(czrun: Czrun, puppet: str) -> None:
    czrun.environment["DOCKER_HOST"] = "unix:///nonexistent/docker.sock"
    czrun.evaluate(puppet).failed(ENGINE, "No container engine answers", "Start")
    assert not czrun.runs.exists()


def test_an_image_whose_volumes_cannot_be_isolated_is_a_policy_violation(
    czrun: Czrun, build: Callable[..., str]
) -> None:
    image = build("volumes", lines=("VOLUME /czrun/input/deep",))
    czrun.evaluate(image).failed(CONTRACT, "/czrun/input/deep", "Remove them from its Dockerfile")
    trial_of(czrun, "policy_violation", "fit")


# A model that fails.


@pytest.mark.parametrize(
    ("exit_code", "code", "status", "said"),
    [
        (1, MODEL, "model_failed", "failed with exit code 1"),
        (64, CONTRACT, "unsupported", "doesn't support this task"),
        (65, MODEL, "model_failed", "refused its input"),
        (69, MODEL, "model_failed", "misses something"),
        (70, MODEL, "model_failed", "failed with exit code 70"),
    ],
)
def test_an_exit_code_means_what_the_contract_says(
    czrun: Czrun, puppet: str, exit_code: int, code: int, status: str, said: str
) -> None:
    czrun.evaluate(puppet, fit=f"raise SystemExit({exit_code})").failed(code, said)
    assert trial_of(czrun, status, "fit")["attempts"] == 1


def test_a_transient_failure_is_tried_once_more(czrun: Czrun, oracle: str) -> None:
    czrun.evaluate(oracle, predict="raise SystemExit(75)").failed(MODEL, "may pass")
    assert trial_of(czrun, "model_failed")["attempts"] == 2
    assert czrun.record()["containers_started"] == 2


def test_what_a_model_says_of_its_failure_is_shown(czrun: Czrun, oracle: str) -> None:
    reported = '{"status": "error", "error": {"message": "no such gene", "hint": "use symbols"}}'
    source = f"(OUTPUT / 'result.json').write_text({reported!r}); raise SystemExit(65)"
    czrun.evaluate(oracle, predict=source).failed(
        MODEL, "It says: no such gene", "Its own advice: use symbols"
    )


def test_a_model_that_ignores_sigterm_ends_at_its_deadline(czrun: Czrun, oracle: str) -> None:
    source = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    czrun.evaluate(oracle, "--timeout", "1s", predict=source).failed(
        MODEL, "longer than its 1 s", "--timeout"
    )
    trial_of(czrun, "timed_out")


def test_a_model_that_needs_too_much_memory_is_told_the_limit(czrun: Czrun, oracle: str) -> None:
    czrun.evaluate(oracle, "--memory", "64MiB", predict="bytearray(1 << 28)").failed(
        MODEL, "more than its 64 MiB", "--memory"
    )
    trial_of(czrun, "out_of_memory")


def test_a_child_that_needs_too_much_memory_counts_though_the_model_exits_with_0(
    czrun: Czrun, oracle: str
) -> None:
    source = "if os.fork() == 0: bytearray(1 << 28)\nos.wait(); answer()"
    czrun.evaluate(oracle, "--memory", "64MiB", predict=source).failed(MODEL, "a process of the model")
    trial_of(czrun, "out_of_memory")


def test_too_many_bytes_of_output_are_too_many(czrun: Czrun, oracle: str) -> None:
    source = "answer(); os.truncate(os.open(OUTPUT / 'big', os.O_CREAT | os.O_RDWR), 2 << 30)"
    czrun.evaluate(oracle, predict=source).failed(CONTRACT, "more than 1.0 GiB")
    trial_of(czrun, "output_too_large")


def test_too_many_files_of_output_are_too_many(czrun: Czrun, oracle: str) -> None:
    source = "answer(); [(OUTPUT / str(number)).touch() for number in range(1001)]"
    czrun.evaluate(oracle, predict=source).failed(CONTRACT, "more than 1000 files")
    trial_of(czrun, "output_too_large")


# Answers that aren't valid.


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pass", "predictions.csv is missing; the folder is empty"),
        ("answer(header=('id', 'label'))", "row 1: the header is 'id,label'"),
        ("answer([classes[0]] * 5)", "5 rows of cells; 140 are expected"),
        ("answer(['Klingon'] * 140)", "row 2, column label: 'Klingon' is not one of the 10 classes"),
        ("answer(ids=cells[::-1])", "not in the order of the input"),
        ("answer(ids=cells[:1] * 140)", "row 3, column cell_id"),
        ("answer(); proba([[1.0]] * 140)", "shape (140, 1); (140, 10) is expected"),
        ("answer(); proba([[0.5] * 10] * 140)", "don't sum to 1, the first is row 0 with 5"),
        ("answer(); proba([[1.5, -0.5] + [0] * 8] * 140)", "is not between 0 and 1"),
        ("answer(); proba(descr='<i4')", "holds int32"),
        ("answer(); proba([[0.1] * 10], shape=(140, 10))", "promises 5,600 bytes of numbers, 40 are there"),
        ("answer(); proba(shape=(1 << 40, 10))", "(140, 10) is expected"),
        ("answer(); (folder() / 'proba.npy').write_text('hello')", "not a NumPy .npy file"),
        ("(folder() / 'predictions.csv').write_bytes(bytes([255] * 100))", "not UTF-8 CSV"),
    ],
)
def test_an_invalid_answer_is_told_with_its_place(czrun: Czrun, oracle: str, source: str, said: str) -> None:
    czrun.evaluate(oracle, predict=source).failed(CONTRACT, "not valid", said)
    assert trial_of(czrun, "invalid_output")["attempts"] == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("(folder() / 'predictions.csv').symlink_to('/etc/passwd')", "predictions.csv is a symbolic link"),
        ("folder().rmdir(); folder().symlink_to('/etc')", "v0 is not a readable folder"),
        ("os.mkfifo(folder() / 'predictions.csv')", "predictions.csv is not a regular file"),
        ("answer(); os.mkfifo(folder() / 'proba.npy')", "proba.npy is not a regular file"),
        ("answer(); os.link(folder() / 'predictions.csv', OUTPUT / 'twin')", "has a second name"),
        ("answer(); proba(descr='|O')", "holds object"),
    ],
)
def test_a_file_that_no_honest_model_writes_is_a_policy_violation(
    czrun: Czrun, oracle: str, source: str, said: str
) -> None:
    czrun.evaluate(oracle, predict=source).failed(CONTRACT, said)
    trial_of(czrun, "policy_violation")


# A host that can't.


def test_a_file_in_the_place_of_the_runs_folder_is_told(czrun: Czrun, oracle: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = czrun.evaluate(oracle, "--output", str(tmp_path / "file" / "runs"))
    done.failed(ENGINE, "is in the way")


def test_a_read_only_runs_folder_is_told(
    czrun: Czrun, oracle: str, in_private_mounts: Callable[..., Czrun]
) -> None:
    czrun.runs.mkdir()
    readonly = in_private_mounts(
        f"mount --bind {czrun.runs} {czrun.runs}; mount -o remount,ro,bind {czrun.runs}"
    )
    readonly.evaluate(oracle).failed(ENGINE, "can't be written", "--output")


def test_a_full_disk_under_the_cache_is_told(
    czrun: Czrun, oracle: str, in_private_mounts: Callable[..., Czrun]
) -> None:
    full = in_private_mounts(f"mount -t tmpfs -o size=32M none {czrun.home}")
    full.evaluate(oracle).failed(ENGINE, "MiB are free", "CZRUN_HOME")
    assert not czrun.runs.exists()


@pytest.mark.parametrize("n_pages", [1, 2, 3, 4, 6])
def test_a_full_disk_under_the_runs_is_told_however_far_it_came(
    czrun: Czrun, oracle: str, in_private_mounts: Callable[..., Czrun], n_pages: int
) -> None:
    czrun.runs.mkdir()
    full = in_private_mounts(f"mount -t tmpfs -o size={4096 * n_pages} none {czrun.runs}")
    full.evaluate(oracle, predict="print('x' * 5000); answer()").failed(ENGINE, "o space", "df -h")


# A user who changes their mind.


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("phase", ["fit", "predict"])
def test_a_stopped_evaluation_leaves_a_record_and_no_container(
    czrun: Czrun, puppet: str, name: str, phase: str
) -> None:
    process = czrun.start(*czrun.evaluation(puppet, **{phase: f"hold()  # until {name}"}))
    czrun.held(process)
    assert len(czrun.containers()) == 1
    os.kill(process.pid, getattr(signal, name))
    czrun.end(process).failed(CANCELLED, "Cancelled", "record.json", "The same command again")
    assert czrun.record()["status"] == "cancelled"
    assert czrun.left_behind() == []
