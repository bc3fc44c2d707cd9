"""Reading outputs in a process of its own: bounded memory and time, no privileges, no sight of the truth.

The parent starts the reader while the predict container still runs, so that its start-up costs nothing, and
hands it two descriptors: the output folder and the cells' ids. The reader gives up root before it opens
anything that a container wrote.
"""

from __future__ import annotations

# The reader gives up the right to read the interpreter's own files: what NumPy and the codecs would import
# when they first meet an odd file is imported here, while it still can be.
import ast  # noqa: F401
import contextlib
import encodings.utf_8_sig  # noqa: F401
import json
import os
import resource
import subprocess
import sys
import tokenize  # noqa: F401
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from czrun.errors import EngineError
from czrun.outputs import Findings, LabelAnswer, read_labels

_SECONDS = 300
_BASE_MEMORY_BYTES = 2 * 1024**3
_BYTES_PER_VALUE = 64
_MAX_PROBLEMS = 200
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Collected:
    """What the reader found in one view.

    Attributes
    ----------
    answer
        The checked arrays, or None.
    problems
        Why not; each names the file, and the row and column where there is one.
    is_hostile
        Whether a file was one that no honest model writes (a link, a FIFO, pickled objects).
    """

    answer: LabelAnswer | None
    problems: tuple[str, ...] = ()
    is_hostile: bool = False


class OutputReader:
    """The reading process, for all views of one predict container.

    Parameters
    ----------
    output
        The folder that was mounted as /czrun/output.
    ids
        A .npy file with the ids of the test cells, in input order.
    user
        uid to become before reading, when the parent is root.
    """

    def __init__(self, output: Path, ids: Path, user: int | None) -> None:
        self._folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._ids = os.open(ids, os.O_RDONLY | os.O_CLOEXEC)
        arguments = [str(self._folder), str(self._ids), str(-1 if user is None else user)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
            [sys.executable, "-m", "czrun.collect", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(self._folder, self._ids),
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env={
                "OPENBLAS_NUM_THREADS": "1",
                "PATH": os.defpath,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            },
        )

    def read(self, view: str, n_obs: int, classes: tuple[str, ...]) -> Collected:
        """Have one view read; raises EngineError when the reader itself breaks or takes too long."""
        memory = _BASE_MEMORY_BYTES + _BYTES_PER_VALUE * n_obs * (len(classes) + 4)
        request = json.dumps({"view": view, "n_obs": n_obs, "classes": classes, "memory": memory})
        try:
            reply, complaint = self._process.communicate(request.encode(), timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return Collected(None, (f"the outputs couldn't be read within {_SECONDS} s",))
        if b"MemoryError" in complaint:
            return Collected(None, (f"the outputs couldn't be read within {memory >> 20:,} MiB",))
        if self._process.returncode != 0:
            raise EngineError(
                f"The process that reads outputs ended with {self._process.returncode}: "
                f"{complaint[-500:].decode(errors='replace')!r}.",
                "Run again with --debug, and report it if it happens again.",
            )
        return _parse_reply(BytesIO(reply), n_obs, len(classes))

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, whether it was asked or not."""
        os.close(self._folder)
        os.close(self._ids)
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                # A reader that was never asked still has its request's pipe open.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


def _parse_reply(reply: BinaryIO, n_obs: int, n_classes: int) -> Collected:
    header = json.loads(reply.readline(_HEADER_BYTES))
    if header["problems"]:
        return Collected(None, tuple(header["problems"]), bool(header["is_hostile"]))
    codes = np.frombuffer(reply.read(4 * n_obs), dtype=np.int32)
    proba = None
    if header["has_proba"]:
        proba = np.frombuffer(reply.read(4 * n_obs * n_classes), dtype=np.float32).reshape(n_obs, n_classes)
    return Collected(LabelAnswer(codes, proba))


def _main(folder: int, ids: int, user: int) -> None:
    """Wait for one request, give up what isn't needed, read, reply."""
    request = json.loads(sys.stdin.buffer.read())
    _confine(int(request["memory"]), user)
    with os.fdopen(ids, "rb") as file:
        cell_ids = np.load(file, allow_pickle=False).astype(str).tolist()
    findings = Findings()
    answer = read_labels(folder, request["view"], cell_ids, request["classes"], findings)
    shown = [problem[:500] for problem in findings.problems[:_MAX_PROBLEMS]]
    if more := len(findings.problems) - len(shown):
        shown.append(f"and {more:,} more problems")
    header = {
        "problems": shown,
        "is_hostile": findings.is_hostile,
        "has_proba": answer is not None and answer.proba is not None,
    }
    out = sys.stdout.buffer
    out.write(json.dumps(header).encode() + b"\n")
    if answer is not None:
        out.write(answer.codes.tobytes())
        if answer.proba is not None:
            out.write(answer.proba.tobytes())
    out.flush()
    os._exit(0)  # the parent waits for the end, and taking the interpreter apart takes 50 ms


def _confine(memory: int, user: int) -> None:
    if user >= 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    # macOS refuses an address-space limit; there the time-out and the size checks remain.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


if __name__ == "__main__":
    _main(*(int(argument) for argument in sys.argv[1:]))
