"""What is written down of a run: everything needed to understand it and to run it again."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationError

from czrun.contract.base import ContractModel
from czrun.contract.job import DatasetFacts, Limits
from czrun.contract.outcome import Status
from czrun.errors import UsageError, unknown_name
from czrun.storage import make_folder, remove_tree, storage_errors, write_text

RECORD_FILE = "record.json"
PLAN_FILE = "plan.json"


class PhaseRecord(ContractModel):
    """One container that ran to its end, as stored beside what it made."""

    run_id: str = Field(description="The run that ran it; another one than the record's when it was cached.")
    seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    exit_code: int | None
    settings: dict[str, JsonValue] = Field(description="The container's effective settings, as inspected.")


class Failure(ContractModel):
    """Why a trial has no score."""

    phase: str
    status: Status
    message: str
    hint: str = ""
    log_tail: tuple[str, ...] = ()
    log: str = Field(default="", description="The whole log, relative to the run's folder.")


class TrialRecord(ContractModel):
    """One fold and seed of one image."""

    fold: int
    seed: int
    prepared: str
    status: Status
    failure: Failure | None = None
    fit: PhaseRecord | None = None
    fit_cached: bool = False
    predict: PhaseRecord | None = None
    predict_cached: bool = False
    predictions: str = Field(default="", description="Content key of the predictions.")
    attempts: int = 1


class IntervalRecord(ContractModel):
    """A confidence interval."""

    low: float
    high: float
    level: float
    method: str
    n_resamples: int
    n_clusters: int | None = None
    note: str = ""


class MetricRecord(ContractModel):
    """One metric: the mean over trials, its interval, or the reason why it is undefined."""

    value: float | None
    reason: str = ""
    note: str = Field(
        default="", description="What to bear in mind: above all how an approximation was made."
    )
    interval: IntervalRecord | None = None
    interval_reason: str = ""
    per_trial: tuple[float | None, ...] = ()


class ClassRecord(ContractModel):
    """One class of the label vocabulary."""

    label: str
    support: int
    f1: MetricRecord


class ScoreSheet(ContractModel):
    """The scores of one image over all its trials."""

    scorer: int
    numpy: str = Field(default="", description="Its random streams may differ between releases.")
    packages: tuple[str, ...] = Field(
        default=(), description="Packages besides czrun, with versions, whose task or metrics these are."
    )
    metrics: dict[str, MetricRecord]
    classes: tuple[ClassRecord, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = Field(
        default=(),
        description="Rows: true classes; columns: predicted ones, then unassigned; summed over trials.",
    )


class ScoreRecord(ContractModel):
    """What ``czrun score`` found: scores without a run."""

    schema_version: Literal[1] = 1
    task: str
    primary_metric: str
    dataset: str
    dataset_sha256: str
    n_obs: int = Field(description="Cells that took part.")
    cluster_key: str | None = Field(default=None, description="obs column by which intervals are clustered.")
    split: dict[str, JsonValue]
    scores: ScoreSheet
    notes: tuple[str, ...] = ()


class ImageRecord(ContractModel):
    """The image that ran."""

    reference: str
    digest: str
    repo_digests: tuple[str, ...] = ()
    title: str = ""
    version: str = ""


class CandidateRecord(ContractModel):
    """An image with its trials and scores."""

    image: ImageRecord
    params: dict[str, JsonValue] = Field(default_factory=dict)
    status: Status
    trials: tuple[TrialRecord, ...] = ()
    scores: ScoreSheet | None = None


class DatasetRecord(ContractModel):
    """The data that it met."""

    name: str
    sha256: str
    label_key: str
    split: dict[str, JsonValue]
    prepared: tuple[str, ...]
    n_fit: tuple[int, ...]
    n_predict: tuple[int, ...]
    cluster_key: str | None = Field(default=None, description="obs column by which intervals are clustered.")
    facts: DatasetFacts
    notes: tuple[str, ...] = ()


class EnvironmentRecord(ContractModel):
    """Where it ran."""

    czrun: str
    python: str
    platform: str
    engine: str
    kernel: str
    cgroup: str
    storage_driver: str


class RunRecord(ContractModel):
    """``record.json``: written once, at the end of a run."""

    schema_version: Literal[1] = 1
    run_id: str
    started: str = Field(description="UTC, ISO 8601.")
    seconds: float = Field(description="Wall clock of the whole run on the host.")
    status: Status
    task: str
    primary_metric: str
    model: CandidateRecord
    control: CandidateRecord | None = None
    control_note: str = ""
    dataset: DatasetRecord
    seeds: tuple[int, ...]
    limits: Limits
    environment: EnvironmentRecord
    containers_started: int = Field(description="0 when everything was cached.")

    def save(self, folder: Path) -> None:
        """Write the record into its run's folder, whole or not at all."""
        write_text(folder / RECORD_FILE, self.model_dump_json(indent=1) + "\n")


