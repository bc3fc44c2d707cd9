"""What every metric answers to perfect, random and adversarial input: new metrics have to join the table."""

from __future__ import annotations

import math
from typing import Any

import pytest

from czrun.errors import ScoringError
from czrun.metrics.anomaly import METRICS as ANOMALY
from czrun.metrics.classification import METRICS as CLASSIFICATION
from czrun.metrics.probes import METRICS as PROBES
from czrun.metrics.registry import all_metrics
from czrun.metrics.transfer import METRICS as TRANSFER
from metric_trials import CALLS, N_CONDITIONS, TRIALS, score

pytestmark = pytest.mark.slow

REFUSED = object()
"""A ScoringError."""
UNASKED = object()
"""Not asked: cells taken twice have the same averages, and it would take seconds to find so."""

AS_PERFECT = object()
"""The perfect trial's value, give or take rounding and, with every cell taken twice, a little more."""

Row = dict[str, Any]


def row(perfect: Any, random: Any, constant: Any, *, two_cells: Any, **more: Any) -> Row:
    """Say what a metric answers: a number, or the reason for none. Unsaid: as for the perfect trial."""
    usual = {"nan": REFUSED, "inf": REFUSED, "one_label": AS_PERFECT, "one_batch": AS_PERFECT}
    found = {"perfect": perfect, "random": random, "constant": constant, "two_cells": two_cells}
    return {**usual, "twice": AS_PERFECT, **found, **more}


def near(value: float, within: float) -> Any:
    return pytest.approx(value, abs=within)


SINGLE = "all cells have one label, or every cell has its own"
ONE_PLACE = "all cells lie in one place"
PUT_IN_ONE_PLACE = "the embedding puts all cells in one place"
ONE_BATCH = "all cells are of one batch"
ONE_LABEL = "all cells have one label"
NO_MIXED_LABEL = "no label has cells of several batches, and more cells than batches"
NO_GENE = "no gene is differentially expressed in truth"
NO_ANOMALY = "no cell is anomalous"
NO_SILHOUETTE = "no cell of the isolated labels has a silhouette"
SMALL_LABELS = "fewer than two labels have 10 cells"

CHANCE = near(1 / 3, 0.1)
ALMOST_ALL = near(1, 0.05)

