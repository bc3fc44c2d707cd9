"""Whose fault it was: pure functions from what the engine and the container said to what a user is told."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass

from czrun.contract.job import Limits
from czrun.contract.outcome import ExitCode, ReportedResult, Status
from czrun.engines.base import Exit, StopReason
from czrun.engines.logs import clip, plain
from czrun.errors import EngineError

MIB = 1024**2


@dataclass(frozen=True)
class Failure:
    """Why a container's work doesn't count.

    Attributes
    ----------
    status
        For the record.
    message, hint
        For the user: what happened, and what to do.
    transient
        Whether one more try is worth it.
    """

    status: Status
    message: str
    hint: str
    transient: bool = False


def attribute(exit_: Exit, limits: Limits, reported: ReportedResult | None = None) -> Failure | None:
    """Decide what the end of a container means.

    The exit code alone never decides about time-outs, memory or kills: a model can return any number.

    Parameters
    ----------
    exit_
        How it ended.
    limits
        What it was held to.
    reported
        The model's own ``result.json``, shown but not believed.

    Returns
    -------
    Failure or None
        None when it ended well; its outputs are still to be checked.
    """
    if exit_.stopped_by is not None:
        return _stopped(exit_.stopped_by, limits)
    if exit_.oom_killed:
        return _out_of_memory(exit_, limits)
    if exit_.start_error or exit_.exit_code is None:
        return Failure(
            Status.MODEL_FAILED,
            f"The container could not start: {clip(plain(exit_.start_error).strip()) or 'no reason given'}",
            _start_hint(exit_.start_error),
        )
    if exit_.exit_code == ExitCode.OK:
        return None
    return _exited(exit_.exit_code, exit_, limits, reported)


def _stopped(reason: StopReason, limits: Limits) -> Failure:
    match reason:
        case StopReason.DEADLINE:
            return Failure(
                Status.TIMED_OUT,
                f"The model ran longer than its {limits.wall_s:g} s.",
                "Raise the deadline with --timeout, or look in the log for where it spent its time.",
            )
        case StopReason.OUTPUT_BYTES:
            return Failure(
                Status.OUTPUT_TOO_LARGE,
                f"The model wrote more than {_mib(limits.output_bytes)} into its output and model folders.",
                "Keep scratch files in /tmp, and write only what the job asks for.",
            )
        case StopReason.OUTPUT_FILES:
            return Failure(
                Status.OUTPUT_TOO_LARGE,
                f"The model made more than {limits.output_files} files in its output and model folders.",
                "Keep scratch files in /tmp, and write only what the job asks for.",
            )
        case StopReason.DISK_FULL:
            return Failure(
                Status.INFRASTRUCTURE_FAILED,
                "The disk that holds the run is nearly full, so the run was stopped.",
                "Make room (`docker system df` shows what images and containers hold), and run again.",
            )


def _out_of_memory(exit_: Exit, limits: Limits) -> Failure:
    who = "a process of the model" if exit_.exit_code == 0 else "the model"
    return Failure(
        Status.OUT_OF_MEMORY,
        f"The kernel killed {who}: it needed more than its {_mib(limits.memory_bytes)} of memory.",
        f"Raise it, for example --memory {_larger(limits.memory_bytes)}; /tmp and /dev/shm count as well.",
    )


_MEANINGS = {
    ExitCode.UNSUPPORTED: (
        Status.UNSUPPORTED,
        "The model doesn't support this task or verb.",
        "If it should: mend its exit code; if not: take the task out of its org.czrun.tasks label.",
    ),
    ExitCode.BAD_INPUT: (
        Status.MODEL_FAILED,
        "The model refused its input.",
        "`czrun datasets show` tells what the data set holds; the log may say what the model misses.",
    ),
    ExitCode.RESOURCE_MISSING: (
        Status.MODEL_FAILED,
        "The model misses something that it needs, such as a GPU.",
        "Grant a GPU with --gpus 1, or use an image that runs without.",
    ),
    ExitCode.TRANSIENT: (
        Status.MODEL_FAILED,
        "The model reports a failure that may pass.",
        "It was worth one more try; if it stays, the log says more.",
    ),
}


def _exited(code: int, exit_: Exit, limits: Limits, reported: ReportedResult | None) -> Failure:
    meaning = _MEANINGS.get(ExitCode(code)) if code in set(ExitCode) else None
    status, message, hint = meaning or (
        Status.MODEL_FAILED,
        _unnamed(code),
        _unnamed_hint(code, exit_, limits),
    )
    if reported and reported.error:
        said = clip(plain(reported.error.message).replace("\n", " ").strip(), 300)
        advice = clip(plain(reported.error.hint).replace("\n", " ").strip(), 300)
        message += f" It says: {said}" if said else ""
        hint = f"Its own advice: {advice}" if advice else hint
    return Failure(status, message, hint, transient=code == ExitCode.TRANSIENT)


def _unnamed(code: int) -> str:
    if name := _signal_name(code):
        return f"The model was ended by {name} (exit code {code}), which czrun didn't send."
    return f"The model failed with exit code {code}."


def _unnamed_hint(code: int, exit_: Exit, limits: Limits) -> str:
    near_limit = exit_.peak_memory_bytes is not None and exit_.peak_memory_bytes > 0.9 * limits.memory_bytes
    if _signal_name(code) == "SIGKILL" and near_limit:
        return (
            f"It used {_mib(exit_.peak_memory_bytes or 0)} of its {_mib(limits.memory_bytes)} of memory: try "
            f"--memory {_larger(limits.memory_bytes)}."
        )
    if _signal_name(code) == "SIGILL":
        return "Its binaries may need a newer CPU than this one; build them for a plainer target."
    return "The last lines of its log say more."


def _signal_name(code: int) -> str:
    try:
        return signal.Signals(code - 128).name if code > 128 else ""
    except ValueError:
        return ""


_START_HINTS = (
    (
        r"exec format error",
        "The image, or the script that it starts, is for another platform or lacks its #! line: "
        "build it with `docker build --platform` of the engine's platform.",
    ),
    (
        r"no command specified|no command or entrypoint|neither entrypoint nor cmd",
        'Give the Dockerfile an ENTRYPOINT, for example ENTRYPOINT ["python", "/app/model.py"].',
    ),
    (
        r"permission denied",
        "The container runs as an ordinary user: the ENTRYPOINT must be executable for everybody "
        "(chmod a+rx), and its folders as well.",
    ),
    (
        r"not found|no such file",
        "The ENTRYPOINT names a program that isn't in the image, or a script whose #! line does.",
    ),
)


def _start_hint(text: str) -> str:
    for pattern, hint in _START_HINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return hint
    return "Try the image by hand: docker run --rm IMAGE predict"


# What engines say at create or start when the image can't be started as it is; the tests hold the texts of
# Docker 20.10, captured, and the wordings of Docker 28 and Podman.
_IMAGE_FAULTS = re.compile(
    r"exec format error"
    r"|executable file\b.*not found"
    r"|no command specified"
    r"|no command or entrypoint provided"
    r"|exec: \"[^\"]*\": (?:stat .*no such file or directory|permission denied|is a directory)"
    r"|exec (?:user|container) process\b.*: (?:no such file or directory|permission denied)"
    r"|open executable\b.*: permission denied"
    r"|chdir to cwd .* failed"
    r"|cannot mkdir: .* is not a directory"
    r"|mount a directory onto a file",
    re.IGNORECASE | re.DOTALL,
)

_NOT_SHARED = re.compile(
    r"bind source path does not exist|mounts denied|not shared from|statfs .*no such file or directory"
    r"|error while creating mount source path|statfs .*permission denied",
    re.IGNORECASE | re.DOTALL,
)

# The init process starts the image's program, so that a program that can't be started is its failure, with an
# exit code and a line of output, and not the engine's.
_INIT_FAULTS = re.compile(
    r"^\[FATAL tini \(\d+\)\] exec (?P<tini>.+ failed: .+)$"
    r"|^(?:ERROR: )?catatonit.*: (?P<catatonit>failed to exec .+)$"
)


def is_image_fault(text: str) -> bool:
    """Say whether the engine refused to create or start a container for a reason in the image."""
    return bool(_IMAGE_FAULTS.search(text))


def is_unshared(text: str, sources: Iterable[str]) -> bool:
    """Say whether the engine refused because it can't see the caller's files.

    Parameters
    ----------
    text
        The engine's message.
    sources
        The bind mounts' sources: one of them must be named, for an image can bring about similar words.
    """
    return bool(_NOT_SHARED.search(text)) and any(source in text for source in sources)


def init_fault(exit_code: int, last_line: str) -> str:
    """Return why the init process could not start the image's program, or an empty text."""
    match = _INIT_FAULTS.match(last_line)
    if match is None or exit_code not in {1, 126, 127}:
        return ""
    return str(match["tini"] or match["catatonit"])


