"""OME-Zarr images: NGFF 0.4 (Zarr 2) and 0.5 (Zarr 3), level 0 of the first multiscale."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from czrun.datasets.imaging.axes import Layout, plane_layout
from czrun.datasets.imaging.kinds import ngff_attributes
from czrun.datasets.imaging.pictures import UnreadableImageError, check_dtype, reader, reason

_OLD_AXES = "TCZYX"
_MOST_CHUNK_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class NgffImage:
    """One image.

    Attributes
    ----------
    array
        A zarr.Array, read where it is indexed.
    layout
        What its axes are.
    """

    array: Any
    layout: Layout


def open_ngff(path: Path) -> NgffImage:
    """Open an image's finest level; raises UnreadableImageError where it isn't one cell's, or one field's."""
    attributes = ngff_attributes(path)
    if "multiscales" not in attributes:
        raise UnreadableImageError(_what_instead(attributes, path))
    try:
        multiscale = attributes["multiscales"][0]
        level = str(multiscale["datasets"][0]["path"])
        axes = _axes(multiscale)
    except (KeyError, IndexError, TypeError) as error:
        raise UnreadableImageError(f"has `multiscales` that say nothing: {reason(error)}") from None
    array = _open_array(path, level)
    axes = axes or _OLD_AXES
    if len(axes) != len(array.shape):
        raise UnreadableImageError(f"names axes {axes}, and its array has shape {array.shape}")
    return NgffImage(array, plane_layout(axes, array.shape))


def label_names(path: Path) -> tuple[str, ...]:
    """Return the names of an image's segmentations."""
    names = ngff_attributes(path / "labels").get("labels")
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _axes(multiscale: dict[str, Any]) -> str:
    """Return one letter an axis; empty before NGFF 0.3, which had no names for them."""
    names = [axis["name"] if isinstance(axis, dict) else axis for axis in multiscale.get("axes", [])]
    return "".join(str(name).upper()[:1] for name in names)


def _open_array(path: Path, level: str) -> Any:  # noqa: ANN401
    inside = PurePosixPath(level)
    if inside.is_absolute() or ".." in inside.parts:
        raise UnreadableImageError(f"has its pixels elsewhere: {level!r}")
    folder = path / inside
    _refuse_pickles(folder)
    zarr = reader("zarr")
    try:
        array = zarr.open_array(folder, mode="r")
    except Exception as error:  # noqa: BLE001
        # Its metadata are JSON that anybody may have written: KeyError, TypeError, what not.
        raise UnreadableImageError(f"has no array {level!r} that can be read: {reason(error)}") from None
    check_dtype(array.dtype)
    n_bytes = math.prod(array.chunks) * array.dtype.itemsize
    if n_bytes > _MOST_CHUNK_BYTES:
        raise UnreadableImageError(
            f"has chunks of {n_bytes >> 20:,} MiB; {_MOST_CHUNK_BYTES >> 20} MiB is the most"
        )
    return array


def _refuse_pickles(folder: Path) -> None:
    """Refuse an array whose chunks would be unpickled: that runs whatever is in them."""
    for name in (".zarray", "zarr.json"):
        try:
            content = json.loads((folder / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if "pickle" in json.dumps(content).lower():
            raise UnreadableImageError("has chunks in Python's pickle format, which isn't read")


def _what_instead(attributes: dict[str, Any], path: Path) -> str:
    if "plate" in attributes or "well" in attributes:
        return f"is a plate or a well; name one field of it, for example {path}/A/1/0"
    if "bioformats2raw.layout" in attributes:
        return f"is a collection of images; name one of them, for example {path}/0"
    return "is no OME-Zarr image: it has no `multiscales`"
