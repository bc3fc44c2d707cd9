"""Every task on real data that fit it, an image that does the work beside the task's control.

    uv run python benchmarks/tasks.py [--data FOLDER] [--task TASK ...] [--output FILE.md]

The data sets are those of the tests, see `CZRUN_TEST_DATA`. Prints one row an evaluation: the primary metric
with its interval, the control's value, and what the containers took.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import czrun

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """One evaluation: a task, an image, a data set, and how its columns are called."""

    task: str
    image: str
    dataset: str
    metrics: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case(
        "cell-type-classification",
        "logistic-regression",
        "zheng2017_pbmc_facs.h5ad",
        ("macro_f1", "accuracy"),
        {"split": "predefined", "split_key": "original_split"},
    ),
    Case("embedding", "pca", "zheng2017_pbmc_facs.h5ad", ("silhouette", "probe_accuracy")),
    Case("clustering", "pca", "zheng2017_pbmc_facs.h5ad", ("ari", "nmi")),
    Case("clustering", "kmeans", "tian2019_scmixology_5batches.h5ad", ("ari", "nmi")),
    Case(
        "batch-integration",
        "pca",
        "tian2019_scmixology_5batches.h5ad",
        ("mixing_entropy", "bras", "scib_overall"),
    ),
    Case(
        "batch-integration",
        "pca-centred",
        "tian2019_scmixology_5batches.h5ad",
        ("mixing_entropy", "bras", "scib_overall"),
    ),
    Case(
        "cross-species-integration",
        "pca-centred",
        "baron2016_pancreas_human_mouse_350.h5ad",
        ("mixing_entropy", "transfer_accuracy"),
    ),
    Case(
        "cross-species-label-transfer",
        "logistic-regression",
        "baron2016_pancreas_human_mouse_350.h5ad",
        ("macro_f1", "accuracy"),
    ),
    Case(
        "cross-species-label-transfer",
        "pca",
        "baron2016_pancreas_human_mouse_350.h5ad",
        ("macro_f1", "transfer_accuracy"),
    ),
    Case(
        "cross-species-label-transfer",
        "logistic-regression",
        "croconet_primate_neural_timecourse.h5ad",
        ("macro_f1", "accuracy"),
        {"folds": 3},
    ),
    Case(
        "perturbation-prediction",
        "additive-perturbation",
        "kang2018_pbmc_ifnb_labelled.h5ad",
        ("pearson_delta", "lfc_spearman", "pearson_delta_ceiling"),
        {"split": "kfold", "group_key": "cell_type"},
    ),
    Case(
        "perturbation-prediction",
        "ridge-perturbation",
        "papalexi2021_thp1_crispr_rep12.h5ad",
        ("pearson_delta", "mse", "pearson_delta_ceiling"),
        {"split": "kfold"},
    ),
    Case(
        "sequential-ordering",
        "ridge-time",
        "klein2015_mESC_timecourse.h5ad",
        ("sequential_alignment", "pseudotime_spearman"),
        {"time_key": "time_day"},
    ),
    Case(
        "sequential-ordering",
        "pca",
        "croconet_primate_neural_timecourse.h5ad",
        ("sequential_alignment", "time_silhouette"),
        {"time_key": "time_day"},
    ),
    Case(
        "anomaly-detection",
        "isolation-forest",
        "stoeckius2018_cellline_hashing_doublets.h5ad",
        ("anomaly_auroc", "anomaly_auprc"),
        {"anomaly": "doublet_label=Doublet"},
    ),
    Case(
        "anomaly-detection",
        "library-size",
        "tian2019_scmixology_5batches.h5ad",
        ("anomaly_auroc", "anomaly_auprc"),
        {"anomaly": "cells_sorted_per_well=2.0", "drop_unlabelled": True},
    ),
    Case(
        "image-classification",
        "pixel-logistic-regression",
        "zheng2018_wbc_images_d1.npz",
        ("macro_f1", "accuracy"),
        {"label_key": "labels", "split": "kfold"},
    ),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CZRUN_TEST_DATA") or DEFAULT_DATA))
    parser.add_argument("--task", action="append", help="only this task; repeatable")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    options = parser.parse_args(argv)
    cases = [case for case in CASES if not options.task or case.task in options.task]
    with tempfile.TemporaryDirectory(prefix="czrun-tasks-") as runs:
        lines = []
        for line in table(cases, options.data, Path(runs)):
            print(line, flush=True)
            lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(cases: Sequence[Case], data: Path, runs: Path) -> Iterator[str]:
    """Yield a Markdown table, each row when its evaluation is done."""
    yield "| task | image | data set | metric | value | 95 % interval | control | fit + predict |"
    yield "|---|---|---|---|---|---|---|---|"
    for case in cases:
        result = czrun.evaluate(
            f"czrun/{case.image}:latest", data / case.dataset, case.task, output=runs, **case.options
        )
        result.raise_for_status()
        frame = result.to_frame()
        phases = [p for trial in result.record.model.trials for p in (trial.fit, trial.predict) if p]
        cost = f"{sum(phase.seconds for phase in phases):.1f} s"
        for number, name in enumerate(case.metrics):
            row = frame.loc[name]
            first = (case.task, case.image, Path(case.dataset).stem, cost)
            task, image, dataset, spent = first if number == 0 else ("", "", "", "")
            interval = f"{row['low']:.3f} – {row['high']:.3f}" if row["low"] == row["low"] else "–"
            control = f"{row['control']:.3f}" if row["control"] == row["control"] else "–"
            value = f"{row['value']:.3f}" if row["value"] == row["value"] else "–"
            yield f"| {task} | {image} | {dataset} | {name} | {value} | {interval} | {control} | {spent} |"


if __name__ == "__main__":
    main()
