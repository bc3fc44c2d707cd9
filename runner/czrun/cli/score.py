"""``czrun score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from czrun.cli import flags
from czrun.cli.data_flags import DataFlags, read_data, takes
from czrun.cli.flags import Format


@takes(DataFlags)
def score(
    predictions: Annotated[
        Path | None, typer.Option(help="Folder with the files that the task asks for (czrun tasks show).")
    ] = None,
    obsm: Annotated[
        str | None, typer.Option(help="In place of --predictions: the data set's obsm with an embedding.")
    ] = None,
    metric: flags.Metrics = None,
    rows: Annotated[
        Path | None, typer.Option(help="Also write the single answers to this CSV file, one row a cell.")
    ] = None,
    format_: flags.Style = Format.TABLE,
    **data: Any,  # noqa: ANN401 - the flags of DataFlags
) -> None:
    """Score answers that are there already: no image, no container.

    The files hold one row for each cell of the data set, in its order and by its ids. All cells are scored at
    once, unless a split is asked for, or the task trains classifiers on an embedding.
    """
    cells = read_data(data)
    from czrun.api import score as run
    from czrun.cli.output import print_scores
    from czrun.tasks.registry import chosen_metrics, find_task

    shown = chosen_metrics(find_task(data["task"]), metric or [])
    result = run(predictions, embedding=obsm, **cells)
    if rows:
        result.write_rows(rows)
    print_scores(result.record, format_.value, shown)
