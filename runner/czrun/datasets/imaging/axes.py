"""Axes of microscopy images, brought into one order: height, width, channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from czrun.datasets.imaging.pictures import Pixels, UnreadableImageError

_CHANNELS = "CS"
_UNNAMED = "QI"
"""What tifffile calls axes that nobody named: pages of a plain TIFF, or an array's first axis."""


@dataclass(frozen=True)
class Layout:
    """Where an array has its rows, columns and channels; other axes are of length 1.

    Attributes
    ----------
    axes
        One letter an axis, in the order of the array.
    channel_axis
        The letter of the channels; empty where there are none.
    kept
        Channels that are used, the first ones; None for all.
    """

    axes: str
    channel_axis: str
    kept: int | None = None

    def size(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return height, width and channels of an array of this shape."""
        by_axis = dict(zip(self.axes, shape, strict=True))
        n_channels = by_axis[self.channel_axis] if self.channel_axis else 1
        return by_axis["Y"], by_axis["X"], n_channels if self.kept is None else self.kept

    def arrange(self, array: Pixels) -> Pixels:
        """Return an array as (height, width, channels)."""
        wanted = ("Y", "X", *self.channel_axis)
        others = tuple(number for number, axis in enumerate(self.axes) if axis not in wanted)
        flat = np.squeeze(array, axis=others)
        left = [axis for axis in self.axes if axis in wanted]
        pixels = np.transpose(flat, [left.index(axis) for axis in wanted])
        return pixels if self.channel_axis else pixels[..., None]

    def without_last_channel(self, shape: tuple[int, ...]) -> Layout:
        """Return the layout that leaves the last channel out."""
        return replace(self, kept=self.size(shape)[2] - 1)


def plane_layout(axes: str, shape: tuple[int, ...]) -> Layout:
    """Find rows, columns and channels of one image; raises UnreadableImageError where it has more axes."""
    if "Y" not in axes or "X" not in axes or len(set(axes)) != len(axes):
        raise UnreadableImageError(f"has axes {axes}, and no plane of Y and X")
    long = [axis for axis, size in zip(axes, shape, strict=True) if size != 1 and axis not in "YX"]
    channels = [axis for axis in long if axis in _CHANNELS] or [axis for axis in long if axis in _UNNAMED]
    if len(long) > len(channels[:1]):
        said = " × ".join(f"{axis} {size}" for axis, size in zip(axes, shape, strict=True))
        raise UnreadableImageError(f"has axes {said}: one plane, or one plane a channel, is one cell's image")
    return Layout(axes, "".join(channels))
