"""``czrun tasks``."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="List and show tasks.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_tasks() -> None:
    """List all tasks."""
    from czrun.cli.render import print_tasks
    from czrun.tasks.registry import all_tasks

    print_tasks(all_tasks())


@app.command("show")
def show(task: Annotated[str, typer.Argument(help="A task's id.")]) -> None:
    """Show what fit and predict get, which outputs are needed, and each metric."""
    from czrun.cli.render import print_task
    from czrun.tasks.registry import find_task, metric_infos

    found = find_task(task)
    print_task(found, metric_infos(found))
