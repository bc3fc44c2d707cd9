"""Results and progress as plain lines, for pipes, log files and terminals alike: without importing rich."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import typer

from czrun.manifest import PreparedManifest, prepared_folder
from czrun.progress import Observer, Phase, PhaseEvent
from czrun.quantities import printable
from czrun.records import RunRecord, ScoreRecord
from czrun.report.rows import (
    MetricRow,
    as_csv,
    cost_line,
    headline,
    interval_note,
    metric_rows,
    number,
    outcome,
    remarks,
    score_headline,
    score_rows,
)
from czrun.storage import cache_home

_HEADER = ("metric", "value", "95 % interval", "negative control")


@contextmanager
def watcher(stream: TextIO) -> Iterator[Observer]:
    """Show an evaluation's progress: live on a terminal, one plain line per step elsewhere."""
    if not stream.isatty():
        yield PlainProgress(stream)
        return
    # Imported here: rich takes a tenth of a second, and nobody is looking at a pipe.
    from czrun.cli.render import live_progress

    with live_progress(stream) as progress:
        yield progress


class PlainProgress:
    """One line when a phase starts its work, and one when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun: set[tuple[Phase, str]] = set()

    def on_event(self, event: PhaseEvent) -> None:
        """Print what is new in an event."""
        key = (event.phase, event.subject)
        name = f"{event.phase} {event.subject}".rstrip()
        if event.done:
            print(printable(f"{name}: {outcome(event)}"), file=self._stream, flush=True)
            self._begun.discard(key)
        elif key not in self._begun:
            self._begun.add(key)
            print(printable(f"{name}: started"), file=self._stream, flush=True)


def print_result(record: RunRecord, folder: Path, style: str, metrics: Sequence[str]) -> None:
    """Print a run's result to stdout: as json whole, as table or csv the metrics that are named."""
    if style == "json":
        sys.stdout.write(record.model_dump_json(indent=1) + "\n")
    elif style == "csv":
        sys.stdout.write(as_csv(metric_rows(record, metrics)))
    else:
        _print_table(record, folder, metric_rows(record, metrics))


def print_scores(record: ScoreRecord, style: str, metrics: Sequence[str]) -> None:
    """Print what scoring found to stdout: as json whole, as table or csv the metrics that are named."""
    rows = score_rows(record.scores, None, metrics)
    if style == "json":
        sys.stdout.write(record.model_dump_json(indent=1) + "\n")
    elif style == "csv":
        sys.stdout.write(as_csv(rows))
    else:
        _echo(score_headline(record), bold=True)
        _print_rows(rows, record.primary_metric, with_control=False)
        for line in (
            interval_note(record.scores, record.cluster_key),
            *(f"note: {note}" for note in record.notes),
        ):
            if line:
                _echo(line, dim=True)


def print_prepared(manifests: Sequence[PreparedManifest]) -> None:
    """Print where prepared folds lie, what is in them, and what was noted."""
    for each in manifests:
        fold = f"fold {each.fold}: " if len(manifests) > 1 else ""
        asked = f"{each.n_conditions:,} conditions" if each.n_conditions else f"{each.n_predict:,} to predict"
        size = f"{each.facts.n_vars:,} genes" if each.facts.n_vars else "images"
        _echo(f"{fold}{each.n_fit:,} cells to fit, {asked}, {size}", bold=True)
        _echo(str(prepared_folder(cache_home(), each.key)), dim=True)
    for note in dict.fromkeys(note for each in manifests for note in each.notes):
        _echo(f"note: {note}", dim=True)


def _print_table(record: RunRecord, folder: Path, rows: Sequence[MetricRow]) -> None:
    _echo(headline(record), bold=True)
    _print_rows(rows, record.primary_metric, with_control=True)
    for line in _footer(record, folder):
        _echo(line, dim=True)


def _print_rows(rows: Sequence[MetricRow], primary: str, *, with_control: bool) -> None:
    last = None if with_control else -1
    cells = [_HEADER[:last], *(_cells(row)[:last] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for index, (name, *numbers) in enumerate(cells if rows else []):
        aligned = "  ".join(text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True))
        _echo(f"{name.ljust(widths[0])}  {aligned}", bold=name == primary, dim=index == 0)
    for line in remarks(rows):
        _echo(line, dim=True)


def _cells(row: MetricRow) -> tuple[str, ...]:
    interval = "–" if row.low is None else f"{number(row.low)} – {number(row.high)}"
    return (row.metric, number(row.value), interval, number(row.control))


def _footer(record: RunRecord, folder: Path) -> Iterator[str]:
    yield cost_line(record.model)
    if record.model.scores and (note := interval_note(record.model.scores, record.dataset.cluster_key)):
        yield note
    if record.control_note:
        yield f"negative control {record.control_note}"
    for note in record.dataset.notes:
        yield f"note: {note}"
    if record.containers_started == 0:
        yield "All cached: no container was started (--no-cache runs them again)."
    yield f"run {folder}"


def _echo(text: str, *, bold: bool = False, dim: bool = False) -> None:
    # The styles are left out where stdout is no terminal.
    typer.echo(typer.style(printable(text), bold=bold or None, dim=dim or None))
