"""A record in cz-benchmarks' layout: the same keys as the real package writes, and nothing made up."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from czrun.cli.app import main
from czrun.errors import UsageError
from czrun.metrics.classification import METRICS as CLASSIFICATION
from czrun.metrics.perturbation import METRICS as PERTURBATION
from czrun.metrics.registry import all_metrics
from czrun.report.cz_benchmarks import METRIC_TYPES, cz_benchmarks_results
from made_records import RUN_ID, made_record, metric, saved

SAMPLE = json.loads((Path(__file__).parents[2] / "parity" / "cz_benchmarks_0.15.0.json").read_text())


def recorded(metrics: dict[str, Any], control: dict[str, Any] | None = None, **changes: Any) -> Any:
    """A record with these metrics, and with a control only where it is given some."""
    plain = made_record().model_dump()
    plain["model"]["scores"]["metrics"] = metrics
    if control is None:
        plain["control"] = None
    else:
        plain["control"]["scores"]["metrics"] = control
    return made_record(**{"model": plain["model"], "control": plain["control"], **changes})


class TestLayout:
    def test_one_trial_is_written_as_the_real_package_writes_a_result(self) -> None:
        found = cz_benchmarks_results(recorded({"ari": metric(0.75), "lr_accuracy": metric(0.75)}))
        assert json.loads(found.as_json()) == {"model:1": SAMPLE["results"]["model"]}

    def test_several_trials_are_written_as_it_aggregates_them(self) -> None:
        folds = metric(0.625, per_trial=[0.75, 0.5])
        found = cz_benchmarks_results(recorded({"ari": folds, "lr_accuracy": folds}))
        assert json.loads(found.as_json()) == {"model:1": SAMPLE["aggregated"]["model"]}

    def test_only_metrics_that_there_are_have_a_counterpart(self) -> None:
        assert set(METRIC_TYPES) <= set(all_metrics())

    def test_only_metrics_that_it_has_are_named(self) -> None:
        assert {each.value for each in METRIC_TYPES.values()} <= set(SAMPLE["metric_types"])

    def test_metrics_of_one_type_can_be_told_apart(self) -> None:
        named = [(each.value, *sorted(each.params.items())) for each in METRIC_TYPES.values()]
        silhouettes = [name for name in named if name == ("silhouette_score",)]
        assert len(silhouettes) == 2, "by label and by time, which belong to different tasks"
        assert len(named) - 1 == len(set(named))

    def test_means_over_classifiers_are_named_as_it_names_them(self) -> None:
        named = {name: METRIC_TYPES[name] for name in ("probe_f1", "transfer_rf_f1", "within_auroc")}
        assert [each.value for each in named.values()] == ["mean_fold_f1", "f1", "mean_fold_auroc"]
        assert [each.params["classifier"] for each in named.values()] == [
            "MEAN(knn,lr,rf)", "rf", "MEAN(lr,knn,rf)",
        ]  # fmt: skip

    def test_the_metrics_of_its_own_tasks_have_a_counterpart(self) -> None:
        assert {"accuracy", "macro_f1", "macro_precision", "macro_recall", "auroc_ovr_macro"} <= {
            name for name in CLASSIFICATION if name in METRIC_TYPES
        }
        assert {"pearson_delta", "lfc_spearman", "mse", "top_k_jaccard"} == {
            name for name in PERTURBATION if name in METRIC_TYPES
        }


class TestWhatIsLeftOut:
    def test_unknown_and_undefined_metrics_are_named(self) -> None:
        metrics = {
            "macro_f1": metric(0.7),
            "log_loss": metric(1.2),
            "auroc_ovr_macro": metric(None, reason="the model gave no probabilities"),
        }
        found = cz_benchmarks_results(recorded(metrics))
        assert [each["metric_type"] for each in found.models["model:1"]] == ["f1"]
        assert found.left_out == (
            "log_loss: cz-benchmarks has no such metric",
            "auroc_ovr_macro of model:1: undefined (the model gave no probabilities)",
        )

    def test_the_control_is_a_model_of_its_own(self) -> None:
        model = {"accuracy": metric(0.7), "log_loss": metric(1.2)}
        control = {"accuracy": metric(None, reason="none"), "log_loss": metric(2.0)}
        found = cz_benchmarks_results(recorded(model, control))
        assert list(found.models) == ["model:1", "czrun/majority-class:latest (negative control)"]
        assert found.models["czrun/majority-class:latest (negative control)"] == []
        assert found.left_out == (
            "log_loss: cz-benchmarks has no such metric",
            "accuracy of czrun/majority-class:latest (negative control): undefined (none)",
        )

    def test_a_run_without_scores_has_nothing_to_export(self) -> None:
        plain = made_record().model_dump()
        plain["model"].update(scores=None, status="timed_out")
        with pytest.raises(UsageError, match=f"{RUN_ID} has no scores to export: it ended as timed_out"):
            cz_benchmarks_results(made_record(model=plain["model"], status="timed_out"))


Export = Callable[..., tuple[int, str, str]]


@pytest.fixture
def export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Export]:
    """Export a saved run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    handler = signal.getsignal(signal.SIGTERM)
    saved(tmp_path / "runs", made_record())

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["czrun", "export", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, handler)


class TestCommand:
    def test_prints_results_and_says_on_stderr_what_is_missing(self, export: Export) -> None:
        code, out, err = export("last", "--format", "cz-benchmarks")
        assert code == 0
        assert json.loads(out)["model:1"] == [
            {"metric_type": "f1", "value": 0.7, "params": {"average": "macro"}}
        ]
        assert err == "Left out of cz-benchmarks: log_loss: cz-benchmarks has no such metric\n"

    def test_writes_a_file_in_a_folder_that_it_makes(self, export: Export, tmp_path: Path) -> None:
        code, out, _ = export(RUN_ID, "--output", "new/results.json")
        assert (code, out) == (0, "")
        assert "model:1" in json.loads((tmp_path / "new" / "results.json").read_text())

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["last", "--format", "xml"], "cz-benchmarks"),
            (["last", "--output", "runs"], "directory"),
            (["20990101"], "no run"),
        ],
    )
    def test_mistakes_are_usage_errors(self, export: Export, arguments: list[str], said: str) -> None:
        code, out, err = export(*arguments)
        assert (code, out) == (2, "")
        assert said in err
