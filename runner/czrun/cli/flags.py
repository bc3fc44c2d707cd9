"""Flags that several commands share: which cells, divided how, and how results are printed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from czrun.errors import UsageError


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Dataset = Annotated[str, typer.Option(help="A name (czrun datasets list), an .h5ad file, images, or a YAML.")]
TaskName = Annotated[str, typer.Option(help="A task (czrun tasks list).")]
LabelKey = Annotated[str | None, typer.Option(help="obs column with the label.  [default: cell_type]")]
DonorKey = Annotated[
    str | None,
    typer.Option(help="obs column with the donor, by which intervals cluster.  [default: donor_id]"),
]
BatchKey = Annotated[str | None, typer.Option(help="obs column with the batch.  [default: batch]")]
TimeKey = Annotated[str | None, typer.Option(help="obs column with the time, a number.  [default: time]")]
Obs = Annotated[
    list[str] | None,
    typer.Option(help="Another obs column, NAME=COLUMN: organism, perturbation, is_control, context …"),
]
Anomaly = Annotated[
    str | None,
    typer.Option(help="Which cells are anomalous: COLUMN=VALUE[,VALUE …], or COLUMN of true/false."),
]
Layer = Annotated[str | None, typer.Option(help="X, raw, or a layer's name.  [default: X]")]
X = Annotated[str | None, typer.Option(help="What X holds: counts, normalized, log1p, other.")]
DropUnlabelled = Annotated[
    bool, typer.Option("--drop-unlabelled", help="Leave out cells without a label, or what else is needed.")
]
Split = Annotated[
    str | None,
    typer.Option(
        help="holdout, kfold, group-holdout, group-kfold, predefined or whole.  [default: the task's]"
    ),
]
GroupKey = Annotated[
    str | None, typer.Option(help="obs column whose groups (donors, batches) stay on one side.")
]
SplitKey = Annotated[str | None, typer.Option(help="obs column with train and test, for predefined.")]
Folds = Annotated[int | None, typer.Option(help="Folds of a k-fold split.  [default: 5]")]
TestSize = Annotated[float, typer.Option(help="Share of cells to hold out.")]
Metrics = Annotated[
    list[str] | None, typer.Option(help="Show only this metric; repeatable (all are recorded).")
]
Runs = Annotated[
    Path, typer.Option("--output", help="Folder of all runs.", envvar="CZRUN_RUNS", show_envvar=False)
]
Style = Annotated[Format, typer.Option("--format", help="How to print the result.")]


def parse_pairs(flag: str, texts: list[str] | None, example: str) -> dict[str, str]:
    """Read NAME=VALUE arguments; raises UsageError."""
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {text}: it has the form NAME=VALUE.", f"For example {flag} {example}.")
        pairs[name] = value
    return pairs
