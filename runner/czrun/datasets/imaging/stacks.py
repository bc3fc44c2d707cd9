"""Images that lie in one array, of which one axis counts cells: .npy, and OME-TIFF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from czrun.datasets.imaging.axes import Layout, plane_layout
from czrun.datasets.imaging.files import only_series, open_tiff
from czrun.datasets.imaging.pictures import (
    MOST_CHANNELS,
    Picture,
    UnreadableImageError,
    check_dtype,
    check_finite,
    check_size,
    reader,
    reason,
    refuse_unreadable,
)
from czrun.errors import DatasetError

_ARRAY_LAYOUT = "It is an array of shape (n, height, width) or (n, height, width, channels), uint8 or deeper."
_TIFF_LAYOUT = (
    "One axis (T or Z, say) counts cells, C or S counts channels; a table beside it has a row a cell."
)
_CELL_AXES = "IQTZRPC"
"""Which axis counts cells where several are as long as the table: the first of these."""


class StackPictures:
    """Images along the first axis of an array.

    Parameters
    ----------
    path
        Where they come from.
    array
        What is indexed by cells; read piece by piece.
    cell_axis
        Number of the axis that counts cells.
    layout
        What the other axes are.
    notes
        What was guessed.
    file
        Is closed in the end.
    """

    def __init__(
        self,
        path: Path,
        array: Any,  # noqa: ANN401
        cell_axis: int,
        layout: Layout,
        notes: tuple[str, ...] = (),
        file: Any = None,  # noqa: ANN401
    ) -> None:
        self._path, self._array, self._cell_axis, self._layout, self._file = (
            path,
            array,
            cell_axis,
            layout,
            file,
        )
        shape = tuple(array.shape)
        self.n_obs = int(shape[cell_axis])
        self.canvas = layout.size(shape[:cell_axis] + shape[cell_axis + 1 :])
        self.dtype: np.dtype[Any] = array.dtype
        self.notes = notes

    def each(self) -> Iterator[Picture]:
        """Read one cell after the other; raises DatasetError at the end with all that are damaged."""
        problems = []
        for row in range(self.n_obs):
            try:
                pixels = self._layout.arrange(
                    np.asarray(self._array[(slice(None),) * self._cell_axis + (row,)])
                )
                check_finite(pixels)
            except UnreadableImageError as error:
                problems.append(f"image {row} {error}")
            except Exception as error:  # noqa: BLE001 - a damaged segment brings about anything
                problems.append(f"image {row} can't be read: {reason(error)}")
            else:
                yield Picture(row, pixels)
        refuse_unreadable(self._path, problems)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def open_array(path: Path) -> StackPictures:
    """Open an .npy of images; raises DatasetError."""
    try:
        # np.load would also take archives and pickles by this name.
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise _no_file(path) from None
    except (OSError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise DatasetError(f"{path} can't be read as .npy: {reason(error)}.", _ARRAY_LAYOUT) from error
    shape = array.shape
    if len(shape) not in (3, 4) or not len(array):
        raise DatasetError(f"{path} holds an array of shape {shape}.", _ARRAY_LAYOUT)
    if len(shape) == 4 and shape[3] > MOST_CHANNELS >= shape[1]:
        raise DatasetError(
            f"{path} has shape {shape}, so its channels come first.",
            "Put them last and write it again: np.moveaxis(images, 1, -1).",
        )
    layout = Layout("YXS", "S") if len(shape) == 4 else Layout("YX", "")
    try:
        check_dtype(array.dtype)
        check_size(*layout.size(shape[1:]))
    except UnreadableImageError as error:
        raise DatasetError(f"{path} {error}.", _ARRAY_LAYOUT) from None
    return StackPictures(path, array, 0, layout)


def open_tiff_stack(path: Path, n_rows: int) -> StackPictures:
    """Open an OME-TIFF of which one axis counts cells, as many as its table has rows; raises DatasetError."""
    zarr = reader("zarr")
    reader("tifffile")
    try:
        file = open_tiff(path)
    except FileNotFoundError:
        raise _no_file(path) from None
    except Exception as error:
        raise DatasetError(f"{path} can't be read as TIFF: {reason(error)}.", _TIFF_LAYOUT) from error
    try:
        series = only_series(file)
        axis = _cell_axis(series.axes, series.shape, n_rows, path)
        rest, sizes = _without(series.axes, axis), _without(series.shape, axis)
        layout = plane_layout("".join(rest), tuple(sizes))
        check_dtype(series.dtype)
        check_size(*layout.size(tuple(sizes)))
        array = zarr.open(series.aszarr(level=0), mode="r")
    except DatasetError:
        file.close()
        raise
    except UnreadableImageError as error:
        file.close()
        raise DatasetError(f"{path} {error}.", _TIFF_LAYOUT) from None
    except Exception as error:
        file.close()
        raise DatasetError(f"{path} can't be read as TIFF: {reason(error)}.", _TIFF_LAYOUT) from error
    notes = (f"axis {series.axes[axis]} of {series.axes} was taken to count cells",)
    return StackPictures(path, array, axis, layout, notes, file)


def _cell_axis(axes: str, shape: tuple[int, ...], n_rows: int, path: Path) -> int:
    long_enough = {axes[at]: at for at, size in enumerate(shape) if size == n_rows and axes[at] in _CELL_AXES}
    if not long_enough:
        said = " × ".join(f"{axis} {size}" for axis, size in zip(axes, shape, strict=True))
        raise DatasetError(
            f"{path} has axes {said}, none of which counts the {n_rows:,} cells of its table.", _TIFF_LAYOUT
        )
    return next(long_enough[axis] for axis in _CELL_AXES if axis in long_enough)


def _without(values: Any, at: int) -> list[Any]:  # noqa: ANN401
    return [value for number, value in enumerate(values) if number != at]


def _no_file(path: Path) -> DatasetError:
    return DatasetError(
        f"There is no file {path}.", "Check the path; `czrun datasets list` shows names that work."
    )
