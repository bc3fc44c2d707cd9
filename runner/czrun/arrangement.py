"""Who goes where: which cells fit and predict get in one fold, by the design of the task. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from czrun.annotations import Annotated
from czrun.columns import Flags
from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows, Split, groups_to_test, split
from czrun.tasks.base import Design

MIN_TREATED = 3
"""Cells that a condition must have to be asked for: its mean, and each half's, need some."""


@dataclass(frozen=True)
class Condition:
    """What predict is asked for: the cells of one perturbation, in one context where there are several."""

    perturbation: str
    context: str
    n_cells: int

    @property
    def name(self) -> str:
        """A name for tables."""
        return f"{self.perturbation} in {self.context}" if self.context else self.perturbation


@dataclass(frozen=True)
class Arrangement:
    """Cells of one fold, as numbers into `Annotated.rows`.

    Attributes
    ----------
    fit, predict
        What each phase gets.
    treated
        Perturbation tasks: the cells of the conditions to predict, which no container gets, by condition.
    treated_condition
        The condition of each, as a number.
    conditions
        In the order of their numbers.
    notes
        What was left out.
    """

    fit: Rows
    predict: Rows
    treated: Rows
    treated_condition: Codes
    conditions: tuple[Condition, ...] = ()
    notes: tuple[str, ...] = ()


def arrange(cells: Annotated, design: Design, plan: SplitPlan, fold: int) -> Arrangement:
    """Arrange one fold; raises DatasetError when there are too few cells or groups."""
    if design is Design.PERTURBATION:
        return _arrange_perturbations(cells, plan, fold)
    parts = split(plan, fold, cells.strata, cells.groups, cells.predefined)
    if design is Design.NOVELTY:
        return _arrange_novelty(cells, plan, parts.train, parts.test)
    return _plain(parts.train, parts.test)


def _plain(fit: Rows, predict: Rows) -> Arrangement:
    return Arrangement(fit, predict, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32))


def _arrange_novelty(cells: Annotated, plan: SplitPlan, train: Rows, test: Rows) -> Arrangement:
    """Keep anomalies from fit; where cells are split one by one, all of them are tested."""
    is_anomalous = cells.flags("anomaly").values.astype(bool)
    moved = train[is_anomalous[train]]
    normal = train[~is_anomalous[train]]
    if plan.kind in (SplitKind.HOLDOUT, SplitKind.KFOLD):
        test = np.sort(np.concatenate([test, moved]))
    found = is_anomalous[test]
    if not len(normal) or not found.any() or found.all():
        raise DatasetError(
            f"This split leaves {len(normal):,} normal cells to fit, and {int(found.sum()):,} anomalies "
            f"among {len(test):,} test cells.",
            "Both sides need normal cells, the test cells anomalies as well: choose another split.",
        )
    return _plain(normal, test)


def _arrange_perturbations(cells: Annotated, plan: SplitPlan, fold: int) -> Arrangement:
    """Ask for the perturbed cells that are tested; both phases get all control cells."""
    is_control = cells.flags("is_control").values.astype(bool)
    sides = _sides(cells, plan, fold, is_control)
    asked = sides.test[~is_control[sides.test]]
    everyone = np.union1d(sides.train, sides.test)
    control, fit = everyone[is_control[everyone]], np.setdiff1d(everyone, asked)
    taught = fit[~is_control[fit]]
    found = _conditions(cells, asked, control)
    if not found.conditions or not (len(taught) or plan.kind is SplitKind.WHOLE):
        raise DatasetError(
            f"This split asks for {len(found.conditions)} conditions and lets fit see {len(taught):,} "
            f"perturbed cells.",
            f"Both need some (a condition at least {MIN_TREATED} cells, and control cells in its context): "
            f"choose another split.",
        )
    notes = list(found.notes)
    if seen := len(np.intersect1d(_pairs(cells, taught), _pairs(cells, found.treated))):
        notes.append(f"fit sees other cells of {seen} of the conditions asked for: the split parts them")
    return replace(found, fit=fit, predict=control, notes=tuple(notes))


def _sides(cells: Annotated, plan: SplitPlan, fold: int, is_control: Flags) -> Split:
    """Divide cells by group, as predefined, or else by perturbation."""
    if plan.kind.is_grouped or plan.kind in (SplitKind.PREDEFINED, SplitKind.WHOLE):
        return split(plan, fold, cells.strata, cells.groups, cells.predefined)
    codes = cells.categorical("perturbation").codes
    treated, perturbed = np.unique(codes[~is_control], return_inverse=True)
    needed = plan.folds if plan.kind.is_kfold else 2
    if len(treated) < needed:
        raise DatasetError(
            f"There are {len(treated)} perturbations besides the control; this split needs {needed}.",
            "Hold contexts out in place of perturbations, for example --group-key cell_type.",
        )
    by_perturbation = replace(
        plan,
        kind=SplitKind.GROUP_KFOLD if plan.kind.is_kfold else SplitKind.GROUP_HOLDOUT,
        group_key="perturbation",
    )
    tested = treated[groups_to_test(by_perturbation, fold, perturbed.astype(np.int32))]
    is_tested = np.isin(codes, tested)
    return Split(np.flatnonzero(~is_tested), np.flatnonzero(is_tested))


def _conditions(cells: Annotated, asked: Rows, control: Rows) -> Arrangement:
    """Gather the conditions of the cells asked for, in the order of their names; leave small ones out."""
    perturbation, (contexts, codes) = cells.categorical("perturbation"), _contexts(cells)
    pairs, which, counts = np.unique(_pairs(cells, asked), return_inverse=True, return_counts=True)
    has_control = np.isin(pairs % len(contexts), codes[control])
    kept = np.flatnonzero((counts >= MIN_TREATED) & has_control)
    number = np.full(len(pairs), -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    order = np.argsort(number[which], kind="stable")
    order = order[number[which][order] >= 0]
    conditions = tuple(
        Condition(perturbation.categories[pair // len(contexts)], contexts[pair % len(contexts)], count)
        for pair, count in zip(pairs[kept].tolist(), counts[kept].tolist(), strict=True)
    )
    left_out = len(pairs) - len(kept)
    why = f"of fewer than {MIN_TREATED} cells, or without control cells in their context, were left out"
    notes = (f"{left_out} conditions {why}",) if left_out else ()
    nobody = np.zeros(0, dtype=np.int64)
    return Arrangement(nobody, nobody, asked[order], number[which][order], conditions, notes)


def _pairs(cells: Annotated, rows: Rows) -> Rows:
    """Return one number for perturbation and context of each cell, in the order of their names."""
    contexts, codes = _contexts(cells)
    own = cells.categorical("perturbation").codes[rows].astype(np.int64)
    return own * len(contexts) + codes[rows]


def _contexts(cells: Annotated) -> tuple[tuple[str, ...], Codes]:
    """Return the names of the contexts and each cell's own; one without a name where there are none."""
    if "context" not in cells.columns:
        return ("",), np.zeros(len(cells.rows), dtype=np.int32)
    context = cells.categorical("context")
    return context.categories, context.codes
