"""A record as an evaluation would leave it, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from czrun.options import DEFAULT_LIMITS
from czrun.records import PLAN_FILE, RunPlan, RunRecord
from czrun.storage import write_text

RUN_ID = "20260102-030405-abc123"


def metric(value: float | None, **more: Any) -> dict[str, Any]:
    """Make one metric with an interval."""
    interval = None
    if value is not None:
        interval = {
            "low": value - 0.1, "high": value + 0.1, "level": 0.95, "method": "bootstrap over cells",
            "n_resamples": 2000,
        }  # fmt: skip
    return {"value": value, "interval": interval, "per_trial": [value], **more}


def made_record(run_id: str = RUN_ID, **changes: Any) -> RunRecord:
    """Make a record of a run that succeeded; `changes` replaces whole fields."""
    phase = {
        "run_id": run_id, "seconds": 1.5, "cpu_seconds": 1.0, "peak_memory_bytes": 100 << 20, "exit_code": 0,
        "settings": {"network": "none"},
    }  # fmt: skip
    trial = {
        "fold": 0, "seed": 0, "prepared": "0" * 64, "status": "succeeded", "fit": phase, "predict": phase,
        "predictions": "1" * 64,
    }  # fmt: skip
    scores = {"scorer": 1, "metrics": {"macro_f1": metric(0.7), "log_loss": metric(None, reason="no proba")}}
    control = {"scorer": 1, "metrics": {"macro_f1": metric(0.1), "log_loss": metric(None, reason="no proba")}}
    facts = {"organisms": ["homo_sapiens"], "n_obs": 140, "n_vars": 765, "gene_ids": "symbol", "x": "log1p"}

    def candidate(reference: str, scored: dict[str, Any]) -> dict[str, Any]:
        image = {"reference": reference, "digest": "sha256:" + "a" * 64}
        return {"image": image, "status": "succeeded", "trials": [trial], "scores": scored}

    fields = {
        "run_id": run_id,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 3.5,
        "status": "succeeded",
        "task": "cell-type-classification",
        "primary_metric": "macro_f1",
        "model": candidate("model:1", scores),
        "control": candidate("czrun/majority-class:latest", control),
        "dataset": {
            "name": "pbmc68k_reduced", "sha256": "2" * 64, "label_key": "bulk_labels",
            "split": {"kind": "holdout", "seed": 0, "test_size": 0.2}, "prepared": ["0" * 64],
            "n_fit": [560], "n_predict": [140], "facts": facts,
        },
        "seeds": [0],
        "limits": DEFAULT_LIMITS.model_dump(),
        "environment": {
            "czrun": "0.1.0", "python": "3.12", "platform": "Linux x86_64", "engine": "docker",
            "kernel": "6.1", "cgroup": "v2", "storage_driver": "overlay2",
        },
        "containers_started": 4,
        **changes,
    }  # fmt: skip
    return RunRecord.model_validate(fields)


def saved(runs: Path, record: RunRecord) -> Path:
    """Write a record where a run would."""
    folder = runs / record.run_id
    (folder / "logs").mkdir(parents=True)
    plan = RunPlan(
        plan="p", started=record.started, image="model:1", task=record.task, dataset=record.dataset.name
    )
    write_text(folder / PLAN_FILE, plan.model_dump_json())
    record.save(folder)
    return folder
