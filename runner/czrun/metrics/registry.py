"""All of czrun's own metrics by id; those that packages add to a task are `czrun.tasks.registry`'s."""

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
    """Return the built-in metrics."""
    found: dict[str, MetricInfo] = {}
    for name in FAMILIES:
        metrics: Mapping[str, MetricInfo] = import_module(f"czrun.metrics.{name}").METRICS
        found.update(metrics)
    return found
