"""Flags that several commands share: which cells, divided how, and how results are printed."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from czrun.errors import UsageError


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Metrics = Annotated[
    list[str] | None, typer.Option(help="Show only this metric; repeatable (all are recorded).")
]
Runs = Annotated[
    Path, typer.Option("--output", help="Folder of all runs.", envvar="CZRUN_RUNS", show_envvar=False)
]
Style = Annotated[Format, typer.Option("--format", help="How to print the result.")]


class DataFlags:
    """Which cells, for which task, divided how: the flags that `takes_data` gives to a command."""

    dataset: Annotated[
        str,
        typer.Option(help="A name (czrun datasets list), a file or folder of cells or images, or a YAML."),
    ] = "pbmc68k_reduced"
    task: Annotated[str, typer.Option(help="A task (czrun tasks list).")] = "cell-type-classification"
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
    split: Annotated[
        str | None,
        typer.Option(
            help="holdout, kfold, group-holdout, group-kfold, predefined or whole.  [default: the task's]"
        ),
    ] = None
    group_key: Annotated[
        str | None, typer.Option(help="obs column whose groups (donors, batches) stay on one side.")
    ] = None
    split_key: Annotated[str | None, typer.Option(help="obs column with train and test, for predefined.")] = (
        None
    )
    folds: Annotated[int | None, typer.Option(help="Folds of a k-fold split.  [default: 5]")] = None
    test_size: Annotated[float, typer.Option(help="Share of cells to hold out.")] = 0.2
    seed: Annotated[int, typer.Option(help="Seed of the split, and a model's first seed.")] = 0


def takes_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes ``**data`` the flags of `DataFlags`; it gets what they say as keywords."""
    own = [each for each in signature(command, eval_str=True).parameters.values() if each.name != "data"]
    flags = get_type_hints(DataFlags, include_extras=True)
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(DataFlags, name), annotation=hint)
        for name, hint in flags.items()
    ]
    keywords = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in own]
    needed = [each for each in keywords if each.default is Parameter.empty]
    rest = [each for each in keywords if each.default is not Parameter.empty]
    everything = [*needed, *shared, *rest]
    # Typer reads a command's parameters from these two.
    command.__signature__ = Signature(everything)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in everything}
    return command


def read_data(data: dict[str, Any]) -> dict[str, Any]:
    """Bring what the flags of `DataFlags` say into the form of Python's keywords; raises UsageError."""
    obs = parse_pairs("--obs", data["obs"], "organism=species")
    return {**data, "obs": obs, "drop_unlabelled": data["drop_unlabelled"] or None}


def parse_pairs(flag: str, texts: list[str] | None, example: str) -> dict[str, str]:
    """Read NAME=VALUE arguments; raises UsageError."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {text}: it has the form NAME=VALUE.", f"For example {flag} {example}.")
        pairs[name] = value
    return pairs
