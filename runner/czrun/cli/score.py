"""``czrun score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from czrun.cli import flags
from czrun.cli.flags import Format, parse_pairs


def score(
    predictions: Annotated[
        Path | None, typer.Option(help="Folder with the files that the task asks for (czrun tasks show).")
    ] = None,
    obsm: Annotated[
        str | None, typer.Option(help="In place of --predictions: the data set's obsm with an embedding.")
    ] = None,
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
    seed: Annotated[int, typer.Option(help="Seed of the split, where the task needs one.")] = 0,
    metric: flags.Metrics = None,
    rows: Annotated[
        Path | None, typer.Option(help="Also write the single answers to this CSV file, one row a cell.")
    ] = None,
    format_: flags.Style = Format.TABLE,
) -> None:
    """Score answers that are there already: no image, no container.

    The files hold one row for each cell of the data set, in its order and by its ids. All cells are scored at
    once, unless a split is asked for, or the task trains classifiers on an embedding.
    """
    columns = parse_pairs("--obs", obs, "organism=species")
    from czrun.api import score as run
    from czrun.cli.output import print_scores
    from czrun.tasks.registry import chosen_metrics, find_task

    shown = chosen_metrics(find_task(task), metric or [])
    result = run(
        predictions,
        dataset,
        task,
        embedding=obsm,
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
    )
    if rows:
        result.write_rows(rows)
    print_scores(result.record, format_.value, shown)
