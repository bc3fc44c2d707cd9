"""What is drawn: live progress, lists and pages. The only importer of rich."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.bar import Bar  # noqa: TID251 - this module is rich's one home
from rich.console import Console  # noqa: TID251
from rich.live import Live  # noqa: TID251
from rich.spinner import Spinner  # noqa: TID251
from rich.table import Table  # noqa: TID251
from rich.text import Text  # noqa: TID251

from czrun.datasets.public import CatalogueEntry
from czrun.datasets.spec import DatasetSpec
from czrun.datasets.summary import CountedColumn, DatasetSummary
from czrun.doctor import Check, State
from czrun.errors import CzrunError
from czrun.metrics.base import MetricInfo
from czrun.progress import Observer, Phase, PhaseEvent
from czrun.quantities import printable, show_bytes, show_seconds
from czrun.records import RECORD_FILE, load_record
from czrun.registering import Registered
from czrun.report.rows import MESSAGE_CHARS, number, outcome
from czrun.tasks.base import Design, Task

_MOST_BARS = 20


@contextmanager
def live_progress(stream: TextIO) -> Iterator[Observer]:
    """Show all phases of an evaluation, redrawn in place."""
    progress = LiveProgress()
    with Live(progress, console=Console(file=stream), refresh_per_second=8, transient=False):
        yield progress


class LiveProgress:
    """All phases with their state, redrawn in place."""

    def __init__(self) -> None:
        self._events: dict[tuple[Phase, str], tuple[PhaseEvent, float]] = {}
        self._spinner = Spinner("dots")

    def on_event(self, event: PhaseEvent) -> None:
        """Remember the newest event of each phase."""
        self._events[event.phase, event.subject] = (event, time.monotonic())

    def __rich__(self) -> Table:
        """Draw the phases as they stand."""
        table = Table.grid(padding=(0, 2))
        for event, seen in self._events.values():
            name = f"{event.phase} {event.subject}".rstrip()
            if event.done:
                table.add_row(_text("✓", style="green"), name, _text(outcome(event), style="dim"))
            else:
                elapsed = event.elapsed_s + time.monotonic() - seen
                share = f" · {event.fraction:.0%}" if event.fraction is not None else ""
                memory = f" · {show_bytes(event.memory_bytes)}" if event.memory_bytes else ""
                message = printable(event.message[:MESSAGE_CHARS])
                state = _text(f"{show_seconds(elapsed)}{memory}{share}")
                state.append(f"  {message}", style="dim")
                table.add_row(self._spinner, name, state)
        return table


def _text(text: str, style: str = "") -> Text:
    """Make text that is shown as it stands: no markup of rich's, no escapes of the terminal's."""
    return Text(printable(text), style=style)


def print_runs(runs: Path, folders: Sequence[Path]) -> None:
    """Print one line per run."""
    console = Console(highlight=False)
    if not folders:
        console.print(_text(f"There are no runs in {runs}. `czrun evaluate --image …` makes one."))
        return
    table = Table(pad_edge=False, box=None, header_style="dim")
    for name in ("run", "image", "data set", "status", "score"):
        table.add_column(name, overflow="fold", no_wrap=name in ("run", "status", "score"))
    for folder in folders:
        table.add_row(*(_text(cell) for cell in _run_cells(runs, folder)))
    console.print(table)


def _run_cells(runs: Path, folder: Path) -> tuple[str, ...]:
    if not (folder / RECORD_FILE).exists():
        return (folder.name, "", "", "unfinished", "")
    try:
        record = load_record(runs, folder.name)
    except CzrunError:
        return (folder.name, "", "", "unreadable", "")
    scores = record.model.scores
    value = scores.metrics[record.primary_metric].value if scores else None
    score = f"{record.primary_metric} {number(value)}" if scores else ""
    return (folder.name, record.model.image.reference, record.dataset.name, record.status, score)


def print_tasks(tasks: Mapping[str, Task]) -> None:
    """Print one line per task."""
    _print_pairs((task.id, task.summary) for task in tasks.values())


def print_task(task: Task, metrics: Mapping[str, MetricInfo]) -> None:
    """Print what a task asks for and how it is scored."""
    console = Console(highlight=False)
    console.print(_text(f"{task.id}: {task.title}", style="bold"))
    console.print(_text(task.summary))
    console.print()
    _print_pairs(_task_facts(task))
    console.print()
    table = Table(pad_edge=False, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("metric", "range", "better", "from", "undefined when", "reference"):
        # Ids are copied and searched for, on a narrow terminal as well.
        table.add_column(name, overflow="fold", no_wrap=name == "metric")
    for name in task.metrics:
        info = metrics[name]
        better = {True: "higher", False: "lower", None: "–"}[info.higher_is_better]
        low, high = (
            f"{end:g}" if end is not None else sign
            for end, sign in ((info.range.low, "-∞"), (info.range.high, "∞"))
        )
        cells = (name, f"{low} – {high}", better, info.needs, info.undefined or "never", info.reference)
        table.add_row(*(_text(cell) for cell in cells))
    console.print(table)


def _task_facts(task: Task) -> Iterator[tuple[str, str]]:
    cells = "images" if task.modality == "image" else "cells"
    for phase, obs in (("fit gets", task.fit_obs), ("predict gets", task.predict_obs)):
        yield (
            phase,
            PHASE_CELLS[task.design, phase].format(cells=cells) + "".join(f" + {name}" for name in obs),
        )
    if task.reference_outputs:
        yield "", f"and as a second view, reference, the {cells} of fit without labels"
    if task.optional_obs:
        yield "where known", ", ".join(task.optional_obs)
    hidden = [name for name in task.truth if name not in task.predict_obs]
    yield "hidden truth", ", ".join(hidden) or "expression of the cells asked for"
    for slot in task.outputs:
        need = "required" if slot.required else "one of these" if slot.name in task.one_of else "optional"
        shape = f", float ({', '.join(slot.axes)})" if slot.axes else ""
        yield "output", f"{slot.name} ({need}{shape}): {slot.summary}"
    for slot in task.reference_outputs:
        yield "of reference", f"{slot.name} (optional): {slot.summary}"
    group = f" by {task.default_group}" if task.default_group else ""
    yield "split", f"{task.default_split}{group} unless you choose another"
    yield "control", task.negative_control
    if task.packages:
        yield "from", ", ".join(task.packages)


PHASE_CELLS = {
    (Design.CELLS, "fit gets"): "training {cells}",
    (Design.CELLS, "predict gets"): "test {cells}",
    (Design.NOVELTY, "fit gets"): "normal training {cells}",
    (Design.NOVELTY, "predict gets"): "other normal {cells}, and the anomalous ones",
    (Design.PERTURBATION, "fit gets"): "control cells and some perturbed ones",
    (Design.PERTURBATION, "predict gets"): "control cells, and the names of the conditions to predict",
}


def print_datasets(
    named: Mapping[str, DatasetSpec],
    public: Mapping[str, CatalogueEntry],
    added: Mapping[str, DatasetSpec],
    broken: Mapping[str, str],
    word: str = "",
) -> None:
    """Print one line per named data set that has a word in its name or title, by where names come from."""
    groups: dict[str, dict[str, str]] = {"": {}, "added by you": {}}
    for name, spec in named.items():
        group = f"{public[name].collection}, {_doubt(public[name])}" if name in public else ""
        groups.setdefault(group, {})[name] = spec.title or describe_place(spec)
    for name, spec in added.items():
        groups["added by you"][name] = spec.title or describe_place(spec)
    groups["added by you"] |= {name: f"can't be read: {problem}" for name, problem in broken.items()}
    console = Console(highlight=False)
    for group, titles in groups.items():
        shown = [(name, title) for name, title in titles.items() if word.lower() in f"{name} {title}".lower()]
        if shown and group:
            console.print(_text(f"\n{group}", style="dim"))
        _print_pairs(iter(shown))


def print_away(spec: DatasetSpec, entry: CatalogueEntry | None) -> None:
    """Print what is known of a data set whose cells aren't here yet."""
    console = Console(highlight=False)
    console.print(_text(f"{spec.name}: not fetched yet", style="bold"))
    facts = {
        "title": spec.title,
        "cells": f"{entry.n_obs:,}" if entry and entry.n_obs else "",
        "from": describe_place(spec),
        "organism": spec.organism or "",
        "obs": ", ".join(f"{name} {key}" for name, key in spec.obs.items()),
        "source": spec.source,
        "licence": spec.license,
        "sha256": spec.sha256 or "",
        "read at": entry.found if entry else "",
        "": _doubt(entry) if entry else "",
    }
    _print_pairs((name, text) for name, text in facts.items() if text)
    console.print(_text("→ evaluate and `czrun datasets prepare` fetch it when they need it", style="dim"))


