"""Cells of a segmented OME-Zarr image: one crop for each label, read tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.datasets.imaging.axes import Layout
from czrun.datasets.imaging.ngff import NgffImage, label_names, open_ngff
from czrun.datasets.imaging.pictures import (
    Picture,
    UnreadableImageError,
    check_finite,
    check_size,
    reason,
    refuse_unreadable,
)
from czrun.errors import DatasetError, unknown_name

_READ_BYTES = 64 * 1024**2
_LABELS_SIDE = 2048
"""Side of the tiles in which a segmentation is searched, in pixels."""

_MOST_RATIO = 8
_LAYOUT = "It is an OME-Zarr image with labels/NAME, a segmentation of the same size."

Boxes = npt.NDArray[np.int64]
"""Top, left, bottom, right (both exclusive) of each cell, shape (n, 4)."""


class SegmentedPictures:
    """One crop around each label; raises DatasetError when image and segmentation don't serve.

    Parameters
    ----------
    path
        The OME-Zarr image.
    name
        Its segmentation; may stay None where there is one only.
    crop
        Side of the crops in pixels; by default the longest side of any cell.
    """

    def __init__(self, path: Path, name: str | None, crop: int | None) -> None:
        self._path = path
        name = _choose(path, name)
        try:
            self._image, labels = open_ngff(path), open_ngff(path / "labels" / name)
            self._check(labels, name)
            self.labels, boxes = _find_cells(labels)
        except UnreadableImageError as error:
            raise DatasetError(f"{path} {error}.", _LAYOUT) from None
        if not len(self.labels):
            raise DatasetError(f"{path}/labels/{name} marks no cell: all of it is 0.", _LAYOUT)
        longest = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        side = crop or _side(longest, path)
        self.n_obs = len(self.labels)
        channels = self._image.layout.size(self._image.array.shape)[2]
        check_size(side, side, channels)
        self.canvas = (side, side, channels)
        self.dtype: np.dtype[Any] = self._image.array.dtype
        self._corners = (boxes[:, :2] + boxes[:, 2:]) // 2 - side // 2
        self.notes = tuple(self._notes(name, longest, crop is None))

    def each(self) -> Iterator[Picture]:
        """Read each tile of the image once, and cut its cells out; those at the rim are filled with zeros."""
        height, width, _ = self._image.layout.size(self._image.array.shape)
        side, problems = self.canvas[0], []
        for rows in self._tiles():
            corners = self._corners[rows]
            top, left = np.maximum(corners.min(axis=0), 0).tolist()
            bottom, right = np.minimum(corners.max(axis=0) + side, (height, width)).tolist()
            try:
                tile = _read(self._image, top, bottom, left, right)
                check_finite(tile)
            except UnreadableImageError as error:
                problems.append(
                    f"{len(rows)} cells between ({top}, {left}) and ({bottom}, {right}): tile {error}"
                )
                continue
            for row, (at_y, at_x) in zip(rows.tolist(), corners.tolist(), strict=True):
                y, x = max(at_y, 0), max(at_x, 0)
                pixels = tile[y - top : at_y + side - top, x - left : at_x + side - left]
                yield Picture(row, pixels, y - at_y, x - at_x)
        refuse_unreadable(self._path, problems)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _tiles(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield cells that lie together, so that no chunk is decompressed for each of its cells."""
        image = self._image
        n_channels = self.canvas[2]
        chunk = max(image.layout.size(image.array.chunks)[:2])
        most = int((_READ_BYTES / (n_channels * self.dtype.itemsize)) ** 0.5)
        length = max(_several(chunk, most), self.canvas[0])
        tile = np.maximum(self._corners, 0) // length
        order = np.lexsort((tile[:, 1], tile[:, 0]))
        changes = np.flatnonzero(np.diff(tile[order], axis=0).any(axis=1)) + 1
        yield from np.split(order, changes)

    def _check(self, labels: NgffImage, name: str) -> None:
        image, what = self._image, labels.array.dtype
        height, width, _ = image.layout.size(image.array.shape)
        own_height, own_width, own_channels = labels.layout.size(labels.array.shape)
        if what.kind not in "iu" or own_channels != 1:
            raise UnreadableImageError(
                f"has labels/{name} of {own_channels} channels of {what}, not of label values"
            )
        if (own_height, own_width) != (height, width):
            raise UnreadableImageError(
                f"has {height} × {width} pixels, and labels/{name} {own_height} × {own_width}"
            )

    def _notes(self, name: str, longest: npt.NDArray[np.int64], is_guessed: bool) -> Iterator[str]:
        side = self.canvas[0]
        why = "as large as the largest cell" if is_guessed else "as asked"
        yield f"cells were cut out of the image as squares of {side} pixels, {why}, around labels/{name}"
        if count := int((longest > side).sum()):
            yield f"{count:,} cells are larger than their crop, so their rim is missing"


