"""Cells named by classifiers of another organism, or of their own: what `czrun.metrics.transfer` scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.classifiers import CLASSIFIERS, N_NEIGHBOURS, Recipe, judge
from czrun.metrics.cross_validation import (
    MOST_CELLS,
    N_FOLDS,
    judge_folds,
    stratified_sample,
    why_no_folds,
)
from czrun.metrics.donor_means import Rows
from czrun.metrics.judged import JudgedCells

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RECIPE = Recipe(centred=True, max_iter=1000)


@dataclass(frozen=True)
class Pair:
    """An organism to learn from and one to be tested on, by code, and what the pair is called."""

    trained: int
    tested: int
    name: str


@dataclass(frozen=True)
class Judged:
    """Rows that were named.

    Attributes
    ----------
    cells
        The rows; None where there is nothing to score.
    notes
        What a reader must know of every metric; where there are no cells, why.
    linear_note
        What a reader must know of logistic regression; empty when there is nothing.
    """

    cells: JudgedCells | None
    notes: tuple[str, ...]
    linear_note: str = ""


@dataclass(frozen=True)
class _Answers:
    """What the classifiers that learnt from one organism said.

    `row` was tested in `part`; parts that couldn't be have their reason. Logistic regression used up its
    steps in `unconverged` of `fits`.
    """

    row: IntArray
    part: IntArray
    proba: FloatArray
    unconverged: int
    fits: int
    reasons: dict[str, str] = field(default_factory=dict)


def judge_pairs(rows: Rows, n_items: int, pairs: Sequence[Pair], seed: int) -> Judged:
    """Name each pair's tested rows by classifiers of its other organism.

    Parameters
    ----------
    rows
        Of all organisms.
    n_items
        Cells in all.
    pairs
        Each becomes a part.
    seed
        Of forests and samples.
    """
    learners = sorted({pair.trained for pair in pairs})
    # Codes are of the labels that some organism learns: two of them mean binary scores.
    known = np.unique(rows.true[np.isin(rows.organism, learners)])
    codes = np.searchsorted(known, rows.true)
    answers = [_taught_by(learner, rows, codes, len(known), pairs, seed) for learner in learners]
    names = tuple(pair.name for pair in pairs) if len(pairs) > 1 else ()
    judged = _judged(rows, n_items, codes, answers, len(pairs), names, seed)
    return replace(judged, notes=(*judged.notes, *_unlearnt(rows, pairs))) if judged.cells else judged


def _unlearnt(rows: Rows, pairs: Sequence[Pair]) -> list[str]:
    """Say how many tested rows have labels that their pair's other organism lacks."""
    n_tested = n_unlearnt = 0
    for pair in pairs:
        tested = rows.true[rows.organism == pair.tested]
        n_tested += len(tested)
        n_unlearnt += int((~np.isin(tested, rows.true[rows.organism == pair.trained])).sum())
    if not n_unlearnt:
        return []
    return [f"{n_unlearnt:,} of {n_tested:,} tested left out: their labels were not learnt"]


def judge_within(rows: Rows, n_items: int, organisms: Sequence[str], seed: int) -> Judged:
    """Name every row by classifiers trained on other folds of its organism, which keep donors whole.

    Parameters
    ----------
    rows
        Of all organisms.
    n_items
        Cells in all.
    organisms
        Names, in the order of their codes. Each has five parts, its folds.
    seed
        Of folds, forests and samples.
    """
    codes = np.unique(rows.true, return_inverse=True)[1]
    n_classes = int(codes.max()) + 1
    answers = [_folded(code, name, rows, codes, n_classes, seed) for code, name in enumerate(organisms)]
    return _judged(rows, n_items, codes, answers, N_FOLDS * len(organisms), (), seed)


def _taught_by(
    learner: int, rows: Rows, codes: IntArray, n_classes: int, pairs: Sequence[Pair], seed: int
) -> _Answers:
    train = _sample(codes, np.flatnonzero(rows.organism == learner), seed)
    learnt = np.unique(rows.true[train])
    reasons: dict[str, str] = {}
    tests: dict[int, IntArray] = {}
    for part, pair in enumerate(pairs):
        if pair.trained == learner:
            shared = np.flatnonzero((rows.organism == pair.tested) & np.isin(rows.true, learnt))
            if why := _why_untested(len(train), len(learnt), len(shared)):
                reasons[pair.name] = why
            else:
                tests[part] = _sample(codes, shared, seed)
    row = np.concatenate([np.zeros(0, dtype=np.int64), *tests.values()])
    part_of_row = np.repeat(np.array([*tests], dtype=np.int64), [len(test) for test in tests.values()])
    if len(row) == 0:
        return _Answers(row, part_of_row, np.zeros((len(CLASSIFIERS), 0, n_classes)), 0, 0, reasons)
    found = judge(rows.array[train], codes[train], rows.array[row], n_classes, RECIPE, seed)
    return _Answers(row, part_of_row, found.proba, int(not found.converged), 1, reasons)


def _why_untested(n_train: int, n_learnt: int, n_tested: int) -> str:
    if n_train < N_NEIGHBOURS:
        return f"there are fewer than {N_NEIGHBOURS} training cells or donor averages"
    if n_learnt < 2:
        return "all training cells have one label"
    return "" if n_tested else "no tested cell has a label of the training cells"


def _folded(code: int, name: str, rows: Rows, codes: IntArray, n_classes: int, seed: int) -> _Answers:
    row = _sample(codes, np.flatnonzero(rows.organism == code), seed)
    donor = None if rows.donor is None else rows.donor[row]
    why = why_no_folds(codes[row], donor)
    found = None if why else judge_folds(rows.array[row], codes[row], n_classes, donor, RECIPE, seed)
    if found is None:
        none = np.zeros(0, dtype=np.int64)
        reasons = {name: why or "a fold leaves too few cells to learn from"}
        return _Answers(none, none, np.zeros((len(CLASSIFIERS), 0, n_classes)), 0, 0, reasons)
    return _Answers(row, code * N_FOLDS + found.fold, found.proba, found.unconverged, N_FOLDS)


def _sample(codes: IntArray, row: IntArray, seed: int) -> IntArray:
    return row[stratified_sample(codes[row], MOST_CELLS, at_least=1, seed=seed)]


def _judged(
    rows: Rows,
    n_items: int,
    codes: IntArray,
    answers: Sequence[_Answers],
    n_parts: int,
    part_names: tuple[str, ...],
    seed: int,
) -> Judged:
    row = np.concatenate([answer.row for answer in answers])
    reasons = {name: why for answer in answers for name, why in answer.reasons.items()}
    if len(row) == 0:
        return Judged(None, tuple(sorted(set(reasons.values()))))
    cells = JudgedCells(
        n_items=n_items,
        item=rows.item[row],
        part=np.concatenate([answer.part for answer in answers]),
        n_parts=n_parts,
        true=codes[row],
        proba=np.concatenate([answer.proba for answer in answers], axis=1),
        part_names=part_names,
    )
    failed, fits = sum(each.unconverged for each in answers), sum(each.fits for each in answers)
    linear = f"logistic regression used up its steps in {failed} of {fits} fits" if failed else ""
    notes = [f"without {name}: {why}" for name, why in reasons.items()]
    if np.bincount(rows.organism).max() > MOST_CELLS:
        notes.append(
            f"on {MOST_CELLS:,} cells where there are more, stratified samples, drawn with seed {seed}"
        )
    return Judged(cells, tuple(notes), linear)
