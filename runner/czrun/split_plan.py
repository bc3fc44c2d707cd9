"""What split was asked for. Apart from the splitting itself, so that a cached run needn't import NumPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from czrun.conditions import Clause
from czrun.errors import UsageError


class SplitKind(StrEnum):
    """How cells are divided."""

    HOLDOUT = "holdout"
    KFOLD = "kfold"
    GROUP_HOLDOUT = "group-holdout"
    GROUP_KFOLD = "group-kfold"
    LEAVE_ONE_GROUP_OUT = "leave-one-group-out"
    """As many folds as there are groups; each tests one."""
    DOMAIN = "domain"
    """Trained on some cells, tested on others, both told by conditions on obs columns."""
    PREDEFINED = "predefined"
    WHOLE = "whole"
    """All cells on both sides: for tasks in which fit sees nothing that predict is asked for."""

    @property
    def is_grouped(self) -> bool:
        """Whether whole groups (donors, batches) go to one side."""
        return self in (SplitKind.GROUP_HOLDOUT, SplitKind.GROUP_KFOLD, SplitKind.LEAVE_ONE_GROUP_OUT)

    @property
    def is_kfold(self) -> bool:
        """Whether every cell is tested once, over several folds."""
        return self in (SplitKind.KFOLD, SplitKind.GROUP_KFOLD, SplitKind.LEAVE_ONE_GROUP_OUT)


@dataclass(frozen=True)
class SplitPlan:
    """What the user asked for.

    Attributes
    ----------
    kind
        How cells are divided.
    folds
        Number of folds; used by the k-fold kinds only. To leave one group out it is the number of groups,
        and 0 until they are counted.
    test_size
        Share of the cells to hold out, used by the hold-out kinds only.
    seed
        Seed of the shuffle.
    group_key
        obs column whose groups stay on one side, in the data set's own words or by its contract name.
    split_key
        obs column of a predefined split; None leaves it to the data set's own description.
    train_on, test_on
        Conditions of a split by domain, all of which hold for the cells of that side. Where one side has
        none, it gets all other cells.
    inner_folds
        Into how many folds the training cells are divided for the model's own use; 0 for none.
    """

    kind: SplitKind = SplitKind.HOLDOUT
    folds: int = 5
    test_size: float = 0.2
    seed: int = 0
    group_key: str | None = None
    split_key: str | None = None
    train_on: tuple[Clause, ...] = ()
    test_on: tuple[Clause, ...] = ()
    inner_folds: int = 0

    def __post_init__(self) -> None:
        """Refuse combinations that make no sense; raises UsageError."""
        if self.kind in (SplitKind.KFOLD, SplitKind.GROUP_KFOLD) and self.folds < 2:
            raise UsageError(f"--folds {self.folds}: a k-fold split needs at least 2.", "Try --folds 5.")
        if not 0 < self.test_size < 1:
            raise UsageError(
                f"--test-size {self.test_size}: it is a share between 0 and 1.", "Try --test-size 0.2."
            )
        if self.kind.is_grouped and not self.group_key:
            raise UsageError(f"--split {self.kind} needs --group-key.", "For example --group-key donor_id.")
        if self.kind is SplitKind.DOMAIN and not (self.train_on or self.test_on):
            raise UsageError(
                "--split domain needs --train-on or --test-on: which cells are on either side.",
                "For example --train-on tissue=blood --test-on tissue=lung.",
            )
        if self.inner_folds < 0 or self.inner_folds == 1:
            raise UsageError(
                f"--inner-folds {self.inner_folds}: there are none, or at least 2.", "Try --inner-folds 5."
            )

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
        facts: dict[str, object] = {"kind": self.kind.value, **self._outer()}
        if self.inner_folds:
            facts |= {"inner_folds": self.inner_folds, "seed": self.seed}
        if self.kind is not SplitKind.WHOLE and self.group_key and self._uses_groups:
            facts["group_key"] = self.group_key
        return facts

    @property
    def _uses_groups(self) -> bool:
        return self.kind.is_grouped or self.kind in (SplitKind.PREDEFINED, SplitKind.DOMAIN)

    def _outer(self) -> dict[str, object]:
        if self.kind is SplitKind.WHOLE:
            return {}
        if self.kind is SplitKind.PREDEFINED:
            return {"split_key": self.split_key}
        if self.kind is SplitKind.DOMAIN:
            return {"train_on": [*map(str, self.train_on)], "test_on": [*map(str, self.test_on)]}
        if self.kind is SplitKind.LEAVE_ONE_GROUP_OUT:
            return {"folds": self.folds}
        size = {"folds": self.folds} if self.kind.is_kfold else {"test_size": self.test_size}
        return {"seed": self.seed, **size}


@dataclass(frozen=True)
class SplitChoice:
    """A split as a user asks for it: what is None is left to the task and the data set.

    Attributes
    ----------
    kind, folds, test_size, seed, group_key, split_key, train_on, test_on, inner_folds
        See `SplitPlan`. A `group_key` keeps groups whole, whatever the kind; conditions on either side make
        it a split by domain.
    """

    kind: SplitKind | None = None
    folds: int | None = None
    test_size: float = 0.2
    seed: int = 0
    group_key: str | None = None
    split_key: str | None = None
    train_on: tuple[Clause, ...] = ()
    test_on: tuple[Clause, ...] = ()
    inner_folds: int = 0

    def settle(self, kind: SplitKind, folds: int, group_key: str | None, split_key: str | None) -> SplitPlan:
        """Fill in what the task does by default, and the data set's own column; raises UsageError."""
        if self.train_on or self.test_on:
            return self._by_domain()
        own = self.kind or kind
        if self.kind is None and not self.group_key and own.is_grouped:
            return self._plan(own, self.folds or folds, group_key).keyed(split_key)
        if own is SplitKind.LEAVE_ONE_GROUP_OUT:
            return self._leaving_groups_out()
        return self._plan(_grouped(own, self.group_key), self.folds or 5, self.group_key).keyed(split_key)

    def _by_domain(self) -> SplitPlan:
        if self.kind not in (None, SplitKind.DOMAIN):
            raise UsageError(
                f"--split {self.kind}: --train-on and --test-on say already how cells are divided.",
                "Leave --split out.",
            )
        return self._plan(SplitKind.DOMAIN, 1, self.group_key)

    def _leaving_groups_out(self) -> SplitPlan:
        if self.folds:
            raise UsageError(
                f"--folds {self.folds}: leaving one group out gives as many folds as there are groups.",
                "Leave --folds out, or choose --split group-kfold.",
            )
        return self._plan(SplitKind.LEAVE_ONE_GROUP_OUT, 0, self.group_key)

    def _plan(self, kind: SplitKind, folds: int, group_key: str | None) -> SplitPlan:
        return SplitPlan(
            kind,
            folds,
            self.test_size,
            self.seed,
            group_key,
            self.split_key,
            self.train_on,
            self.test_on,
            self.inner_folds,
        )


def _grouped(kind: SplitKind, group_key: str | None) -> SplitKind:
    """Return the kind that keeps groups whole where the user named a group column."""
    if group_key and kind in (SplitKind.HOLDOUT, SplitKind.WHOLE):
        return SplitKind.GROUP_HOLDOUT
    if group_key and kind is SplitKind.KFOLD:
        return SplitKind.GROUP_KFOLD
    return kind
