"""What a path holds, told without reading an image: a cached run needs no more than this."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
"""Files that hold one cell's image, in folders."""

TABLE_NAME = "cells.csv"

_KNOWN_SUFFIX = re.compile(r"(\.ome)?\.(png|jpe?g|bmp|tiff?|zarr|npy)$", re.IGNORECASE)
_MOST_ENTRIES = 20_000
"""Entries of a folder that are looked at to learn whether it holds images: it may be somebody's home."""

_NGFF_KEYS = ("multiscales", "plate", "well", "bioformats2raw.layout", "image-label")


class ImageKind(StrEnum):
    """How a set of images lies on disk."""

    ARCHIVE = "archive"
    """An .npz file: images and columns."""
    ARRAY = "array"
    """An .npy file of images, and a table beside it."""
    TIFF = "tiff"
    """One OME-TIFF, of which one axis counts cells, and a table beside it."""
    FOLDER = "folder"
    """A folder of class folders, or of images and a table."""
    NGFF = "ngff"
    """One OME-Zarr image with a segmentation, and a table beside it."""


_FILES = {
    ".npz": ImageKind.ARCHIVE,
    ".npy": ImageKind.ARRAY,
    ".tif": ImageKind.TIFF,
    ".tiff": ImageKind.TIFF,
}

FILE_SUFFIXES = tuple(_FILES)
"""Files that hold a whole set of images."""


def image_kind(path: Path) -> ImageKind | None:
    """Tell how images lie at a path; None where there are none."""
    if not path.is_dir():
        return _FILES.get(path.suffix.lower())
    if is_zarr(path):
        return ImageKind.NGFF if is_ngff(path) else None
    return ImageKind.FOLDER if any(map(is_picture, _entries(path))) else None


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr store or a group or array in one."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


def is_ngff(path: Path) -> bool:
    """Tell whether a Zarr group holds microscopy images, and not, for example, AnnData."""
    return any(key in ngff_attributes(path) for key in _NGFF_KEYS)


def ngff_attributes(path: Path) -> dict[str, Any]:
    """Read what OME-Zarr says of a group: 0.5 in zarr.json under ``ome``, 0.4 in .zattrs; else nothing."""
    found: Any = {}
    if (path / "zarr.json").is_file():
        attributes = _json(path / "zarr.json").get("attributes")
        found = attributes.get("ome") if isinstance(attributes, dict) else {}
    elif (path / ".zattrs").is_file():
        found = _json(path / ".zattrs")
    return found if isinstance(found, dict) else {}


def is_picture(path: Path) -> bool:
    """Tell by its name whether a file, or a Zarr folder, may be one cell's image."""
    return path.suffix.lower() in PICTURE_SUFFIXES or (path.suffix.lower() == ".zarr" and path.is_dir())


def bare_name(name: str) -> str:
    """Return a name, or a relative path, without the suffixes of its format: a.ome.tif is a."""
    return _KNOWN_SUFFIX.sub("", name)


def table_of(path: Path) -> Path | None:
    """Return the table of a set's columns, None where there is none.

    In a folder of images it is the folder's own ``cells.csv``. Beside a file, or an OME-Zarr image, it is
    ``STEM.csv``, or else ``cells.csv``.
    """
    return next((each for each in table_places(path) if each.is_file()), None)


def table_places(path: Path) -> tuple[Path, ...]:
    """Return where the table of a set's columns is looked for."""
    if path.is_dir() and not is_zarr(path):
        return (path / TABLE_NAME,)
    if path.suffix.lower() == ".npz":
        return ()
    return (path.with_name(f"{bare_name(path.name)}.csv"), path.with_name(TABLE_NAME))


def _entries(path: Path) -> Iterator[Path]:
    """Yield what lies in a folder and below, as far as is sensible; hidden things left out."""
    left = _MOST_ENTRIES
    for root, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in (*names, *folders):
            if left := left - 1:
                yield Path(root, name)
            else:
                return


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
