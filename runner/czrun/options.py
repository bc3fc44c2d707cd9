"""What an evaluation is asked for, as one frozen value, whether flags or a Python call asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from czrun.contract.job import Limits, XKind
from czrun.datasets.catalogue import DEFAULT_DATASET
from czrun.datasets.spec import ObsName
from czrun.split_plan import SplitPlan
from czrun.tasks.registry import DEFAULT_TASK

DEFAULT_LIMITS = Limits(
    wall_s=1800,
    cpus=2,
    memory_bytes=4 * 1024**3,
    gpus=0,
    output_bytes=1024**3,
    output_files=1000,
)


@dataclass(frozen=True)
class EvaluateOptions:
    """Everything that one evaluation is asked for.

    Attributes
    ----------
    image
        Reference of the model's image.
    dataset
        Name, .h5ad file or YAML of the data set.
    task
        Task id.
    split
        How cells are divided.
    obs
        Contract name of an obs column: the data set's own name for it.
    layer, x, drop_unlabelled
        See `DatasetSpec`; None leaves what the data set says.
    seeds
        Seeds of the model, one trial each per fold.
    params
        Parameters of the model, as text.
    limits
        What each container may use.
    output
        Folder of all runs.
    use_cache
        Whether earlier fits, predictions and scores are taken.
    control
        Whether the task's negative control runs as well.
    """

    image: str
    dataset: str = DEFAULT_DATASET
    task: str = DEFAULT_TASK
    split: SplitPlan = field(default_factory=SplitPlan)
    obs: Mapping[ObsName, str] = field(default_factory=dict)
    layer: str | None = None
    x: XKind | None = None
    drop_unlabelled: bool | None = None
    seeds: tuple[int, ...] = (0,)
    params: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    output: Path = Path("runs")
    use_cache: bool = True
    control: bool = True
