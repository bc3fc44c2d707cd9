"""``czrun evaluate``."""

from __future__ import annotations

import sys
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


def evaluate(
    image: Annotated[str, typer.Option(help="The model's image, for example my-model:latest.")],
    dataset: Annotated[
        str, typer.Option(help="A name (czrun datasets list), an .h5ad file or a YAML.")
    ] = "pbmc68k_reduced",
    task: Annotated[str, typer.Option(help="A task (czrun tasks list).")] = "cell-type-classification",
    label_key: Annotated[
        str | None, typer.Option(help="obs column with the label.  [default: cell_type]")
    ] = None,
    donor_key: Annotated[
        str | None,
        typer.Option(help="obs column with the donor, by which intervals cluster.  [default: donor_id]"),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="X, raw, or a layer's name.  [default: X]")] = None,
    x: Annotated[str | None, typer.Option(help="What X holds: counts, normalized, log1p, other.")] = None,
    drop_unlabelled: Annotated[
        bool, typer.Option("--drop-unlabelled", help="Leave out cells without a label.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="holdout, kfold, group-holdout, group-kfold or predefined.")
    ] = "holdout",
    group_key: Annotated[
        str | None, typer.Option(help="obs column whose groups (donors, batches) stay on one side.")
    ] = None,
    split_key: Annotated[
        str | None, typer.Option(help="obs column with train and test, for predefined.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Folds of a k-fold split.")] = 5,
    test_size: Annotated[float, typer.Option(help="Share of cells to hold out.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the split, and the model's first seed.")] = 0,
    seeds: Annotated[int, typer.Option(help="How many seeds to fit the model with.")] = 1,
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter of the model, NAME=VALUE; repeatable.")
    ] = None,
    cpus: Annotated[float, typer.Option(help="CPUs per container.")] = 2,
    memory: Annotated[str, typer.Option(help="Memory per container.")] = "4GiB",
    gpus: Annotated[int, typer.Option(help="GPUs per container.")] = 0,
    timeout: Annotated[str, typer.Option(help="Wall-clock limit per container.")] = "30m",
    metric: Annotated[
        list[str] | None, typer.Option(help="Show only this metric; repeatable (all are recorded).")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder of all runs.", envvar="CZRUN_RUNS", show_envvar=False)
    ] = Path("runs"),
    format_: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take earlier results where nothing changed.")
    ] = True,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="Run the task's negative control beside the model.")
    ] = True,
) -> None:
    """Fit a model image, ask it about cells it never saw, and score its answers.

    Results go to stdout, progress to stderr. The exit code says what failed: 2 usage, 3 data, 4 contract,
    5 engine, 6 model, 7 scoring.
    """
    params = _parse_params(param or [])
    from czrun.api import evaluate as run
    from czrun.cli.output import print_result, watcher
    from czrun.tasks.registry import chosen_metrics, find_task

    shown = chosen_metrics(find_task(task), metric or [])
    with watcher(sys.stderr) as observer:
        result = run(
            image=image,
            dataset=dataset,
            task=task,
            label_key=label_key,
            donor_key=donor_key,
            layer=layer,
            x=x,
            drop_unlabelled=drop_unlabelled or None,
            split=split,
            group_key=group_key,
            split_key=split_key,
            folds=folds,
            test_size=test_size,
            seed=seed,
            seeds=seeds,
            params=params,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            timeout=timeout,
            output=output,
            use_cache=cache,
            control=control,
            observer=observer,
        )
    if result.metrics or format_ is Format.JSON:
        print_result(result.record, result.folder, format_.value, shown)
    result.raise_for_status()


def _parse_params(texts: list[str]) -> dict[str, str]:
    params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text}: it has the form NAME=VALUE.", "For example --param C=0.5.")
        params[name] = value
    return params
