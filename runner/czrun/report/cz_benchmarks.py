"""A record in the layout of cz-benchmarks 0.15's results, for tools that read those.

Its documentation stores results as one JSON object: models by name, each with a list of ``MetricResult``
(metric_type, value, params); a metric of several trials is an ``AggregatedMetricResult``, which adds the
values, their number and their standard deviation. Every one of those is a ``MetricResult`` as well.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from czrun.errors import UsageError
from czrun.records import CandidateRecord, MetricRecord, RunRecord


@dataclass(frozen=True)
class MetricType:
    """One of cz-benchmarks' metrics.

    Attributes
    ----------
    value
        Of its enumeration ``MetricType``.
    params
        What tells metrics of one type apart.
    """

    value: str
    params: Mapping[str, str]


@dataclass(frozen=True)
class CzBenchmarksResults:
    """What cz-benchmarks can express of a run.

    Attributes
    ----------
    models
        For each model its results, as cz-benchmarks' own types dump them.
    left_out
        What it can't express, one line each.
    """

    models: Mapping[str, list[dict[str, JsonValue]]]
    left_out: tuple[str, ...]

    def as_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.models, indent=1, allow_nan=False) + "\n"


_CLASSIFIERS = ("lr", "knn", "rf")
_SCORES = ("accuracy", "f1", "precision", "recall", "auroc")


def _by_classifier(
    overall: str, single: str, prefix: str, params: Mapping[str, str]
) -> dict[str, MetricType]:
    """Name the scores of classifiers: `overall` and `single` begin our ids, `prefix` their types.

    `params` are those of the mean over the classifiers; each classifier's own name it.
    """
    types = {f"{overall}{score}": MetricType(f"{prefix}{score}", params) for score in _SCORES}
    for classifier in _CLASSIFIERS:
        own = {**params, "classifier": classifier}
        types |= {f"{single}{classifier}_{s}": MetricType(f"{prefix}{s}", own) for s in _SCORES}
    return types


_PLAIN: Mapping[str, str] = {
    "ari": "adjusted_rand_index",
    "nmi": "normalized_mutual_info",
    "silhouette": "silhouette_score",
    "time_silhouette": "silhouette_score",
    "mixing_entropy": "entropy_per_cell",
    "batch_silhouette": "batch_silhouette",
    "sequential_alignment": "sequential_alignment",
    "lfc_spearman": "spearman_correlation_calculation",
    "pearson_delta": "PEARSON_CORRELATION",
    "mse": "mean_squared_error",
    "accuracy": "accuracy",
}

METRIC_TYPES: Mapping[str, MetricType] = {
    **{name: MetricType(value, {}) for name, value in _PLAIN.items()},
    "macro_f1": MetricType("f1", {"average": "macro"}),
    "weighted_f1": MetricType("f1", {"average": "weighted"}),
    "macro_precision": MetricType("precision", {"average": "macro"}),
    "macro_recall": MetricType("recall", {"average": "macro"}),
    "auroc_ovr_macro": MetricType("auroc", {"average": "macro", "multi_class": "ovr"}),
    "top_k_jaccard": MetricType("jaccard", {"genes": "top 20"}),
    # The means are named as its label prediction and its cross-species label prediction name them.
    **_by_classifier("probe_", "", "mean_fold_", {"classifier": "MEAN(knn,lr,rf)"}),
    **_by_classifier("transfer_", "transfer_", "", {"classifier": "MEAN(lr,knn,rf)", "species": "across"}),
    **_by_classifier(
        "within_", "within_", "mean_fold_", {"classifier": "MEAN(lr,knn,rf)", "species": "within"}
    ),
}
"""Which of cz-benchmarks' metrics each of ours is, by id."""


def cz_benchmarks_results(record: RunRecord) -> CzBenchmarksResults:
    """Express a run's metrics in cz-benchmarks' terms.

    A metric that cz-benchmarks doesn't know is left out, and so is one without a value, for which it has no
    word. The negative control is a model of its own.

    Parameters
    ----------
    record
        Of a run that succeeded.

    Raises
    ------
    UsageError
        When the run has no scores.
    """
    if record.model.scores is None:
        raise UsageError(
            f"Run {record.run_id} has no scores to export: it ended as {record.status}.",
            f"See what went wrong: czrun runs show {record.run_id}",
        )
    candidates = {record.model.image.reference: record.model}
    if record.control and record.control.scores:
        candidates[f"{record.control.image.reference} (negative control)"] = record.control
    models = {name: list(_results(candidate)) for name, candidate in candidates.items()}
    # The control's metrics are the model's: what has no counterpart is said once.
    lines = dict.fromkeys(line for name, each in candidates.items() for line in _left_out(name, each))
    return CzBenchmarksResults(models, tuple(lines))


def _results(candidate: CandidateRecord) -> Iterator[dict[str, JsonValue]]:
    for name, metric in _metrics(candidate).items():
        if name in METRIC_TYPES and metric.value is not None:
            yield _result(METRIC_TYPES[name], metric.value, [v for v in metric.per_trial if v is not None])


def _result(metric_type: MetricType, value: float, per_trial: list[float]) -> dict[str, JsonValue]:
    result: dict[str, JsonValue] = {
        "metric_type": metric_type.value,
        "value": value,
        "params": dict(metric_type.params),
    }
    if len(per_trial) > 1:
        result |= {
            "n_values": len(per_trial),
            "value_std_dev": statistics.stdev(per_trial),
            "values_raw": list(per_trial),
        }
    return result


def _left_out(name: str, candidate: CandidateRecord) -> Iterator[str]:
    for metric_id, metric in _metrics(candidate).items():
        if metric_id not in METRIC_TYPES:
            yield f"{metric_id}: cz-benchmarks has no such metric"
        elif metric.value is None:
            yield f"{metric_id} of {name}: undefined ({metric.reason})"


def _metrics(candidate: CandidateRecord) -> Mapping[str, MetricRecord]:
    return candidate.scores.metrics if candidate.scores else {}
