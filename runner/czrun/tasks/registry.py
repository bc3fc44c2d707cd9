"""The tasks by name; other packages add theirs as ``czrun.tasks`` entry points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from czrun.errors import unknown_name
from czrun.tasks.anomaly import ANOMALY_DETECTION
from czrun.tasks.base import Task
from czrun.tasks.embeddings import CLUSTERING, EMBEDDING_TASK
from czrun.tasks.images import IMAGE_CLASSIFICATION
from czrun.tasks.integration import BATCH_INTEGRATION, CROSS_SPECIES_INTEGRATION
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.tasks.ordering import SEQUENTIAL_ORDERING
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from czrun.tasks.transfer import CROSS_SPECIES_LABEL_TRANSFER

DEFAULT_TASK = CELL_TYPE_CLASSIFICATION.id

BUILT_IN: Mapping[str, Task] = {
    task.id: task
    for task in (
        CELL_TYPE_CLASSIFICATION,
        EMBEDDING_TASK,
        CLUSTERING,
        BATCH_INTEGRATION,
        CROSS_SPECIES_INTEGRATION,
        CROSS_SPECIES_LABEL_TRANSFER,
        PERTURBATION_PREDICTION,
        SEQUENTIAL_ORDERING,
        ANOMALY_DETECTION,
        IMAGE_CLASSIFICATION,
    )
}


def all_tasks() -> dict[str, Task]:
    """Return the built-in tasks and those that installed packages add."""
    from importlib.metadata import entry_points  # 10 ms that a built-in name needn't pay

    added = {point.name: point.load() for point in entry_points(group="czrun.tasks")}
    return {**added, **BUILT_IN}


def chosen_metrics(task: Task, names: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that were asked for, all of the task's where none was; raises UsageError."""
    for name in names:
        if name not in task.metrics:
            raise unknown_name(f"metric of {task.id}", name, task.metrics)
    return tuple(names) or task.metrics


def find_task(name: str) -> Task:
    """Return a task by name; raises UsageError with the nearest names."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    tasks = all_tasks()
    if name not in tasks:
        raise unknown_name("task", name, tasks)
    return tasks[name]
