"""What a container may say about itself, and what the host makes of how it ended."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from czrun.contract.base import ContractModel

ShortText = Annotated[str, StringConstraints(max_length=500)]


class ExitCode(IntEnum):
    """Exit codes with a meaning; every other one is a model error. They follow sysexits.h."""

    OK = 0
    UNSUPPORTED = 64
    BAD_INPUT = 65
    RESOURCE_MISSING = 69
    MODEL_ERROR = 70
    TRANSIENT = 75


class Status(StrEnum):
    """How a trial, and with it a run, ended."""

    SUCCEEDED = "succeeded"
    UNSUPPORTED = "unsupported"
    MODEL_FAILED = "model_failed"
    INVALID_OUTPUT = "invalid_output"
    OUTPUT_TOO_LARGE = "output_too_large"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    POLICY_VIOLATION = "policy_violation"
    INFRASTRUCTURE_FAILED = "infrastructure_failed"
    CANCELLED = "cancelled"


class Progress(ContractModel):
    """``/czrun/output/progress.json``: advisory, at most 4 KB, replaced by rename."""

    fraction: float | None = Field(default=None, ge=0, le=1, description="Share of the work done.")
    stage: ShortText = ""
    message: ShortText = ""


class ReportedError(ContractModel):
    """A model's own account of its failure; shown, never trusted."""

    code: ShortText = ""
    message: ShortText = ""
    hint: ShortText = ""


class ReportedResult(ContractModel):
    """``/czrun/output/result.json``: advisory; a claimed success adds nothing to a score."""

    status: Literal["ok", "error"]
    error: ReportedError | None = None
