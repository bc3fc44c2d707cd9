"""Answers that were made without czrun: what it takes to match them with what a task asks for."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.arrangement import Condition
from czrun.errors import ContractError, listing
from czrun.npy import misfit_of
from czrun.outputs import Findings, WantedFile, check_array
from czrun.tasks.base import Content

CONDITIONS_FILE = "conditions.csv"

_SHOWN = 12


def condition_order(folder: Path | None, conditions: Sequence[Condition]) -> list[int]:
    """Return the numbers of the conditions in the order in which a folder's answers hold them.

    Parameters
    ----------
    folder
        May hold ``conditions.csv``, which says the order by names in its column ``condition``.
    conditions
        What is asked for; their own order is taken where nothing says another.

    Raises
    ------
    ContractError
        When that file can't be read, or doesn't name each condition once; every problem is listed.
    """
    known = [each.name for each in conditions]
    names = _read_conditions(folder / CONDITIONS_FILE) if folder and known else None
    if names is None:
        return list(range(len(known)))
    problems = [
        *(f"{name!r} isn't among them" for name in dict.fromkeys(names) if name not in known),
        *(f"{name!r} stands there {times} times" for name, times in Counter(names).items() if times > 1),
        *(f"{name!r} is missing" for name in known if name not in names),
    ]
    if problems:
        raise ContractError(
            f"{CONDITIONS_FILE} doesn't name the {len(known):,} conditions asked for:\n{listing(problems)}",
            f"It names each once: {some_of(known)}.",
        )
    return [known.index(name) for name in names]


def _read_conditions(path: Path) -> list[str] | None:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ContractError(f"{path} can't be read: {error}.", "Write it as UTF-8 CSV.") from error
    column = next((name for name in ("condition", "perturbation") if rows and name in rows[0]), None)
    if not column:
        raise ContractError(
            f"{path} names no conditions.", "It has a column `condition`, a row for each of expression.npy."
        )
    return [row[column] or "" for row in rows]


def in_order(
    array: NDArray[Any], axes: Sequence[str], order: Sequence[int], conditions: Sequence[Condition]
) -> NDArray[Any]:
    """Bring an array whose rows follow `order` into the order of the conditions; another stays as it is.

    Parameters
    ----------
    array
        An answer.
    axes
        What its axes are: rows may be conditions, or the cells of one condition after another.
    order
        The condition of each row, or of each run of cells, by number.
    conditions
        What was asked for.
    """
    if not axes or axes[0] not in ("n_conditions", "n_cells"):
        return array
    sizes = [1 if axes[0] == "n_conditions" else conditions[number].n_cells for number in order]
    pieces = np.split(np.arange(len(array)), np.cumsum(sizes)[:-1])
    rows = np.concatenate([pieces[at] for at in np.argsort(order)])
    return np.take(array, rows, axis=0)


def checked_embedding(
    embedding: NDArray[np.floating[Any]], n_obs: int, dataset: str
) -> NDArray[np.floating[Any]]:
    """Return an embedding as a model's file of it would be read; raises ContractError with every problem."""
    array, findings = np.asarray(embedding), Findings()
    if array.dtype.kind != "f":
        findings.problems.append(f"the embedding holds {array.dtype}; floats are expected")
    elif misfit := misfit_of(array.shape, (n_obs, None)):
        findings.problems.append(f"the embedding {misfit}")
    else:
        array = check_array(array, WantedFile("the embedding", Content.NUMBERS, required=True), findings)
    if findings.problems:
        raise ContractError(
            f"This embedding can't be scored:\n{listing(findings.problems)}",
            f"It has a row for each of the {n_obs:,} cells of {dataset}, in their order.",
        )
    return array


def some_of(names: Sequence[str]) -> str:
    """Write names in a row, the first dozen of them."""
    more = f" … ({len(names):,} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
