"""One image a cell, from an .npz archive: `images`, and beside it one array a column."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.cells import ImageBlock, Texts
from czrun.errors import DatasetError, listing

_LAYOUT = "It holds `images`, uint8 (n, height, width, channels), and a column a key, for example `label`."
_NAMES_END = "_names"


class ImageArchive:
    """An .npz file of images as a source; raises DatasetError when it can't serve.

    A key of shape (n,) is a column. Where ``X_names`` (or ``label_names`` for ``labels``) is there too, the
    column holds numbers of names.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.notes: tuple[str, ...] = ()
        arrays = _read(path)
        self._images = _checked_images(arrays, path)
        self.n_obs = len(self._images)
        self._columns = _columns(arrays, self.n_obs, path)
        self.columns = tuple(self._columns)
        self._check_names()

    def column(self, key: str) -> Texts:
        """Return one column as text, shape (n_obs,)."""
        if key not in self._columns:
            raise DatasetError(f"{self._path} has no column {key!r}.", f"It has: {', '.join(self.columns)}.")
        return self._columns[key]

    def obs_names(self) -> Texts:
        """Return what the cells are called: the column ``cell_id`` or ``image_id``, else their numbers."""
        for key in ("cell_id", "image_id"):
            if key in self._columns:
                return self._columns[key]
        return np.array([str(number) for number in range(self.n_obs)], dtype=object)

    def _check_names(self) -> None:
        names, counts = np.unique(self.obs_names().astype(str), return_counts=True)
        if repeated := names[counts > 1].tolist():
            raise DatasetError(
                f"{self._path}: {len(repeated)} cell ids appear twice or more, such as {repeated[0]!r}.",
                "Give each image an id of its own, or leave the ids out.",
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        _, height, width, channels = self._images.shape
        return height, width, channels

    def image_blocks(self) -> Iterator[ImageBlock]:
        """Yield all images at once: an archive is in memory."""
        yield ImageBlock(np.arange(self.n_obs), self._images)

    def close(self) -> None:
        """Do nothing: the arrays are in memory."""


def _read(path: Path) -> Mapping[str, npt.NDArray[Any]]:
    try:
        # By the name alone NumPy would also take a bare array.
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise DatasetError(
            f"There is no file {path}.", "Check the path; `czrun datasets list` shows names that work."
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DatasetError(f"{path} can't be read as .npz: {error}.", _LAYOUT) from error


def _checked_images(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> npt.NDArray[np.uint8]:
    images = arrays.get("images")
    if images is None:
        raise DatasetError(f"{path} has no `images`; it has {', '.join(arrays) or 'nothing'}.", _LAYOUT)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise DatasetError(f"{path}: `images` is {images.dtype} of shape {images.shape}.", _LAYOUT)
    return np.ascontiguousarray(images)


def _columns(arrays: Mapping[str, npt.NDArray[Any]], n_obs: int, path: Path) -> dict[str, Texts]:
    columns: dict[str, Texts] = {}
    problems = []
    found = {key: array for key, array in arrays.items() if array.shape == (n_obs,)}
    names_of = {key: name for key in found if (name := _names_key(key, arrays))}
    for key, array in found.items():
        if key in names_of.values():
            continue
        if key not in names_of:
            columns[key] = _texts(array)
            continue
        names = _texts(arrays[names_of[key]])
        if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= len(names):
            problems.append(f"{key!r} isn't made of numbers 0..{len(names) - 1}, of which there are names")
        else:
            columns[key] = names[array]
    if problems:
        raise DatasetError(f"{path} has columns that can't be read:\n{listing(problems)}", _LAYOUT)
    return columns


def _names_key(key: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str | None:
    """Return the key of the names that a column's numbers stand for."""
    wanted = (f"{key}{_NAMES_END}", f"{key.removesuffix('s')}{_NAMES_END}")
    return next((name for name in wanted if name in arrays and arrays[name].ndim == 1), None)


def _texts(array: npt.NDArray[Any]) -> Texts:
    values = [
        value.decode(errors="replace") if isinstance(value, bytes) else value for value in array.tolist()
    ]
    return np.array([str(value) for value in values], dtype=object)
