"""What all ways of keeping images have in common: pictures that are read one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from czrun.errors import DatasetError, listing

MOST_CHANNELS = 64
MOST_PIXELS = 4096 * 4096
"""Of one cell's image: whoever has larger ones has images of fields, or a decompression bomb."""

Pixels = npt.NDArray[Any]
"""An image as it was stored, shape (height, width, channels)."""


class UnreadableImageError(Exception):
    """One image can't be read; says why."""


@dataclass(frozen=True)
class Picture:
    """One cell's image.

    Attributes
    ----------
    row
        Number of the cell.
    pixels
        As stored, shape (height, width, channels).
    top, left
        Where on the canvas it belongs, in pixels.
    """

    row: int
    pixels: Pixels
    top: int = 0
    left: int = 0


class Pictures(Protocol):
    """Images as they were stored, all of one dtype, one for each cell."""

    @property
    def n_obs(self) -> int:
        """Cells."""
        ...

    @property
    def canvas(self) -> tuple[int, int, int]:
        """Height, width and channels into which every picture fits."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the pixels are: uint8, or numbers that are yet to be scaled."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or changed."""
        ...

    def each(self) -> Iterator[Picture]:
        """Yield every picture once; raises DatasetError, with all that can't be read, at the end."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


def reader(module: str) -> ModuleType:
    """Import one of the packages that read images; raises DatasetError where it isn't installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise DatasetError(
            f"Reading these images needs the package {module.partition('.')[0]}: {error}.",
            "pip install 'czrun[images]'",
        ) from error


def refuse_unreadable(where: object, problems: list[str], hint: str = "") -> None:
    """Raise DatasetError with everything that is wrong with a set's images; does nothing when nothing is."""
    if problems:
        raise DatasetError(
            f"{where} holds images that can't be used:\n{listing(problems)}",
            hint or "Mend or remove them, and run the same command again.",
        )


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise UnreadableImageError for what no image is made of."""
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise UnreadableImageError(f"holds {dtype}, which is no kind of pixel")


def check_finite(pixels: Pixels) -> None:
    """Raise UnreadableImageError where a pixel is no number."""
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise UnreadableImageError("holds NaN or infinite pixels")


def check_size(height: int, width: int, channels: int) -> None:
    """Raise UnreadableImageError for an image that is empty or too large, before it is decoded."""
    if not height or not width or not channels:
        raise UnreadableImageError(f"is empty: {height} × {width} pixels, {channels} channels")
    if height * width > MOST_PIXELS:
        raise UnreadableImageError(f"has {height:,} × {width:,} pixels; one cell has {MOST_PIXELS:,} at most")
    if channels > MOST_CHANNELS:
        raise UnreadableImageError(f"has {channels} channels; {MOST_CHANNELS} is the most")


def reason(error: BaseException) -> str:
    """Return a reader's own words in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