_ENGINE_HINTS = (
    (
        r"\.sock.*permission denied|permission denied.*(\.sock|socket)|'Permission denied'\)",
        "Join the group that may use the engine: `sudo usermod -aG docker $USER`, then log in again.",
    ),
    (
        r"could not select device driver|nvidia",
        "Install the NVIDIA Container Toolkit on the engine's machine, or leave --gpus out.",
    ),
    (
        r"container-init binary not found",
        "Podman's init is missing on the engine's machine: `sudo apt-get install catatonit`.",
    ),
    (r"no space left", "Make room on the engine's disk: `docker system prune` removes what is unused."),
    (r"range of cpus", "Ask for fewer CPUs: --cpus."),
    (r"timed out|timeout", "The engine hangs: restart it, then run `czrun doctor`."),
)


def engine_error(action: str, text: str) -> EngineError:
    """Say that the engine failed while it was asked to do something.

    Parameters
    ----------
    action
        What was asked for, for example ``"start the container"``.
    text
        What came back: the engine's message, or the transport's.
    """
    said = clip(" ".join(plain(text).split()), 600) or "no message"
    for pattern, hint in _ENGINE_HINTS:
        if re.search(pattern, said, re.IGNORECASE):
            return EngineError(f"The engine could not {action}: {said}", hint)
    return EngineError(f"The engine could not {action}: {said}", "Run `czrun doctor` to see what it can do.")


def _mib(count: int) -> str:
    return f"{count / MIB:.0f} MiB" if count < 1024 * MIB else f"{count / 1024 / MIB:.1f} GiB"


def _larger(memory_bytes: int) -> str:
    return f"{max(1, -(-2 * memory_bytes // (1024 * MIB)))}g"
