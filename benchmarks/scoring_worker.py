"""One process of scoring.py: one task, answered several times. Runs in cz-benchmarks' environment as well.

    python scoring_worker.py ours|peer|limit TASK CELLS.npz BEGAN CALLS

BEGAN is the time at which the process was started. Prints a line of JSON; warm is the last answer.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "parity"))

from parity_inputs import Cells, Perturbed, Texts

Values = dict[str, float | None]
Floats = NDArray[np.float32]

_ROWS, _COLUMNS = 4096, 1024


def main(who: str, task: str, cells: str, began: str, calls: str) -> None:
    """Answer, measure, print."""
    work = WORK[who](task, read(Path(cells)))
    values = work()
    cold, cpu = time.time() - float(began), time.process_time()
    warm = None
    for _ in range(1, int(calls)):
        start = time.perf_counter()
        work()
        warm = time.perf_counter() - start
    found = {"cold": cold, "cold_cpu": cpu, "warm": warm, "peak_mib": peak_mib(), "values": values}
    print(json.dumps(found))


def read(path: Path) -> Cells | Perturbed:
    """Read what scoring.py wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    return Cells(**found) if "embedding" in found else Perturbed(**found)


def peak_mib() -> float:
    """Return the most memory that this process had: not that of its parent, which getrusage may report."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def peer(task: str, cells: Cells | Perturbed) -> Callable[[], Values]:
    """Score by cz-benchmarks."""
    import peer_tasks

    return lambda: dict(peer_tasks.TASKS[task](cells).run())


def ours(task: str, cells: Cells | Perturbed) -> Callable[[], Values]:
    """Score by czrun."""
    import our_tasks

    return lambda: {name: found.value for name, found in our_tasks.TASKS[task](cells).items()}


def limit(task: str, cells: Cells | Perturbed) -> Callable[[], Values]:
    """Do the least that the task takes."""
    work: list[Callable[[], object]] = LIMITS[task](cells)

    def run() -> Values:
        for each in work:
            each()
        return {}

    return run


def _pairs(embedding: Floats, share: float = 1.0) -> Callable[[], object]:
    """Multiply every cell with every other, or with a share of them, by all of BLAS' threads, in cache."""
    columns = embedding[: max(1, round(share * len(embedding)))]

    def work() -> None:
        product = np.empty((_ROWS, _COLUMNS), dtype=np.float32)
        for start in range(0, len(columns), _COLUMNS):
            part = columns[start : start + _COLUMNS].T
            for first in range(0, len(embedding), _ROWS):
                rows = embedding[first : first + _ROWS]
                np.matmul(rows, part, out=product[: len(rows), : part.shape[1]])

    return work


def _within(cells: Cells) -> list[Callable[[], object]]:
    """Multiply half the pairs of cells within each label."""
    return [_pairs(cells.embedding[cells.labels == label], 0.5) for label in np.unique(cells.labels)]


def _forests(array: Floats, labels: Texts) -> Callable[[], object]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold

    folds = list(StratifiedKFold(5, shuffle=True, random_state=42).split(array, labels))

    def work() -> None:
        for train, test in folds:
            forest = RandomForestClassifier(random_state=42, n_jobs=-1).fit(array[train], labels[train])
            forest.predict_proba(array[test])

    return work


def _forest(array: Floats, labels: Texts, tested: Floats) -> Callable[[], object]:
    from sklearn.ensemble import RandomForestClassifier

    def work() -> None:
        RandomForestClassifier(random_state=42, n_jobs=-1).fit(array, labels).predict_proba(tested)

    return work


def _leiden(cells: Cells) -> Callable[[], object]:
    import igraph

    from czrun.metrics import Embedded
    from czrun.metrics.leiden import umap_graph

    edges = umap_graph(Embedded(cells.embedding).graph(15))
    graph = igraph.Graph(n=edges.n_obs, edges=np.stack([edges.first, edges.second], axis=1))
    weights = edges.weight.astype(float).tolist()
    return lambda: graph.community_leiden("modularity", weights=weights, resolution=1, n_iterations=2)


def _transfer(cells: Cells) -> list[Callable[[], object]]:
    sides = [
        (cells.embedding[rows], cells.labels[rows])
        for rows in (cells.organisms == name for name in np.unique(cells.organisms))
    ]
    within = [_forests(*side) for side in sides]
    across = [_forest(*one, other[0]) for one in sides for other in sides if one is not other]
    return [*within, *across]


LIMITS: dict[str, Callable[[Any], list[Callable[[], object]]]] = {
    "clustering": lambda cells: [_pairs(cells.embedding, 0.5), _leiden(cells)],
    "embedding": lambda cells: [_pairs(cells.embedding, 0.5)],
    "batch_integration": lambda cells: [_pairs(cells.embedding, 0.5), *_within(cells)],
    "label_prediction": lambda cells: [_forests(cells.embedding, cells.labels)],
    "sequential_organization": lambda cells: [_pairs(cells.embedding, 0.5)] * 2,
    "cross_species_integration": lambda cells: [_pairs(cells.embedding, 0.5), *_within(cells)],
    "cross_species_label_prediction": _transfer,
    "perturbation": lambda inputs: [lambda: inputs.predicted.sum(axis=0)],
}
"""What no way of scoring a task could leave out, by the tasks' names."""

WORK = {"peer": peer, "ours": ours, "limit": limit}


if __name__ == "__main__":
    main(*sys.argv[1:])
