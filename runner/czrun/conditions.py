"""Conditions on cells as people write them: ``tissue=blood,lung``, ``time<=4``."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from czrun.errors import UsageError, listing

_WRITTEN = re.compile(r"^\s*(?P<column>[^<>=!]+?)\s*(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<rest>.*\S)\s*$")


class Operator(StrEnum):
    """How a cell's value is compared."""

    ANY_OF = "="
    NONE_OF = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="

    @property
    def compares_numbers(self) -> bool:
        """Whether it compares with one number, not with values."""
        return self not in (Operator.ANY_OF, Operator.NONE_OF)


@dataclass(frozen=True, order=True)
class Clause:
    """One condition. A cell whose value is missing meets none, whatever it says.

    Attributes
    ----------
    column
        An obs column, in the data set's own words or by its contract name.
    operator
        How it is compared.
    values
        The values, or the one number, that it is compared with; sorted, each once.
    """

    column: str
    operator: Operator
    values: tuple[str, ...]

    def __str__(self) -> str:
        """Write it as a user would."""
        values = (f'"{value}"' if "," in value else value for value in self.values)
        return f"{self.column}{self.operator}{','.join(values)}"

    @property
    def number(self) -> float:
        """The number that it compares with."""
        return float(self.values[0])


Said = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def any_of(column: str, values: Sequence[str]) -> Clause:
    """Ask for one of some values."""
    return Clause(column, Operator.ANY_OF, tuple(sorted(dict.fromkeys(values))))


def is_clause(text: str) -> bool:
    """Tell whether a text is meant as a condition, and not as a name or a path."""
    return _WRITTEN.match(text) is not None


def parse_clauses(flag: str, said: Said) -> tuple[Clause, ...]:
    """Read conditions, all of which are to hold.

    Parameters
    ----------
    flag
        The flag that says them, for errors.
    said
        One text or several, such as ``"tissue=blood,lung"``, ``"time<=4"``, ``"donor!=d1"``; a value that
        holds a comma stands in double quotes. Or a mapping of columns to a value or several.

    Returns
    -------
    In one order, whatever order they were said in.

    Raises
    ------
    UsageError
        With everything that can't be read.
    """
    if isinstance(said, Mapping):
        named = {column: [values] if isinstance(values, str) else values for column, values in said.items()}
        return tuple(sorted({any_of(column, list(map(str, values))) for column, values in named.items()}))
    found, problems = set(), []
    for text in [said] if isinstance(said, str) else said:
        try:
            found.add(_parse(text))
        except ValueError as error:
            problems.append(f"{text!r}: {error}")
    if problems:
        raise UsageError(
            f"{flag} can't be read:\n{listing(problems)}",
            f"For example {flag} tissue=blood,lung, or {flag} 'time<=4'; once more for another column.",
        )
    return tuple(sorted(found))


def _parse(text: str) -> Clause:
    written = _WRITTEN.match(text)
    if not written:
        msg = "it isn't COLUMN=VALUE[,VALUE …], nor COLUMN<=NUMBER"
        raise ValueError(msg)
    sign = written["operator"]
    operator = Operator.ANY_OF if sign == "==" else Operator(sign)
    values = [value.strip() for value in next(csv.reader([written["rest"]], skipinitialspace=True))]
    if not all(values):
        msg = "one of its values is empty"
        raise ValueError(msg)
    if operator.compares_numbers and (len(values) > 1 or as_number(values[0]) is None):
        msg = f"{sign} compares with one number"
        raise ValueError(msg)
    return Clause(written["column"], operator, tuple(sorted(dict.fromkeys(values))))


def as_number(text: str) -> float | None:
    """Return the finite number that a text says, None where it says none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
