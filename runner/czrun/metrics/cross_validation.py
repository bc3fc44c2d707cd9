"""Cells named by classifiers that were trained on other cells of the same embedding."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.classifiers import CLASSIFIERS, N_NEIGHBOURS, Recipe, judge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

N_FOLDS = 5
MOST_CELLS = 100_000
"""With more, a stratified sample of so many is looked at: a forest takes minutes for these."""


@dataclass(frozen=True)
class CrossJudged:
    """What the classifiers said of each cell when it was not among their training cells.

    Attributes
    ----------
    fold
        In which each cell was tested, shape (n,).
    proba
        Probabilities by classifier, shape (3, n, k).
    unconverged
        Folds in which logistic regression used up its steps.
    """

    fold: IntArray
    proba: FloatArray
    unconverged: int

    @property
    def linear_note(self) -> str:
        """Say how often logistic regression didn't converge; empty when it always did."""
        if not self.unconverged:
            return ""
        return f"logistic regression used up its steps in {self.unconverged} of {N_FOLDS} folds"


def why_no_folds(codes: IntArray, group: IntArray | None) -> str:
    """Say why these cells can't be folded; empty when they can.

    Parameters
    ----------
    codes
        Class codes, shape (n,).
    group
        Codes of what folds keep whole, shape (n,); None where nothing.
    """
    sizes = np.unique(codes, return_counts=True)[1]
    if len(sizes) < 2:
        return "all cells have one label"
    if sizes.max() < N_FOLDS:
        return f"no label has as many cells as there are folds ({N_FOLDS})"
    if group is not None and len(np.unique(group)) < N_FOLDS:
        return f"there are {len(np.unique(group))} groups for {N_FOLDS} folds"
    return ""


def judge_folds(
    array: NDArray[Any],
    codes: IntArray,
    n_classes: int,
    group: IntArray | None,
    recipe: Recipe,
    seed: int,
) -> CrossJudged | None:
    """Name every cell by classifiers trained on the other folds; None where a fold leaves too few cells.

    Parameters
    ----------
    array
        Features, shape (n, d).
    codes
        Class codes within 0..k-1, shape (n,).
    n_classes
        k.
    group
        Codes of what folds keep whole, shape (n,); None where nothing.
    recipe
        How the classifiers are set up.
    seed
        Of folds and forests.
    """
    fold = np.zeros(len(codes), dtype=np.int64)
    proba = np.zeros((len(CLASSIFIERS), len(codes), n_classes))
    unconverged = 0
    for number, (train, test) in enumerate(_folds(codes, group, seed)):
        if len(train) < N_NEIGHBOURS:
            return None
        if len(test) == 0:
            continue
        found = judge(array[train], codes[train], array[test], n_classes, recipe, seed)
        fold[test], proba[:, test] = number, found.proba
        unconverged += not found.converged
    return CrossJudged(fold, proba, unconverged)


def _folds(codes: IntArray, group: IntArray | None, seed: int) -> Iterator[tuple[IntArray, IntArray]]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if group is None else StratifiedGroupKFold
    with warnings.catch_warnings():
        # A class of fewer cells than folds: the folds that lack it are scored on the others.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        splits = list(kind(N_FOLDS, shuffle=True, random_state=seed).split(codes[:, None], codes, group))
    return iter(splits)


def stratified_sample(codes: IntArray, size: int, at_least: int, seed: int) -> IntArray:
    """Pick cells so that each class keeps its share, ascending; all of them when `size` is enough.

    Parameters
    ----------
    codes
        Class codes, shape (n,).
    size
        Cells wanted.
    at_least
        Cells to keep of each class whatever its share; all of a smaller one.
    seed
        Of the draw.
    """
    if len(codes) <= size:
        return np.arange(len(codes))
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    counts = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Classes are worn down side by side: cell j of a class of m stands at (j + 1/2) / m on the way.
    place = np.where(rank < at_least, -1.0, (rank + 0.5) / counts[codes[order]])
    return np.sort(order[np.argsort(place, kind="stable")[:size]])
