"""Two data sets described as one: what the description of each says, and what only the whole can say."""

from __future__ import annotations

from typing import cast

from czrun.datasets.spec import CELLXGENE_KEYS, DatasetSpec, ObsName
from czrun.errors import DatasetError, UsageError
from czrun.split_plan import SplitChoice, SplitKind

SPLIT_KEY, DATASET_KEY = "split", "dataset"
"""Columns of joined cells: ``train`` or ``test``, and the data set that a cell is of."""

_OF_ONE_SIDE = ("layer", "x", "organism")


def as_one(spec: DatasetSpec) -> DatasetSpec:
    """Complete the description of two joined data sets; raises DatasetError for what a side's own must say.

    Columns of joined cells have the names of the CELLxGENE schema, whatever either side calls them.
    """
    join = spec.join
    assert join is not None  # noqa: S101 - only joins come here
    said = [name for name in _OF_ONE_SIDE if getattr(spec, name) != DatasetSpec.model_fields[name].default]
    if said:
        raise DatasetError(
            f"{' and '.join(said)} can't be said of two joined data sets at once.",
            "Say it under `train:` and `test:`.",
        )
    sides = (join.train, join.test)
    return spec.model_copy(
        update={
            "name": spec.name or "-to-".join(side_names(spec)),
            "split_key": SPLIT_KEY,
            "drop_unlabelled": spec.drop_unlabelled or any(side.drop_unlabelled for side in sides),
            "obs": {
                **spec.obs,
                **{role: joined_key(role) for role in _OWN_NAMES if all(role in side.obs for side in sides)},
            },
            "anomalous": ("True",),
        }
    )


_OWN_NAMES: tuple[ObsName, ...] = ("anomaly", "context")


def joined_key(role: str) -> str:
    """Return what the column of a role is called in joined cells."""
    return CELLXGENE_KEYS.get(cast(ObsName, role), role)


def side_names(spec: DatasetSpec) -> tuple[str, str]:
    """Return what the two are called: by their names, or by their sides where those are the same."""
    join = spec.join
    assert join is not None  # noqa: S101
    train, test = (side.name or (side.path.stem if side.path else "") for side in (join.train, join.test))
    return ("train", "test") if train == test or not (train and test) else (train, test)


def join_split(spec: DatasetSpec, choice: SplitChoice, default: SplitKind) -> SplitKind:
    """Return how cells are divided where nobody says; two data sets divide themselves.

    Raises
    ------
    UsageError
        When another split of two joined data sets is asked for. The one that divides nothing stays possible;
        only tasks that ask for nothing that fit sees allow it.
    """
    if not spec.join:
        return default
    if choice.kind not in (None, SplitKind.PREDEFINED, SplitKind.WHOLE):
        raise UsageError(
            f"--split {choice.kind} can't divide two joined data sets: one is fitted on, the other tested.",
            "Leave --split out.",
        )
    return SplitKind.PREDEFINED
