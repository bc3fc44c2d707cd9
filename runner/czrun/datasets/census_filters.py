"""A query to Census as SOMA value filters, checked before anything is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from czrun.datasets.census_query import CensusQuery

FIELDS: Mapping[str, tuple[str, ...]] = {
    "tissue": ("tissue_general", "tissue"),
    "disease": ("disease",),
    "assay": ("assay",),
    "cell_type": ("cell_type",),
}
"""Fields of a query, and the obs columns in any of which a value of it may stand."""

_SHOWN = 12


@dataclass(frozen=True)
class Clause:
    """One narrowing of a query.

    Attributes
    ----------
    words
        How people say it.
    condition
        How SOMA has it.
    column
        The obs column whose values it names; empty where it may be any.
    """

    words: str
    condition: str
    column: str = ""


def clauses(query: CensusQuery) -> tuple[Clause, ...]:
    """Return what each cell must meet, in the order in which people narrow down."""
    found = []
    for field, columns in FIELDS.items():
        if values := getattr(query, field):
            # SOMA parses filters as Python does, so Python's own quoting is safe for any name.
            condition = " or ".join(f"{column} in {list(values)!r}" for column in columns)
            found.append(Clause(f"{field} {' or '.join(values)}", condition, columns[-1]))
    if query.obs_filter:
        found.append(Clause(f"the filter {query.obs_filter.strip()}", one_line(query.obs_filter)))
    if query.is_primary_data:
        found.append(Clause("is_primary_data", "is_primary_data == True"))
    return tuple(found)


def joined(narrowings: Sequence[Clause]) -> str | None:
    """Return the value filter that all clauses come to; None, which is all cells, for no clause."""
    return " and ".join(f"({clause.condition})" for clause in narrowings) or None


def unknown_values(query: CensusQuery, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Say which values no cell has.

    Parameters
    ----------
    query
        What is asked for.
    known
        Values that there are of each field of `FIELDS` that is asked for.
    """
    for field, values in known.items():
        for value in getattr(query, field):
            if value not in values:
                yield f"there is no {field} {value!r}; {_nearest(value, values)}"


def obs_filter_problem(text: str, columns: Sequence[str]) -> str | None:
    """Say what is wrong with a user's own filter, as far as that can be told without reading anything."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        return f"the filter {text!r} can't be parsed: {reason}"
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called]
    for name in names:
        if name not in columns:
            return f"the filter names {name!r}, which is no obs column; {_nearest(name, columns)}"
    return None


def unknown_columns(asked: Sequence[str], columns: Sequence[str]) -> Iterator[str]:
    """Say which columns of `stratify` there are not."""
    for name in asked:
        if name not in columns:
            yield f"there is no obs column {name!r} to stratify by; {_nearest(name, columns)}"


def one_line(text: str) -> str:
    """Join a filter that a YAML lays out over several lines."""
    return " ".join(text.split("\n")).strip()


def _nearest(name: str, names: Sequence[str] | frozenset[str]) -> str:
    lowered = {each.lower(): each for each in sorted(names)}
    containing = sorted((each for each in lowered if name.lower() in each), key=len)
    near = dict.fromkeys([*get_close_matches(name.lower(), lowered, n=5, cutoff=0.6), *containing[:5]])
    if near:
        return f"the nearest: {', '.join(lowered[each] for each in near)}"
    shown = sorted(names)[:_SHOWN]
    return f"there are {', '.join(shown)}{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}"
