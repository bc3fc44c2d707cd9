"""Flags that several commands share: which results are printed, how, and where runs are."""

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
