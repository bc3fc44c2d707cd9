"""A record as plain rows of text: what the table and the CSV file hold, without any drawing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from czrun.progress import PhaseEvent
from czrun.quantities import show_bytes, show_seconds
from czrun.records import CandidateRecord, MetricRecord, RunRecord

MESSAGE_CHARS = 60
"""Of what a phase or a container says, on one line."""


@dataclass(frozen=True)
class MetricRow:
    """One line of the result table."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    control: float | None
    reason: str


def metric_rows(record: RunRecord, names: Sequence[str]) -> list[MetricRow]:
    """Return the result table for the metrics named; empty for a failed run."""
    if not record.model.scores:
        return []
    scores = record.model.scores.metrics
    control = record.control.scores.metrics if record.control and record.control.scores else {}
    return [_row(name, scores[name], control.get(name)) for name in names]


def _row(name: str, metric: MetricRecord, control: MetricRecord | None) -> MetricRow:
    interval = metric.interval
    return MetricRow(
        name,
        metric.value,
        interval.low if interval else None,
        interval.high if interval else None,
        control.value if control else None,
        metric.reason,
    )


def as_csv(rows: Iterable[MetricRow]) -> str:
    """Return the result table as CSV, numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "value", "low", "high", "control", "reason"])
    for row in rows:
        numbers = (row.value, row.low, row.high, row.control)
        writer.writerow([row.metric, *("" if each is None else repr(each) for each in numbers), row.reason])
    return text.getvalue()


def headline(record: RunRecord) -> str:
    """Say what met what."""
    data = record.dataset
    split = str(data.split["kind"])
    if by := data.split.get("group_key") or data.split.get("split_key"):
        split += f" by {by}"
    if len(data.prepared) > 1:
        split += f", {len(data.prepared)} folds"
    seeds = f", {len(record.seeds)} seeds" if len(record.seeds) > 1 else ""
    return (
        f"{record.model.image.reference} · {record.task} · {data.name} "
        f"({split}{seeds}; {data.n_fit[0]:,} training and {data.n_predict[0]:,} test cells)"
    )


def cost_line(candidate: CandidateRecord) -> str:
    """Say what the containers cost: seconds are summed over trials, memory is the largest peak."""
    parts = []
    for name in ("fit", "predict"):
        phases = [phase for trial in candidate.trials if (phase := getattr(trial, name))]
        if phases:
            parts.append(f"{name} {show_seconds(sum(phase.seconds for phase in phases))}")
    peaks = [
        phase.peak_memory_bytes
        for trial in candidate.trials
        for phase in (trial.fit, trial.predict)
        if phase and phase.peak_memory_bytes
    ]
    if peaks:
        parts.append(f"peak memory {show_bytes(max(peaks))}")
    parts.append(f"image {candidate.image.digest[:19]}")
    return " · ".join(parts)


def interval_note(record: RunRecord) -> str:
    """Say how the intervals came about, once for the table."""
    scores = record.model.scores
    intervals = [metric.interval for metric in scores.metrics.values() if metric.interval] if scores else []
    if not intervals:
        return ""
    first = intervals[0]
    groups = f"{first.n_clusters} groups of cells by {record.dataset.cluster_key}"
    method = first.method.replace("clusters", groups, 1)
    note = f"{first.level:.0%} intervals: {method}, {first.n_resamples:,} resamples"
    return note + (f"; {first.note}" if first.note else "")


def outcome(event: PhaseEvent) -> str:
    """Say how a phase ended."""
    parts = ["cached" if event.cached else show_seconds(event.elapsed_s)]
    if event.memory_bytes:
        parts.append(f"peak {show_bytes(event.memory_bytes)}")
    if event.message:
        parts.append(event.message[:MESSAGE_CHARS])
    return " · ".join(parts)


def number(value: float | None) -> str:
    """Write a metric's value for a person."""
    return "–" if value is None else f"{value:.4f}"
