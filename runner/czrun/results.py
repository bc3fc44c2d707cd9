"""What an evaluation returns to a Python caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from czrun.contract.outcome import Status
from czrun.errors import Cancelled, ContractError, CzrunError, EngineError, ModelError
from czrun.records import MetricRecord, RunRecord

if TYPE_CHECKING:
    import pandas as pd

_ERROR_OF: Mapping[Status, type[CzrunError]] = {
    Status.UNSUPPORTED: ContractError,
    Status.MODEL_FAILED: ModelError,
    Status.INVALID_OUTPUT: ContractError,
    Status.OUTPUT_TOO_LARGE: ContractError,
    Status.TIMED_OUT: ModelError,
    Status.OUT_OF_MEMORY: ModelError,
    Status.POLICY_VIOLATION: ContractError,
    Status.INFRASTRUCTURE_FAILED: EngineError,
    Status.CANCELLED: Cancelled,
}


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found.

    Attributes
    ----------
    record
        The whole record, as stored.
    folder
        The run's folder: record.json, logs/, predictions/.
    """

    record: RunRecord
    folder: Path

    @property
    def status(self) -> Status:
        """How the run ended."""
        return self.record.status

    @property
    def metrics(self) -> Mapping[str, MetricRecord]:
        """The model's metrics by id; empty when the run failed."""
        return self.record.model.scores.metrics if self.record.model.scores else {}

    @property
    def is_cached(self) -> bool:
        """Whether no container had to be started."""
        return self.record.containers_started == 0

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric: value, low, high, control."""
        control = self.record.control.scores if self.record.control else None
        return metrics_frame(self.metrics, control.metrics if control else {})

    def raise_for_status(self) -> None:
        """Raise the error that fits a failed run, with what the model said; nothing for a success."""
        failure = next((trial.failure for trial in self.record.model.trials if trial.failure), None)
        if failure is None:
            return
        lines = [f"{self.record.model.image.reference}, {failure.phase}: {failure.status}. {failure.message}"]
        if failure.log_tail:
            lines += ["", f"The last {len(failure.log_tail)} lines of its log:"]
            lines += [f"  | {line}" for line in failure.log_tail]
        if failure.log:
            lines.append(f"The whole log: {self.folder / failure.log}")
        raise _ERROR_OF[failure.status]("\n".join(lines), failure.hint)


def metrics_frame(
    metrics: Mapping[str, MetricRecord], control: Mapping[str, MetricRecord] | None
) -> pd.DataFrame:
    """Return one row per metric: value, low, high; and control, where there may be one."""
    import pandas as pd

    columns = ["metric", "value", "low", "high", *(["control"] if control is not None else [])]
    rows = []
    for name, metric in metrics.items():
        interval = metric.interval
        row = {
            "metric": name,
            "value": metric.value,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
        }
        if control is not None:
            row["control"] = control[name].value if name in control else None
        rows.append(row)
    return pd.DataFrame(rows, columns=columns).set_index("metric").astype(float)
