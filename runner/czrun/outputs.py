"""What a valid answer looks like: the files of one view, checked into plain arrays.

Pure reading: given a folder, the ids and the classes, never the truth. `collect` runs it in a process of its
own.
"""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from czrun.contract.job import UNASSIGNED
from czrun.untrusted import RefusedFileError, open_folder, open_plain, read_plain

_BYTES_PER_ROW = 2048
_SLACK_BYTES = 65_536
_SHOWN = 60
_SUM_TOLERANCE = 1e-3


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
class LabelAnswer:
    """Checked label predictions of one view.

    Attributes
    ----------
    codes
        Predicted class of each cell, int32, shape (n_obs,); -1 where the model declined.
    proba
        Class probabilities, float32, shape (n_obs, n_classes), or None.
    """

    codes: npt.NDArray[np.int32]
    proba: npt.NDArray[np.float32] | None


def read_labels(
    root: int, view: str, cell_ids: Sequence[str], classes: Sequence[str], findings: Findings
) -> LabelAnswer | None:
    """Read and check predictions.csv and proba.npy of one view.

    Parameters
    ----------
    root
        Descriptor of the output folder.
    view
        The folder of this view.
    cell_ids
        The ids of the input, in input order.
    classes
        The label vocabulary, in the column order of proba.npy.
    findings
        Takes every problem; the answer is None when there are any.
    """
    try:
        folder = open_folder(view, root)
    except RefusedFileError as error:
        findings.refuse(error)
        return None
    try:
        codes = _read_predictions(folder, cell_ids, classes, findings)
        proba = _read_proba(folder, (len(cell_ids), len(classes)), findings)
    finally:
        os.close(folder)
    return None if findings.problems or codes is None else LabelAnswer(codes, proba)


def _read_predictions(
    folder: int, cell_ids: Sequence[str], classes: Sequence[str], findings: Findings
) -> npt.NDArray[np.int32] | None:
    name = "predictions.csv"
    try:
        content = read_plain(name, folder, _SLACK_BYTES + _BYTES_PER_ROW * len(cell_ids))
        text = content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except FileNotFoundError:
        findings.problems.append(f"{name} is missing{_what_else(folder)}")
    except RefusedFileError as error:
        findings.refuse(error)
    except (UnicodeDecodeError, csv.Error) as error:
        findings.problems.append(f"{name} is not UTF-8 CSV: {error}")
    else:
        return _check_predictions(rows, cell_ids, classes, findings)
    return None


def _check_predictions(
    rows: list[list[str]], cell_ids: Sequence[str], classes: Sequence[str], findings: Findings
) -> npt.NDArray[np.int32] | None:
    if not rows or rows[0] != ["cell_id", "label"]:
        header = ",".join(rows[0])[:_SHOWN] if rows else ""
        findings.problems.append(
            f"predictions.csv, row 1: the header is {header!r}, it must be 'cell_id,label'"
        )
        return None
    body = rows[1:]
    if len(body) != len(cell_ids):
        findings.problems.append(
            f"predictions.csv has {len(body):,} rows of cells; {len(cell_ids):,} are expected"
        )
    code_of = {label: code for code, label in enumerate(classes)} | {UNASSIGNED: -1}
    codes = np.full(len(cell_ids), -1, dtype=np.int32)
    problems = []
    for number, (row, expected) in enumerate(zip(body, cell_ids, strict=False)):
        where = f"predictions.csv, row {number + 2}"
        if len(row) != 2:
            problems.append(f"{where}: {len(row)} columns; 2 are expected")
            continue
        if row[0] != expected:
            problems.append(f"{where}, column cell_id: {row[0][:_SHOWN]!r} where {expected!r} was expected")
        code = code_of.get(row[1])
        if code is None:
            problems.append(
                f"{where}, column label: {row[1][:_SHOWN]!r} is not one of the {len(classes)} classes"
            )
        else:
            codes[number] = code
    found_ids = [row[0] for row in body if row]
    if found_ids != list(cell_ids) and sorted(found_ids) == sorted(cell_ids):
        findings.problems.append(
            "predictions.csv names the right cells, but some not in the order of the input"
        )
    findings.problems.extend(problems)
    return codes


