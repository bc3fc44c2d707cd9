"""What is asked for, as frozen values, whether flags or a Python call asked; and what that comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from czrun.contract.job import Limits, XKind
from czrun.datasets.catalogue import DEFAULT_DATASET, find_dataset
from czrun.datasets.joining import as_one, join_split
from czrun.datasets.locate import locate
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.errors import UsageError
from czrun.group_counts import counted
from czrun.manifest import PrepareRequest
from czrun.progress import Observer
from czrun.split_plan import SplitChoice, SplitKind
from czrun.storage import cache_home
from czrun.tasks.registry import DEFAULT_TASK, find_task

DEFAULT_LIMITS = Limits(
    wall_s=1800,
    cpus=2,
    memory_bytes=4 * 1024**3,
    gpus=0,
    output_bytes=1024**3,
    output_files=1000,
)


@dataclass(frozen=True)
class DataOptions:
    """Which cells, for which task, divided how.

    Attributes
    ----------
    dataset
        The data set, or its name, file or YAML.
    task
        Task id.
    split
        How cells are divided.
    obs
        Contract name of an obs column: the data set's own name for it.
    layer, x, anomalous, drop_unlabelled
        See `DatasetSpec`; None leaves what the data set says.
    """

    dataset: str | DatasetSpec = DEFAULT_DATASET
    task: str = DEFAULT_TASK
    split: SplitChoice = field(default_factory=SplitChoice)
    obs: Mapping[ObsName, str] = field(default_factory=dict)
    layer: str | None = None
    x: XKind | None = None
    anomalous: tuple[str, ...] | None = None
    drop_unlabelled: bool | None = None

    def described(self) -> DatasetSpec:
        """Return the data set's own description, changed where these options say otherwise."""
        spec = self.dataset if isinstance(self.dataset, DatasetSpec) else find_dataset(self.dataset)
        return _as_said(spec, self)


@dataclass(frozen=True)
class EvaluateOptions:
    """Everything that one evaluation is asked for.

    Attributes
    ----------
    image
        Reference of the model's image.
    data
        The cells and the task.
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
    data: DataOptions = field(default_factory=DataOptions)
    seeds: tuple[int, ...] = (0,)
    params: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    output: Path = Path("runs")
    use_cache: bool = True
    control: bool = True


def settle(
    options: DataOptions, default_split: SplitKind | None = None, observer: Observer | None = None
) -> PrepareRequest:
    """Settle what the data set is (its own description, changed where a flag says otherwise) and the split.

    Parameters
    ----------
    options
        What was asked for.
    default_split
        Where nobody chose one, in place of the task's own. Only this may be `SplitKind.WHOLE` for a
        supervised task: nothing is fitted when predictions are scored that are there already.
    observer
        Is told how far cells are that have to be fetched.

    Raises
    ------
    UsageError, DatasetError
        When what was asked for makes no sense, or there is no such data.
    """
    task = find_task(options.task)
    spec = options.described()
    group_key = spec.key_for(cast(ObsName, task.default_group)) if task.default_group else None
    default = join_split(spec, options.split, default_split or task.default_split)
    plan = options.split.settle(default, task.default_folds, group_key, spec.split_key)
    if plan.kind is SplitKind.WHOLE and task.is_supervised and not default_split:
        raise UsageError(
            f"--split whole would show fit what {task.id} asks of predict.",
            "Choose holdout, kfold, or one of the group splits.",
        )
    located = locate(spec, observer)
    return counted(PrepareRequest(located.spec, located.sha256, task, plan, located.notes), cache_home())


def _as_said(spec: DatasetSpec, options: DataOptions) -> DatasetSpec:
    """Change a data set's description where the options say otherwise."""
    changes: dict[str, Any] = {"obs": {**spec.obs, **options.obs}}
    for name in ("layer", "x", "anomalous", "drop_unlabelled"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    if spec.join:
        sides = {side: _as_said(getattr(spec.join, side), options) for side in ("train", "test")}
        return as_one(spec.model_copy(update={"join": spec.join.model_copy(update=sides)}))
    return DatasetSpec.model_validate({**spec.model_dump(), **changes})
