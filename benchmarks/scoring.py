"""Scoring side by side with cz-benchmarks, the same work on the same machine in the same run.

    uv run python benchmarks/scoring.py --peer-python PATH [--cells 5000 20000] [--task TASK] [--json FILE]

PATH is the interpreter of an environment with cz-benchmarks 0.15.0 (tests/parity/README.md says how to make
it; the variable CZRUN_CZ_BENCHMARKS_PYTHON does as well). Every task runs in a process of its own, theirs and
ours in turn: *cold* is the whole process, imports and reading the input included; *warm* is the second call
in it. Beside them stands the limit: what the one step costs that neither can do without, done by the library
that does it best.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

PARITY = Path(__file__).resolve().parents[1] / "tests" / "parity"
sys.path.insert(0, str(PARITY))

TASKS = (
    "clustering",
    "embedding",
    "batch_integration",
    "label_prediction",
    "sequential_organization",
    "cross_species_integration",
    "cross_species_label_prediction",
    "perturbation",
)
N_GENES, N_CONDITIONS = 2000, 20


@dataclass(frozen=True)
class Run:
    """One process: seconds of its calls, and of the whole of it; CPU seconds; peak memory."""

    calls: tuple[float, ...]
    process_s: float
    cpu_s: float
    peak_mib: float

    @property
    def warm(self) -> float:
        """Seconds of the second call."""
        return self.calls[-1]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer-python", default=os.environ.get("CZRUN_CZ_BENCHMARKS_PYTHON"))
    parser.add_argument("--cells", type=int, nargs="+", default=[5000, 20000])
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--calls", type=int, default=2, help="calls in each process; 1 leaves warm out")
    parser.add_argument("--json", type=Path, help="also append one line a row to this file")
    parser.add_argument("--one", nargs=3, metavar=("WHO", "TASK", "INPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        _be_measured(*options.one, options.calls)
        return
    print(
        "| task | cells | cz-benchmarks cold / warm, MiB | czrun cold / warm, MiB "
        "| ratio cold / warm, memory | limit | warm / limit |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="czrun-scoring-") as folder:
        for n in options.cells:
            for task in options.task or TASKS:
                path = _write_input(task, n, Path(folder))
                peer = _measure(options.peer_python, "peer", task, path, options.calls)
                ours = _measure(sys.executable, "ours", task, path, options.calls)
                limit = _measure(sys.executable, "limit", task, path, 1)
                print(_row(task, n, peer, ours, limit), flush=True)
                if options.json:
                    line = {"task": task, "cells": n, "peer": peer and asdict(peer)}
                    line |= {"ours": ours and asdict(ours), "limit": limit and asdict(limit)}
                    with options.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")


def _row(task: str, n: int, peer: Run | None, ours: Run | None, limit: Run | None) -> str:
    if not ours or not limit:
        return f"| {task} | {n:,} | | failed | | | |"
    mine = f"{ours.process_s:.1f} s / {ours.warm:.2f} s, {ours.peak_mib:.0f}"
    theirs = ratio = "–"
    if peer:
        theirs = f"{peer.process_s:.1f} s / {peer.warm:.2f} s, {peer.peak_mib:.0f}"
        ratio = (
            f"{peer.process_s / ours.process_s:.1f} / {peer.warm / ours.warm:.1f}, "
            f"{ours.peak_mib / peer.peak_mib:.2f}"
        )
    share = f"{ours.warm / limit.warm:.2f}"
    return f"| {task} | {n:,} | {theirs} | {mine} | {ratio} | {limit.warm:.2f} s | {share} |"


def _measure(python: str | None, who: str, task: str, path: Path, calls: int) -> Run | None:
    """Run one process; None where there is none to run, or it fails."""
    if not python:
        return None
    command = [python, "-W", "ignore", __file__, "--one", who, task, str(path), "--calls", str(calls)]
    started, (reading, writing) = time.perf_counter(), os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)]
    child = os.posix_spawn(python, command, os.environ, file_actions=actions)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as file:
        lines = file.read().splitlines()
    _, status, usage = os.wait4(child, 0)
    if status or not lines:
        print(f"{who} {task} failed with status {status}", file=sys.stderr)
        return None
    scale = 1024 if sys.platform == "linux" else 1024**2
    return Run(
        calls=tuple(json.loads(lines[-1])),
        process_s=time.perf_counter() - started,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / scale,
    )


def _write_input(task: str, n: int, folder: Path) -> Path:
    import numpy as np

    from parity_inputs import perturbed, synthetic

    path = folder / f"{'perturbed' if task == 'perturbation' else 'cells'}-{n}.npz"
    if not path.exists():
        inputs = perturbed(n, N_GENES, N_CONDITIONS) if task == "perturbation" else synthetic(n)
        np.savez(path, **{field.name: getattr(inputs, field.name) for field in fields(inputs)})
    return path


def _be_measured(who: str, task: str, path: str, calls: int) -> None:
    inputs = _read_input(task, path)
    work = {"peer": _peer, "ours": _ours, "limit": _limit}[who](task, inputs)
    seconds = []
    for _ in range(calls):
        started = time.perf_counter()
        work()
        seconds.append(round(time.perf_counter() - started, 4))
    print(json.dumps(seconds))


def _read_input(task: str, path: str) -> Any:  # noqa: ANN401 - cells, or perturbed ones
    import numpy as np

    from parity_inputs import Cells, Perturbed

    with np.load(path, allow_pickle=False) as arrays:
        kind = Perturbed if task == "perturbation" else Cells
        return kind(**{name: arrays[name] for name in arrays.files})


def _peer(task: str, inputs: Any) -> Callable[[], object]:  # noqa: ANN401
    import peer_tasks

    return peer_tasks.TASKS[task](inputs).run


def _ours(task: str, inputs: Any) -> Callable[[], object]:  # noqa: ANN401
    import our_tasks

    return lambda: our_tasks.TASKS[task](inputs)


def _limit(task: str, inputs: Any) -> Callable[[], object]:  # noqa: ANN401
    """Return the step that can't be done without."""
    if task == "perturbation":
        return lambda: inputs.predicted.sum(dtype="float64")
    if "prediction" in task:
        return lambda: _grow_forests(inputs, n_forests=5 if task == "label_prediction" else 12)
    return lambda: _multiply(inputs.embedding, half=task == "embedding")


def _multiply(embedding: Any, *, half: bool) -> None:  # noqa: ANN401
    """Form the product behind all distances, tile by tile; of half of them where pairs are symmetric."""
    step = 4096
    for start in range(0, len(embedding), step):
        block = embedding[start : start + step]
        for other in range(start if half else 0, len(embedding), step):
            block @ embedding[other : other + step].T


def _grow_forests(cells: Any, n_forests: int) -> None:  # noqa: ANN401
    """Let scikit-learn grow as many forests as the task has, on all cores."""
    import numpy as np
    from sklearn.ensemble import RandomForestClassifier

    n = len(cells.embedding)
    size = 4 * n // 5 if n_forests == 5 else n // 2
    for seed in range(n_forests):
        rows = np.random.default_rng(seed).permutation(n)
        forest = RandomForestClassifier(random_state=seed, n_jobs=-1)
        forest.fit(cells.embedding[rows[:size]], cells.labels[rows[:size]])
        forest.predict_proba(cells.embedding[rows[size:]])


if __name__ == "__main__":
    main()
