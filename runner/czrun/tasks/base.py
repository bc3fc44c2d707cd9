"""What a task is: what fit and predict see, which outputs it needs, how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from czrun.contract.job import OutputFile
from czrun.split_plan import SplitKind

if TYPE_CHECKING:
    from czrun.metrics.base import MetricInfo
    from czrun.metrics.families import Family
    from czrun.tasks.evidence import Evidence, Measured

Modality = Literal["expression", "image"]

SCORER_VERSION = 2
"""Raised when the same predictions would get other scores."""


class Content(StrEnum):
    """What an output file holds, and so how it is read and checked."""

    LABELS = "labels"
    """CSV ``cell_id,label``, each label one of the job's classes or ``__unassigned__``."""
    GROUPS = "groups"
    """CSV ``cell_id,cluster``, the names of the clusters being the model's own."""
    NUMBERS = "numbers"
    """A .npy array of finite floats."""
    PROBABILITIES = "probabilities"
    """A .npy array of floats between 0 and 1, each row of which sums to 1."""


class Design(StrEnum):
    """How a split becomes what fit and predict see."""

    CELLS = "cells"
    """Training cells and test cells."""
    NOVELTY = "novelty"
    """Fit sees normal cells only; predict gets the other normal cells and every anomaly."""
    PERTURBATION = "perturbation"
    """Fit sees control cells and some conditions; predict gets control cells and the names of others."""


@dataclass(frozen=True)
class OutputSlot:
    """One output file of a task.

    Attributes
    ----------
    name
        File name in the output folder.
    content
        What it holds.
    required
        Whether predictions without it are invalid.
    axes
        Names of an array's axes: ``n_obs``, ``n_classes``, ``n_vars``, ``n_conditions`` and ``n_cells`` have
        a size that the job says, any other name is a size that the model chooses.
    summary
        What it holds, for `czrun tasks show`.
    """

    name: str
    content: Content
    required: bool
    axes: tuple[str, ...]
    summary: str

    @property
    def key(self) -> str:
        """The name under which its array goes on: the file's, without its ending."""
        return self.name.rpartition(".")[0]

    @property
    def is_array(self) -> bool:
        """Whether it is a .npy file."""
        return self.content in (Content.NUMBERS, Content.PROBABILITIES)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int | None, ...]:
        """Return the sizes of its axes, None where the model chooses."""
        return tuple(sizes.get(axis) for axis in self.axes)

    def for_job(self, sizes: Mapping[str, int]) -> OutputFile:
        """Return what job.json says of it, with the sizes of its axes filled in."""
        if not self.is_array:
            return OutputFile(name=self.name, required=self.required)
        return OutputFile(name=self.name, required=self.required, dtype="float32", shape=self.shape(sizes))


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes
    ----------
    id
        Its name, in kebab-case.
    title, summary
        For people.
    outputs
        The files that predict leaves for the test cells.
    metrics
        Ids of its metrics, primary first.
    measure
        Computes them for one trial; it imports what it computes with when it is called.
    negative_control
        The image that brackets the scale from below.
    fit_obs, predict_obs
        obs columns, in contract names, that each phase holds.
    truth
        obs columns, in contract names, that scoring needs; where predict holds one too, it is no secret.
    optional_obs
        obs columns that fit and predict hold where the data set has them.
    optional_truth
        obs columns that scoring uses where the data set has them.
    stratify
        The column of `truth` whose values a split divides evenly; empty for none.
    one_of
        Of these outputs at least one is needed.
    reference_outputs
        Where there are any, predict also gets the training cells, as the view ``reference``, and may leave
        these files for them.
    design, modality
        What the phases see, and in which kind of file.
    default_split, default_group, default_folds
        What is done when nobody asks for a split; the group is a contract name.
    infos
        What its metrics say of themselves, those that aren't czrun's own.
    packages
        The packages, with versions, that the task or metrics of it come from, besides czrun; filled in when
        it is looked up. Another version may score otherwise.
    """

    id: str
    title: str
    summary: str
    outputs: tuple[OutputSlot, ...]
    metrics: tuple[str, ...]
    measure: Callable[[Evidence], Measured]
    negative_control: str
    fit_obs: tuple[str, ...] = ()
    predict_obs: tuple[str, ...] = ()
    truth: tuple[str, ...] = ()
    optional_obs: tuple[str, ...] = ()
    optional_truth: tuple[str, ...] = ()
    stratify: str = "label"
    one_of: tuple[str, ...] = ()
    reference_outputs: tuple[OutputSlot, ...] = ()
    design: Design = Design.CELLS
    modality: Modality = "expression"
    default_split: SplitKind = SplitKind.HOLDOUT
    default_group: str = ""
    default_folds: int = 5
    infos: tuple[MetricInfo, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def is_supervised(self) -> bool:
        """Whether fit sees something that predict's cells are asked about."""
        return bool(set(self.fit_obs) - set(self.predict_obs)) or self.design is not Design.CELLS

    @property
    def has_classes(self) -> bool:
        """Whether the job names the classes: where fit sees labels."""
        return "label" in self.fit_obs

    def slots(self, view: str) -> tuple[OutputSlot, ...]:
        """Return the files that may be left for a view."""
        return self.reference_outputs if view == REFERENCE else self.outputs


@dataclass(frozen=True)
class AddedMetric:
    """A metric that a package adds to a task which is there already.

    Attributes
    ----------
    info
        What it says of itself.
    family
        Computes it for one trial; of the items that the task's own metrics are of.
    """

    info: MetricInfo
    family: Callable[[Evidence], Family]


VIEW = "v0"
"""The test cells as they are."""

REFERENCE = "reference"
"""The training cells once more, without their labels."""
