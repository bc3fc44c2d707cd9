"""A million cells: what each metric of an embedding takes, and how near its stated error is.

    uv run python benchmarks/million.py [--cells 1000000] [--check 100000] [--metrics silhouette ...]

Metrics run in a process for each family; reading the cells counts in its memory, not in its time. Beside a
metric's value stands what it says of the first cells, as many as `--check` says: of all of them in full, and
by a sample such as it takes of a million. The difference is the error that sampling makes; the note tells
what error it expects.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "parity"))

from czrun.metrics import Embedded
from czrun.metrics import embedded as limits
from czrun.metrics.batch_effects import pcr_family
from czrun.metrics.conservation import connectivity_family
from czrun.metrics.families import Family, plain_value
from czrun.metrics.mixing import lisi_family, mixing_family
from czrun.metrics.ordering import alignment_family
from czrun.metrics.partitions import partition_family
from czrun.metrics.probes import probe_families
from czrun.metrics.silhouettes import batch_silhouette_family, silhouette_family
from parity_inputs import synthetic

SEED = 42


@dataclass(frozen=True)
class Coded:
    """An embedding, float32 of shape (n, d), and what is known of its cells, shape (n,)."""

    embedding: NDArray[np.float32]
    labels: NDArray[np.int64]
    batches: NDArray[np.int64]
    times: NDArray[np.float64]

    def first(self, n: int) -> Coded:
        """Keep the first cells."""
        return Coded(self.embedding[:n], self.labels[:n], self.batches[:n], self.times[:n])


FAMILIES: dict[str, Callable[[Embedded, Coded], Family]] = {
    "silhouette": lambda e, c: silhouette_family(e, c.labels),
    "batch_silhouette": lambda e, c: batch_silhouette_family(e, c.labels, c.batches),
    "mixing_entropy": lambda e, c: mixing_family(e, c.batches, c.labels),
    "ilisi": lambda e, c: lisi_family(e, c.batches, c.labels),
    "sequential_alignment": lambda e, c: alignment_family(e, c.times),
    "pcr": lambda e, c: pcr_family(e, c.batches),
    "graph_connectivity": lambda e, c: connectivity_family(e, c.labels),
    "ari": lambda e, c: partition_family(c.labels, e.clusters(), e.clusters_note()),
    "probe_accuracy": lambda e, c: probe_families(e, c.labels)[0],
}
"""Families by one of their metrics, whose own time can't be told from that of the others."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--check", type=int, default=100_000)
    parser.add_argument("--metrics", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check <= limits.SAMPLED_CELLS:
        parser.error(f"--check: samples have {limits.SAMPLED_CELLS:,} cells, so name more than that")
    if options.worker:
        work(*options.worker)
        return
    with tempfile.TemporaryDirectory(prefix="czrun-bench-") as folder:
        path = Path(folder) / "cells.npz"
        write(options.cells, path)
        print(
            f"| metrics | s | CPU s | MiB | value, of {options.cells:,} cells | note "
            f"| of {options.check:,}, in full | sampled | difference |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for name in options.metrics:
            whole, full, sampled = (
                run(name, path, how) for how in ("all", f"{options.check}", f"-{options.check}")
            )
            for metric in whole["values"]:
                print(line(metric, whole, full, sampled), flush=True)


def write(n: int, path: Path) -> None:
    """Make cells, labels as codes."""
    made = synthetic(n)
    labels, batches = (np.unique(texts, return_inverse=True)[1] for texts in (made.labels, made.batches))
    np.savez(path, embedding=made.embedding, labels=labels, batches=batches, times=made.times)


def run(name: str, path: Path, how: str) -> dict[str, Any]:
    """Measure one family in a process of its own."""
    command = [sys.executable, __file__, "--worker", name, str(path), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}, {how}: ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def work(name: str, path: str, how: str) -> None:
    """Score all cells, or so many first ones: in full, or with a minus by a sample."""
    with np.load(path, allow_pickle=False) as arrays:
        cells = Coded(**{field: arrays[field] for field in arrays.files})
    if how != "all":
        n = abs(int(how))
        cells = cells.first(n)
        limits.MOST_CELLS_IN_FULL = n if int(how) > 0 else n - 1
    began, cpu = time.perf_counter(), time.process_time()
    family = FAMILIES[name](Embedded(cells.embedding, SEED), cells)
    found = {
        metric: plain_value(family, metric, len(cells.labels), "undefined").value for metric in family.names
    }
    told = {
        "values": found,
        "notes": dict(family.notes),
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(told))


def line(metric: str, whole: dict[str, Any], full: dict[str, Any], sampled: dict[str, Any]) -> str:
    """Return the table's line on one metric."""
    exact, rough = full["values"][metric], sampled["values"][metric]
    cells = [
        f"{metric} | {whole['seconds']:.1f} | {whole['cpu']:.1f} | {whole['peak_mib']:.0f}",
        shown(whole["values"][metric]),
        f"{whole['notes'].get(metric, '')} | {shown(exact)} | {shown(rough)}",
        shown(None if exact is None or rough is None else rough - exact),
    ]
    return "| " + " | ".join(cells) + " |"


def shown(value: float | None) -> str:
    """Show a value, or that there is none."""
    return "–" if value is None else f"{value:.5f}"


def peak_mib() -> float:
    """Return the most memory that this process had."""
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith("VmHWM:"):
            return int(text.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    main()
