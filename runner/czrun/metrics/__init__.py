"""Metrics: arrays in, a value or a reason out; one file a family.

>>> from czrun import metrics
>>> metrics.ari(["a", "a", "b"], [0, 0, 1]).value
1.0

Work on an embedding can be shared: ``shared = metrics.Embedded(array)`` goes wherever the array does, and
finds neighbours and clusters once for all metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from czrun.metrics.anomaly import (
        anomaly_auprc,
        anomaly_auroc,
        precision_at_true_rate,
        recall_at_true_rate,
    )
    from czrun.metrics.base import MetricInfo, MetricValue
    from czrun.metrics.batch_effects import pcr, pcr_comparison
    from czrun.metrics.conservation import graph_connectivity, isolated_labels
    from czrun.metrics.embedded import Embedded
    from czrun.metrics.label_scores import (
        accuracy,
        auroc_ovr_macro,
        balanced_accuracy,
        confusion_matrix,
        expected_calibration_error,
        f1_of_each_class,
        log_loss,
        macro_f1,
        macro_precision,
        macro_recall,
        mcc,
        unassigned_rate,
        weighted_f1,
    )
    from czrun.metrics.mixing import cilisi, clisi, ilisi, kbet, mixing_entropy
    from czrun.metrics.neighbours import Neighbours, nearest, nearest_approximate
    from czrun.metrics.ordering import pseudotime_kendall, pseudotime_spearman, sequential_alignment
    from czrun.metrics.paired_fold_changes import paired_lfc_spearman
    from czrun.metrics.partitions import ami, ari, completeness, homogeneity, n_clusters, nmi
    from czrun.metrics.perturbation import (
        de_direction,
        differential_expression_score,
        lfc_spearman,
        mae,
        mse,
        pearson_delta,
        pearson_delta_ceiling,
        perturbation_discrimination,
        top_k_jaccard,
        top_k_precision,
    )
    from czrun.metrics.probes import probe_scores
    from czrun.metrics.registry import all_metrics
    from czrun.metrics.scib import scib_overall
    from czrun.metrics.silhouettes import batch_silhouette, bras, silhouette, silhouette_by_time
    from czrun.metrics.sparse_cells import SparseCells
    from czrun.metrics.transfer import across_organisms, label_transfer, within_organisms
    from czrun.metrics.true_perturbations import TruePerturbations

_FAMILIES = {
    "label_scores": (
        "macro_f1",
        "weighted_f1",
        "accuracy",
        "balanced_accuracy",
        "macro_precision",
        "macro_recall",
        "mcc",
        "unassigned_rate",
        "auroc_ovr_macro",
        "log_loss",
        "expected_calibration_error",
        "f1_of_each_class",
        "confusion_matrix",
    ),
    "silhouettes": (
        "silhouette",
        "silhouette_by_time",
        "batch_silhouette",
        "bras",
    ),
    "probes": ("probe_scores",),
    "partitions": (
        "ari",
        "nmi",
        "ami",
        "homogeneity",
        "completeness",
        "n_clusters",
    ),
    "mixing": (
        "mixing_entropy",
        "kbet",
        "cilisi",
        "ilisi",
        "clisi",
    ),
    "conservation": (
        "graph_connectivity",
        "isolated_labels",
    ),
    "batch_effects": (
        "pcr",
        "pcr_comparison",
    ),
    "scib": ("scib_overall",),
    "transfer": (
        "label_transfer",
        "across_organisms",
        "within_organisms",
    ),
    "perturbation": (
        "pearson_delta",
        "lfc_spearman",
        "mse",
        "mae",
        "perturbation_discrimination",
        "top_k_precision",
        "top_k_jaccard",
        "de_direction",
        "differential_expression_score",
        "pearson_delta_ceiling",
    ),
    "true_perturbations": ("TruePerturbations",),
    "sparse_cells": ("SparseCells",),
    "paired_fold_changes": ("paired_lfc_spearman",),
    "ordering": (
        "sequential_alignment",
        "pseudotime_spearman",
        "pseudotime_kendall",
    ),
    "anomaly": (
        "anomaly_auroc",
        "anomaly_auprc",
        "precision_at_true_rate",
        "recall_at_true_rate",
    ),
    "neighbours": (
        "Neighbours",
        "nearest",
        "nearest_approximate",
    ),
    "embedded": ("Embedded",),
    "base": (
        "MetricInfo",
        "MetricValue",
    ),
    "registry": ("all_metrics",),
}
_HOMES = {name: module for module, names in _FAMILIES.items() for name in names}

__all__ = [
    "Embedded",
    "MetricInfo",
    "MetricValue",
    "Neighbours",
    "SparseCells",
    "TruePerturbations",
    "accuracy",
    "across_organisms",
    "all_metrics",
    "ami",
    "anomaly_auprc",
    "anomaly_auroc",
    "ari",
    "auroc_ovr_macro",
    "balanced_accuracy",
    "batch_silhouette",
    "bras",
    "cilisi",
    "clisi",
    "completeness",
    "confusion_matrix",
    "de_direction",
    "differential_expression_score",
    "expected_calibration_error",
    "f1_of_each_class",
    "graph_connectivity",
    "homogeneity",
    "ilisi",
    "isolated_labels",
    "kbet",
    "label_transfer",
    "lfc_spearman",
    "log_loss",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "mae",
    "mcc",
    "mixing_entropy",
    "mse",
    "n_clusters",
    "nearest",
    "nearest_approximate",
    "nmi",
    "paired_lfc_spearman",
    "pcr",
    "pcr_comparison",
    "pearson_delta",
    "pearson_delta_ceiling",
    "perturbation_discrimination",
    "precision_at_true_rate",
    "probe_scores",
    "pseudotime_kendall",
    "pseudotime_spearman",
    "recall_at_true_rate",
    "scib_overall",
    "sequential_alignment",
    "silhouette",
    "silhouette_by_time",
    "top_k_jaccard",
    "top_k_precision",
    "unassigned_rate",
    "weighted_f1",
    "within_organisms",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes are of any type
    """Import a metric's module when it is first used: none of the others' libraries are paid for."""
    if name not in _HOMES:
        msg = f"module 'czrun.metrics' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(f"czrun.metrics.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the metrics for completion."""
    return __all__
