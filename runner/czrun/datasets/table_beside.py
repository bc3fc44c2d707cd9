"""Where the table of cells lies that a file of 10x needs: finding it takes neither NumPy nor pandas."""

from __future__ import annotations

from pathlib import Path

from czrun.datasets.formats import Format, recognise
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError

TABLE_NAMES = ("cells", "metadata", "obs")
"""What such a table is called: in a folder by one of these, beside ``pbmc.h5`` as ``pbmc.cells.csv`` …"""

_ENDS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def find_table(spec: DatasetSpec) -> Path | None:
    """Return the table of a data set's cells: as said, else beside a file of 10x that has one.

    Raises
    ------
    DatasetError
        When there are several, or the one that was said isn't there.
    """
    if spec.obs_table:
        if not spec.obs_table.is_file():
            raise DatasetError(f"There is no table {spec.obs_table}.", "Check obs_table.")
        return spec.obs_table
    form = recognise(spec.file)
    if form is Format.MATRIX_FOLDER:
        folder, prefix = spec.file, ""
    elif form is Format.TENX_H5:
        folder, prefix = spec.file.parent, f"{spec.file.stem}."
    else:
        return None
    places = [folder / f"{prefix}{name}{end}" for name in TABLE_NAMES for end in _ENDS]
    found = [path for path in places if path.is_file()]
    if len(found) > 1:
        raise DatasetError(
            f"{spec.file} has {len(found)} tables of cells: {', '.join(path.name for path in found)}.",
            "Keep one, or name it with obs_table in a YAML.",
        )
    return found[0] if found else None