def _choose(path: Path, name: str | None) -> str:
    names = label_names(path)
    if name is not None and name not in names:
        unknown = unknown_name("segmentation", name, names)
        raise DatasetError(f"{path}: {unknown.message}", unknown.hint)
    if name is None and len(names) != 1:
        what = f"several segmentations ({', '.join(names)})" if names else "no segmentation under labels/"
        hint = (
            f"Say which in the data set's YAML: images: {{segmentation: {names[0]}}}."
            if names
            else f"{_LAYOUT} Images of single cells come as a folder of class folders."
        )
        raise DatasetError(f"{path} is one OME-Zarr image with {what}.", hint)
    chosen = name or names[0]
    if "/" in chosen or chosen.startswith("."):
        raise DatasetError(f"{path} calls a segmentation {chosen!r}.", "Its name is a folder's in labels/.")
    return chosen


def _find_cells(labels: NgffImage) -> tuple[npt.NDArray[np.int64], Boxes]:
    """Find each label's box, reading the segmentation tile by tile; label values ascend."""
    import pandas as pd
    from scipy.ndimage import find_objects

    height, width, _ = labels.layout.size(labels.array.shape)
    chunk_height, chunk_width, _ = labels.layout.size(labels.array.chunks)
    step_y, step_x = (_several(chunk, _LABELS_SIDE) for chunk in (chunk_height, chunk_width))
    found: dict[int, tuple[int, int, int, int]] = {}
    for top, left in product(range(0, height, step_y), range(0, width, step_x)):
        tile = _read(labels, top, min(top + step_y, height), left, min(left + step_x, width))[..., 0]
        # By hashing: to sort millions of pixels takes ten times as long.
        codes, values = pd.factorize(tile.ravel())
        boxes = find_objects(codes.reshape(tile.shape) + 1)
        for value, (rows, columns) in zip(values.tolist(), boxes, strict=True):
            if value:
                own = (top + rows.start, left + columns.start, top + rows.stop, left + columns.stop)
                found[value] = _hull(found.get(value, own), own)
    order = sorted(found)
    return np.array(order, dtype=np.int64), np.array([found[value] for value in order]).reshape(-1, 4)


def _hull(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _several(chunk: int, most: int) -> int:
    """Return the largest multiple of a chunk's side that isn't longer than `most`; at least one chunk."""
    return max(most // chunk, 1) * chunk


def _side(longest: npt.NDArray[np.int64], path: Path) -> int:
    largest, usual = int(longest.max()), float(np.median(longest))
    if largest > _MOST_RATIO * usual:
        raise DatasetError(
            f"The cells of {path} are {usual:g} pixels long at the median, and the largest {largest}.",
            f"Say how large a crop is in the data set's YAML: images: {{crop: {2 * int(usual)}}}.",
        )
    return largest


def _read(image: NgffImage, top: int, bottom: int, left: int, right: int) -> npt.NDArray[Any]:
    """Read a window, shape (height, width, channels); raises UnreadableImageError."""
    window: dict[str, slice] = {"Y": slice(top, bottom), "X": slice(left, right)}
    try:
        return _arranged(
            image.layout, image.array[tuple(window.get(axis, slice(None)) for axis in image.layout.axes)]
        )
    except Exception as error:  # noqa: BLE001 - codecs raise what they like
        raise UnreadableImageError(f"can't be read: {reason(error)}") from None


def _arranged(layout: Layout, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return layout.arrange(np.asarray(array))
