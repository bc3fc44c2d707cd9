"""Pictures and what is known of each, as a source of cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from czrun.cells import ImageBlock, Texts
from czrun.datasets.imaging.intensities import Scale, given_scale, measured_scale
from czrun.datasets.imaging.options import ImageOptions
from czrun.datasets.imaging.pictures import Pictures, Pixels
from czrun.errors import DatasetError, listing

_BLOCK_BYTES = 16 * 1024**2


class ImageSet:
    """Images of single cells as uint8 on one canvas; raises DatasetError when it can't serve.

    Parameters
    ----------
    path
        Where they come from.
    pictures
        The images as stored.
    ids
        What the cells are called.
    columns
        What is known of each.
    options
        How pixels become uint8.
    notes
        What was guessed or changed so far.
    """

    def __init__(
        self,
        path: Path,
        pictures: Pictures,
        ids: Sequence[str],
        columns: Mapping[str, Texts],
        options: ImageOptions,
        notes: Sequence[str] = (),
    ) -> None:
        self._path, self._pictures, self._options = path, pictures, options
        self._ids = np.array(ids, dtype=object)
        self._columns = columns
        self.n_obs = pictures.n_obs
        self.columns = tuple(columns)
        self.image_shape = pictures.canvas
        self._notes = (*notes, *pictures.notes)
        self._check_ids()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or changed; deep pixels are looked at once to say how they were scaled."""
        return (*self._notes, *self._depth_notes())

    def column(self, key: str) -> Texts:
        """Return one column as text, None where it is missing, shape (n_obs,)."""
        if key not in self._columns:
            raise DatasetError(
                f"{self._path} has no column {key!r}.", f"It has: {', '.join(self.columns) or '(none)'}."
            )
        return self._columns[key]

    def obs_names(self) -> Texts:
        """Return what the cells are called, shape (n_obs,)."""
        return self._ids

    def image_blocks(self) -> Iterator[ImageBlock]:
        """Yield every image once, in bounded blocks; raises DatasetError with all that are damaged."""
        count = max(_BLOCK_BYTES // int(np.prod(self.image_shape)), 1)
        scale, pictures = self._scale, self._pictures.each()
        while batch := list(islice(pictures, count)):
            images = np.zeros((len(batch), *self.image_shape), dtype=np.uint8)
            for image, picture in zip(images, batch, strict=True):
                height, width, _ = picture.pixels.shape
                window = image[picture.top : picture.top + height, picture.left : picture.left + width]
                window[...] = _as_uint8(picture.pixels, scale)
            yield ImageBlock(np.array([picture.row for picture in batch]), images)

    def close(self) -> None:
        """Release files."""
        self._pictures.close()

    @cached_property
    def _scale(self) -> Scale | None:
        """How pixels are scaled; None where they are taken as they are."""
        dtype, options = self._pictures.dtype, self._options
        if options.intensity:
            return given_scale(options.intensity, self.image_shape[2])
        if dtype == np.uint8 or dtype.kind == "b":
            return None
        return measured_scale(self._pictures, options.percentiles)

    def _depth_notes(self) -> Iterator[str]:
        if self._pictures.dtype.kind == "b":
            yield "pixels are flags: false became 0, true 255"
        if not self._scale:
            return
        low, high = self._options.percentiles
        rule = (
            "as given"
            if self._options.intensity
            else f"percentiles {low:g} and {high:g} of all images together"
        )
        yield (
            f"pixels are {self._pictures.dtype}: each channel was scaled to 0–255 and clipped, "
            f"from {self._scale.describe()} ({rule})"
        )
        if flat := np.flatnonzero(self._scale.high <= self._scale.low).tolist():
            yield f"channel {', '.join(map(str, flat))} holds next to one value only, and became 0"

    def _check_ids(self) -> None:
        repeated = [
            f"{name!r} {count} times" for name, count in Counter(self._ids.tolist()).items() if count > 1
        ]
        if repeated:
            raise DatasetError(
                f"{self._path} has cell ids that are there more than once:\n{listing(repeated)}",
                "Give each image an id of its own.",
            )


def _as_uint8(pixels: Pixels, scale: Scale | None) -> npt.NDArray[np.uint8]:
    if scale:
        return scale.apply(pixels)
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype.kind == "b" else pixels
