"""``czrun export``: a run's results for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from czrun.cli.runs import Run


class ExportFormat(StrEnum):
    """A layout that other tools read."""

    CZ_BENCHMARKS = "cz-benchmarks"


def export(
    run: Run,
    format_: Annotated[
        ExportFormat, typer.Option("--format", help="The layout to write.")
    ] = ExportFormat.CZ_BENCHMARKS,
    output: Annotated[
        Path | None, typer.Option(help="File to write, instead of stdout.", dir_okay=False)
    ] = None,
    runs: Annotated[
        Path, typer.Option(help="Folder of all runs.", envvar="CZRUN_RUNS", show_envvar=False)
    ] = Path("runs"),
) -> None:
    """Write a run's metrics as another tool's results; what that can't express is named on stderr."""
    from czrun.quantities import printable
    from czrun.records import load_record
    from czrun.report.cz_benchmarks import cz_benchmarks_results
    from czrun.storage import make_folder, write_text

    results = cz_benchmarks_results(load_record(runs, run))
    if output:
        make_folder(output.parent)
        write_text(output, results.as_json())
    else:
        typer.echo(results.as_json(), nl=False)
    for line in results.left_out:
        typer.echo(printable(f"Left out of {format_.value}: {line}"), err=True)
