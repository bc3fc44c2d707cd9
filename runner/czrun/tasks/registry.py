"""The tasks by name. Packages add tasks, and metrics to tasks, as entry points.

In the group ``czrun.tasks`` the id of a task names a `Task`, in ``czrun.metrics`` ``TASK.METRIC`` names an
`AddedMetric`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

from czrun.errors import CzrunError, ScoringError, UsageError, unknown_name
from czrun.tasks.anomaly import ANOMALY_DETECTION
from czrun.tasks.base import AddedMetric, Task
from czrun.tasks.embeddings import CLUSTERING, EMBEDDING_TASK
from czrun.tasks.images import IMAGE_CLASSIFICATION
from czrun.tasks.integration import BATCH_INTEGRATION, CROSS_SPECIES_INTEGRATION
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.tasks.ordering import SEQUENTIAL_ORDERING
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from czrun.tasks.transfer import CROSS_SPECIES_LABEL_TRANSFER

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from czrun.metrics.base import MetricInfo
    from czrun.tasks.evidence import Evidence, Measured

DEFAULT_TASK = CELL_TYPE_CLASSIFICATION.id

_TASKS, _METRICS = "czrun.tasks", "czrun.metrics"

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
    added = {point.name: _load_task(point) for point in _points(_TASKS) if point.name not in BUILT_IN}
    return {name: _extended(task) for name, task in {**added, **BUILT_IN}.items()}


def find_task(name: str) -> Task:
    """Return a task by name, with the metrics that packages add; raises UsageError with the nearest names."""
    if name in BUILT_IN:
        return _extended(BUILT_IN[name])
    points = {point.name: point for point in _points(_TASKS)}
    if name not in points:
        raise unknown_name("task", name, {*BUILT_IN, *points})
    return _extended(_load_task(points[name]))


def chosen_metrics(task: Task, names: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that were asked for, all of the task's where none was; raises UsageError."""
    for name in names:
        if name not in task.metrics:
            raise unknown_name(f"metric of {task.id}", name, task.metrics)
    return tuple(names) or task.metrics


def metric_infos(task: Task) -> dict[str, MetricInfo]:
    """Return what metrics say of themselves: czrun's own, the task's, and those that packages add to it."""
    from czrun.metrics.registry import all_metrics

    own = {info.id: info for info in task.infos}
    added = {name: _load_metric(point).info for name, point in _points_for(task).items()}
    return {**all_metrics(), **own, **added}


def _extended(task: Task) -> Task:
    """Add packages' metrics by their names alone: nothing of a package is imported until it is scored."""
    points = _points_for(task)
    if not points:
        return task
    if known := [metric for metric in points if metric in task.metrics]:
        raise _broken(points[known[0]], f"is called like a metric that {task.id} has already")
    return replace(
        task,
        metrics=(*task.metrics, *points),
        measure=partial(_measure, task.measure, tuple(points.values())),
        packages=tuple(dict.fromkeys((*task.packages, *map(_package, points.values())))),
    )


def _measure(
    own: Callable[[Evidence], Measured], points: tuple[EntryPoint, ...], evidence: Evidence
) -> Measured:
    measured = own(evidence)
    families = []
    for point in points:
        metric = _load_metric(point)
        try:
            families.append(metric.family(evidence))
        except CzrunError:
            raise
        except Exception as error:  # others' code may raise anything, and czrun isn't to blame
            what = f"raises {type(error).__name__}: {error}"
            raise _broken(point, what, ScoringError) from error
    return replace(measured, families=(*measured.families, *families))


def _points_for(task: Task) -> dict[str, EntryPoint]:
    """Return the metrics that packages add to a task, by id; raises UsageError where two share one."""
    found: dict[str, EntryPoint] = {}
    for point in _points(_METRICS):
        task_id, _, metric = point.name.rpartition(".")
        if task_id == task.id:
            if metric in found:
                raise _broken(point, f"is called like that of {_package(found[metric])}")
            found[metric] = point
    return found


def _load_task(point: EntryPoint) -> Task:
    task = _load(point)
    if not isinstance(task, Task) or task.id != point.name:
        raise _broken(point, f"is no Task with the id {point.name!r}")
    return replace(task, packages=(_package(point),))


def _load_metric(point: EntryPoint) -> AddedMetric:
    metric = _load(point)
    wanted = point.name.rpartition(".")[2]
    if not isinstance(metric, AddedMetric) or metric.info.id != wanted:
        raise _broken(point, f"is no AddedMetric with the id {wanted!r}")
    return metric


def _load(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:  # whatever its import raises
        raise _broken(point, f"can't be imported ({type(error).__name__}: {error})") from error


def _broken(point: EntryPoint, what: str, kind: type[CzrunError] = UsageError) -> CzrunError:
    return kind(
        f"{point.group} entry point {point.name!r} of {_package(point)} {what}.",
        "Uninstall that package, or tell its authors.",
    )


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group, sorted by name: about 10 ms, once."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, point.value)))
