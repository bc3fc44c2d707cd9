"""Results that we write for cz-benchmarks, read by cz-benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from czrun.metrics.classification import METRICS
from czrun.report.cz_benchmarks import METRIC_TYPES, cz_benchmarks_results
from made_records import made_record, metric

READ = """
import json, sys
from czbenchmarks.metrics.types import AggregatedMetricResult, MetricResult

read = {}
for model, results in json.load(open(sys.argv[1])).items():
    for result in results:
        kind = AggregatedMetricResult if "n_values" in result else MetricResult
        assert set(result) == set(kind.model_fields), result
        found = kind.model_validate(result)
        assert found.model_dump(mode="json") == result
        read[f"{model}|{MetricResult.model_validate(result).aggregation_key}"] = found.value
print(json.dumps(read))
"""


@pytest.fixture
def their_python() -> str:
    """The Python of an environment that has cz-benchmarks."""
    python = os.environ.get("CZRUN_CZ_BENCHMARKS_PYTHON")
    if not python:
        pytest.skip(
            "name the Python of an environment with cz-benchmarks in CZRUN_CZ_BENCHMARKS_PYTHON: "
            "uv venv -p 3.11 ENV && uv pip install -p ENV/bin/python cz-benchmarks==0.15.0 'pynndescent<0.6'"
        )
    return python


@pytest.mark.parametrize("per_trial", [[0.5], [0.25, 0.75]])
def test_the_real_package_reads_every_metric(
    their_python: str, tmp_path: Path, per_trial: list[float]
) -> None:
    names = [name for name in (*METRICS, *METRIC_TYPES) if name != "time_silhouette"]
    plain = made_record().model_dump()
    for candidate in ("model", "control"):
        plain[candidate]["scores"]["metrics"] = {
            name: metric(0.5, per_trial=per_trial) for name in dict.fromkeys(names)
        }
    found = cz_benchmarks_results(made_record(model=plain["model"], control=plain["control"]))
    file = tmp_path / "results.json"
    file.write_text(found.as_json())
    done = subprocess.run([their_python, "-c", READ, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert len(read) == 2 * (len(METRIC_TYPES) - 1)
    assert set(read.values()) == {0.5}


def test_the_stored_sample_is_what_the_real_package_writes(their_python: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("sample_of_cz_benchmarks.py")
    copy = tmp_path / script.name
    copy.write_bytes(script.read_bytes())
    done = subprocess.run([their_python, copy], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = "cz_benchmarks_0.15.0.json"
    assert (tmp_path / name).read_text() == Path(__file__).with_name(name).read_text()
