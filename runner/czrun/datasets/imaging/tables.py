"""The table beside images: a CSV of one row a cell, joined by id or by order."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from czrun.cells import Texts
from czrun.errors import DatasetError, listing

_EXAMPLE = "It is a CSV in UTF-8 with a header, for example `cell_id,cell_type,donor_id`."


@dataclass(frozen=True)
class Table:
    """A CSV as it was read.

    Attributes
    ----------
    path
        The file.
    columns
        Each column's values, None where a cell is empty.
    """

    path: Path
    columns: dict[str, list[str | None]]

    @property
    def n_rows(self) -> int:
        """Rows without the header."""
        return len(next(iter(self.columns.values())))

    def first_of(self, names: Sequence[str]) -> str | None:
        """Return the first of some columns that there is."""
        return next((name for name in names if name in self.columns), None)

    def texts(self) -> dict[str, Texts]:
        """Return all columns as arrays."""
        return {name: _texts(values) for name, values in self.columns.items()}


@dataclass(frozen=True)
class Joined:
    """A table's columns in the order of the images.

    Attributes
    ----------
    columns
        Without the one by which rows were found; None where an image has no row.
    n_missing
        Images without a row.
    """

    columns: dict[str, Texts]
    n_missing: int


def read_table(path: Path) -> Table:
    """Read a table; raises DatasetError with everything that is wrong with it."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            numbered = [(number, row) for number, row in enumerate(csv.reader(file, strict=True), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DatasetError(f"{path} can't be read as a table: {error}.", _EXAMPLE) from error
    header = numbered[0][1] if numbered else []
    rows = [row for _, row in numbered[1:]]
    problems = [
        f"column {name!r} is there {count} times" for name, count in Counter(header).items() if count > 1
    ]
    if any(not name.strip() for name in header):
        problems.append("a column has no name")
    problems += [
        f"row {number} has {len(row)} values, the header {len(header)}"
        for number, row in numbered[1:]
        if len(row) != len(header)
    ]
    if not rows:
        problems.append("it has no rows")
    if problems:
        raise DatasetError(f"{path} is no proper table:\n{listing(problems)}", _EXAMPLE)
    columns: dict[str, list[str | None]] = {
        name: [row[at] or None for row in rows] for at, name in enumerate(header)
    }
    return Table(path, columns)


def in_order(table: Table, n_obs: int, what: str) -> dict[str, Texts]:
    """Take rows for images in their order; raises DatasetError where their numbers differ."""
    if table.n_rows != n_obs:
        raise DatasetError(
            f"{table.path} has {table.n_rows:,} rows, and {what} {n_obs:,} images.",
            "It needs one row for each image, in the same order.",
        )
    return table.texts()


def join(
    table: Table, key: str, ids: Sequence[str], normal: Callable[[str], str], *, allow_missing: bool
) -> Joined:
    """Find each image's row.

    Parameters
    ----------
    table, key
        The table, and its column that names the image.
    ids
        The images.
    normal
        Brings a name of the table into the form of `ids`.
    allow_missing
        Whether images without a row are none of our business.

    Raises
    ------
    DatasetError
        When rows name no image, or one image twice, or an image has no row; all of them are listed.
    """
    names = [normal(name or "") for name in table.columns[key]]
    rows = {name: number for number, name in enumerate(names)}
    known = set(ids)
    problems = [f"{name!r} is named {count} times" for name, count in Counter(names).items() if count > 1]
    problems += [f"there is no image {name!r}" for name in rows if name not in known]
    missing = [name for name in ids if name not in rows]
    if not allow_missing:
        problems += [f"image {name!r} has no row" for name in missing]
    if problems:
        raise DatasetError(
            f"{table.path} and its images don't fit ({len(problems):,} problems):\n{listing(problems)}",
            f"Its column {key!r} names each image once. --drop-unlabelled leaves images without a row out.",
        )
    order = [rows.get(name) for name in ids]
    columns = {
        name: _texts([None if at is None else values[at] for at in order])
        for name, values in table.columns.items()
        if name != key
    }
    return Joined(columns, len(missing))


def _texts(values: Sequence[str | None]) -> Texts:
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts
