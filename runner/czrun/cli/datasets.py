"""``czrun datasets``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from czrun.cli.data_flags import CellFlags, TaskFlags, read_data, takes

app = typer.Typer(help="Name, list, show and prepare data sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_datasets(
    word: Annotated[str, typer.Argument(help="Only those with this in their name or title.")] = "",
) -> None:
    """List the data sets that have a name; a file of your own works as well."""
    from czrun.cli.render import print_datasets
    from czrun.datasets.added import added_datasets
    from czrun.datasets.catalogue import named_datasets
    from czrun.datasets.public import public_datasets

    added, broken = added_datasets()
    print_datasets(named_datasets(), public_datasets(), added, broken, word)


@app.command("add")
@takes(CellFlags)
def add(
    name: Annotated[str, typer.Argument(help="How to call it.")],
    source: Annotated[
        str, typer.Argument(help="A file, a folder, a URL, census, a YAML, or another data set's name.")
    ],
    sha256: Annotated[str | None, typer.Option(help="Hash that the file of a URL must have.")] = None,
    title: Annotated[str, typer.Option(help="What it is, for people.")] = "",
    license_: Annotated[str, typer.Option("--license", help="Its licence.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace a data set of that name.")] = False,
    **data: Any,  # noqa: ANN401 - the flags of CellFlags
) -> None:
    """Give a data set a name: a small YAML keeps what is said of it here. Nothing is downloaded."""
    cells = read_data(data)
    from czrun.cli.render import print_registered
    from czrun.registering import register

    print_registered(
        register(name, source, sha256=sha256, title=title, license_=license_, replace=replace, **cells)
    )


@app.command("rm")
def remove(name: Annotated[str, typer.Argument(help="A name that was added.")]) -> None:
    """Forget a name; the cells stay where they are."""
    from czrun.datasets.added import remove as forget

    typer.echo(f"removed {forget(name)}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name, a file or folder, or a YAML.")],
    layer: Annotated[str | None, typer.Option(help="X, raw, or a layer's name.")] = None,
    x: Annotated[str | None, typer.Option(help="What X holds, where it isn't counts.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the cells of each label, donor …")] = False,
) -> None:
    """Show a data set's cells, genes and columns, what they would be taken for, and what is odd."""
    from czrun.cli.render import print_away, print_dataset
    from czrun.datasets.catalogue import find_dataset
    from czrun.datasets.locate import without_fetching
    from czrun.datasets.public import public_datasets
    from czrun.datasets.summary import summarise
    from czrun.keywords import x_kind

    spec = find_dataset(name)
    changes = {"layer": layer, "x": x_kind(x)}
    spec = spec.model_copy(update={key: value for key, value in changes.items() if value})
    local = without_fetching(spec)
    if local:
        print_dataset(summarise(local), plot=plot)
    else:
        print_away(spec, public_datasets().get(spec.name))


@app.command("prepare")
@takes(TaskFlags)
def prepare(
    name: Annotated[str | None, typer.Argument(help="A name, a file, a YAML, or census.")] = None,
    **data: Any,  # noqa: ANN401 - the flags of TaskFlags
) -> None:
    """Prepare what evaluate would hand to containers, so that evaluating starts at once."""
    cells = read_data(data)
    from czrun.api import prepare_data
    from czrun.cli.output import print_prepared, watcher

    with watcher(sys.stderr) as observer:
        manifests = prepare_data(name, observer=observer, **cells)
    print_prepared(manifests)
