"""What split was asked for. Apart from the splitting itself, so that a cached run needn't import NumPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from czrun.errors import UsageError


class SplitKind(StrEnum):
    """How cells are divided."""

    HOLDOUT = "holdout"
    KFOLD = "kfold"
    GROUP_HOLDOUT = "group-holdout"
    GROUP_KFOLD = "group-kfold"
    PREDEFINED = "predefined"
    WHOLE = "whole"
    """All cells on both sides: for tasks in which fit sees nothing that predict is asked for."""

    @property
    def is_grouped(self) -> bool:
        """Whether whole groups (donors, batches) go to one side."""
        return self in (SplitKind.GROUP_HOLDOUT, SplitKind.GROUP_KFOLD)

    @property
    def is_kfold(self) -> bool:
        """Whether every cell is tested once, over several folds."""
        return self in (SplitKind.KFOLD, SplitKind.GROUP_KFOLD)


@dataclass(frozen=True)
class SplitPlan:
    """What the user asked for.

    Attributes
    ----------
    kind
        How cells are divided.
    folds
        Number of folds; used by the k-fold kinds only.
    test_size
        Share of the cells to hold out, used by the hold-out kinds only.
    seed
        Seed of the shuffle.
    group_key
        obs column whose groups stay on one side.
    split_key
        obs column of a predefined split; None leaves it to the data set's own description.
    """

    kind: SplitKind = SplitKind.HOLDOUT
    folds: int = 5
    test_size: float = 0.2
    seed: int = 0
    group_key: str | None = None
    split_key: str | None = None

    def __post_init__(self) -> None:
        """Refuse combinations that make no sense; raises UsageError."""
        if self.kind.is_kfold and self.folds < 2:
            raise UsageError(f"--folds {self.folds}: a k-fold split needs at least 2.", "Try --folds 5.")
        if not 0 < self.test_size < 1:
            raise UsageError(
                f"--test-size {self.test_size}: it is a share between 0 and 1.", "Try --test-size 0.2."
            )
        if self.kind.is_grouped and not self.group_key:
            raise UsageError(f"--split {self.kind} needs --group-key.", "For example --group-key donor_id.")

    def keyed(self, split_key: str | None) -> SplitPlan:
        """Fill in the column of a predefined split from the data set's description; raises UsageError."""
        if self.kind is not SplitKind.PREDEFINED or self.split_key:
            return self
        if not split_key:
            raise UsageError(
                "--split predefined needs --split-key: the obs column that says train or test.",
                "For example --split-key original_split.",
            )
        return replace(self, split_key=split_key)

    @property
    def n_folds(self) -> int:
        """How many train/test pairs there are."""
        return self.folds if self.kind.is_kfold else 1

    def describe(self) -> dict[str, object]:
        """Return what determines the split, and nothing that doesn't."""
        facts: dict[str, object] = {"kind": self.kind.value}
        if self.kind is SplitKind.WHOLE:
            return facts
        if self.kind is SplitKind.PREDEFINED:
            facts["split_key"] = self.split_key
            return {**facts, "group_key": self.group_key} if self.group_key else facts
        facts["seed"] = self.seed
        if self.kind.is_kfold:
            facts["folds"] = self.folds
        else:
            facts["test_size"] = self.test_size
        if self.kind.is_grouped:
            facts["group_key"] = self.group_key
        return facts


@dataclass(frozen=True)
class SplitChoice:
    """A split as a user asks for it: what is None is left to the task and the data set.

    Attributes
    ----------
    kind, folds, test_size, seed, group_key, split_key
        See `SplitPlan`. A `group_key` keeps groups whole, whatever the kind.
    """

    kind: SplitKind | None = None
    folds: int | None = None
    test_size: float = 0.2
    seed: int = 0
    group_key: str | None = None
    split_key: str | None = None

    def settle(self, kind: SplitKind, folds: int, group_key: str | None, split_key: str | None) -> SplitPlan:
        """Fill in what the task does by default, and the data set's own column; raises UsageError."""
        own = self.kind or kind
        if self.kind is None and not self.group_key and own.is_grouped:
            return self._plan(own, self.folds or folds, group_key).keyed(split_key)
        return self._plan(_grouped(own, self.group_key), self.folds or 5, self.group_key).keyed(split_key)

    def _plan(self, kind: SplitKind, folds: int, group_key: str | None) -> SplitPlan:
        return SplitPlan(kind, folds, self.test_size, self.seed, group_key, self.split_key)


def _grouped(kind: SplitKind, group_key: str | None) -> SplitKind:
    """Return the kind that keeps groups whole where the user named a group column."""
    if group_key and kind in (SplitKind.HOLDOUT, SplitKind.WHOLE):
        return SplitKind.GROUP_HOLDOUT
    if group_key and kind is SplitKind.KFOLD:
        return SplitKind.GROUP_KFOLD
    return kind
