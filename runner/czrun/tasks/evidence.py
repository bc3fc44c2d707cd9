"""What a task's `measure` is given, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.families import Family

if TYPE_CHECKING:
    from czrun.metrics.true_perturbations import TruePerturbations

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Truth:
    """What is known of the cells of one view, and was kept from the model.

    Attributes
    ----------
    columns
        By contract name, each of shape (n_obs,): codes of a categorical column, or numbers.
    categories
        The values that the codes stand for, by contract name.
    """

    columns: Mapping[str, AnyArray]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def codes(self, name: str) -> IntArray:
        """Return a categorical column as codes from 0, shape (n_obs,)."""
        return self.columns[name].astype(np.int64)

    def numbers(self, name: str) -> FloatArray:
        """Return a numeric column, shape (n_obs,)."""
        return self.columns[name].astype(np.float64)

    def texts(self, name: str) -> list[str]:
        """Return a categorical column as text, shape (n_obs,)."""
        names = self.categories[name]
        return [names[code] for code in self.columns[name].tolist()]

    def is_function_of(self, name: str, key: str) -> bool:
        """Tell whether cells that agree in the categorical column `key` agree in `name` too."""
        pairs = np.unique(np.stack([self.columns[key], self.columns[name]]), axis=1)
        return bool(len(np.unique(pairs[0])) == pairs.shape[1])

    def __contains__(self, name: str) -> bool:
        """Tell whether there is such a column."""
        return name in self.columns

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Evidence:
    """A model's outputs in one trial, and the truth.

    Attributes
    ----------
    answers
        Checked arrays by the output's key (its file name without the ending): codes for labels (-1 where the
        model declined) and for clusters, else numbers. An optional output that wasn't left is not in it.
    truth
        What is known of the test cells.
    reference_answers, reference_truth
        The same for the training cells, where the task has them as a view.
    perturbations
        Perturbation tasks: the cells of the conditions that were asked for, and the control cells.
    expression
        Computes the test cells' places along the principal components of their expression, (n_obs, 50): what
        an embedding is compared with. None where there is no expression.
    """

    answers: Mapping[str, AnyArray]
    truth: Truth
    reference_answers: Mapping[str, AnyArray] = field(default_factory=dict)
    reference_truth: Truth | None = None
    perturbations: TruePerturbations | None = None
    expression: Callable[[], FloatArray] | None = None


@dataclass(frozen=True)
class Confusion:
    """How labels were mistaken for one another.

    Attributes
    ----------
    classes
        Names, in the order of their codes.
    counts
        Cells by true and predicted class, the last column unassigned; shape (k, k + 1).
    support
        Test cells of each class, shape (k,).
    """

    classes: tuple[str, ...]
    counts: IntArray
    support: IntArray


@dataclass(frozen=True)
class Measured:
    """One trial, measured.

    Attributes
    ----------
    families
        Its metrics.
    n_items
        How many items the families redraw.
    unit
        What one item of the families is.
    rows
        Columns for the run's table of single answers, one entry an item: the truth, the model's answer, and
        what else is worth a look.
    items
        Names of the items, where they are not the test cells.
    confusion
        For label tasks.
    """

    families: tuple[Family, ...]
    n_items: int
    unit: str = "cells"
    rows: Mapping[str, Sequence[Any] | AnyArray] = field(default_factory=dict)
    items: tuple[str, ...] | None = None
    confusion: Confusion | None = None


def per_item(families: Sequence[Family], n_items: int) -> dict[str, list[float | None]]:
    """Return every metric's value of each item by itself; None where it has none."""
    units, once = np.arange(n_items), np.ones(n_items, dtype=np.int64)
    columns: dict[str, list[float | None]] = {}
    for family in families:
        if family.tally:
            values = family.tally(units, once).values(np.eye(n_items, dtype=np.int64))
            for name, column in zip(family.names, values.T.tolist(), strict=True):
                columns[name] = [None if math.isnan(value) else value for value in column]
    return columns
