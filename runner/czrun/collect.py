"""Reading outputs in a process of its own: bounded memory and time, no privileges, no sight of the truth.

The parent starts the reader while the predict container still runs, so that its start-up costs nothing, and
hands it descriptors: the output folder and the ids of each view's cells. The reader gives up root before it
opens anything that a container wrote.
"""

from __future__ import annotations

# The reader gives up the right to read the interpreter's own files: what NumPy and the codecs would import
# when they first meet an odd file is imported here, while it still can be.
import ast  # noqa: F401
import contextlib
import encodings.utf_8_sig  # noqa: F401
import json
import math
import os
import resource
import subprocess
import sys
import tokenize  # noqa: F401
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from czrun.errors import EngineError
from czrun.outputs import Answer, Findings, WantedFile, WantedView, read_view
from czrun.tasks.base import Content

_SECONDS = 300
_BASE_MEMORY_BYTES = 2 * 1024**3
_BYTES_PER_VALUE = 64
_MAX_PROBLEMS = 200
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Collected:
    """What the reader found.

    Attributes
    ----------
    answers
        The checked arrays by view and key; None when there are problems.
    problems
        Why not; each names the file, and the row and column where there is one.
    is_hostile
        Whether a file was one that no honest model writes (a link, a FIFO, pickled objects).
    """

    answers: Mapping[str, Answer] | None
    problems: tuple[str, ...] = field(default=())
    is_hostile: bool = False


class OutputReader:
    """The reading process, for all views of one predict container.

    Parameters
    ----------
    output
        The folder that was mounted as /czrun/output.
    ids
        For each view, a .npy file with the ids of its cells, in input order.
    user
        uid to become before reading, when the parent is root.
    """

    def __init__(self, output: Path, ids: Mapping[str, Path], user: int | None) -> None:
        self._folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._ids = {view: os.open(path, os.O_RDONLY | os.O_CLOEXEC) for view, path in ids.items()}
        arguments = [str(self._folder), str(-1 if user is None else user)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
            [sys.executable, "-m", "czrun.collect", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(self._folder, *self._ids.values()),
            start_new_session=True,  # Ctrl-C is the parent's to handle
            env={
                "OPENBLAS_NUM_THREADS": "1",
                "PATH": os.defpath,
                "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            },
        )

    def read(self, wanted: Sequence[WantedView], n_obs: int, most_bytes: int) -> Collected:
        """Have all views read.

        Parameters
        ----------
        wanted
            The views, each one of those whose ids were given.
        n_obs
            Cells in all views together.
        most_bytes
            What the container may have left; with `n_obs` it bounds the reader's memory.

        Raises
        ------
        EngineError
            When the reader itself breaks.
        """
        columns = sum(len(view.classes) + 4 for view in wanted)
        memory = _BASE_MEMORY_BYTES + _BYTES_PER_VALUE * n_obs * columns + 4 * most_bytes
        views = [{**asdict(view), "ids": self._ids[view.view]} for view in wanted]
        request = json.dumps({"views": views, "memory": memory})
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
        return _parse_reply(BytesIO(reply))

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, whether it was asked or not."""
        for descriptor in (self._folder, *self._ids.values()):
            os.close(descriptor)
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                # A reader that was never asked still has its request's pipe open.
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()


def _parse_reply(reply: BinaryIO) -> Collected:
    header = json.loads(reply.readline(_HEADER_BYTES))
    if header["problems"]:
        return Collected(None, tuple(header["problems"]), bool(header["is_hostile"]))
    answers: dict[str, Answer] = {view: {} for view in header["views"]}
    for entry in header["arrays"]:
        shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
        content = reply.read(math.prod(shape) * dtype.itemsize)
        answers[entry["view"]][entry["key"]] = np.frombuffer(content, dtype=dtype).reshape(shape)
    return Collected(answers)


def _main(folder: int, user: int) -> None:
    """Wait for one request, give up what isn't needed, read, reply."""
    request = json.loads(sys.stdin.buffer.read())
    _confine(int(request["memory"]), user)
    findings = Findings()
    answers: dict[str, Answer] = {}
    several = len(request["views"]) > 1
    for each in request["views"]:
        wanted, cell_ids, own = _wanted(each), _read_ids(each["ids"]), Findings()
        answer = read_view(folder, wanted, cell_ids, own)
        if answer is not None:
            answers[wanted.view] = answer
        findings.problems += [f"{wanted.view}: {each}" if several else each for each in own.problems]
        findings.is_hostile |= own.is_hostile
    _reply(answers, findings)
    os._exit(0)  # the parent waits for the end, and taking the interpreter apart takes 50 ms


def _wanted(raw: dict[str, Any]) -> WantedView:
    files = tuple(
        WantedFile(file["name"], Content(file["content"]), bool(file["required"]), tuple(file["shape"]))
        for file in raw["files"]
    )
    return WantedView(raw["view"], tuple(raw["classes"]), files, tuple(raw["one_of"]))


def _read_ids(descriptor: int) -> list[str]:
    with os.fdopen(descriptor, "rb") as file:
        ids: list[str] = np.load(file, allow_pickle=False).astype(str).tolist()
    return ids


def _reply(answers: Mapping[str, Answer], findings: Findings) -> None:
    shown = [problem[:500] for problem in findings.problems[:_MAX_PROBLEMS]]
    if more := len(findings.problems) - len(shown):
        shown.append(f"and {more:,} more problems")
    arrays = (
        [] if shown else [(v, key, array) for v, answer in answers.items() for key, array in answer.items()]
    )
    header = {
        "problems": shown,
        "is_hostile": findings.is_hostile,
        "views": list(answers),
        "arrays": [
            {"view": view, "key": key, "shape": array.shape, "dtype": array.dtype.str}
            for view, key, array in arrays
        ],
    }
    out = sys.stdout.buffer
    out.write(json.dumps(header).encode() + b"\n")
    for _, _, array in arrays:
        out.write(np.ascontiguousarray(array).data)
    out.flush()


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
