"""``czrun datasets``."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="List and show data sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_datasets() -> None:
    """List the data sets that have a name; a file of your own works as well."""
    from czrun.cli.render import print_datasets
    from czrun.datasets.catalogue import named_datasets

    print_datasets(named_datasets())


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name, a file or folder, or a YAML.")],
    layer: Annotated[str | None, typer.Option(help="X, raw, or a layer's name.")] = None,
    x: Annotated[str | None, typer.Option(help="What X holds, where it isn't counts.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the cells of each label, donor …")] = False,
) -> None:
    """Show a data set's cells, genes and columns, what they would be taken for, and what is odd."""
    from czrun.cli.render import print_dataset
    from czrun.datasets.catalogue import find_dataset
    from czrun.datasets.summary import summarise
    from czrun.keywords import x_kind

    spec = find_dataset(name)
    changes = {"layer": layer, "x": x_kind(x)}
    spec = spec.model_copy(update={key: value for key, value in changes.items() if value})
    print_dataset(summarise(spec), plot=plot)
