"""``czrun runs``: what was run, and what it left."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from czrun.cli.flags import Format, Runs
from czrun.errors import UsageError

app = typer.Typer(help="List, show and remove runs.", no_args_is_help=True, rich_markup_mode=None)

Run = Annotated[str, typer.Argument(help="A run's id, a part of it, or 'last'.")]


class PhaseName(StrEnum):
    """A phase that has a log."""

    FIT = "fit"
    PREDICT = "predict"


@app.command("list")
def list_runs(output: Runs = Path("runs")) -> None:
    """List all runs, oldest first."""
    from czrun.cli.render import print_runs
    from czrun.records import run_folders

    print_runs(output, run_folders(output))


@app.command("show")
def show(
    run: Run,
    output: Runs = Path("runs"),
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Show a run's results again."""
    from czrun.cli.output import print_result
    from czrun.records import find_run, load_record
    from czrun.results import EvaluationResult

    record, folder = load_record(output, run), find_run(output, run)
    print_result(
        record, folder, format_.value, tuple(record.model.scores.metrics) if record.model.scores else ()
    )
    EvaluationResult(record, folder).raise_for_status()


@app.command("logs")
def logs(
    run: Run,
    phase: Annotated[PhaseName | None, typer.Option(help="Only this phase.")] = None,
    output: Runs = Path("runs"),
) -> None:
    """Print what a run's containers wrote."""
    from czrun.records import find_run

    folder = find_run(output, run) / "logs"
    files = sorted(folder.glob(f"*-{phase}.log" if phase else "*.log"))
    if not files:
        raise UsageError(
            f"Run {folder.parent.name} has no such log.", "It may have been stopped before that phase."
        )
    for file in files:
        if len(files) > 1:
            typer.echo(f"== {file.name}")
        typer.echo(file.read_text(encoding="utf-8", errors="replace").rstrip("\n"))


@app.command("rm")
def remove(run: Run, output: Runs = Path("runs")) -> None:
    """Remove a run's folder; cached fits and predictions stay."""
    from czrun.records import remove_run

    typer.echo(f"Removed {remove_run(output, run)}.")


@app.command("clean")
def clean(
    output: Runs = Path("runs"),
    cache: Annotated[
        bool,
        typer.Option("--cache/--no-cache", help="Also drop prepared data, fits, predictions and scores."),
    ] = True,
    downloads: Annotated[
        bool, typer.Option("--downloads", help="Also drop files and cells of Census that were fetched.")
    ] = False,
) -> None:
    """Remove what killed runs left (containers, scratch, folders without a record), and the cache."""
    from czrun.cleaning import clean_up
    from czrun.quantities import show_bytes

    swept = clean_up(output, with_cache=cache, with_downloads=downloads)
    typer.echo(
        f"Removed {swept.containers} container(s), {swept.unfinished} unfinished run(s) and "
        f"{show_bytes(swept.freed_bytes)} of cache."
    )
    if swept.engine_note:
        typer.echo(f"Containers were not looked for: {swept.engine_note}", err=True)
