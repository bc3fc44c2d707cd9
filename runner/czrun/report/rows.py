"""A record as plain rows of text: what the table and the CSV file hold, without any drawing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from czrun.progress import PhaseEvent
from czrun.quantities import show_bytes, show_seconds
from czrun.records import CandidateRecord, MetricRecord, RunRecord, ScoreRecord, ScoreSheet

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
    note: str = ""


def metric_rows(record: RunRecord, names: Sequence[str]) -> list[MetricRow]:
    """Return the result table for the metrics named; empty for a failed run."""
    if not record.model.scores:
        return []
    control = record.control.scores if record.control else None
    return score_rows(record.model.scores, control, names)


def score_rows(scores: ScoreSheet, control: ScoreSheet | None, names: Sequence[str]) -> list[MetricRow]:
    """Return the result table of one score sheet, beside that of a control."""
    beside = control.metrics if control else {}
    return [_row(name, scores.metrics[name], beside.get(name)) for name in names]


def _row(name: str, metric: MetricRecord, control: MetricRecord | None) -> MetricRow:
    interval = metric.interval
    return MetricRow(
        name,
        metric.value,
        interval.low if interval else None,
        interval.high if interval else None,
        control.value if control else None,
        metric.reason,
        metric.note,
    )


def remarks(rows: Sequence[MetricRow]) -> Iterator[str]:
    """Say why values are missing, and what to bear in mind of others; what holds for several, once."""
    for attribute, says in (("reason", "undefined"), ("note", "")):
        texts: dict[str, list[str]] = {}
        for row in rows:
            if (text := getattr(row, attribute)) and (attribute == "note") == (row.value is not None):
                texts.setdefault(text, []).append(row.metric)
        for text, names in texts.items():
            verb = f" {'is' if len(names) == 1 else 'are'} {says}" if says else ""
            yield f"{', '.join(names)}{verb}: {text}"


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


def score_headline(record: ScoreRecord) -> str:
    """Say what was scored."""
    kind = str(record.split["kind"])
    how = "all cells at once" if kind == "whole" else f"{kind}, {record.split.get('folds', 1)} folds"
    return f"{record.task} · {record.dataset} ({record.n_obs:,} cells, {how})"


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


def interval_note(scores: ScoreSheet, cluster_key: str | None = None) -> str:
    """Say how the intervals came about, once for the table."""
    intervals = [metric.interval for metric in scores.metrics.values() if metric.interval]
    if not intervals:
        return ""
    first = intervals[0]
    by = f" by {cluster_key}" if cluster_key else ""
    groups = f"{first.n_clusters} groups of cells{by}"
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
