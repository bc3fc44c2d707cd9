"""The leak audit: what containers read is held against what they may, before it is published or at any time.

Files, obs columns and every byte must be what the task shows of these cells and no more; ids and orders must
look drawn by lot. A leak that is data can't be told from data: how many counts a cell has may well tell its
type.
"""

from __future__ import annotations

import csv
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from czrun.cells import Categorical, Column
from czrun.input_bytes import is_opaque, numbers_of, odd_contents, stray_texts
from czrun.ledger import Ledger, phase_of, read_ledger
from czrun.model_input import Ids
from czrun.shuffles import odds_of_bits, odds_of_numbers, odds_of_order

_LOG_ODDS = -9 * float(np.log(10))
"""One in a billion: what is less likely is taken for no accident. A preparation asks about 100 times."""

_BINS = 64
_CELLS_PER_BIN = 16
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)


@dataclass(frozen=True)
class Finding:
    """One thing that a model could learn from, or that nobody can account for.

    Attributes
    ----------
    file
        Where, relative to the prepared folder.
    what
        What it is, in words.
    """

    file: str
    what: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.file}: {self.what}"


def audit_prepared(folder: Path, scratch: Path | None = None) -> tuple[Finding, ...]:
    """Look for whatever could tell a model what it is asked.

    Parameters
    ----------
    folder
        A prepared folder, or one about to be published.
    scratch
        Where to put a file of about 60 bytes a cell; a temporary folder if not given.

    Returns
    -------
    What was found, nothing when all is well. A sound preparation is suspected less than once in a million.
    """
    try:
        ledger = read_ledger(folder)
        ids = {view: np.load(folder / "ids" / f"{view}.npy") for view in ledger.orders}
    except _UNREADABLE as error:
        return (Finding("truth/ledger", f"it can't be read ({error}): prepare the data anew"),)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="audit-") as place:
        audit = _Audit(folder, ledger, ids, Path(place))
        return tuple(audit.findings())


