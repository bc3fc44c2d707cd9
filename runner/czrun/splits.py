"""Splits of cells into train and test: pure, seeded, the same on every machine.

scikit-learn's splitters do the same work, but importing them takes two seconds, four times what czrun may
add to a whole evaluation; the tests hold these against them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan

Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]

TRAIN_WORDS = frozenset({"train", "training", "fit"})
TEST_WORDS = frozenset({"test", "testing", "holdout", "held-out", "predict"})


@dataclass(frozen=True)
class Split:
    """Row numbers of one fold, each side in ascending order; no row on both, unless the kind is whole."""

    train: Rows
    test: Rows


def split(
    plan: SplitPlan,
    fold: int,
    labels: Codes,
    groups: Codes | None = None,
    predefined: npt.NDArray[np.object_] | None = None,
) -> Split:
    """Divide cells into train and test.

    Parameters
    ----------
    plan
        What was asked for.
    fold
        Which fold, counted from 0.
    labels
        Class of each cell, shape (n_obs,), codes from 0.
    groups
        Group of each cell, shape (n_obs,), codes from 0; a predefined split must keep them whole.
    predefined
        ``train``/``test`` words, shape (n_obs,); for the predefined kind.

    Raises
    ------
    DatasetError
        When there are too few cells or groups, or one side would be empty.
    """
    if plan.kind is SplitKind.WHOLE:
        everyone = np.arange(len(labels), dtype=np.int64)
        return Split(everyone, everyone)
    if plan.kind is SplitKind.PREDEFINED:
        if predefined is None:
            raise DatasetError("A predefined split needs its column.", "Name it with --split-key.")
        parts = _predefined(predefined, str(plan.split_key))
        if groups is not None:
            _refuse_shared_groups(parts, groups, plan)
        return parts
    if plan.kind.is_grouped:
        if groups is None:
            raise DatasetError("A grouped split needs its column.", "Name it with --group-key.")
        in_test = groups_to_test(plan, fold, groups)[groups]
    else:
        in_test = _stratified_folds(plan, labels) == fold
    return _two_sides(in_test, plan)


def _two_sides(in_test: npt.NDArray[np.bool_], plan: SplitPlan) -> Split:
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    if not len(train) or not len(test):
        side = "test" if not len(test) else "train"
        raise DatasetError(
            f"The {plan.kind} split leaves no {side} cells.",
            "Use more cells, or another --test-size or --folds.",
        )
    return Split(train.astype(np.int64), test.astype(np.int64))


def _stratified_folds(plan: SplitPlan, labels: Codes) -> npt.NDArray[np.int64]:
    """Give each cell its fold; a hold-out is fold 0 of its test share, fold 1 of the rest."""
    n_obs = len(labels)
    if plan.kind is SplitKind.KFOLD and n_obs < plan.folds:
        raise DatasetError(
            f"{n_obs} cells can't be divided into {plan.folds} folds.",
            f"Use --folds {max(2, n_obs)} or fewer.",
        )
    rng = np.random.Generator(np.random.PCG64(plan.seed))
    order = rng.permutation(n_obs)
    order = order[np.argsort(labels[order], kind="stable")]  # by class, shuffled within
    if plan.kind is SplitKind.KFOLD:
        # Dealing the class-ordered cells like cards gives every fold each class to within one cell,
        # and every fold the same size to within one cell.
        folds = np.empty(n_obs, dtype=np.int64)
        folds[order] = np.arange(n_obs) % plan.folds
        return folds
    counts = np.bincount(labels)
    quota = _test_quota(counts, plan.test_size)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(n_obs) - starts[labels[order]]
    folds = np.ones(n_obs, dtype=np.int64)
    folds[order[rank < quota[labels[order]]]] = 0
    return folds


def _test_quota(counts: npt.NDArray[np.int64], test_size: float) -> npt.NDArray[np.int64]:
    """Share the test cells among the classes by largest remainder; of two cells one goes to each side."""
    exact = counts * test_size
    quota = np.floor(exact).astype(np.int64)
    missing = round(float(counts.sum() * test_size)) - int(quota.sum())
    by_remainder = np.argsort(-(exact - quota), kind="stable")
    quota[by_remainder[:missing]] += 1
    clipped: npt.NDArray[np.int64] = np.clip(quota, np.minimum(1, counts - 1), np.maximum(counts - 1, 0))
    return clipped


def groups_to_test(plan: SplitPlan, fold: int, groups: Codes) -> npt.NDArray[np.bool_]:
    """Say for each group whether this fold tests it; raises DatasetError when there are too few."""
    sizes = np.bincount(groups)
    present = np.flatnonzero(sizes)
    needed = plan.folds if plan.kind.is_kfold else 2
    if len(present) < needed:
        raise DatasetError(
            f"Column {plan.group_key!r} has {len(present)} group(s); a {plan.kind} split needs {needed}.",
            "Use fewer --folds, another --group-key, or --split holdout without one.",
        )
    rng = np.random.Generator(np.random.PCG64(plan.seed))
    shuffled = rng.permutation(present)
    in_test = np.zeros(len(sizes), dtype=np.bool_)
    if plan.kind.is_kfold:
        in_test[_balanced_fold(shuffled, sizes, plan.folds, fold)] = True
        return in_test
    target = plan.test_size * len(groups)
    held_out = 0
    for group in shuffled[:-1]:
        # A group joins when that brings the test set nearer to its target; the first always does.
        if held_out == 0 or abs(held_out + sizes[group] - target) < abs(held_out - target):
            in_test[group] = True
            held_out += int(sizes[group])
    return in_test


def _balanced_fold(shuffled: Rows, sizes: npt.NDArray[np.int64], folds: int, fold: int) -> list[int]:
    """Deal groups, largest first, each to the fold that has fewest cells so far; return those of one fold."""
    members: list[list[int]] = [[] for _ in range(folds)]
    loads = [0] * folds
    for group in sorted(shuffled, key=lambda g: -int(sizes[g])):
        lightest = loads.index(min(loads))
        members[lightest].append(int(group))
        loads[lightest] += int(sizes[group])
    return members[fold]


def _refuse_shared_groups(parts: Split, groups: Codes, plan: SplitPlan) -> None:
    shared = np.intersect1d(groups[parts.train], groups[parts.test])
    if len(shared):
        raise DatasetError(
            f"{len(shared)} group(s) of {plan.group_key!r} are on both sides of {plan.split_key!r}.",
            "Mend the split, or leave --group-key out if that is meant.",
        )


def _predefined(words: npt.NDArray[np.object_], key: str) -> Split:
    lowered = np.array([str(word).strip().lower() for word in words], dtype=object)
    train = np.flatnonzero(np.isin(lowered, list(TRAIN_WORDS)))
    test = np.flatnonzero(np.isin(lowered, list(TEST_WORDS)))
    if not len(train) or not len(test):
        seen = ", ".join(repr(str(word)) for word in sorted(set(map(str, words)))[:10])
        raise DatasetError(
            f"Column {key!r} doesn't say which cells are train and which are test; it holds {seen}.",
            "It needs the words 'train' and 'test'; cells with any other word are left out.",
        )
    return Split(train.astype(np.int64), test.astype(np.int64))
