"""Writes cz_benchmarks_0.15.0.json, with cz-benchmarks 0.15.0 itself: results as its types dump them.

To make the environment: ``uv venv -p 3.11 ENV; uv pip install -p ENV/bin/python cz-benchmarks==0.15.0
"pynndescent<0.6"``; then ``ENV/bin/python tests/parity/sample_of_cz_benchmarks.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

from czbenchmarks.metrics.types import MetricResult, MetricType
from czbenchmarks.metrics.utils import aggregate_results

FOLDS = (0.75, 0.5)


def sample() -> dict[str, object]:
    """Results of one run, the same of two folds together, and the names of all metrics."""
    results = [
        [
            MetricResult(metric_type=MetricType.ADJUSTED_RAND_INDEX, value=value),
            MetricResult(metric_type=MetricType.MEAN_FOLD_ACCURACY, value=value, params={"classifier": "lr"}),
        ]
        for value in FOLDS
    ]
    together = aggregate_results([result for fold in results for result in fold])
    return {
        "metric_types": [each.value for each in MetricType],
        "results": {"model": [result.model_dump(mode="json") for result in results[0]]},
        "aggregated": {"model": [result.model_dump(mode="json") for result in together]},
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("cz_benchmarks_0.15.0.json")
    path.write_text(json.dumps(sample(), indent=1) + "\n", encoding="utf-8")
