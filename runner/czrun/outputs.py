"""What a valid answer looks like: the files of one view, checked into plain arrays.

Pure reading: given a folder, what is wanted and the ids of the cells, never the truth. `collect` runs it in a
process of its own.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.contract.job import UNASSIGNED
from czrun.npy import read_float_array
from czrun.tasks.base import Content, OutputSlot
from czrun.untrusted import RefusedFileError, open_folder, read_plain

_BYTES_PER_ROW = 2048
_SLACK_BYTES = 65_536
_SHOWN = 60
_SUM_TOLERANCE = 1e-3
_COLUMN = {Content.LABELS: "label", Content.GROUPS: "cluster"}


@dataclass
class Findings:
    """Everything that is wrong with a set of outputs."""

    problems: list[str] = field(default_factory=list)
    is_hostile: bool = False

    def refuse(self, error: RefusedFileError) -> None:
        """Note a file that wasn't even opened."""
        self.problems.append(error.reason)
        self.is_hostile = self.is_hostile or error.is_hostile


@dataclass(frozen=True)
class WantedFile:
    """One file that a view's folder may or must hold.

    Attributes
    ----------
    name, content, required
        See `czrun.tasks.base.OutputSlot`.
    shape
        Of an array; None where the model chooses the size.
    """

    name: str
    content: Content
    required: bool
    shape: tuple[int | None, ...] = ()

    @classmethod
    def of(cls, slot: OutputSlot, sizes: Mapping[str, int]) -> WantedFile:
        """Return what is looked for where a task has this slot and its axes have these sizes."""
        return cls(slot.name, slot.content, slot.required, slot.shape(sizes))

    @property
    def key(self) -> str:
        """The name under which its array goes on."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True)
class WantedView:
    """What is looked for in the output folder of one view.

    Attributes
    ----------
    view
        The folder's name.
    classes
        The label vocabulary, in the column order of proba.npy.
    files
        What may be in it; nothing else is opened.
    one_of
        Names of files of which at least one is needed.
    """

    view: str
    classes: tuple[str, ...]
    files: tuple[WantedFile, ...]
    one_of: tuple[str, ...] = ()


Answer = dict[str, npt.NDArray[Any]]
"""Checked arrays by key: int32 codes (-1 unassigned) of a CSV's column; float32 of a matrix, float64 of a
vector."""


def read_view(root: int, wanted: WantedView, cell_ids: Sequence[str], findings: Findings) -> Answer | None:
    """Read and check the files of one view.

    Parameters
    ----------
    root
        Descriptor of the output folder.
    wanted
        The view, and its files.
    cell_ids
        The ids of the input, in input order.
    findings
        Takes every problem; the answer is None when there are any.
    """
    try:
        folder = open_folder(wanted.view, root)
    except RefusedFileError as error:
        findings.refuse(error)
        return None
    before = len(findings.problems)
    try:
        answer = {
            file.key: array
            for file in wanted.files
            if (array := _read_file(folder, file, wanted.classes, cell_ids, findings)) is not None
        }
        keys = [name.rpartition(".")[0] for name in wanted.one_of]
        if keys and len(findings.problems) == before and not answer.keys() & set(keys):
            findings.problems.append(f"one of {', '.join(wanted.one_of)} is needed{_what_else(folder)}")
    finally:
        os.close(folder)
    return None if len(findings.problems) > before else answer


def _read_file(
    folder: int, file: WantedFile, classes: Sequence[str], cell_ids: Sequence[str], findings: Findings
) -> npt.NDArray[Any] | None:
    try:
        if file.content in (Content.LABELS, Content.GROUPS):
            return _read_names(folder, file, classes, cell_ids, findings)
        return _read_array(folder, file, findings)
    except FileNotFoundError:
        if file.required:
            findings.problems.append(f"{file.name} is missing{_what_else(folder)}")
    except RefusedFileError as error:
        findings.refuse(error)
    return None


def _read_names(
    folder: int, file: WantedFile, classes: Sequence[str], cell_ids: Sequence[str], findings: Findings
) -> npt.NDArray[np.int32] | None:
    content = read_plain(file.name, folder, _SLACK_BYTES + _BYTES_PER_ROW * len(cell_ids))
    try:
        text = content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        findings.problems.append(f"{file.name} is not UTF-8 CSV: {error}")
        return None
    column = _COLUMN[file.content]
    if not rows or rows[0] != ["cell_id", column]:
        header = ",".join(rows[0])[:_SHOWN] if rows else ""
        findings.problems.append(
            f"{file.name}, row 1: the header is {header!r}, it must be 'cell_id,{column}'"
        )
        return None
    body = rows[1:]
    _check_ids(file.name, body, cell_ids, findings)
    if file.content is Content.LABELS:
        code_of = {label: code for code, label in enumerate(classes)} | {UNASSIGNED: -1}
    else:
        names = sorted({row[1] for row in body if len(row) == 2} - {""})
        code_of = {name: code for code, name in enumerate(names)}
    return _encode(file.name, column, body, code_of, len(cell_ids), findings)


def _check_ids(name: str, body: list[list[str]], cell_ids: Sequence[str], findings: Findings) -> None:
    if len(body) != len(cell_ids):
        findings.problems.append(f"{name} has {len(body):,} rows of cells; {len(cell_ids):,} are expected")
    found = [row[0] for row in body if row]
    if found != list(cell_ids) and sorted(found) == sorted(cell_ids):
        findings.problems.append(f"{name} names the right cells, but some not in the order of the input")
    findings.problems.extend(
        f"{name}, row {number + 2}, column cell_id: {row[0][:_SHOWN]!r} where {expected!r} was expected"
        for number, (row, expected) in enumerate(zip(body, cell_ids, strict=False))
        if len(row) == 2 and row[0] != expected
    )


def _encode(
    name: str,
    column: str,
    body: list[list[str]],
    code_of: Mapping[str, int],
    n_obs: int,
    findings: Findings,
) -> npt.NDArray[np.int32]:
    codes = np.full(n_obs, -1, dtype=np.int32)
    for number, row in enumerate(body[:n_obs]):
        where = f"{name}, row {number + 2}"
        if len(row) != 2:
            findings.problems.append(f"{where}: {len(row)} columns; 2 are expected")
        elif row[1] not in code_of:
            wanted = "a name" if column == "cluster" else f"one of the {len(code_of) - 1} classes"
            findings.problems.append(f"{where}, column {column}: {row[1][:_SHOWN]!r} is not {wanted}")
        else:
            codes[number] = code_of[row[1]]
    return codes


def _read_array(folder: int, file: WantedFile, findings: Findings) -> npt.NDArray[Any]:
    return check_array(read_float_array(file.name, folder, file.shape), file, findings)


def check_array(array: npt.NDArray[Any], file: WantedFile, findings: Findings) -> npt.NDArray[Any]:
    """Check the numbers of an array of the right shape; return them in the width in which they go on."""
    # A vector's values are ranked: narrowed, some would turn into ties.
    dtype = np.float32 if array.ndim > 1 else np.float64
    with np.errstate(over="ignore"):
        narrow = array.astype(dtype)
    if file.content is Content.PROBABILITIES:
        _note_values(file.name, ~np.isfinite(array), "is not finite", findings)
        _note_values(file.name, (array < -1e-6) | (array > 1 + 1e-6), "is not between 0 and 1", findings)
        _note_sums(file.name, array, findings)
        return np.asarray(np.clip(narrow, 0, 1))
    _note_values(file.name, ~np.isfinite(narrow), f"is not a finite {np.dtype(dtype)}", findings)
    return narrow


def _note_sums(name: str, array: npt.NDArray[Any], findings: Findings) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        sums = array.sum(axis=1, dtype=np.float64)
        off = np.isfinite(sums) & (np.abs(sums - 1) > _SUM_TOLERANCE)
    if off.any():
        row = int(np.argmax(off))
        findings.problems.append(
            f"{name}: {int(off.sum()):,} rows don't sum to 1, the first is row {row} with {sums[row]:g}"
        )


def _note_values(name: str, bad: npt.NDArray[np.bool_], what: str, findings: Findings) -> None:
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), bad.shape)
        where = ", ".join(f"{axis} {at}" for axis, at in zip(("row", "column"), place, strict=False))
        findings.problems.append(f"{name}: {int(bad.sum()):,} values: each {what}, the first in {where}")


def _what_else(folder: int) -> str:
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(ascii(entry.name[:_SHOWN]))
            if len(names) == 10:
                break
    return f"; the folder holds {', '.join(sorted(names))}" if names else "; the folder is empty"
