"""The host's own account of a prepared folder, which the audit holds the containers' files against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from czrun.arrangement import Condition
from czrun.cells import Categorical, Column, Numeric
from czrun.splits import Rows
from czrun.storage import write_text

_FILES = ("truth/ledger.npz", "truth/ledger.json")
_CELL = "cell/"
_ORDER = "order/"


@dataclass(frozen=True)
class Ledger:
    """Who went where, and what is known of each cell, shown or hidden.

    Attributes
    ----------
    rows
        Source row of each cell that takes part, shape (n,).
    columns
        What is known of these cells: contract name (or ``clusters``, for donors) to column of shape (n,).
    orders
        View to the cells of its file, in its order, as numbers into `rows`.
    shown
        The obs columns that the files of ``fit`` and of ``predict`` are allowed.
    names
        Some of the source's own cell ids.
    conditions
        What a perturbation task asks for.
    """

    rows: Rows
    columns: Mapping[str, Column]
    orders: Mapping[str, Rows]
    shown: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]
    conditions: tuple[Condition, ...]

    def obs(self, view: str) -> dict[str, Column]:
        """Return what a view's file shows of its cells, in its order."""
        return {name: self.column(view, name) for name in self.shown[phase_of(view)]}

    def column(self, view: str, name: str) -> Column:
        """Return one column of a view's cells, without the values that none of them has."""
        column = self.columns[name].take(self.orders[view])
        return column.used() if isinstance(column, Categorical) else column


def phase_of(view: str) -> str:
    """Return whose file a view is."""
    return "fit" if view == "train" else "predict"


def write_ledger(stage: Path, ledger: Ledger) -> None:
    """Write the ledger into truth/."""
    arrays: dict[str, npt.NDArray[np.generic]] = {"rows": _small(ledger.rows)}
    arrays |= {_ORDER + view: _small(order) for view, order in ledger.orders.items()}
    categories = {}
    for name, column in ledger.columns.items():
        if isinstance(column, Categorical):
            arrays[_CELL + name], categories[name] = column.codes, column.categories
        else:
            arrays[_CELL + name] = column.values
    np.savez(stage / _FILES[0], allow_pickle=False, **arrays)
    texts = {
        "categories": categories,
        "shown": ledger.shown,
        "names": ledger.names,
        "conditions": [(each.perturbation, each.context, each.n_cells) for each in ledger.conditions],
    }
    write_text(stage / _FILES[1], json.dumps(texts))


def read_ledger(folder: Path) -> Ledger:
    """Read what `write_ledger` wrote; raises OSError, KeyError or ValueError where it is gone or damaged."""
    texts = json.loads((folder / _FILES[1]).read_bytes())
    with np.load(folder / _FILES[0], allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    columns: dict[str, Column] = {}
    for name in [key.removeprefix(_CELL) for key in arrays if key.startswith(_CELL)]:
        values = arrays[_CELL + name]
        known = texts["categories"].get(name)
        columns[name] = Numeric(values) if known is None else Categorical(values, tuple(known))
    return Ledger(
        rows=arrays["rows"].astype(np.int64),
        columns=columns,
        orders={
            key.removeprefix(_ORDER): value.astype(np.int64)
            for key, value in arrays.items()
            if key.startswith(_ORDER)
        },
        shown={phase: tuple(names) for phase, names in texts["shown"].items()},
        names=tuple(texts["names"]),
        conditions=tuple(Condition(*each) for each in texts["conditions"]),
    )


def _small(rows: Rows) -> npt.NDArray[np.generic]:
    return rows.astype(np.int32) if not len(rows) or rows.max() < 1 << 31 else rows
