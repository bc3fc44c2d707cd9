# ruff: noqa: E501 - engines' messages as they come
from __future__ import annotations

from dataclasses import replace

import pytest

from czrun.contract.job import Limits
from czrun.contract.outcome import ReportedError, ReportedResult, Status
from czrun.engines.base import Exit, StopReason
from czrun.engines.failures import attribute, engine_error, init_fault, is_image_fault, is_unshared

SOURCE = "/home/u/.cache/czrun/work/4f/input"

RUNC = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process"
INIT = f"{RUNC}: error during container init"
PODMAN = "OCI runtime attempted to invoke a command that was not found"

IMAGE_FAULTS = {
    # Captured from Docker 20.10 with runc 1.1.
    "docker 20.10, no such program": f'{RUNC}: exec: "nosuch": executable file not found in $PATH: unknown',
    "docker 20.10, no such path": f'{RUNC}: exec: "/no/such": stat /no/such: no such file or directory: unknown',
    "docker 20.10, not executable": f'{RUNC}: exec: "/etc/passwd": permission denied: unknown',
    "docker 20.10, a folder": f'{RUNC}: exec: "/etc": permission denied: unknown',
    "docker 20.10, no program": "No command specified",
    "docker 20.10, WORKDIR is a file": "Cannot mkdir: /etc/passwd is not a directory",
    "docker 20.10, a file where a folder must be": (
        f'{INIT}: error mounting "/etc" to rootfs at "/etc/passwd": mount /etc:/etc/passwd (via /proc/self/fd/6), '
        "flags: 0x5000: not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)? "
        "Check if the specified host path exists and is the expected type"
    ),
    # As newer ones word it.
    "docker 28, no such path": f'{INIT}: exec: "/no/such": stat /no/such: no such file or directory: unknown',
    "docker 28, not executable": f'{INIT}: exec: "/etc/passwd": permission denied: unknown',
    "docker 28, no program": "no command specified",
    "docker 28, a folder": f'{INIT}: exec: "/etc": is a directory: unknown',
    "older runc, other platform": "standard_init_linux.go:228: exec user process caused: exec format error",
    "WORKDIR closed to the user": (
        f'{INIT}: chdir to cwd ("/root/app") set in config.json failed: permission denied: unknown'
    ),
    "podman with runc, no such program": f'exec: "nosuch": executable file not found in $PATH: {PODMAN}',
    "podman with crun, no such program": (
        f"crun: executable file `nosuch` not found in $PATH: No such file or directory: {PODMAN}"
    ),
    "podman with crun, not executable": "crun: open executable: Permission denied: OCI permission denied",
    "podman with crun, other platform": "crun: exec container process `/model`: Exec format error: OCI runtime error",
    "podman, no program": "no command or entrypoint provided, and no CMD or ENTRYPOINT from image",
}

ENGINE_FAULTS = {
    "no space": "mkdir /var/lib/docker/overlay2/abc-init: no space left on device",
    "missing runtime": "fork/exec /usr/bin/runc: no such file or directory: unknown",
    "no GPU driver": 'could not select device driver "" with capabilities: [[gpu]]',
    "unshared files": f'invalid mount config for type "bind": bind source path does not exist: {SOURCE}',
    "a limit": "error setting rlimit type 7: operation not permitted: unknown",
    "cpus": "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
    "gone": "No such container: czrun-1",
}

UNSHARED = {
    "docker": f'invalid mount config for type "bind": bind source path does not exist: {SOURCE}',
    "docker desktop": f"Mounts denied: \nThe path {SOURCE} is not shared from the host.",
    "podman": f"make cli opts(): statfs {SOURCE}: no such file or directory",
}


@pytest.mark.parametrize("text", IMAGE_FAULTS.values(), ids=IMAGE_FAULTS)
def test_what_is_the_images_fault_is_known_as_such(text: str) -> None:
    assert is_image_fault(text)


@pytest.mark.parametrize("text", ENGINE_FAULTS.values(), ids=ENGINE_FAULTS)
def test_what_is_the_engines_fault_is_not_blamed_on_the_image(text: str) -> None:
    assert not is_image_fault(text)


@pytest.mark.parametrize("text", UNSHARED.values(), ids=UNSHARED)
def test_files_that_the_engine_cannot_see_are_found_out(text: str) -> None:
    assert is_unshared(text, [SOURCE])
    assert not is_unshared(text, ["/elsewhere"])


@pytest.mark.parametrize("text", [*IMAGE_FAULTS.values(), ENGINE_FAULTS["no space"]])
def test_other_faults_dont_look_like_unshared_files(text: str) -> None:
    assert not is_unshared(text, [SOURCE, "/x"])


@pytest.mark.parametrize(
    ("code", "line", "fault"),
    [
        (127, "[FATAL tini (7)] exec /no/such failed: No such file or directory", True),
        (126, "[FATAL tini (7)] exec /etc/passwd failed: Permission denied", True),
        (1, "[FATAL tini (7)] exec /model failed: Exec format error", True),
        (127, "ERROR: catatonit (2): failed to exec pid1: No such file or directory", True),
        (0, "[FATAL tini (7)] exec /no/such failed: No such file or directory", False),
        (70, "[FATAL tini (7)] exec /no/such failed: No such file or directory", False),
        (127, "sh: 1: nosuch: not found", False),
        (127, "", False),
    ],
)
def test_a_program_that_the_init_process_cannot_start(code: int, line: str, fault: bool) -> None:
    assert bool(init_fault(code, line)) is fault