class RunPlan(ContractModel):
    """``plan.json``: what a run set out to do, so that a killed one can be taken up again."""

    schema_version: Literal[1] = 1
    plan: str = Field(description="Hash of everything that determines the containers.")
    started: str
    image: str
    task: str
    dataset: str


class RunFolder:
    """A run's folder, locked while its process lives."""

    def __init__(self, path: Path, descriptor: int, plan: RunPlan) -> None:
        self.path, self.plan, self._descriptor = path, plan, descriptor

    @property
    def run_id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.path.name

    @classmethod
    def begin(cls, runs: Path, plan: RunPlan) -> Self:
        """Take up a killed run with the same plan, or begin a new one; raises StorageError."""
        make_folder(runs)
        for path in sorted(runs.glob(f"*/{PLAN_FILE}")):
            if not (path.parent / RECORD_FILE).exists() and (taken := _take_up(path, plan.plan)):
                return cls(path.parent, *taken)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        folder = runs / f"{stamp}-{secrets.token_hex(3)}"
        with storage_errors(folder):
            (folder / "logs").mkdir(parents=True)
            # Locked under another name first: nobody may take the run up before we hold it.
            hidden = folder / f".{PLAN_FILE}"
            write_text(hidden, plan.model_dump_json(indent=1) + "\n")
            descriptor = os.open(hidden, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            hidden.rename(folder / PLAN_FILE)
        return cls(folder, descriptor, plan)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


def _take_up(path: Path, plan_key: str) -> tuple[int, RunPlan] | None:
    try:
        plan = RunPlan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    descriptor = _lock(path) if plan.plan == plan_key else None
    return None if descriptor is None else (descriptor, plan)


def _lock(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def is_abandoned(folder: Path) -> bool:
    """Tell whether no living process works on a run."""
    descriptor = _lock(folder / PLAN_FILE)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


@contextmanager
def begin_run(runs: Path, plan: RunPlan) -> Iterator[RunFolder]:
    """Hold a run's folder for the length of a block."""
    folder = RunFolder.begin(runs, plan)
    try:
        yield folder
    finally:
        folder.release()


def load_record(runs: Path, name: str) -> RunRecord:
    """Read a run's record by id, by the beginning of one, or by ``last``.

    Raises
    ------
    UsageError
        When there is no such run, when several begin so, or when it has no readable record.
    """
    folder = find_run(runs, name)
    try:
        return RunRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"Run {folder.name} has no record: it was killed before its end.",
            f"Give the same evaluate command again to take it up, or remove it: czrun runs rm {folder.name}",
        ) from None
    except ValidationError:
        raise UsageError(
            f"The record of run {folder.name} can't be read.", f"See {folder / RECORD_FILE}."
        ) from None


def find_run(runs: Path, name: str) -> Path:
    """Return a run's folder; raises UsageError."""
    folders = {path.name: path for path in run_folders(runs)}
    if name == "last" and folders:
        return run_folders(runs)[-1]
    matches = [run_id for run_id in folders if run_id == name or (len(name) >= 4 and name in run_id)]
    if len(matches) > 1:
        raise UsageError(
            f"{name!r} fits {len(matches)} runs: {', '.join(matches[:5])}.", "Give more of the id."
        )
    if not matches:
        raise unknown_name(f"run in {runs}", name, folders)
    return folders[matches[0]]


def run_folders(runs: Path) -> list[Path]:
    """Return the folders of all runs, oldest first."""
    # An id begins with the second; of two in one second, the plan written later is the later one.
    plans = sorted(runs.glob(f"*/{PLAN_FILE}"), key=lambda plan: (plan.parent.name[:15], _written(plan)))
    return [plan.parent for plan in plans]


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def remove_run(runs: Path, name: str) -> Path:
    """Remove a run's folder; raises UsageError."""
    folder = find_run(runs, name)
    with storage_errors(folder):
        remove_tree(folder)
    return folder