def _doubt(entry: CatalogueEntry) -> str:
    return "verified here" if entry.verified else "not verified here"


def print_registered(registered: Registered) -> None:
    """Print what has a name now, and where that is kept."""
    console, spec = Console(highlight=False), registered.spec
    console.print(_text(f"{spec.name}: {describe_place(spec)}", style="bold"))
    if summary := registered.summary:
        roles = ", ".join(f"{column.role} {column.name}" for column in summary.counted)
        for line in (f"{summary.n_obs:,} cells", *summary.content, f"columns: {roles or '(none known)'}"):
            console.print(_text(line))
        _print_remarks(summary)
    else:
        console.print(_text("Nothing was fetched; evaluate and prepare fetch it when they need it."))
    console.print(_text(f"kept in {registered.path}", style="dim"))


def describe_place(spec: DatasetSpec) -> str:
    """Say in a line where a data set's cells are."""
    if spec.census:
        said = spec.census.model_dump(exclude_defaults=True)
        words = (
            f"{name} {_joined(value)}" for name, value in said.items() if name not in ("seed", "stratify")
        )
        return ", ".join(["CELLxGENE Census", *words])
    if spec.join:
        return f"train on {describe_place(spec.join.train)}, test on {describe_place(spec.join.test)}"
    return spec.url or str(spec.path)


