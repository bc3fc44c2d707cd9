"""The flags that say which cells, for which task, divided how: the same for every command that takes them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from czrun.cli.flags import parse_pairs

Command = TypeVar("Command", bound=Callable[..., None])


class CellFlags:
    """What a data set's columns and numbers are, and which of its cells take part."""

    label_key: Annotated[
        str | None, typer.Option(help="obs column with the label.  [default: cell_type]")
    ] = None
    donor_key: Annotated[
        str | None,
        typer.Option(help="obs column with the donor, by which intervals cluster.  [default: donor_id]"),
    ] = None
    batch_key: Annotated[str | None, typer.Option(help="obs column with the batch.  [default: batch]")] = None
    time_key: Annotated[
        str | None, typer.Option(help="obs column with the time, a number.  [default: time]")
    ] = None
    obs: Annotated[
        list[str] | None,
        typer.Option(help="Another obs column, NAME=COLUMN: organism, perturbation, is_control, context …"),
    ] = None
    anomaly: Annotated[
        str | None,
        typer.Option(help="Which cells are anomalous: COLUMN=VALUE[,VALUE …], or COLUMN of true/false."),
    ] = None
    layer: Annotated[
        str | None, typer.Option(help="X, raw, or a layer's name.  [default: where counts are]")
    ] = None
    x: Annotated[str | None, typer.Option(help="What X holds: counts, normalized, log1p, other.")] = None
    drop_unlabelled: Annotated[
        bool,
        typer.Option("--drop-unlabelled", help="Leave out cells without a label, or what else is needed."),
    ] = False
    where: Annotated[
        list[str] | None,
        typer.Option(help="Take only cells with COLUMN=VALUE[,VALUE …]; repeatable, all must hold."),
    ] = None
    tissue: Annotated[list[str] | None, typer.Option(help="Take only cells of this tissue; repeatable.")] = (
        None
    )
    disease: Annotated[list[str] | None, typer.Option(help="The same for the disease; normal is one.")] = None
    assay: Annotated[list[str] | None, typer.Option(help="The same for the assay.")] = None
    organism: Annotated[
        str | None,
        typer.Option(help="Organism to ask Census for; or that of all cells of a file."),
    ] = None
    max_cells: Annotated[
        int | None, typer.Option(help="Take at most so many cells, drawn by strata with the seed.")
    ] = None
    stratify: Annotated[
        str | None,
        typer.Option(help="Columns whose combinations are the strata, COLUMN[,COLUMN …].  [default: label]"),
    ] = None
    obs_filter: Annotated[
        str | None, typer.Option(help="Census only: a further SOMA value filter, such as sex == 'female'.")
    ] = None
    census_version: Annotated[
        str | None,
        typer.Option(help="Census only: stable, latest, a release, a URI or a path.  [default: stable]"),
    ] = None
    seed: Annotated[
        int, typer.Option(help="Seed of the split, of --max-cells, and a model's first seed.")
    ] = 0


class TaskFlags(CellFlags):
    """What is asked of the cells, and how they are divided."""

    task: Annotated[str, typer.Option(help="A task (czrun tasks list).")] = "cell-type-classification"
    train_on: Annotated[
        list[str] | None,
        typer.Option(help="Train on cells of COLUMN=VALUE[,VALUE …] or COLUMN<=NUMBER; or on a data set."),
    ] = None
    test_on: Annotated[
        list[str] | None, typer.Option(help="The same for the test.  [default: all other cells]")
    ] = None
    orthologs: Annotated[
        Path | None, typer.Option(help="A table of orthologs, for data sets of different organisms.")
    ] = None
    label_map: Annotated[
        Path | None, typer.Option(help="A YAML that says which labels of two data sets are the same.")
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            help="holdout, kfold, group-holdout, group-kfold, leave-one-group-out, predefined or whole.  "
            "[default: the task's]"
        ),
    ] = None
    group_key: Annotated[
        str | None,
        typer.Option(help="obs column whose groups stay on one side; or donor, batch, tissue, time …"),
    ] = None
    split_key: Annotated[str | None, typer.Option(help="obs column with train and test, for predefined.")] = (
        None
    )
    folds: Annotated[int | None, typer.Option(help="Folds of a k-fold split.  [default: 5]")] = None
    test_size: Annotated[float, typer.Option(help="Share of cells to hold out.")] = 0.2
    inner_folds: Annotated[
        int | None,
        typer.Option(help="Divide training cells for the model's own tuning (obs fold)."),
    ] = None


class DataFlags(TaskFlags):
    """Which data set, too."""

    dataset: Annotated[
        str | None,
        typer.Option(
            help="A name (czrun datasets list), a file, a YAML, or census.  [default: pbmc68k_reduced]"
        ),
    ] = None


def takes(flags: type[CellFlags]) -> Callable[[Command], Command]:
    """Give a command that takes ``**data`` further flags; it gets what they say as keywords."""

    def decorate(command: Command) -> Command:
        own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "data"]
        shared = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(flags, name), annotation=hint)
            for name, hint in get_type_hints(flags, include_extras=True).items()
        ]
        # The data set and the task come first in --help.
        shared = [
            *(each for each in shared if each.name in _FIRST),
            *(each for each in shared if each.name not in _FIRST),
        ]
        keywords = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in own]
        needed = [each for each in keywords if each.default is Parameter.empty]
        rest = [each for each in keywords if each.default is not Parameter.empty]
        everything = [*needed, *shared, *rest]
        # Typer reads a command's parameters from these two.
        command.__signature__ = Signature(everything)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in everything}
        return command

    return decorate


_FIRST = ("dataset", "task")
"""What --help shows first."""


def read_data(data: dict[str, Any]) -> dict[str, Any]:
    """Bring what these flags say into the form of Python's keywords; raises UsageError."""
    return {
        **data,
        "obs": parse_pairs("--obs", data["obs"], "organism=species"),
        "stratify": tuple(data["stratify"].split(",")) if data["stratify"] else None,
        "drop_unlabelled": data["drop_unlabelled"] or None,
    }
