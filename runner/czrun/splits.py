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
        Group of each cell, shape (n_obs,), codes from 0; a split that was told must keep them whole.
    predefined
        ``train``/``test`` words, shape (n_obs,); for the predefined kind, and the one by domain.

    Raises
    ------
    DatasetError
        When there are too few cells or groups, or one side would be empty.
    """
    if plan.kind is SplitKind.WHOLE:
        everyone = np.arange(len(labels), dtype=np.int64)
        return Split(everyone, everyone)
    if plan.kind in (SplitKind.PREDEFINED, SplitKind.DOMAIN):
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
    if plan.kind is SplitKind.LEAVE_ONE_GROUP_OUT:
        return _one_group(plan, fold, present, sizes)
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


def _one_group(plan: SplitPlan, fold: int, present: Rows, sizes: Rows) -> npt.NDArray[np.bool_]:
    """Test one group a fold, in the order of their codes."""
    n_groups, n_obs = len(present), int(sizes.sum())
    if n_groups < 2 or 2 * n_groups > n_obs:
        raise DatasetError(
            f"Column {plan.group_key!r} has {n_groups:,} group(s) in {n_obs:,} cells: leaving one out needs "
            f"2 groups, and 2 cells a group.",
            "Name another column with --group-key.",
        )
    if n_groups != plan.folds:
        raise DatasetError(
            f"Column {plan.group_key!r} has {n_groups:,} groups, and {plan.folds:,} folds were asked for.",
            "Leaving one group out gives as many folds as there are groups.",
        )
    in_test = np.zeros(len(sizes), dtype=np.bool_)
    in_test[present[fold]] = True
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


def inner_folds(n_folds: int, seed: int, labels: Codes, groups: Codes | None = None) -> npt.NDArray[np.int32]:
    """Divide training cells for a model's own use, each class evenly, whole groups in one fold each.

    Parameters
    ----------
    n_folds
        Number of folds.
    seed
        Seed of the shuffle.
    labels
        Class of each cell, shape (n_obs,), codes from 0.
    groups
        Group of each cell, shape (n_obs,), codes from 0; None divides the cells one by one.

    Returns
    -------
    Fold of each cell, 0 to `n_folds` - 1, shape (n_obs,).

    Raises
    ------
    DatasetError
        When there are fewer groups, or cells, than folds.
    """
    n_units = len(labels) if groups is None else len(np.unique(groups))
    if n_units < n_folds:
        raise DatasetError(
            f"{n_units:,} training {'cells' if groups is None else 'groups'} can't be divided into {n_folds} "
            f"inner folds.",
            f"Use --inner-folds {max(2, n_units)} or fewer, or another --group-key.",
        )
    if groups is None:
        plan = SplitPlan(SplitKind.KFOLD, folds=n_folds, seed=seed)
        return _stratified_folds(plan, labels).astype(np.int32)
    return _stratified_groups(n_folds, seed, labels, groups)[groups]


def _stratified_groups(n_folds: int, seed: int, labels: Codes, groups: Codes) -> npt.NDArray[np.int32]:
    """Give each group its fold, the most uneven first, each where it leaves the classes most even.

    The way of scikit-learn's StratifiedGroupKFold.
    """
    counts = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (groups, labels), 1)
    rng = np.random.Generator(np.random.PCG64(seed))
    shuffled = rng.permutation(np.unique(groups))
    in_fold = np.zeros((n_folds, counts.shape[1]))
    totals = np.maximum(counts.sum(axis=0), 1)
    folds = np.zeros(len(counts), dtype=np.int32)
    order = shuffled[np.argsort(-counts[shuffled].std(axis=1), kind="stable")]
    for dealt, group in enumerate(order):
        # As many groups as there are empty folds are left: each of them gets one.
        empty = np.flatnonzero(in_fold.sum(axis=1) == 0)
        choices = empty if len(order) - dealt <= len(empty) else np.arange(n_folds)
        unevenness = [_unevenness(in_fold, fold, counts[group], totals) for fold in choices.tolist()]
        sizes = in_fold.sum(axis=1)[choices]
        best = choices[np.lexsort((sizes, np.round(unevenness, 12)))[0]]
        in_fold[best] += counts[group]
        folds[group] = best
    return folds


def _unevenness(
    in_fold: npt.NDArray[np.float64],
    fold: int,
    more: npt.NDArray[np.float64],
    totals: npt.NDArray[np.float64],
) -> float:
    """Return how much the folds would differ in their shares of each class, were `more` in one of them."""
    shares = in_fold.copy()
    shares[fold] += more
    return float((shares / totals).std(axis=0).mean())


def _refuse_shared_groups(parts: Split, groups: Codes, plan: SplitPlan) -> None:
    shared = np.intersect1d(groups[parts.train], groups[parts.test])
    if len(shared):
        between = repr(plan.split_key) if plan.kind is SplitKind.PREDEFINED else "--train-on and --test-on"
        raise DatasetError(
            f"{len(shared)} group(s) of {plan.group_key!r} are on both sides of {between}.",
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