def _joined(value: object) -> str:
    return " or ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def print_dataset(summary: DatasetSummary, *, plot: bool = False) -> None:
    """Print a data set's size, its columns, and what is odd; with a bar a value where a plot is asked for."""
    console, spec = Console(highlight=False), summary.spec
    console.print(_text(f"{spec.name}: {summary.n_obs:,} cells", style="bold"))
    for line in (*summary.content, describe_place(spec)):
        console.print(_text(line))
    for name in ("title", "source", "license"):
        if value := getattr(spec, name):
            console.print(_text(f"{name}: {value}"))
    if plot:
        for column in summary.counted:
            if len(column.counts) == 1:
                value, count = column.counts[0]
                title = Text(printable(_title(column)), "bold")
                console.print(Text.assemble(title, "  ", printable(f"{value}, {count:,} cells")))
            else:
                console.print(_bars(column, summary.n_obs, console.width))
    else:
        console.print(_columns_table(summary))
    _print_remarks(summary)


def _print_remarks(summary: DatasetSummary) -> None:
    console = Console(highlight=False)
    for line in summary.odd:
        console.print(_text(f"! {line}", style="yellow"))
    for line in summary.notes:
        console.print(_text(f"note: {line}", style="dim"))


def _columns_table(summary: DatasetSummary) -> Table:
    table = Table(pad_edge=False, box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("obs column", "taken as", "values", "missing", "most frequent"):
        table.add_column(name, overflow="fold")
    for column in summary.columns:
        common = ", ".join(f"{value} {count:,}" for value, count in column.common)
        cells = (column.name, column.role, f"{column.n_values:,}", f"{column.n_missing:,}", common)
        table.add_row(*(_text(cell) for cell in cells))
    return table


def _title(column: CountedColumn) -> str:
    return f"{column.role} ({column.name})" if column.role != column.name else column.role


def _bars(column: CountedColumn, n_obs: int, width: int) -> Table:
    """Draw the cells of each value, the longest bar for the most frequent."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", show_header=False)
    table.title = _text(_title(column), style="bold")
    table.add_column(overflow="ellipsis", no_wrap=True, max_width=width // 3)
    table.add_column(width=width // 3)
    table.add_column(justify="right")
    most = column.counts[0][1] if column.counts else 1
    for value, count in column.counts[:_MOST_BARS]:
        bar = Bar(size=most, begin=0, end=count, width=width // 3, color="cyan")
        table.add_row(_text(value), bar, _text(f"{count:,}  {count / n_obs:.1%}"))
    if more := column.counts[_MOST_BARS:]:
        table.add_row(_text(f"{len(more):,} more"), "", _text(f"{sum(count for _, count in more):,}"))
    return table


def _print_pairs(pairs: Iterator[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    # Names are copied: they are never cut short.
    table.add_column(no_wrap=True, overflow="fold")
    table.add_column(overflow="fold")
    for name, text in pairs:
        table.add_row(_text(name, style="bold"), _text(text))
    Console(highlight=False).print(table)


_SIGNS = {
    State.OK: ("✓", "green"),
    State.WARNING: ("!", "yellow"),
    State.FAILED: ("✗", "red"),
    State.SKIPPED: ("–", "dim"),
}


def print_checks(checks: Iterator[Check]) -> list[Check]:
    """Print checks as they come, and return them."""
    console, seen = Console(highlight=False), []
    for check in checks:
        sign, style = _SIGNS[check.state]
        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=16)
        line.add_row(_text(sign, style), _text(check.name, "bold"), _text(check.found))
        if check.advice:
            line.add_row("", "", _text(f"→ {check.advice}", "dim"))
        console.print(line)
        seen.append(check)
    return seen
