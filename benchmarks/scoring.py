"""cz-benchmarks' tasks, scored by czrun and by cz-benchmarks side by side.

    uv run python benchmarks/scoring.py [--peer-python ENV/bin/python] [--cells 5000 20000 100000]
        [--tasks clustering ...] [--repeat 3] [--calls 2] [--output FILE.jsonl]

tests/parity/README.md says how to make cz-benchmarks' environment; CZRUN_CZ_BENCHMARKS_PYTHON names its
interpreter as well. Without it czrun is measured alone.

Both compute the same metrics of the same cells, see tests/parity, each in a process of its own, in turn.
*Cold* is from the start of the process to the first answer, imports and reading the cells included, with CPU
seconds in brackets; *warm* is the second answer of the same process; memory is the peak of the whole process.
Medians are shown. The limit is what czrun's own work can't do without, done warm by the library that does it
best: the matrix product of each pair of cells by BLAS, scikit-learn's forests on all cores, igraph's Leiden
on a graph that is there, one pass over the predictions.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "parity"))

from parity_inputs import perturbed, synthetic

WORKER = Path(__file__).with_name("scoring_worker.py")
PEER_VARIABLE = "CZRUN_CZ_BENCHMARKS_PYTHON"
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
GOALS = "goals: cold at least 5 times faster, warm 3 times, half the memory"


@dataclass(frozen=True)
class Measured:
    """One process: seconds, MiB and the values it found; None of what took too long, or wasn't asked."""

    who: str
    task: str
    cells: int
    cold: float | None
    cold_cpu: float | None
    warm: float | None
    peak_mib: float | None
    values: dict[str, float | None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", default=os.environ.get(PEER_VARIABLE))
    parser.add_argument("--cells", type=int, nargs="+", default=[5_000, 20_000, 100_000])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--repeat", type=int, default=3, help="processes of each kind")
    parser.add_argument("--calls", type=int, default=2, help="answers of a process; 1 leaves warm out")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds a process may take")
    parser.add_argument("--output", type=Path, help="also write every process as a line of JSON")
    options = parser.parse_args()
    pythons = {"ours": sys.executable, "limit": sys.executable}
    if options.peer_python:
        pythons = {"peer": options.peer_python, **pythons}
    else:
        print(f"cz-benchmarks isn't measured: name its interpreter with --peer-python or {PEER_VARIABLE}")
    with tempfile.TemporaryDirectory(prefix="czrun-bench-") as folder:
        first, n = options.tasks[0], min(options.cells)
        for (
            who,
            python,
        ) in pythons.items():  # so that no process has to compile bytecode, or wait for the disk
            measured(python, who, first, n, written(first, n, Path(folder)), options)
        print("\n".join(header()))
        for n in options.cells:
            for task in options.tasks:
                cells = written(task, n, Path(folder))
                found = list(processes(pythons, task, n, cells, options))
                print(row(found), flush=True)
                if options.output:
                    with options.output.open("a", encoding="utf-8") as file:
                        file.writelines(json.dumps(asdict(each)) + "\n" for each in found)
    print(GOALS)


def written(task: str, n: int, folder: Path) -> Path:
    """Write a task's cells, unless they are there."""
    kind = "perturbed" if task == "perturbation" else "cells"
    path = folder / f"{kind}-{n}.npz"
    if not path.exists():
        made = perturbed(n, N_GENES, N_CONDITIONS) if kind == "perturbed" else synthetic(n)
        np.savez(path, **{name: getattr(made, name) for name in type(made).__dataclass_fields__})
    return path


def processes(
    pythons: dict[str, str], task: str, n: int, cells: Path, options: argparse.Namespace
) -> Iterator[Measured]:
    """Run each kind of process in turn, as often as asked for."""
    for _ in range(options.repeat):
        for who, python in pythons.items():
            yield measured(python, who, task, n, cells, options)


def measured(python: str, who: str, task: str, n: int, cells: Path, options: argparse.Namespace) -> Measured:
    """Run one process; its failure ends the benchmark."""
    began, calls = time.time(), max(options.calls, 2) if who == "limit" else options.calls
    command = [python, "-W", "ignore", str(WORKER), who, task, str(cells), repr(began), str(calls)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return Measured(who, task, n, None, None, None, None, {})
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return Measured(who, task, n, **told)


def header() -> list[str]:
    """Return the head of the table."""
    return [
        "| task | cells | cz-benchmarks cold (cpu) / warm, s | MiB | czrun cold (cpu) / warm, s | MiB "
        "| faster cold / warm | memory | limit, s | warm to limit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]


def row(found: Sequence[Measured]) -> str:
    """Return the table's line on one task."""
    by = {who: [each for each in found if each.who == who] for who in ("peer", "ours", "limit")}
    ours, limit = Medians.of(by["ours"]), Medians.of(by["limit"])
    cells = [ours_or(by["peer"]), f"{ours.times} | {ours.peak_mib:.0f}"]
    if by["peer"]:
        peer = Medians.of(by["peer"])
        cells.append(f"{peer.cold / ours.cold:.1f} / {peer.warm / ours.warm:.1f}")
        cells.append(f"{ours.peak_mib / peer.peak_mib:.2f}")
    else:
        cells += ["–", "–"]
    cells += [f"{limit.warm:.3g}", f"{ours.warm / limit.warm:.1f}"]
    return f"| {found[0].task} | {found[0].cells:,} | " + " | ".join(cells) + " |"


def ours_or(peer: Sequence[Measured]) -> str:
    """Show the peer's two columns, dashes where it wasn't run."""
    if not peer:
        return "– | –"
    medians = Medians.of(peer)
    return f"{medians.times} | {medians.peak_mib:.0f}"


@dataclass(frozen=True)
class Medians:
    """Over processes of one kind."""

    cold: float
    cold_cpu: float
    warm: float
    peak_mib: float

    @classmethod
    def of(cls, found: Sequence[Measured]) -> Medians:
        """Take the median of each number."""
        names = ("cold", "cold_cpu", "warm", "peak_mib")
        columns = ([getattr(each, name) for each in found] for name in names)
        return cls(*(math.nan if None in column else statistics.median(column) for column in columns))

    @property
    def times(self) -> str:
        """Cold, with CPU seconds, and warm."""
        return f"{self.cold:.3g} ({self.cold_cpu:.3g}) / {self.warm:.3g}"


if __name__ == "__main__":
    main()
