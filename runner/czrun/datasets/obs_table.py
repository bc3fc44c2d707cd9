"""A table of cells, joined to a matrix by the cells' ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from czrun.cells import Texts
from czrun.errors import DatasetError, listing

_ID_COLUMNS = ("barcode", "barcodes", "cell_id", "cellid", "cell", "obs_names", "index")


class ObsTable:
    """The rows of a table, in the order of the cells.

    Parameters
    ----------
    path
        CSV, or TSV by its name, gzipped or not. The cells' ids stand in the column called barcode (or
        cell_id …), else in the first one.
    cells
        The cells' ids in the order of the matrix, shape (n_obs,).

    Raises
    ------
    DatasetError
        When the table can't be read, names a cell twice, or names none of these cells.
    """

    def __init__(self, path: Path, cells: Texts) -> None:
        frame = _read(path)
        id_column = next((name for name in frame.columns if name.lower() in _ID_COLUMNS), frame.columns[0])
        ids = frame.pop(id_column).to_numpy(dtype=object)
        _check_ids(path, str(id_column), ids, cells)
        row_of = {name: row for row, name in enumerate(ids)}
        rows = np.array([row_of.get(name, -1) for name in cells], dtype=np.int64)
        self.columns = tuple(map(str, frame.columns))
        # The last row is of the cells that the table doesn't name: nothing is known of them.
        self._columns = {
            name: np.append(frame[name].to_numpy(dtype=object), [None])[rows] for name in self.columns
        }
        unknown, unused = int((rows < 0).sum()), len(set(ids) - set(cells))
        self.notes = tuple(
            note
            for count, note in (
                (unknown, f"{path.name} says nothing of {unknown:,} of {len(cells):,} cells"),
                (unused, f"{unused:,} rows of {path.name} are of cells that the matrix doesn't have"),
            )
            if count
        )

    def column(self, key: str) -> Texts:
        """Return one column, None where a cell has no value, shape (n_obs,)."""
        return self._columns[key]


def _read(path: Path) -> Any:  # noqa: ANN401 - pandas has no types
    import pandas as pd

    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        frame = pd.read_csv(path, sep=separator, dtype=str, index_col=False, keep_default_na=False)
    except Exception as error:
        raise DatasetError(
            f"{path} can't be read as a table: {str(error).strip().partition(chr(10))[0]}.",
            "It is CSV (or TSV, by its name) in UTF-8, with a header and a column of barcodes.",
        ) from error
    if not len(frame.columns) or not len(frame):
        raise DatasetError(f"{path} has no rows.", "It has a header and one row a cell.")
    return frame.replace("", None)


def _check_ids(path: Path, id_column: str, ids: Texts, cells: Texts) -> None:
    problems = []
    if missing := sum(name is None for name in ids):
        problems.append(f"{missing:,} rows have no {id_column!r}")
    names, counts = np.unique(ids.astype(str), return_counts=True)
    if repeated := names[counts > 1].tolist():
        problems.append(f"{len(repeated):,} cells stand there twice or more, such as {repeated[0]!r}")
    if len(cells) and not set(ids) & set(cells):
        problems.append(
            f"none of its {id_column!r} is a cell of the matrix: there {ids[0]!r}, here {cells[0]!r}"
        )
    if problems:
        raise DatasetError(
            f"{path} can't be joined to the cells:\n{listing(problems)}",
            "It needs a column `barcode` with the ids as the matrix has them.",
        )