TABLE: dict[str, Row] = {
    # Predicted labels. The constant one is right for a third: F1 is 1/2 for that class and 0 for two.
    "macro_f1": row(1, CHANCE, 1 / 6, two_cells=1),
    "weighted_f1": row(1, CHANCE, 1 / 6, two_cells=1),
    "accuracy": row(1, CHANCE, 1 / 3, two_cells=1),
    "balanced_accuracy": row(1, CHANCE, 1 / 3, two_cells=1),
    "macro_precision": row(1, CHANCE, 1 / 9, two_cells=1),
    "macro_recall": row(1, CHANCE, 1 / 3, two_cells=1),
    "mcc": row(
        1,
        near(0, 0.15),
        CLASSIFICATION["mcc"].undefined,
        two_cells=1,
        one_label=CLASSIFICATION["mcc"].undefined,
    ),
    "unassigned_rate": row(0, 0, 0, two_cells=0),
    # Probabilities that are all a third: every pair of cells ties, and a third of the cells is of class a.
    "auroc_ovr_macro": row(1, 0.5, 0.5, two_cells=1, one_label="all test cells are of one class"),
    "log_loss": row(0, math.log(3), math.log(3), two_cells=0),
    "expected_calibration_error": row(0, 0, 0, two_cells=0),
    # Clusters.
    "ari": row(1, near(0, 0.03), 0, two_cells=SINGLE, one_label=SINGLE),
    "nmi": row(1, near(0, 0.03), 0, two_cells=SINGLE, one_label=SINGLE),
    "ami": row(1, near(0, 0.03), 0, two_cells=SINGLE, one_label=SINGLE),
    "homogeneity": row(1, near(0, 0.03), 0, two_cells=SINGLE, one_label=SINGLE),
    "completeness": row(1, near(0, 0.03), 1, two_cells=SINGLE, one_label=SINGLE),
    "n_clusters": row(3, 3, 1, two_cells=2),
    # Silhouettes. Batches that nothing tells apart have widths of about 0 within their label.
    "silhouette": row(
        ALMOST_ALL,
        near(0.5, 0.02),
        ONE_PLACE,
        two_cells="every cell has a label of its own",
        one_label=ONE_LABEL,
    ),
    "time_silhouette": row(
        ALMOST_ALL,
        near(0.5, 0.02),
        ONE_PLACE,
        two_cells="every cell has a label of its own",
        one_label=ONE_LABEL,
    ),
    "batch_silhouette": row(
        near(0.95, 0.05),
        near(0.95, 0.05),
        ONE_PLACE,
        two_cells=NO_MIXED_LABEL,
        one_label=near(0.98, 0.02),
        one_batch=NO_MIXED_LABEL,
    ),
    "bras": row(
        near(0.95, 0.08),
        near(0.95, 0.08),
        "all cells lie in one direction from the origin",
        two_cells=NO_MIXED_LABEL,
        one_label=near(0.98, 0.02),
        one_batch=NO_MIXED_LABEL,
    ),
    # Batches in neighbourhoods. A cell's twin is of its own batch, which looks as if batches kept apart.
    "mixing_entropy": row(ALMOST_ALL, ALMOST_ALL, PUT_IN_ONE_PLACE, two_cells=1, one_batch=ONE_BATCH),
    "kbet": row(
        near(0.95, 0.05),
        near(0.95, 0.05),
        PUT_IN_ONE_PLACE,
        two_cells="there are no more cells than the 50 of a neighbourhood",
        one_batch=ONE_BATCH,
        twice=near(0.8, 0.1),
    ),
    "ilisi": row(
        near(0.93, 0.05),
        near(0.93, 0.05),
        PUT_IN_ONE_PLACE,
        two_cells="there are fewer than 10 cells",
        one_batch=ONE_BATCH,
        twice=near(0.8, 0.1),
    ),
    "cilisi": row(
        near(0.93, 0.05),
        near(0.93, 0.05),
        PUT_IN_ONE_PLACE,
        two_cells="no label has 10 cells and two batches",
        one_batch="no label has 10 cells and two batches",
        twice=near(0.87, 0.05),
    ),
    "clisi": row(
        ALMOST_ALL,
        near(0.15, 0.1),
        PUT_IN_ONE_PLACE,
        two_cells="there are fewer than 10 cells",
        one_label=ONE_LABEL,
    ),
    # One label on three clumps: a third of it hangs together. Random cells find neighbours of any label.
    "graph_connectivity": row(1, near(1, 0.02), PUT_IN_ONE_PLACE, two_cells=1, one_label=1 / 3),
    "isolated_labels": row(
        ALMOST_ALL,
        near(0.5, 0.02),
        NO_SILHOUETTE,
        two_cells=NO_SILHOUETTE,
        one_label=ONE_LABEL,
        one_batch=ONE_BATCH,
    ),
    # Of two cells in two batches, all variance lies between the batches, before as after.
    "pcr": row(near(0, 0.02), near(0, 0.02), PUT_IN_ONE_PLACE, two_cells=1, one_batch=ONE_BATCH),
    "pcr_comparison": row(near(1, 0.02), near(1, 0.1), PUT_IN_ONE_PLACE, two_cells=0, one_batch=ONE_BATCH),
    # 0.6 and 0.4 of the parts above, which a random embedding fails and passes. Twins leave a cell but seven
    # places among its neighbours, and Leiden splits labels.
    "scib_overall": row(
        ALMOST_ALL,
        near(0.52, 0.03),
        "silhouette, isolated_labels, clisi, pcr_comparison, batch_silhouette, graph_connectivity, ilisi, "
        "kbet are undefined",
        two_cells="silhouette, isolated_labels, clisi, batch_silhouette, ilisi, kbet are undefined",
        one_label="silhouette, isolated_labels, clisi are undefined",
        one_batch="isolated_labels, pcr_comparison, batch_silhouette, ilisi, kbet are undefined",
        twice=near(0.85, 0.1),
    ),
    # Perturbations. Predictions without any change tie: a condition's own change is then in the middle of
    # four, and the 12 genes to be found are a fifth of all.
    "pearson_delta": row(1, near(0, 0.1), all_metrics()["pearson_delta"].undefined, two_cells=1),
    "lfc_spearman": row(
        1,
        near(0, 0.4),
        all_metrics()["lfc_spearman"].undefined,
        two_cells=all_metrics()["lfc_spearman"].undefined,
    ),
    "mse": row(0, near(2.5, 0.3), near(1.5, 0.1), two_cells=0),
    "mae": row(0, near(1.2, 0.1), near(0.65, 0.05), two_cells=0),
    "differential_expression_score": row(1, 0, 0, two_cells=NO_GENE),
    "perturbation_discrimination": row(
        1,
        near(0.625, 0.375),
        0.5 + 0.5 / N_CONDITIONS,
        two_cells="there is only one condition",
        one_label="there is only one condition",
    ),
    "top_k_precision": row(1, near(0.2, 0.1), near(0.2, 0.03), two_cells=NO_GENE),
    "top_k_jaccard": row(1, near(0.11, 0.08), near(0.11, 0.03), two_cells=NO_GENE),
    "de_direction": row(1, near(0.5, 0.15), 0, two_cells=NO_GENE),
    # Of the true cells alone, whatever a model says; two halves of a cell each agree less.
    "pearson_delta_ceiling": row(
        near(0.98, 0.02), near(0.98, 0.02), near(0.98, 0.02), two_cells=near(0.88, 0.1)
    ),
    # Time and pseudotime.
    "sequential_alignment": row(
        1,
        near(0, 0.05),
        ONE_PLACE,
        two_cells="there are 2 cells, and each wants 15 neighbours",
        one_label="all cells have the same time",
    ),
    **dict.fromkeys(
        ("pseudotime_spearman", "pseudotime_kendall"),
        row(
            1,
            near(0, 0.12),
            "all cells have the same pseudotime",
            two_cells=1,
            one_label="all cells have the same time",
        ),
    ),
    # Anomaly scores: a third of the cells is anomalous.
    "anomaly_auroc": row(1, near(0.5, 0.08), 0.5, two_cells=1, one_label=NO_ANOMALY),
    **dict.fromkeys(
        [name for name in ANOMALY if name != "anomaly_auroc"],
        row(1, CHANCE, 1 / 3, two_cells=1, one_label=NO_ANOMALY),
    ),
    # Classifiers, on three labels of equal size. An organism's averages by donor and label are but 18.
    **{
        name: row(
            1,
            near(0.5 if name.endswith("_auroc") else 1 / 3, 0.12),
            ONE_PLACE,
            two_cells=SMALL_LABELS,
            one_label=SMALL_LABELS,
        )
        for name in PROBES
    },
    **{
        name: row(
            1,
            near(0.5 if name.endswith("_auroc") else 1 / 3, 0.3),
            ONE_PLACE,
            two_cells="there are fewer than 5 training cells or donor averages",
            one_label="all training cells have one label",
            one_batch="all cells are of one organism",
            twice=UNASKED,
        )
        for name in TRANSFER
        if name.startswith("transfer_")
    },
    **{
        name: row(
            1,
            near(0.5 if name.endswith("_auroc") else 1 / 3, 0.3),
            ONE_PLACE,
            two_cells=ONE_LABEL,
            one_label=ONE_LABEL,
            twice=UNASKED,
        )
        for name in TRANSFER
        if name.startswith("within_")
    },
}


CASES = [
    pytest.param(metric, trial, answer, id=f"{metric}-{trial}")
    for metric, answers in TABLE.items()
    for trial, answer in answers.items()
    if answer is not UNASKED
]


def test_every_metric_has_a_row_and_a_call() -> None:
    assert sorted(TABLE) == sorted(all_metrics())
    assert sorted(CALLS) == sorted(all_metrics())


def test_every_row_has_every_trial() -> None:
    for metric, answers in TABLE.items():
        assert sorted(answers) == sorted(TRIALS), metric


@pytest.mark.parametrize(("metric", "trial", "answer"), CASES)
def test_known_answer(metric: str, trial: str, answer: Any) -> None:
    if answer is REFUSED:
        with pytest.raises(ScoringError):
            score(metric, trial)
        return
    found = score(metric, trial)
    if isinstance(answer, str):
        assert found.value is None
        assert found.reason == answer
        return
    if answer is AS_PERFECT:
        answer = near(score(metric, "perfect").value or 0.0, 0.02)
    assert found.value == (pytest.approx(answer, abs=1e-9) if isinstance(answer, (int, float)) else answer)


@pytest.mark.parametrize("metric", TABLE)
def test_values_lie_within_the_range_and_none_comes_with_a_reason(metric: str) -> None:
    info = all_metrics()[metric]
    for trial, answer in TABLE[metric].items():
        if answer in (REFUSED, UNASKED):
            continue
        found = score(metric, trial)
        if found.value is None:
            assert found.reason
        else:
            assert info.range.low is None or found.value >= info.range.low
            assert info.range.high is None or found.value <= info.range.high


INDIFFERENT = {
    # A random embedding mixes batches and keeps labels together as well as a perfect one.
    "batch_silhouette",
    "bras",
    "mixing_entropy",
    "kbet",
    "ilisi",
    "cilisi",
    "graph_connectivity",
    # The uniform guess on classes of equal size is as well calibrated as the truth.
    "expected_calibration_error",
}


@pytest.mark.parametrize("metric", TABLE)
def test_the_perfect_model_beats_the_random_one_in_the_metric_s_direction(metric: str) -> None:
    info = all_metrics()[metric]
    perfect, chance = score(metric, "perfect").value, score(metric, "random").value
    assert perfect is not None
    assert chance is not None
    if info.higher_is_better is not None and metric not in INDIFFERENT:
        assert (perfect > chance) is info.higher_is_better
