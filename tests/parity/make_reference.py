"""Write reference.json: what cz-benchmarks 0.15.0 says of the inputs that test_parity.py scores as well.

Runs in an environment of its own, which takes 1.6 GB:

    uv venv /tmp/cz-benchmarks --python 3.11
    uv pip install --python /tmp/cz-benchmarks "cz-benchmarks==0.15.0" "pynndescent<0.6"
    /tmp/cz-benchmarks/bin/python tests/parity/make_reference.py

Without the bound on pynndescent, scanpy 1.11 fails to find neighbours of more than 8,192 cells.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

import parity_faults as faults
from parity_inputs import INPUTS, Cells, Perturbed, digest
from peer_tasks import TASKS, Values, transfer_of

REFERENCE = Path(__file__).with_name("reference.json")
PACKAGES = (
    "cz-benchmarks",
    "scib-metrics",
    "scanpy",
    "scikit-learn",
    "igraph",
    "hnswlib",
    "pynndescent",
    "umap-learn",
    "numpy",
    "scipy",
)

FAST_TASKS = (
    "clustering",
    "embedding",
    "batch_integration",
    "sequential_organization",
    "cross_species_integration",
)
WANTED = {
    "pbmc": (*FAST_TASKS, "label_prediction"),
    "synthetic_5000": FAST_TASKS,
    # The forests of these take longest.
    "synthetic_2000": (
        "clustering",
        "label_prediction",
        "disease_prediction",
        "cross_species_label_prediction",
        "cross_species_disease_prediction",
    ),
    "perturbed": ("perturbation", "perturbation_difference"),
}
N_RUNS = 20
"""Of the tasks whose answer isn't one number: see `answers`."""


@dataclass(frozen=True)
class Reference:
    """One value, and those of all runs where there were several."""

    input: str
    task: str
    metric: str
    value: float
    runs: tuple[float, ...] = ()


def main() -> None:
    """Run all tasks, the broken inputs too, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, default=REFERENCE)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    found = {
        "made_with": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "inputs": {name: digest(make()) for name, make in INPUTS.items()},
        "values": [
            asdict(each) for name, tasks in WANTED.items() for task in tasks for each in values(name, task)
        ],
        "faults": {name: outcome(call) for name, call in FAULTS.items()},
    }
    options.output.write_text(json.dumps(found, indent=1) + "\n")


def values(name: str, task: str) -> list[Reference]:
    """Run a task on an input."""
    sys.stderr.write(f"{name} {task}\n")
    runs = list(answers(task, INPUTS[name]()))
    found = {metric: tuple(run[metric] for run in runs) for metric in runs[0]}
    if len(runs) == 1:
        return [Reference(name, task, metric, each[0]) for metric, each in found.items()]
    return [Reference(name, task, metric, fmean(each), each) for metric, each in found.items()]


def answers(task: str, inputs: Any) -> Iterator[Values]:
    """Run a task: once, but for the one that draws without a seed, and the one that hangs on rounding."""
    if task == "sequential_organization":
        ready = TASKS[task](inputs)
        yield from (ready.run() for _ in range(N_RUNS))
    elif task == "clustering":
        yield TASKS[task](inputs).run()
        yield from (TASKS[task](jittered(inputs, seed)).run() for seed in range(N_RUNS - 1))
    else:
        yield TASKS[task](inputs).run()


def jittered(cells: Cells, seed: int) -> Cells:
    """Move every number of an embedding to the next one that single precision has, up or down."""
    goal = np.random.RandomState(seed).choice([-np.inf, np.inf], size=cells.embedding.shape)
    return replace(cells, embedding=np.nextafter(cells.embedding, goal.astype(np.float32)))


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call answers, or the name and the first line of what it raises."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - whatever it raises is the finding
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def alignment(cells: Cells) -> float:
    """Score the alignment alone: the task's silhouette takes no single time."""
    from czbenchmarks.metrics.utils import sequential_alignment

    np.random.seed(0)  # noqa: NPY002 - what it draws from
    return float(sequential_alignment(cells.embedding, cells.times, k=15))


def run(task: str, inputs: Cells | Perturbed) -> Values:
    """Run a task once."""
    return TASKS[task](inputs).run()


def lengths_that_cancel(cells: Cells) -> Any:
    """Move one label from the first organism's cells to the second's, and integrate them."""
    ready = TASKS["cross_species_integration"](cells)

    def wrong() -> Any:
        made = ready.make_input()
        made.labels = [made.labels[0][:-1], np.append(made.labels[1], "type_00")]
        return made

    return replace(ready, make_input=wrong).run()


FAULTS: dict[str, Callable[[], Any]] = {
    "constant embedding": lambda: run("batch_integration", faults.constant()),
    "constant embedding, silhouette": lambda: run("embedding", faults.constant()),
    "all NaN": lambda: run("batch_integration", faults.all_nan()),
    "sound embedding": lambda: run("embedding", faults.sound()),
    "one NaN cell": lambda: run("embedding", faults.one_nan_cell()),
    "shuffled rows": lambda: run("embedding", faults.shuffled_rows()),
    "lengths that cancel": lambda: lengths_that_cancel(faults.sound()),
    "sound times": lambda: alignment(faults.sound()),
    "equal times": lambda: alignment(faults.equal_times()),
    "one NaN time": lambda: alignment(faults.one_nan_time()),
    "leaky donors": lambda: run("label_prediction", faults.leaky_donors()),
    "absent class": lambda: run("cross_species_label_prediction", faults.absent_class()),
    "default arguments": lambda: transfer_of(faults.sound(), faults.sound().labels).run(),
    "one NaN prediction": lambda: run("perturbation", faults.one_nan_prediction()),
    "unchanging prediction": lambda: run("perturbation", faults.unchanging_prediction()),
    "nested batches": lambda: run("batch_integration", faults.nested_batches()),
    "the same seed twice": lambda: [
        run("batch_integration", INPUTS["synthetic_5000"]())["entropy_per_cell"] for _ in range(2)
    ],
}
"""What test_reference_bugs.py says of cz-benchmarks, measured."""


if __name__ == "__main__":
    main()
