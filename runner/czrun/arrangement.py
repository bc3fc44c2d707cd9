"""Who goes where: which cells fit and predict get in one fold, by the design of the task. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from czrun.annotations import Annotated
from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows, groups_to_test, split
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
    is_control = cells.flags("is_control").values.astype(bool)
    perturbation = cells.categorical("perturbation")
    is_tested = _tested_cells(cells, plan, fold) & ~is_control
    context = cells.categorical("context") if "context" in cells.columns else None
    context_codes = np.zeros(len(is_control), dtype=np.int32) if context is None else context.codes
    rows = np.flatnonzero(is_tested)
    pairs = np.stack([perturbation.codes[rows], context_codes[rows]], axis=-1)
    values, which, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    has_control = np.isin(values[:, 1], context_codes[is_control])
    kept = np.flatnonzero((counts >= MIN_TREATED) & has_control)
    fit = np.flatnonzero(~is_tested)
    teaches = plan.kind is SplitKind.WHOLE or not is_control[fit].all()
    if not len(kept) or not teaches or not is_control.any():
        raise DatasetError(
            f"This split asks for {len(kept)} conditions and lets fit see "
            f"{int((~is_control[fit]).sum()):,} perturbed cells.",
            f"Both need some (a condition at least {MIN_TREATED} cells): choose another split.",
        )
    order = np.argsort(which.ravel(), kind="stable")
    order = order[np.isin(which.ravel()[order], kept)]
    conditions = tuple(
        Condition(
            perturbation.categories[values[number, 0]],
            "" if context is None else context.categories[values[number, 1]],
            int(counts[number]),
        )
        for number in kept
    )
    numbers = np.searchsorted(kept, which.ravel()[order]).astype(np.int32)
    left_out = len(values) - len(kept)
    why = f"of fewer than {MIN_TREATED} cells, or without control cells in their context, were left out"
    notes = (f"{left_out} conditions {why}",) if left_out else ()
    return Arrangement(fit, np.flatnonzero(is_control), rows[order], numbers, conditions, notes)


def _tested_cells(cells: Annotated, plan: SplitPlan, fold: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Say which cells a fold holds out: by group, as predefined, or else by perturbation."""
    if plan.kind is SplitKind.WHOLE:
        return np.ones(len(cells.rows), dtype=bool)
    if plan.kind.is_grouped or plan.kind is SplitKind.PREDEFINED:
        is_tested = np.zeros(len(cells.rows), dtype=bool)
        is_tested[split(plan, fold, cells.strata, cells.groups, cells.predefined).test] = True
        return is_tested
    is_control = cells.flags("is_control").values.astype(bool)
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
    return np.isin(codes, tested)
