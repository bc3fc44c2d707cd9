"""Every task end to end: a real image on real data beats the task's control, which scores as chance does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from czrun.metrics.registry import all_metrics
from czrun.tasks.registry import BUILT_IN
from made_images import png

if TYPE_CHECKING:
    from .conftest import Czrun

TIAN, BARON, KLEIN = (
    "tian2019_scmixology_5batches",
    "baron2016_pancreas_human_mouse_350",
    "klein2015_mESC_timecourse",
)
# Task, image, data set, arguments, metric, the least value that the image must reach.
CASES = [
    ("embedding", "pca", TIAN, [], "probe_accuracy", 0.95),
    ("clustering", "kmeans", TIAN, [], "ari", 0.5),
    ("clustering", "pca", TIAN, [], "nmi", 0.6),
    ("batch-integration", "pca-centred", TIAN, [], "scib_overall", 0.6),
    ("cross-species-integration", "pca-centred", BARON, [], "transfer_accuracy", 0.4),
    ("cross-species-label-transfer", "logistic-regression", BARON, [], "macro_f1", 0.7),
    ("cross-species-label-transfer", "pca", BARON, [], "transfer_accuracy", 0.6),
    (
        "perturbation-prediction",
        "additive-perturbation",
        "kang2018_pbmc_ifnb_labelled",
        ["--group-key", "cell_type"],
        "pearson_delta",
        0.7,
    ),
    (
        "perturbation-prediction",
        "ridge-perturbation",
        "papalexi2021_thp1_crispr_rep12",
        [],
        "pearson_delta",
        0.1,
    ),
    ("sequential-ordering", "ridge-time", KLEIN, ["--time-key", "time_day"], "pseudotime_spearman", 0.85),
    (
        "anomaly-detection",
        "library-size",
        TIAN,
        ["--anomaly", "cells_sorted_per_well=2.0", "--drop-unlabelled"],
        "anomaly_auroc",
        0.7,
    ),
    (
        "image-classification",
        "pixel-logistic-regression",
        "zheng2018_wbc_images_d1",
        ["--label-key", "labels"],
        "accuracy",
        0.8,
    ),
]


def test_every_task_but_the_one_of_all_other_tests_is_here() -> None:
    assert {case[0] for case in CASES} == set(BUILT_IN) - {"cell-type-classification"}


@pytest.mark.parametrize(
    ("task", "image", "dataset", "arguments", "metric", "least"),
    CASES,
    ids=[f"{case[0]}-{case[1]}" for case in CASES],
)
def test_an_image_beats_the_control(
    czrun: Czrun,
    real_data: Path,
    task: str,
    image: str,
    dataset: str,
    arguments: list[str],
    metric: str,
    least: float,
) -> None:
    czrun(
        "evaluate",
        "--task",
        task,
        "--image",
        f"czrun/{image}:latest",
        "--dataset",
        str(next(real_data.glob(f"{dataset}.*"))),
        *arguments,
    ).succeeded()
    record = czrun.record()
    found = record["model"]["scores"]["metrics"]
    assert list(found) == list(BUILT_IN[task].metrics)
    assert found[metric]["value"] >= least
    control = record["control"]["scores"]["metrics"][metric]
    assert control["value"] is None or control["value"] < found[metric]["value"]
    assert record["control"]["status"] == "succeeded", record["control_note"]
    _is_sound(found)


def test_folders_of_image_files_score_as_the_archive_does(
    czrun: Czrun, real_data: Path, tmp_path: Path
) -> None:
    with np.load(real_data / "zheng2018_wbc_images_d1.npz") as archive:
        images, names = archive["images"], archive["label_names"][archive["labels"]]
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        png(tmp_path / "wbc" / str(name) / f"{number}.png", image)
    flags = ("--task", "image-classification", "--split", "kfold", "--no-control")
    czrun(
        "evaluate",
        "--image",
        "czrun/pixel-logistic-regression:latest",
        "--dataset",
        f"{tmp_path}/wbc",
        *flags,
    ).succeeded()
    record = czrun.record()
    assert "the class folders were taken for 'cell_type'" in record["dataset"]["notes"]
    assert record["model"]["scores"]["metrics"]["accuracy"]["value"] >= 0.9


def _is_sound(metrics: dict[str, Any]) -> None:
    """Check that every metric has a value in its range, or a reason."""
    infos = all_metrics()
    for name, metric in metrics.items():
        low, high = infos[name].range.low, infos[name].range.high
        if metric["value"] is None:
            assert metric["reason"], name
            continue
        assert low is None or low <= metric["value"], name
        assert high is None or metric["value"] <= high, name
        assert metric["interval"] or metric["interval_reason"], name
