"""A .npy file that a container wrote: what its header promises is checked before a number is read."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from czrun.untrusted import RefusedFileError, open_plain

_MAX_WIDTH = 4096
_SLACK_BYTES = 65_536
_SHOWN = 60


def read_float_array(name: str, folder: int, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
    """Read a .npy file of floats, in the width that it has.

    The header is held against the file's size before anything is read; objects are never loaded.

    Parameters
    ----------
    name, folder
        The file, and a descriptor of its folder.
    shape
        What is expected; None for an axis of 1 to 4,096.

    Raises
    ------
    FileNotFoundError
        When there is none.
    RefusedFileError
        When the file is not such an array.
    """
    most = math.prod(_MAX_WIDTH if size is None else size for size in shape)
    descriptor = open_plain(name, folder, 8 * most + _SLACK_BYTES)
    with os.fdopen(descriptor, "rb") as file:
        found, is_fortran, dtype = _read_header(name, file)
        if dtype.kind != "f" or dtype.itemsize > 8 or dtype.hasobject:
            reason = f"{name} holds {str(dtype)[:_SHOWN]}; float16, float32 or float64 is expected"
            raise RefusedFileError(reason, is_hostile=dtype.hasobject)
        if misfit := misfit_of(found, shape):
            raise RefusedFileError(f"{name} {misfit}", is_hostile=False)
        size = os.fstat(descriptor).st_size - file.tell()
        promised = math.prod(found) * dtype.itemsize
        if size != promised:
            reason = f"{name}: its header promises {promised:,} bytes of numbers, {size:,} are there"
            raise RefusedFileError(reason, is_hostile=False)
        flat = np.frombuffer(file.read(size), dtype=dtype)
    array: npt.NDArray[Any] = flat.reshape(found, order="F" if is_fortran else "C")
    return array


def misfit_of(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> str:
    """Say how a shape differs from what is wanted; nothing where it doesn't."""
    if _fits(found, wanted):
        return ""
    return f"has shape {_show_shape(found)}; {_show_wanted(wanted)} is expected"


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(
        size == wanted if wanted is not None else 1 <= size <= _MAX_WIDTH
        for size, wanted in zip(found, shape, strict=True)
    )


def _show_wanted(shape: tuple[int | None, ...]) -> str:
    sizes = [f"1..{_MAX_WIDTH}" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(shape) == 1 else ''})"


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
