"""What a task is: what fit and predict see, which outputs it needs, how it is scored."""

from __future__ import annotations

from dataclasses import dataclass

from czrun.contract.job import OutputFile


@dataclass(frozen=True)
class OutputSlot:
    """One output file of a task.

    Attributes
    ----------
    name
        File name in the output folder.
    required
        Whether predictions without it are invalid.
    dtype
        dtype of an array, None for CSV.
    axes
        Names of the array's axes, for example ``("n_obs", "n_classes")``.
    summary
        What it holds, for `czrun tasks show`.
    """

    name: str
    required: bool
    dtype: str | None
    axes: tuple[str, ...]
    summary: str

    def for_job(self, sizes: dict[str, int]) -> OutputFile:
        """Return what job.json says of it, with the sizes of its axes filled in."""
        shape = tuple(sizes.get(axis) for axis in self.axes) if self.axes else None
        return OutputFile(name=self.name, required=self.required, dtype=self.dtype, shape=shape)


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes
    ----------
    id
        Its name, in kebab-case.
    title, summary
        For people.
    fit_obs, predict_obs
        obs columns, in contract names, that each phase holds.
    outputs
        The files that predict leaves, for each view.
    metrics
        Ids of its metrics, primary first.
    negative_control
        The image that brackets the scale from below.
    """

    id: str
    title: str
    summary: str
    fit_obs: tuple[str, ...]
    predict_obs: tuple[str, ...]
    outputs: tuple[OutputSlot, ...]
    metrics: tuple[str, ...]
    negative_control: str
