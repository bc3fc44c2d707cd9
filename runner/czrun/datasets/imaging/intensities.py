"""Pixels of any depth as uint8, by one rule for the whole set: no split and no label has a say in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from czrun.datasets.imaging.pictures import Pictures, Pixels
from czrun.errors import DatasetError

_BUCKETS = 1 << 16
_PIXELS_AT_ONCE = 1 << 20

Codes = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Scale:
    """A linear map of each channel: `low` becomes 0, `high` 255, what lies beyond is clipped.

    Attributes
    ----------
    low, high
        In units of the source, float64, shape (channels,).
    """

    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    def apply(self, pixels: Pixels) -> npt.NDArray[np.uint8]:
        """Return an image as uint8; a channel that is the same everywhere becomes 0."""
        span = self.high - self.low
        shares = np.zeros(pixels.shape)
        np.divide(pixels - self.low, span, out=shares, where=span > 0)
        return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)

    def describe(self) -> str:
        """Say which values became 0 and 255, the first channels of many."""
        shown = [f"{low:g} – {high:g}" for low, high in zip(self.low, self.high, strict=True)]
        return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")


def given_scale(pairs: tuple[tuple[float, float], ...], n_channels: int) -> Scale:
    """Make a scale of what a data set's YAML says; raises DatasetError where channels are missing."""
    if len(pairs) not in (1, n_channels):
        raise DatasetError(
            f"images.intensity has {len(pairs)} ranges, and the images have {n_channels} channels.",
            "Give one range for all channels, or one for each: intensity: [[0, 4095], [100, 900]].",
        )
    low, high = np.broadcast_to(np.array(pairs, dtype=np.float64), (n_channels, 2)).T
    return Scale(low, high)


def measured_scale(pictures: Pictures, percentiles: tuple[float, float]) -> Scale:
    """Take each channel's percentiles over all pixels of all images, exactly, in bounded memory.

    A percentile is the smallest value that so many percent of the pixels don't exceed. Two passes count the
    upper, then the lower 16 bits of codes that are ordered as the values are; 16-bit pixels need one only.

    Raises
    ------
    DatasetError
        When an image can't be read.
    """
    n_channels = pictures.canvas[2]
    upper = np.zeros((n_channels, _BUCKETS), dtype=np.int64)
    for codes in _coded(pictures):
        for channel in range(n_channels):
            upper[channel] += np.bincount(codes[:, channel] >> 16, minlength=_BUCKETS)
    counted = upper.cumsum(axis=1)
    n_pixels = int(counted[0, -1])
    ends = []
    for percentile in percentiles:
        rank = min(max(int(np.ceil(percentile / 100 * n_pixels)), 1), n_pixels)
        bucket = np.array([np.searchsorted(each, rank) for each in counted], dtype=np.uint32)
        before = np.array([each[at - 1] if at else 0 for each, at in zip(counted, bucket, strict=True)])
        ends.append((bucket, rank - before))
    if _is_coarse(pictures.dtype):
        low, high = (_values(bucket << np.uint32(16), pictures.dtype) for bucket, _ in ends)
    else:
        low, high = (_refine(pictures, bucket, left) for bucket, left in ends)
    return Scale(low, high)


def _refine(pictures: Pictures, bucket: Codes, rank: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Find the value of a rank within each channel's bucket."""
    lower = np.zeros((len(bucket), _BUCKETS), dtype=np.int64)
    for codes in _coded(pictures):
        for channel, own in enumerate(bucket.tolist()):
            inside = codes[codes[:, channel] >> 16 == own, channel]
            lower[channel] += np.bincount(inside & 0xFFFF, minlength=_BUCKETS)
    counted = lower.cumsum(axis=1)
    at = np.array([np.searchsorted(each, left) for each, left in zip(counted, rank, strict=True)])
    return _values((bucket << np.uint32(16)) | at.astype(np.uint32), pictures.dtype)


def _coded(pictures: Pictures) -> Iterator[Codes]:
    """Yield all pixels as codes, shape (pixels, channels); many pictures at once, which counts faster."""
    waiting: list[Codes] = []
    n_pixels = 0
    for picture in pictures.each():
        waiting.append(_codes(picture.pixels.reshape(-1, picture.pixels.shape[2])))
        n_pixels += len(waiting[-1])
        if n_pixels >= _PIXELS_AT_ONCE:
            yield np.concatenate(waiting)
            waiting, n_pixels = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _is_coarse(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" and dtype.itemsize <= 2


def _codes(pixels: Pixels) -> Codes:
    """Return numbers of 32 bits in the order of the values; those of 16 bits come in the upper half."""
    if _is_coarse(pixels.dtype):
        shifted = pixels.astype(np.int32) + (1 << 15 if pixels.dtype.kind == "i" else 0)
        return shifted.astype(np.uint32) << np.uint32(16)
    bits = np.ascontiguousarray(pixels, dtype=np.float32).view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))


def _values(codes: Codes, dtype: np.dtype[Any]) -> npt.NDArray[np.float64]:
    """Undo `_codes`."""
    if _is_coarse(dtype):
        return (codes >> 16).astype(np.float64) - (1 << 15 if dtype.kind == "i" else 0)
    bits = np.where(codes >> np.uint32(31), codes & np.uint32((1 << 31) - 1), ~codes)
    return bits.view(np.float32).astype(np.float64)
