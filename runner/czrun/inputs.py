"""The files that containers read, each laid out at once and then filled from one pass over the source."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from czrun.arrangement import Condition
from czrun.cells import Categorical, CellSource, Column, Genes, ImageSource, Texts
from czrun.errors import StorageError
from czrun.model_input import H5adWriter, Ids, NpyWriter
from czrun.splits import Rows

_IDS_AT_ONCE = 1 << 16
_DISK_FLOOR_BYTES = 128 * 1024**2


@dataclass(frozen=True)
class Part:
    """Some of the cells on their way into files.

    Attributes
    ----------
    folder, view
        Where they go: the phase's folder, and what the files there are called by.
    rows
        Rows of the source, in the order of the files.
    opaque
        The cells' new ids, 16 bytes each.
    obs
        Columns by contract name.
    """

    folder: str
    view: str
    rows: Rows
    opaque: Ids
    obs: Mapping[str, Column]

    @property
    def ids(self) -> Texts:
        """The cells' new ids as texts."""
        return self.opaque.astype(str).astype(object)

    @property
    def cells_file(self) -> str:
        """The .h5ad file, relative to the prepared folder."""
        return f"{self.folder}/{self.view}.h5ad"

    @property
    def image_files(self) -> tuple[str, str]:
        """The array of images, and the table of their cells."""
        return f"{self.folder}/{self.view}.images.npy", f"{self.folder}/{self.view}.cells.csv"

    def places(self, n_obs: int) -> Rows:
        """Return the row of the files that each of the source's rows has, -1 for none; shape (n_obs,)."""
        places = np.full(n_obs, -1, dtype=np.int64)
        places[self.rows] = np.arange(len(self.rows))
        return places


def write_cells(stage: Path, parts: Sequence[Part], source: CellSource, genes: Genes) -> None:
    """Lay all .h5ad files out, then stream the source once and put every row where it belongs.

    Raises
    ------
    DatasetError
        When the source can't be read.
    StorageError
        When there is no room.
    """
    nnz = source.row_nnz()
    _check_room(stage, sum(8 * int(nnz[part.rows].sum()) + 100 * len(part.rows) for part in parts))
    with ExitStack() as files:
        targets = []
        for part in parts:
            path = stage / part.cells_file
            path.parent.mkdir(mode=0o755, exist_ok=True)
            writer = H5adWriter(path, part.opaque, genes, part.obs, nnz[part.rows])
            targets.append((files.enter_context(writer), part.places(source.n_obs)))
        del nnz
        for block in source.blocks():
            here = slice(block.start, block.start + len(block.indptr) - 1)
            for writer, place in targets:
                chosen = np.flatnonzero(place[here] >= 0)
                writer.append(place[here][chosen], block, chosen)


def write_images(stage: Path, parts: Sequence[Part], source: ImageSource) -> None:
    """Lay each part's images and the table of its cells out, then stream the source once.

    Raises
    ------
    DatasetError
        When the source can't be read.
    StorageError
        When there is no room.
    """
    shape = source.image_shape
    _check_room(stage, sum(len(part.rows) for part in parts) * math.prod(shape))
    with ExitStack() as files:
        targets = []
        for part in parts:
            array, table = (stage / name for name in part.image_files)
            array.parent.mkdir(mode=0o755, exist_ok=True)
            columns = {"cell_id": part.ids.tolist(), **{name: _texts(part.obs[name]) for name in part.obs}}
            _write_table(table, columns)
            writer = NpyWriter(array, (len(part.rows), *shape))
            targets.append((files.enter_context(writer), part.places(source.n_obs)))
        for block in source.image_blocks():
            for writer, place in targets:
                for image, target in zip(block.images, place[block.rows].tolist(), strict=True):
                    if target >= 0:
                        writer.write_row(target, image)


def write_conditions(path: Path, conditions: Sequence[Condition]) -> None:
    """Write the table of what predict is asked for."""
    _write_table(
        path,
        {
            "condition": [each.name for each in conditions],
            "perturbation": [each.perturbation for each in conditions],
            "context": [each.context for each in conditions],
            "n_cells": [str(each.n_cells) for each in conditions],
        },
    )


def _write_table(path: Path, columns: Mapping[str, Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _texts(column: Column) -> list[str]:
    if isinstance(column, Categorical):
        return [column.categories[code] for code in column.codes.tolist()]
    return [str(value) for value in column.values.tolist()]


def _check_room(stage: Path, n_bytes: int) -> None:
    needed = n_bytes + _DISK_FLOOR_BYTES
    free = shutil.disk_usage(stage).free
    if free < needed:
        raise StorageError(
            f"Preparing needs {needed >> 20:,} MiB under {stage.parent.parent}; {free >> 20:,} MiB are free.",
            "Free some space (`czrun runs clean`), or set CZRUN_HOME to a folder on a larger disk.",
        )


def opaque_ids(rng: np.random.Generator, count: int) -> Ids:
    """Draw ids that say nothing: 63 random bits in hexadecimal, each different."""
    numbers = rng.integers(0, 1 << 63, size=count + 8, dtype=np.int64)
    # Not np.unique: of a million numbers it makes a table of hashes first, ten times as slow and as big.
    numbers.sort()
    numbers = numbers[np.concatenate([[True], numbers[1:] != numbers[:-1]])]
    rng.shuffle(numbers)
    ids = np.empty(count, dtype="S16")
    for start in range(0, count, _IDS_AT_ONCE):
        piece = numbers[start : min(start + _IDS_AT_ONCE, count)].astype(">i8")
        ids[start : start + len(piece)] = np.frombuffer(piece.tobytes().hex().encode(), dtype="S16")
    return ids
