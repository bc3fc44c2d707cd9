"""Splits by domain: which side each cell is on, by conditions on obs columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from czrun.cells import Flags, ObsSource, Texts, is_missing
from czrun.conditions import Clause, Operator
from czrun.datasets.matching import Rows, column_key, holds, matching, require_known
from czrun.datasets.shared_classes import shared_classes
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from czrun.split_plan import SplitPlan

TRAIN, TEST, NEITHER = "train", "test", ""

_LABEL_TERMS = "cell_type_ontology_term_id"


def sides(
    source: ObsSource, spec: DatasetSpec, plan: SplitPlan, rows: Rows, is_control: Flags | None = None
) -> Texts:
    """Say for each of some cells whether it trains, is tested, or neither.

    Parameters
    ----------
    source, spec
        The cells.
    plan
        The conditions. Where one side has none, it gets the other cells, but for those of which the columns
        of the conditions say nothing.
    rows
        The cells that take part, shape (n,).
    is_control
        Perturbation tasks: which of `rows` are control cells, shape (n,). Conditions on the perturbation are
        none of theirs: perturbations are held out, their controls aren't.

    Returns
    -------
    The words, shape (n,).

    Raises
    ------
    DatasetError
        When a column or a value isn't there, a side is empty, or a cell is on both.
    """
    require_known(source, spec, plan.train_on + plan.test_on)
    words = np.full(len(rows), NEITHER, dtype=object)
    own = np.ones(len(rows), dtype=np.bool_) if is_control is None else ~is_control
    train, test = _two_sides(source, spec, plan, rows[own])
    _refuse_both(train & test, plan)
    words[own] = np.where(test, TEST, np.where(train, TRAIN, NEITHER))
    if is_control is not None:
        words[is_control] = _controls(source, spec, plan, rows[is_control])
    return words


def _two_sides(source: ObsSource, spec: DatasetSpec, plan: SplitPlan, rows: Rows) -> tuple[Flags, Flags]:
    train = matching(source, spec, plan.train_on, rows)
    test = matching(source, spec, plan.test_on, rows)
    if not plan.train_on:
        train = ~test & _known(source, spec, plan.test_on, rows)
    if not plan.test_on:
        test = ~train & _known(source, spec, plan.train_on, rows)
    for side, found in (("train", train), ("test", test)):
        if not found.any():
            asked = " and ".join(map(str, plan.test_on or plan.train_on))
            raise DatasetError(
                f"No {side} cells are left: all that take part have {asked}.",
                f"Say which they are with --{side}-on COLUMN=VALUE.",
            )
    return train, test


def _controls(source: ObsSource, spec: DatasetSpec, plan: SplitPlan, rows: Rows) -> Texts:
    """Divide control cells by the other conditions; one that would do for both sides trains."""
    perturbation = spec.key_for("perturbation")

    def meets(clauses: Sequence[Clause]) -> Flags:
        free = [each for each in clauses if column_key(source, spec, each.column) != perturbation]
        found = np.ones(len(rows), dtype=np.bool_)
        for clause in free:
            found &= holds(source, spec, clause, rows)
        return found

    if not plan.train_on:
        test = meets(plan.test_on)
        return np.where(test, TEST, TRAIN).astype(object)
    train = meets(plan.train_on)
    test = meets(plan.test_on) if plan.test_on else ~train
    return np.where(train, TRAIN, np.where(test, TEST, NEITHER)).astype(object)


def shared_labels(
    source: ObsSource, spec: DatasetSpec, rows: Rows, words: Texts
) -> tuple[Texts, tuple[str, ...]]:
    """Name the cells of both sides by the classes that both have.

    Parameters
    ----------
    source, spec
        The cells.
    rows, words
        Cells that take part, and their sides, shape (n,) each.

    Returns
    -------
    The classes, None for a cell whose label the other side doesn't know, shape (n,); and what to say of that.

    Raises
    ------
    DatasetError
        When the sides have fewer than two classes in common.
    """
    labels = source.column(spec.key_for("label") or "")[rows]
    terms = source.column(_LABEL_TERMS)[rows] if _LABEL_TERMS in source.columns else None
    train, test = words == TRAIN, words == TEST
    own_terms = () if terms is None else (terms[train], terms[test])
    try:
        shared = shared_classes(labels[train], labels[test], *own_terms)
    except DatasetError as error:
        raise DatasetError(
            error.message, "Give --train-on and --test-on conditions that the same classes meet."
        ) from None
    if len(shared.classes) == 1:
        raise DatasetError(
            f"Train and test cells have one class in common, {shared.classes[0]!r}: there is nothing to tell "
            f"apart.",
            "Give --train-on and --test-on conditions that more classes meet.",
        )
    names = np.full(len(rows), None, dtype=object)
    for side, own in ((train, shared.train), (test, shared.test)):
        names[side] = [own.get(label) for label in labels[side].tolist()]
    return names, shared.notes()


def _known(source: ObsSource, spec: DatasetSpec, clauses: Sequence[Clause], rows: Rows) -> Flags:
    known = np.ones(len(rows), dtype=np.bool_)
    for clause in clauses:
        known &= ~is_missing(source.column(column_key(source, spec, clause.column) or "")[rows])
    return known


def _refuse_both(both: Flags, plan: SplitPlan) -> None:
    if count := int(both.sum()):
        train, test = (" and ".join(map(str, side)) for side in (plan.train_on, plan.test_on))
        raise DatasetError(
            f"{count:,} cells have both {train} and {test}: they would train and be tested.",
            "Add a condition that parts them to one of --train-on and --test-on.",
        )


def context_column(plan: SplitPlan, source: ObsSource, spec: DatasetSpec) -> str | None:
    """Return the one column, besides the perturbation, whose values tell test cells; None for none."""
    asked = [each.column for each in plan.test_on if each.operator is Operator.ANY_OF]
    keys = {column_key(source, spec, column) for column in asked} - {spec.key_for("perturbation"), None}
    return keys.pop() if len(keys) == 1 else None