@dataclass(frozen=True)
class _Audit:
    """One prepared folder under audit."""

    folder: Path
    ledger: Ledger
    ids: dict[str, Ids]
    scratch: Path

    def findings(self) -> Iterator[Finding]:
        yield from self._files()
        yield from self._ids()
        for view in self.ids:
            if view in self._numbers:
                yield from (Finding(self._file(view), what) for what in self._orders(view))
            try:
                yield from self._contents(view)
            except _UNREADABLE as error:
                yield Finding(self._file(view), f"it can't be read: {error}")

    @cached_property
    def _numbers(self) -> dict[str, npt.NDArray[np.uint64]]:
        """The ids as numbers, where they are opaque and one for each cell."""
        return {
            view: numbers_of(ids)
            for view, ids in self.ids.items()
            if is_opaque(ids) and len(ids) == len(self.ledger.orders[view])
        }

    def _file(self, view: str) -> str:
        return f"{phase_of(view)}/{view}"

    def _has_images(self, view: str) -> bool:
        return not (self.folder / f"{self._file(view)}.h5ad").exists()

    def _files(self) -> Iterator[Finding]:
        """Look at names, links, modes and times."""
        wanted = set()
        for view in self.ids:
            endings = (".images.npy", ".cells.csv") if self._has_images(view) else (".h5ad",)
            wanted |= {self._file(view) + ending for ending in endings}
        if self.ledger.conditions:
            wanted.add("predict/v0.conditions.csv")
        for phase in ("fit", "predict"):
            for path in sorted((self.folder / phase).rglob("*")):
                name, info = str(path.relative_to(self.folder)), path.lstat()
                if name not in wanted:
                    yield Finding(name, "the task has no such file")
                elif not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
                    yield Finding(name, "it is no plain file of one name")
                if stat.S_IMODE(info.st_mode) != 0o644:
                    yield Finding(name, f"its mode is {stat.S_IMODE(info.st_mode):o}, every file's is 644")
                if info.st_mtime_ns != 0:
                    yield Finding(name, "its time says when it was written")
                if _has_user_attributes(path):
                    yield Finding(name, "it has extended attributes")
        for path in (self.folder / "truth", *sorted((self.folder / "truth").rglob("*"))):
            if path.lstat().st_mode & 0o077:
                yield Finding(str(path.relative_to(self.folder)), "others than its owner may read it")

    def _ids(self) -> Iterator[Finding]:
        for view, ids in self.ids.items():
            if view not in self._numbers:
                yield Finding(self._file(view), "its ids aren't 16 hexadecimal digits each")
            elif odds_of_numbers(self._numbers[view]) < _LOG_ODDS:
                yield Finding(self._file(view), "its ids look counted, not drawn")
            if len(ids) != len(self.ledger.orders[view]):
                yield Finding(self._file(view), "it hasn't one id a cell")
        everyone = np.sort(np.concatenate([np.zeros(0, np.uint64), *self._numbers.values()]))
        if (everyone[1:] == everyone[:-1]).any():
            yield Finding("ids", "some id stands for two cells, or for one in two files")

    def _orders(self, view: str) -> Iterator[str]:
        """Look whether the order of the cells, or of their ids, tells anything that is known of them."""
        numbers = self._numbers[view]
        by_id = np.argsort(numbers)
        known = {name: _groups(self.ledger.column(view, name)) for name in self.ledger.columns}
        known["order in the source"] = _binned(self.ledger.rows[self.ledger.orders[view]])
        for name, codes in known.items():
            if odds_of_order(codes) < _LOG_ODDS:
                yield f"the order of its cells tells their {name}"
            if odds_of_order(codes[by_id]) < _LOG_ODDS or odds_of_bits(numbers, codes) < _LOG_ODDS:
                yield f"the ids of its cells tell their {name}"
        if odds_of_order(_binned(by_id)) < _LOG_ODDS:
            yield "its ids tell the order of its cells"

    def _contents(self, view: str) -> Iterator[Finding]:
        shown = self.ledger.obs(view)
        if self._has_images(view):
            yield from self._images(view, shown)
            return
        name = f"{self._file(view)}.h5ad"
        path = self.folder / name
        problems = odd_contents(path, self.ids[view], shown, self.scratch)
        problems += [
            f"{text!r}, which it may not tell, is in its bytes" for text in stray_texts(path, self._secrets)
        ]
        for problem in problems:
            yield Finding(name, problem)
        if view == "v0" and self.ledger.conditions:
            yield from self._conditions()

    @cached_property
    def _secrets(self) -> set[str]:
        """The texts that no file may hold in more places than its columns and genes put them in."""
        columns = self.ledger.columns.values()
        texts = {text for each in columns if isinstance(each, Categorical) for text in each.categories}
        return texts.union(self.ledger.names)

    def _images(self, view: str, shown: dict[str, Column]) -> Iterator[Finding]:
        name = f"{self._file(view)}.images.npy"
        with (self.folder / name).open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
            if read is None:
                yield Finding(name, "it isn't a .npy file of version 1.0")
                return
            shape, _, dtype = read(file)
            start = file.tell()
            file.seek(0)
            header = file.read(start)
        fresh = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            fresh, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        )
        size = start + int(np.prod(shape)) * dtype.itemsize
        if header != fresh.getvalue() or dtype != np.uint8 or shape[0] != len(self.ids[view]):
            yield Finding(name, "its header isn't that of one uint8 image a cell")
        if (self.folder / name).stat().st_size != size:
            yield Finding(name, f"it has {(self.folder / name).stat().st_size:,} bytes, its images {size:,}")
        columns = {"cell_id": self.ids[view].astype(str).tolist()}
        columns |= {key: _texts(column) for key, column in shown.items()}
        yield from self._table(f"{self._file(view)}.cells.csv", columns)

    def _conditions(self) -> Iterator[Finding]:
        asked = self.ledger.conditions
        columns = {
            "condition": [each.name for each in asked],
            "perturbation": [each.perturbation for each in asked],
            "context": [each.context for each in asked],
            "n_cells": [str(each.n_cells) for each in asked],
        }
        yield from self._table("predict/v0.conditions.csv", columns)

    def _table(self, name: str, columns: dict[str, list[str]]) -> Iterator[Finding]:
        fresh = io.StringIO()
        writer = csv.writer(fresh, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        if (self.folder / name).read_bytes() != fresh.getvalue().encode():
            yield Finding(name, f"it isn't the table of {', '.join(columns)} that it should be")


def _has_user_attributes(path: Path) -> bool:
    # Others than the user's are the system's own, such as SELinux's labels.
    names = os.listxattr(path, follow_symlinks=False) if hasattr(os, "listxattr") else []
    return any(name.startswith("user.") for name in names)


def _groups(column: Column) -> npt.NDArray[np.integer]:
    """Return a group for each cell: its category, its flag, or the quarter that its number is in."""
    if isinstance(column, Categorical):
        return column.codes
    if column.values.dtype == bool:
        return column.values.astype(np.int32)
    quarters = np.quantile(column.values, (0.25, 0.5, 0.75))
    return np.searchsorted(quarters, column.values).astype(np.int32)


def _binned(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.integer]:
    """Cut numbers that are all different into stretches of at least `_CELLS_PER_BIN`, 64 at most."""
    n_bins = max(2, min(_BINS, len(numbers) // _CELLS_PER_BIN))
    low, high = int(numbers.min()), int(numbers.max()) + 1
    return ((numbers - low) * n_bins // (high - low)).astype(np.int32)


def _texts(column: Column) -> list[str]:
    if isinstance(column, Categorical):
        return [column.categories[code] for code in column.codes.tolist()]
    return [str(value) for value in column.values.tolist()]
