"""``/czrun/job.json``: everything that a container is told."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from czrun.contract.base import ContractModel, Sha256, TaskId

JOB_PATH = "/czrun/job.json"
INPUT_DIR = "/czrun/input"
MODEL_DIR = "/czrun/model"
ASSETS_DIR = "/czrun/assets"
OUTPUT_DIR = "/czrun/output"

UNASSIGNED = "__unassigned__"
"""The label by which a model declines to name a cell."""


class Verb(StrEnum):
    """The two phases of a model; each is one container."""

    FIT = "fit"
    PREDICT = "predict"


class XKind(StrEnum):
    """What the numbers in ``X`` are."""

    COUNTS = "counts"
    NORMALIZED = "normalized"
    LOG1P = "log1p"
    OTHER = "other"


GeneIds = Literal["symbol", "ensembl", "unknown"]


class ExpressionSpace(StrEnum):
    """What predicted expression is measured in."""

    LOG1P_CP10K = "log1p_cp10k"
    """log(1 + counts of the gene per 10,000 counts of the cell), natural logarithm."""
    AS_X = "as_x"
    """As X is: where X doesn't hold counts."""


class DatasetFacts(ContractModel):
    """What a model may know of the data; never the data set's name or its place on the host."""

    organisms: tuple[str, ...] = Field(description="Organisms of the cells, for example homo_sapiens.")
    modality: Literal["expression", "image"] = "expression"
    n_obs: int = Field(
        ge=1, description="Cells in this job's inputs, all views of the same cells counted once."
    )
    n_vars: int = Field(ge=0, description="Genes, the columns of X; 0 for images.")
    gene_ids: GeneIds = Field(description="What the var index holds.")
    x: XKind = Field(description="What the numbers in X are.")
    classes: tuple[str, ...] = Field(
        default=(), description="Label vocabulary of a supervised task, in the column order of proba.npy."
    )
    image_shape: tuple[int, int, int] | None = Field(
        default=None, description="Height, width and channels of every image."
    )
    inner_folds: int = Field(
        default=0,
        ge=0,
        description="Folds for the model's own use, in the obs column fold of fit's file; 0 for none.",
    )
    expression: ExpressionSpace | None = Field(
        default=None, description="What the numbers in expression.npy and cells.npy are to be."
    )


class InputFile(ContractModel):
    """One file that the container may read. A view that has several comes once for each."""

    id: str = Field(description="Name of the view; its outputs carry the same id.")
    path: str = Field(description="Absolute path in the container.")
    format: Literal["h5ad", "npy", "csv"] = "h5ad"
    n_obs: int = Field(ge=1, description="Rows of the file: cells, or conditions to predict.")
    sha256: Sha256
    bytes: int = Field(ge=0, description="Size of the file in bytes.")


class OutputFile(ContractModel):
    """One file that the host will look for."""

    name: str = Field(description="File name, without a folder.")
    required: bool
    dtype: str | None = Field(
        default=None, description="NumPy dtype of an array; any float dtype is accepted."
    )
    shape: tuple[int | None, ...] | None = Field(
        default=None, description="Shape of an array, rows in input order; null where the model chooses."
    )


class OutputFolder(ContractModel):
    """Where the outputs for one input go."""

    id: str = Field(description="The id of the input that these outputs answer.")
    dir: str = Field(description="Absolute path in the container; it exists and is empty.")
    files: tuple[OutputFile, ...]
    one_of: tuple[str, ...] = Field(
        default=(), description="At least one of these files is needed, though none of them is by itself."
    )


class Limits(ContractModel):
    """What the container may use; the host enforces each of them."""

    wall_s: float = Field(gt=0, description="Wall-clock deadline in seconds.")
    cpus: float = Field(gt=0, description="CPUs; thread-count variables are set to its ceiling.")
    memory_bytes: int = Field(ge=6 * 1024**2, description="Memory in bytes; there is no swap beyond it.")
    gpus: int = Field(default=0, ge=0, description="GPUs granted.")
    output_bytes: int = Field(gt=0, description="Bytes that output and model folder may hold together.")
    output_files: int = Field(gt=0, description="Files that output and model folder may hold together.")


class Job(ContractModel):
    """The job, as the container reads it. A model ignores fields that it doesn't know."""

    contract: Literal[1] = 1
    job_id: str = Field(description="Opaque and random: it says nothing about the run.")
    verb: Verb
    task: TaskId
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    dataset: DatasetFacts
    inputs: tuple[InputFile, ...] = Field(min_length=1)
    outputs: tuple[OutputFolder, ...] = ()
    params: dict[str, JsonValue] = Field(default_factory=dict, description="The model's own parameters.")
    limits: Limits
