"""Which cells meet conditions: columns by either name, values checked, and what is wrong told at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import cast, get_args

import numpy as np
import numpy.typing as npt

from czrun.cells import Flags, ObsSource, each, is_missing
from czrun.conditions import Clause, Operator, as_number
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.errors import DatasetError, listing

Rows = npt.NDArray[np.int64]

_SHOWN_VALUES = 12
_COMPARISONS: dict[Operator, Callable[[float, float], bool]] = {
    Operator.BELOW: lambda value, bound: value < bound,
    Operator.AT_MOST: lambda value, bound: value <= bound,
    Operator.ABOVE: lambda value, bound: value > bound,
    Operator.AT_LEAST: lambda value, bound: value >= bound,
}


def column_key(source: ObsSource, spec: DatasetSpec, name: str) -> str | None:
    """Return the source's own name of a column, which may be called by its contract name; None if absent."""
    if name in source.columns:
        return name
    key = spec.key_for(cast(ObsName, name)) if name in get_args(ObsName) else None
    return key if key in source.columns else None


def require_known(source: ObsSource, spec: DatasetSpec, clauses: Sequence[Clause]) -> None:
    """Raise DatasetError where a column or a value isn't there, with the nearest that is; all at once."""
    problems = []
    for clause in clauses:
        key = column_key(source, spec, clause.column)
        if key is None:
            near = _nearest(clause.column, source.columns)
            problems.append(f"{clause}: there is no obs column {clause.column!r}{near}")
            continue
        texts = source.column(key)
        problems += _unknown_values(clause, key, sorted(set(map(str, texts[~is_missing(texts)]))))
    if problems:
        raise DatasetError(
            f"{spec.name} doesn't have what is asked for:\n{listing(problems)}",
            f"Its columns: {', '.join(source.columns) or '(none)'}.",
        )


def _unknown_values(clause: Clause, key: str, there: list[str]) -> list[str]:
    if clause.operator.compares_numbers:
        words = [value for value in there if as_number(value) is None]
        return [f"{clause}: {key!r} holds {words[0]!r}, which is no number"] if words else []
    unknown = [value for value in clause.values if not _equal_to(value, there)]
    if not unknown:
        return []
    shown = ", ".join(map(repr, there[:_SHOWN_VALUES])) + (" …" if len(there) > _SHOWN_VALUES else "")
    return [
        f"{clause}: no cell's {key!r} is {value!r}{_nearest(value, there)}; it holds {shown or 'nothing'}"
        for value in unknown
    ]


def _equal_to(value: str, there: Sequence[str]) -> set[str]:
    """Return the values that are meant: the same text, else the same number."""
    if value in there or (number := as_number(value)) is None:
        return {value} & set(there)
    return {text for text in there if as_number(text) == number}


def _nearest(name: str, there: Sequence[str]) -> str:
    for value in there:
        if value.startswith(f"{name},"):
            return f' (a value with a comma stands in double quotes: "{value}")'
    by_lower = {value.lower(): value for value in there}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean {by_lower[near[0]]!r}?)" if near else ""


def holds(source: ObsSource, spec: DatasetSpec, clause: Clause, rows: Rows) -> Flags:
    """Tell which of some cells meet a condition, all of whose names are known."""
    texts = source.column(column_key(source, spec, clause.column) or "")
    there = sorted(set(map(str, texts[~is_missing(texts)])))
    if clause.operator.compares_numbers:
        compare = _COMPARISONS[clause.operator]
        meant = {text for text in there if compare(float(text), clause.number)}
    else:
        meant = set().union(*(_equal_to(value, there) for value in clause.values))
        if clause.operator is Operator.NONE_OF:
            meant = set(there) - meant
    return each(texts[rows], lambda text: text in meant)


def matching(source: ObsSource, spec: DatasetSpec, clauses: Sequence[Clause], rows: Rows) -> Flags:
    """Tell which of some cells meet all conditions.

    Raises
    ------
    DatasetError
        When none does: it says which condition left none.
    """
    found = np.ones(len(rows), dtype=np.bool_)
    for number, clause in enumerate(clauses):
        one = holds(source, spec, clause, rows)
        if not (found & one).any():
            before = " and ".join(map(str, clauses[:number]))
            among = f"the {int(found.sum()):,} cells with {before}" if before else f"the {len(rows):,} cells"
            raise DatasetError(
                f"{clause} leaves no cell: it holds for {int(one.sum()):,} cells, and for none of {among}.",
                f"Change that condition, or one before it. {clause.column!r} holds there: "
                f"{_values_there(source, spec, clause, rows[found])}.",
            )
        found &= one
    return found


def _values_there(source: ObsSource, spec: DatasetSpec, clause: Clause, rows: Rows) -> str:
    texts = source.column(column_key(source, spec, clause.column) or "")[rows]
    values = sorted(set(map(str, texts[~is_missing(texts)])))
    shown = ", ".join(map(repr, values[:_SHOWN_VALUES])) or "nothing"
    return f"{shown} …" if len(values) > _SHOWN_VALUES else shown