def _read_proba(folder: int, shape: tuple[int, int], findings: Findings) -> npt.NDArray[np.float32] | None:
    try:
        array = read_float_array("proba.npy", folder, shape)
    except FileNotFoundError:
        return None
    except RefusedFileError as error:
        findings.refuse(error)
        return None
    _note_rows(~np.isfinite(array), "is not finite", findings)
    _note_rows((array < -1e-6) | (array > 1 + 1e-6), "is not between 0 and 1", findings)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = array.sum(axis=1, dtype=np.float64)
        off = np.isfinite(sums) & (np.abs(sums - 1) > _SUM_TOLERANCE)
    if off.any():
        row = int(np.argmax(off))
        findings.problems.append(
            f"proba.npy: {int(off.sum()):,} rows don't sum to 1, the first is row {row} with {sums[row]:g}"
        )
    return np.clip(array, 0, 1).astype(np.float32)


def _note_rows(bad: npt.NDArray[np.bool_], what: str, findings: Findings) -> None:
    if bad.any():
        row, column = (int(index[0]) for index in np.nonzero(bad))
        findings.problems.append(
            f"proba.npy: {int(bad.sum()):,} values: each {what}, the first in row {row}, column {column}"
        )


def read_float_array(name: str, folder: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Read a .npy file of floats whose shape is known beforehand.

    The header is held against the file's size before anything is read; objects are never loaded.

    Raises
    ------
    FileNotFoundError
        When there is none.
    RefusedFileError
        When the file is not such an array.
    """
    cells = int(np.prod(shape))
    descriptor = open_plain(name, folder, 8 * cells + _SLACK_BYTES)
    with os.fdopen(descriptor, "rb") as file:
        found, is_fortran, dtype = _read_header(name, file)
        if dtype.kind != "f" or dtype.itemsize > 8 or dtype.hasobject:
            reason = f"{name} holds {str(dtype)[:_SHOWN]}; float16, float32 or float64 is expected"
            raise RefusedFileError(reason, is_hostile=dtype.hasobject)
        if found != shape:
            raise RefusedFileError(
                f"{name} has shape {_show_shape(found)}; {shape} is expected", is_hostile=False
            )
        size = os.fstat(descriptor).st_size - file.tell()
        if size != cells * dtype.itemsize:
            reason = (
                f"{name}: its header promises {cells * dtype.itemsize:,} bytes of numbers, {size:,} are there"
            )
            raise RefusedFileError(reason, is_hostile=False)
        flat = np.frombuffer(file.read(size), dtype=dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C").astype(np.float64)


def _read_header(name: str, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read a .npy header: shape, whether it is in Fortran order, dtype."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on headers that Python 2 wrote
            return readers[np.lib.format.read_magic(file)](file)
    except Exception as error:  # noqa: BLE001
        # NumPy parses the header as Python source: a hostile one brings about anything from TokenError to
        # MemoryError, and whoever wrote it must not get off as a failure of ours.
        said = " ".join(str(error).split())[:100] or type(error).__name__
        raise RefusedFileError(f"{name} is not a NumPy .npy file ({said})", is_hostile=False) from None


def _show_shape(shape: tuple[int, ...]) -> str:
    """Write a shape out; a hostile one has numbers that Python refuses to write, or thousands of them."""
    sizes = [str(size) if size < 1 << 63 else "huge" for size in shape[:5]]
    return f"({', '.join(sizes)}{',' if len(shape) == 1 else ''}{', ...' if len(shape) > 5 else ''})"


def _what_else(folder: int) -> str:
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(ascii(entry.name[:_SHOWN]))
            if len(names) == 10:
                break
    return f"; the folder holds {', '.join(sorted(names))}" if names else "; the folder is empty"
