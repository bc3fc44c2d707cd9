"""All metrics by id; other packages add theirs as ``czrun.metrics`` entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from czrun.metrics.base import MetricInfo

FAMILIES = (
    "classification",
    "silhouettes",
    "probes",
    "partitions",
    "mixing",
    "conservation",
    "batch_effects",
    "scib",
    "transfer",
    "perturbation",
    "ordering",
    "anomaly",
)
"""The modules of this package that hold a `METRICS` mapping."""


def all_metrics() -> dict[str, MetricInfo]:
    """Return the built-in metrics and those that installed packages add.

    An entry point's object is a mapping from id to `MetricInfo`.
    """
    from importlib.metadata import entry_points

    found: dict[str, MetricInfo] = {}
    for point in entry_points(group="czrun.metrics"):
        found.update(point.load())
    for name in FAMILIES:
        metrics: Mapping[str, MetricInfo] = import_module(f"czrun.metrics.{name}").METRICS
        found.update(metrics)
    return found