@pytest.mark.parametrize(
    ("changes", "status", "advice"),
    [
        ({"stopped_by": StopReason.DEADLINE}, Status.TIMED_OUT, "--timeout"),
        ({"stopped_by": StopReason.DEADLINE, "exit_code": 0}, Status.TIMED_OUT, "--timeout"),
        ({"stopped_by": StopReason.DEADLINE, "oom_killed": True}, Status.TIMED_OUT, "--timeout"),
        ({"stopped_by": StopReason.OUTPUT_BYTES}, Status.OUTPUT_TOO_LARGE, "/tmp"),
        ({"stopped_by": StopReason.OUTPUT_FILES}, Status.OUTPUT_TOO_LARGE, "/tmp"),
        ({"stopped_by": StopReason.DISK_FULL}, Status.INFRASTRUCTURE_FAILED, "docker system df"),
        ({"oom_killed": True, "exit_code": 137}, Status.OUT_OF_MEMORY, "--memory 2g"),
        ({"oom_killed": True, "exit_code": 0}, Status.OUT_OF_MEMORY, "--memory 2g"),
        ({"oom_killed": True, "exit_code": 64}, Status.OUT_OF_MEMORY, "--memory"),
        ({"exit_code": 64}, Status.UNSUPPORTED, "org.czrun.tasks"),
        ({"exit_code": 65}, Status.MODEL_FAILED, "data set"),
        ({"exit_code": 69}, Status.MODEL_FAILED, "--gpus"),
        ({"exit_code": 70}, Status.MODEL_FAILED, "log"),
        ({"exit_code": 75}, Status.MODEL_FAILED, "try"),
        ({"exit_code": 1}, Status.MODEL_FAILED, "log"),
        ({"exit_code": 137}, Status.MODEL_FAILED, "log"),
        ({"exit_code": 137, "peak_memory_bytes": 1000 * 2**20}, Status.MODEL_FAILED, "--memory"),
        ({"exit_code": 143}, Status.MODEL_FAILED, "log"),
        ({"exit_code": 132}, Status.MODEL_FAILED, "CPU"),
        ({"exit_code": None, "start_error": "exec: exec format error"}, Status.MODEL_FAILED, "--platform"),
        ({"exit_code": None, "start_error": "No command specified"}, Status.MODEL_FAILED, "ENTRYPOINT"),
        ({"exit_code": None, "start_error": "permission denied"}, Status.MODEL_FAILED, "chmod"),
        ({"exit_code": None, "start_error": "no such file"}, Status.MODEL_FAILED, "#! line"),
        ({"exit_code": None}, Status.MODEL_FAILED, "docker run"),
    ],
)
def test_each_end_has_its_status_and_its_advice(
    ended: Exit, limits: Limits, changes: dict[str, object], status: Status, advice: str
) -> None:
    failure = attribute(replace(ended, **changes), limits)  # type: ignore[arg-type]
    assert failure is not None
    assert failure.status is status
    assert advice in failure.hint
    assert failure.transient is (changes.get("exit_code") == 75)


def test_a_clean_end_is_no_failure_whatever_the_model_claims(ended: Exit, limits: Limits) -> None:
    assert attribute(ended, limits) is None
    claim = ReportedResult(status="error", error=ReportedError(message="I failed"))
    assert attribute(ended, limits, claim) is None


def test_a_claimed_success_changes_nothing(ended: Exit, limits: Limits) -> None:
    failure = attribute(replace(ended, exit_code=1), limits, ReportedResult(status="ok"))
    assert failure is not None
    assert failure.status is Status.MODEL_FAILED


def test_what_a_model_says_is_shown_as_harmless_text(ended: Exit, limits: Limits) -> None:
    said = ReportedResult(
        status="error", error=ReportedError(message="\x1b[2Jno\ngenes", hint="use \x1b]0;x\x07symbols")
    )
    failure = attribute(replace(ended, exit_code=65), limits, said)
    assert failure is not None
    assert failure.message == "The model refused its input. It says: no genes"
    assert failure.hint == "Its own advice: use symbols"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("dial unix /var/run/docker.sock: connect: permission denied", "usermod"),
        ("container-init binary not found on the host: stat /usr/libexec/podman/catatonit", "catatonit"),
        ("crun: setrlimit `RLIMIT_NPROC`: Operation not permitted: OCI permission denied", "czrun doctor"),
        (ENGINE_FAULTS["no GPU driver"], "NVIDIA Container Toolkit"),
        (ENGINE_FAULTS["no space"], "docker system prune"),
        (ENGINE_FAULTS["cpus"], "--cpus"),
        ("UnixHTTPConnectionPool: Read timed out. (read timeout=60)", "hangs"),
        ("something else", "czrun doctor"),
        ("", "czrun doctor"),
    ],
)
def test_an_engine_fault_says_what_to_do(text: str, advice: str) -> None:
    error = engine_error("start the container", text)
    assert "could not start the container" in error.message
    assert advice in error.hint
    assert error.exit_code == 5
