"""Who goes where: which cells fit and predict get in one fold, by the design of the task. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from czrun.annotations import Annotated
from czrun.cells import Flags
from czrun.errors import DatasetError
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows, Split, groups_to_test, inner_folds, split
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
        What was left out, and what is odd.
    tested
        What this fold holds out, by name: groups, perturbations, or the conditions of the test cells.
    inner
        Fold of each cell of `Annotated.rows` for the model's own use, from 0; -1 for a cell that belongs to
        none: one that fit doesn't get, or a control cell. None where there are no inner folds.
    """

    fit: Rows
    predict: Rows
    treated: Rows
    treated_condition: Codes
    conditions: tuple[Condition, ...] = ()
    notes: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    inner: Codes | None = None


def arrange(cells: Annotated, design: Design, plan: SplitPlan, fold: int) -> Arrangement:
    """Arrange one fold; raises DatasetError when there are too few cells, groups or classes."""
    chosen = _arranged(cells, design, plan, fold)
    tested = _tested(cells, design, plan, chosen)
    notes = [f"fold {fold} tests {_some(tested)}"] if tested and plan.n_folds > 1 else []
    notes += [*chosen.notes, *_class_notes(cells, plan, chosen, tested)]
    inner, inner_notes = _inner(cells, design, plan, chosen.fit)
    return replace(chosen, notes=(*notes, *inner_notes), tested=tested, inner=inner)


def n_groups(cells: Annotated, design: Design) -> int:
    """Return how many folds it takes to leave each group out once; 0 where cells aren't grouped."""
    if design is Design.PERTURBATION and cells.groups is None:
        is_control = cells.flags("is_control").values.astype(bool)
        return len(np.unique(cells.categorical("perturbation").codes[~is_control]))
    return 0 if cells.groups is None else len(np.unique(cells.groups))


def _arranged(cells: Annotated, design: Design, plan: SplitPlan, fold: int) -> Arrangement:
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
    left_out = len(np.setdiff1d(moved, test))
    notes = (f"{left_out:,} anomalies on the training side were left out",) if left_out else ()
    return replace(_plain(normal, test), notes=notes)


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
    is_told = plan.kind in (SplitKind.PREDEFINED, SplitKind.DOMAIN, SplitKind.WHOLE)
    if is_told or (plan.kind.is_grouped and cells.groups is not None):
        return split(plan, fold, cells.strata, cells.groups, cells.predefined)
    codes = cells.categorical("perturbation").codes
    treated, perturbed = np.unique(codes[~is_control], return_inverse=True)
    needed = max(2, plan.folds) if plan.kind.is_kfold else 2
    if len(treated) < needed:
        raise DatasetError(
            f"There are {len(treated)} perturbations besides the control; this split needs {needed}.",
            "Hold contexts out in place of perturbations, for example --group-key cell_type.",
        )
    grouped = SplitKind.GROUP_KFOLD if plan.kind.is_kfold else SplitKind.GROUP_HOLDOUT
    by_perturbation = replace(
        plan, kind=plan.kind if plan.kind.is_grouped else grouped, group_key=plan.group_key or "perturbation"
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


def _tested(cells: Annotated, design: Design, plan: SplitPlan, chosen: Arrangement) -> tuple[str, ...]:
    """Name what is held out."""
    if plan.kind is SplitKind.DOMAIN:
        asked = " and ".join(map(str, plan.test_on or plan.train_on))
        return (asked if plan.test_on else f"all but {asked}",)
    if design is Design.PERTURBATION and cells.groups is None and plan.kind is not SplitKind.WHOLE:
        return tuple(dict.fromkeys(each.perturbation for each in chosen.conditions))
    if cells.groups is None or not plan.kind.is_grouped:
        return ()
    asked_of = chosen.treated if design is Design.PERTURBATION else chosen.predict
    return tuple(cells.group_names[code] for code in np.unique(cells.groups[asked_of]).tolist())


def _some(names: tuple[str, ...], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def _class_notes(
    cells: Annotated, plan: SplitPlan, chosen: Arrangement, tested: tuple[str, ...]
) -> tuple[str, ...]:
    """Say which classes aren't learned, or aren't asked; raises DatasetError where none can be told apart."""
    if not cells.teaches_classes:
        return ()
    label = cells.categorical("label")
    taught, asked = (np.unique(label.codes[rows]) for rows in (chosen.fit, chosen.predict))
    where = f" where {_some(tested)} is tested" if tested and plan.n_folds > 1 else ""
    if len(taught) == 1:
        raise DatasetError(
            f"All training cells are {label.categories[taught[0]]!r}{where}: there is nothing to tell apart.",
            "Choose another split, or another --group-key.",
        )
    if not len(np.intersect1d(taught, asked)):
        raise DatasetError(
            f"Training cells and test cells have no class in common{where}.",
            "Choose another split; or give both sides the same names of labels.",
        )
    notes = []
    for known, what in ((taught, "no training cells"), (asked, "no test cells")):
        if absent := np.setdiff1d(np.arange(len(label.categories)), known).tolist():
            notes.append(f"{what} of {', '.join(label.categories[code] for code in absent)}{where}")
    if len(asked) == 1:
        notes.append(f"all test cells are {label.categories[asked[0]]}{where}")
    return tuple(notes)


def _inner(
    cells: Annotated, design: Design, plan: SplitPlan, fit: Rows
) -> tuple[Codes | None, tuple[str, ...]]:
    """Divide what fit gets into the inner folds that were asked for, in whole groups where there are any."""
    if not plan.inner_folds:
        return None, ()
    units, notes = cells.groups, []
    if design is Design.PERTURBATION:
        fit = fit[~cells.flags("is_control").values.astype(bool)[fit]]
        units = cells.categorical("perturbation").codes if units is None else units
    elif units is None and cells.clusters is not None:
        if len(np.unique(cells.clusters[fit])) >= plan.inner_folds:
            units = cells.clusters
        else:
            notes.append(
                f"groups of {cells.cluster_key!r} aren't whole in inner folds, of which there are more"
            )
    strata = np.unique(cells.strata[fit], return_inverse=True)[1].astype(np.int32)
    whole = None if units is None else np.unique(units[fit], return_inverse=True)[1].astype(np.int32)
    inner = np.full(len(cells.rows), -1, dtype=np.int32)
    inner[fit] = inner_folds(plan.inner_folds, plan.seed, strata, whole)
    return inner, tuple(notes)
