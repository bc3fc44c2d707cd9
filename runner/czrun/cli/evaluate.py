"""``czrun evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from czrun.cli import flags
from czrun.cli.flags import Format, parse_pairs


def evaluate(
    image: Annotated[str, typer.Option(help="The model's image, for example my-model:latest.")],
    dataset: flags.Dataset = "pbmc68k_reduced",
    task: flags.TaskName = "cell-type-classification",
    label_key: flags.LabelKey = None,
    donor_key: flags.DonorKey = None,
    batch_key: flags.BatchKey = None,
    time_key: flags.TimeKey = None,
    obs: flags.Obs = None,
    anomaly: flags.Anomaly = None,
    layer: flags.Layer = None,
    x: flags.X = None,
    drop_unlabelled: flags.DropUnlabelled = False,
    split: flags.Split = None,
    group_key: flags.GroupKey = None,
    split_key: flags.SplitKey = None,
    folds: flags.Folds = None,
    test_size: flags.TestSize = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the split, and the model's first seed.")] = 0,
    seeds: Annotated[int, typer.Option(help="How many seeds to fit the model with.")] = 1,
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter of the model, NAME=VALUE; repeatable.")
    ] = None,
    cpus: Annotated[float, typer.Option(help="CPUs per container.")] = 2,
    memory: Annotated[str, typer.Option(help="Memory per container.")] = "4GiB",
    gpus: Annotated[int, typer.Option(help="GPUs per container.")] = 0,
    timeout: Annotated[str, typer.Option(help="Wall-clock limit per container.")] = "30m",
    metric: flags.Metrics = None,
    output: flags.Runs = Path("runs"),
    format_: flags.Style = Format.TABLE,
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
    params = parse_pairs("--param", param, "C=0.5")
    columns = parse_pairs("--obs", obs, "organism=species")
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
            batch_key=batch_key,
            time_key=time_key,
            obs=columns,
            anomaly=anomaly,
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
