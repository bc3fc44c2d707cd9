"""``czrun evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from czrun.cli import flags
from czrun.cli.data_flags import DataFlags, read_data, takes
from czrun.cli.flags import Format, parse_pairs


@takes(DataFlags)
def evaluate(
    image: Annotated[str, typer.Option(help="The model's image, for example my-model:latest.")],
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
    **data: Any,  # noqa: ANN401 - the flags of DataFlags
) -> None:
    """Fit a model image, ask it about cells it never saw, and score its answers.

    Results go to stdout, progress to stderr. The exit code says what failed: 2 usage, 3 data, 4 contract,
    5 engine, 6 model, 7 scoring.
    """
    params = parse_pairs("--param", param, "C=0.5")
    cells = read_data(data)
    from czrun.api import evaluate as run
    from czrun.cli.output import print_result, watcher
    from czrun.tasks.registry import chosen_metrics, find_task

    shown = chosen_metrics(find_task(data["task"]), metric or [])
    with watcher(sys.stderr) as observer:
        result = run(
            image=image,
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
            **cells,
        )
    if result.metrics or format_ is Format.JSON:
        print_result(result.record, result.folder, format_.value, shown)
    result.raise_for_status()
