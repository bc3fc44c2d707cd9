"""One cell's image from one file: what its header promises, and its pixels."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from czrun.datasets.imaging.axes import Layout, plane_layout
from czrun.datasets.imaging.ngff import open_ngff
from czrun.datasets.imaging.pictures import (
    Pixels,
    UnreadableImageError,
    check_dtype,
    check_finite,
    check_size,
    reader,
    reason,
)
from czrun.errors import CzrunError

_PILLOW_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP"}

ALPHA = "the alpha channel was left out"
PALETTE = "colours of a palette became red, green and blue"

_MODES: dict[str, tuple[str, str]] = {
    "1": ("L", ""),
    "L": ("L", ""),
    "LA": ("L", ALPHA),
    "P": ("RGB", PALETTE),
    "PA": ("RGB", f"{PALETTE}, and {ALPHA}"),
    "RGB": ("RGB", ""),
    "RGBA": ("RGB", ALPHA),
    "I;16": ("I;16", ""),
    "I;16L": ("I;16", ""),
    "I;16B": ("I;16", ""),
}
"""Pillow's mode: the one that is read, and what is to be said."""


@dataclass(frozen=True)
class Header:
    """What a file promises.

    Attributes
    ----------
    height, width, channels
        In pixels.
    dtype
        Of the pixels.
    said
        What is changed in reading it, or empty.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype[Any]
    said: str = ""


def read_header(path: Path) -> Header:
    """Learn size and kind of an image without decoding it; raises UnreadableImageError."""
    with _complaints():
        header = _reader_of(path).header(path)
        check_dtype(header.dtype)
        check_size(header.height, header.width, header.channels)
        return header


def read_pixels(path: Path) -> Pixels:
    """Decode an image, shape (height, width, channels); raises UnreadableImageError."""
    with _complaints():
        header = _reader_of(path).header(path)
        check_size(header.height, header.width, header.channels)
        pixels = _reader_of(path).pixels(path)
        check_finite(pixels)
        return pixels


def _reader_of(path: Path) -> type[_Pillow | _Tiff | _Ngff]:
    suffix = path.suffix.lower()
    if suffix in _PILLOW_FORMATS:
        return _Pillow
    return _Ngff if suffix == ".zarr" else _Tiff


@contextmanager
def _complaints() -> Iterator[None]:
    """Turn whatever a reader raises into one kind of error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UnreadableImageError, CzrunError):
        raise
    except Exception as error:  # noqa: BLE001
        # Damaged files bring about anything: SyntaxError in Pillow, struct.error and IndexError in tifffile.
        raise UnreadableImageError(f"can't be read: {reason(error)}") from None


class _Pillow:
    """PNG, JPEG and BMP."""

    @staticmethod
    def header(path: Path) -> Header:
        _refuse_deep_colour(path)
        with _open(path) as image:
            if image.mode not in _MODES:
                raise UnreadableImageError(f"has colour mode {image.mode}; grey or RGB is read")
            if getattr(image, "n_frames", 1) > 1:
                raise UnreadableImageError(f"has {image.n_frames} frames; one is expected")
            mode, said = _MODES[image.mode]
            dtype = np.dtype(np.uint16 if mode == "I;16" else np.uint8)
            return Header(image.height, image.width, 3 if mode == "RGB" else 1, dtype, said)

    @staticmethod
    def pixels(path: Path) -> Pixels:
        with _open(path) as image:
            mode, _ = _MODES[image.mode]
            pixels = np.asarray(image if image.mode == mode else image.convert(mode))
        return pixels[..., None] if pixels.ndim == 2 else pixels


def _open(path: Path) -> Any:  # noqa: ANN401
    image_module = reader("PIL.Image")
    # Not by content: Pillow knows formats whose decoders nobody needs here.
    return image_module.open(path, formats=[_PILLOW_FORMATS[path.suffix.lower()]])


def _refuse_deep_colour(path: Path) -> None:
    """Refuse PNG with 16 bits for each of several channels: Pillow would halve them without a word."""
    with path.open("rb") as file:
        start = file.read(26)
    if start.startswith(b"\x89PNG") and len(start) == 26:
        depth, colour = struct.unpack("BB", start[24:26])
        if depth == 16 and colour != 0:
            raise UnreadableImageError("is a PNG of 16 bits in several channels: write it as TIFF")


class _Tiff:
    """TIFF and OME-TIFF of one cell."""

    @staticmethod
    def header(path: Path) -> Header:
        with open_tiff(path) as file:
            series = only_series(file)
            layout, said = _tiff_layout(series)
            height, width, channels = layout.size(series.shape)
            return Header(height, width, channels, series.dtype, said)

    @staticmethod
    def pixels(path: Path) -> Pixels:
        with open_tiff(path) as file:
            series = only_series(file)
            layout, said = _tiff_layout(series)
            pixels = layout.arrange(series.asarray())
            return pixels[..., : layout.kept] if said == ALPHA else pixels


def open_tiff(path: Path) -> Any:  # noqa: ANN401
    """Open a TIFF without the other files that its OME-XML may name."""
    return reader("tifffile").TiffFile(path, _multifile=False)


def only_series(file: Any) -> Any:  # noqa: ANN401
    """Return the one image of a TIFF; raises UnreadableImageError where there are more, or odd ones."""
    if len(file.series) != 1:
        raise UnreadableImageError(f"holds {len(file.series)} images; one is expected")
    series = file.series[0]
    kind = getattr(getattr(series.keyframe, "photometric", None), "name", "")
    if kind in ("PALETTE", "MINISWHITE"):
        raise UnreadableImageError(f"is a TIFF of kind {kind}: write it as grey or RGB")
    return series


def _tiff_layout(series: Any) -> tuple[Layout, str]:  # noqa: ANN401
    layout = plane_layout(series.axes, series.shape)
    has_alpha = bool(getattr(series.keyframe, "extrasamples", ())) and layout.channel_axis == "S"
    if has_alpha and layout.size(series.shape)[2] in (2, 4):
        return layout.without_last_channel(series.shape), ALPHA
    return layout, ""


class _Ngff:
    """OME-Zarr of one cell."""

    @staticmethod
    def header(path: Path) -> Header:
        image = open_ngff(path)
        height, width, channels = image.layout.size(image.array.shape)
        return Header(height, width, channels, image.array.dtype)

    @staticmethod
    def pixels(path: Path) -> Pixels:
        image = open_ngff(path)
        return image.layout.arrange(image.array[...])
