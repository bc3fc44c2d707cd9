"""A folder of class folders with one image a cell, or of images and a table."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from czrun.datasets.imaging.files import Header, read_header, read_pixels
from czrun.datasets.imaging.kinds import TABLE_NAME, bare_name, is_picture
from czrun.datasets.imaging.pictures import (
    Picture,
    Pixels,
    UnreadableImageError,
    check_dtype,
    refuse_unreadable,
)
from czrun.errors import DatasetError, listing

_IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx", TABLE_NAME})
_MOST_RATIO = 8


@dataclass
class Found:
    """What lies in a folder.

    Attributes
    ----------
    root
        The folder.
    files
        Images, relative to it, in the order of their names.
    others
        Files that are no images.
    problems
        What can't be taken as it is.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """What the cells are called: the files' paths without suffix."""
        return [bare_name(file.as_posix()) for file in self.files]

    @property
    def has_classes(self) -> bool:
        """Whether images lie in class folders."""
        return any(len(file.parts) > 1 for file in self.files)

    @property
    def classes(self) -> list[str | None]:
        """The class folder of each image."""
        return [file.parts[0] if len(file.parts) > 1 else None for file in self.files]


def find_pictures(root: Path) -> Found:
    """List a folder's images; raises DatasetError with everything in it that can't be taken.

    Links are not followed: what they lead to may lie anywhere, and may change without the folder's hash.
    """
    found = Found(root)
    _walk(root, found)
    found.files.sort()
    found.problems += [
        f"{count} images have the id {name!r}" for name, count in Counter(found.ids).items() if count > 1
    ]
    loose = sum(len(file.parts) == 1 for file in found.files)
    if found.has_classes and loose:
        found.problems.append(
            f"{loose:,} images lie beside the class folders, such as {found.files[0].name!r}"
        )
    if found.problems:
        raise DatasetError(
            f"{root} can't be taken as a set of images:\n{listing(found.problems)}",
            "Keep one image a cell, as CLASS/NAME.png. `cp -rL FOLDER COPY` turns links into files.",
        )
    if not found.files:
        raise DatasetError(
            f"There are no images in {root}.",
            "It holds class folders of .png, .jpg, .bmp, .tif or .ome.zarr: ROOT/CLASS/NAME.png.",
        )
    return found


def _walk(folder: Path, found: Found) -> None:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = Path(entry.path).relative_to(found.root)
        if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
            continue
        if entry.is_symlink():
            found.problems.append(f"{_shown(name)} is a link")
        elif entry.is_dir():
            _enter(Path(entry.path), name, found)
        elif not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
            found.problems.append(f"{_shown(name)} is no plain file")
        elif is_picture(name):
            _take(name, found)
        else:
            found.others.append(name)


def _enter(folder: Path, name: Path, found: Found) -> None:
    if not is_picture(folder):
        _walk(folder, found)
        return
    for root, folders, files in os.walk(folder):
        found.problems += [
            f"{_shown(name)} holds a link, {each!r}"
            for each in (*folders, *files)
            if Path(root, each).is_symlink()
        ]
    _take(name, found)


def _take(name: Path, found: Found) -> None:
    if not str(name).isprintable():
        found.problems.append(f"{_shown(name)} has a name that can't be written in one line of UTF-8")
    else:
        found.files.append(name)


def _shown(name: Path) -> str:
    return ascii(str(name)) if not str(name).isprintable() else str(name)


class FolderPictures:
    """Images that are files of their own; raises DatasetError when they don't go together.

    Parameters
    ----------
    root, files
        The folder, and its images relative to it.
    """

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self._root, self._files = root, files
        headers = _headers(root, files)
        problems = []
        channels = Counter(header.channels for header in headers)
        dtypes = Counter(str(header.dtype) for header in headers)
        if len(dtypes) > 1:
            problems.append(f"pixels are {_counted(dtypes, '')}: write all in one depth")
        if len(channels) > 1 and set(channels) != {1, 3}:
            problems.append(f"channels differ: {_counted(channels, ' of ')}: write all with the same")
        sizes = np.array([(header.height, header.width) for header in headers])
        for side, values in zip(("high", "wide"), sizes.T, strict=True):
            low, high = int(values.min()), int(values.max())
            if high > _MOST_RATIO * low:
                few, many = files[int(values.argmin())], files[int(values.argmax())]
                problems.append(
                    f"images are {low} to {high} pixels {side} ({few}, {many}): are all single cells? "
                    f"crop or resize them"
                )
        refuse_unreadable(
            root, problems, "Images of one set have one depth, the same channels, about one size."
        )
        self.n_obs = len(files)
        self.dtype: np.dtype[Any] = headers[0].dtype
        height, width = sizes.max(axis=0).tolist()
        self.canvas = (height, width, max(channels))
        self.notes = tuple(_notes(headers, sizes, channels))

    def each(self) -> Iterator[Picture]:
        """Decode every image; raises DatasetError at the end with all that are damaged."""
        height, width, channels = self.canvas
        problems = []
        for row, name in enumerate(self._files):
            try:
                pixels = read_pixels(self._root / name)
                if pixels.shape[2] != channels:
                    pixels = np.repeat(pixels, channels, axis=2)
                self._check(pixels)
            except UnreadableImageError as error:
                problems.append(f"{name} {error}")
                continue
            top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
            yield Picture(row, pixels, top, left)
        refuse_unreadable(self._root, problems)

    def _check(self, pixels: Pixels) -> None:
        """Refuse an image that isn't what its header was when the set was opened."""
        height, width, channels = self.canvas
        fits = pixels.shape[0] <= height and pixels.shape[1] <= width and pixels.shape[2] == channels
        if not fits or pixels.dtype != self.dtype:
            raise UnreadableImageError("was changed while it was read")

    def close(self) -> None:
        """Do nothing: no file stays open."""


def _headers(root: Path, files: Sequence[Path]) -> list[Header]:
    headers, problems = [], []
    for name in files:
        try:
            headers.append(read_header(root / name))
        except UnreadableImageError as error:
            problems.append(f"{name} {error}")
    refuse_unreadable(root, problems)
    for header in headers:
        check_dtype(header.dtype)
    return headers


def _notes(headers: Sequence[Header], sizes: np.ndarray[Any, Any], channels: Counter[int]) -> Iterator[str]:
    height, width = sizes.max(axis=0).tolist()
    if smaller := int((sizes < sizes.max(axis=0)).any(axis=1).sum()):
        yield f"{smaller:,} images smaller than {height} × {width} pixels were put in the middle of zeros"
    if len(channels) > 1:
        yield f"{channels[1]:,} grey images got the same values in all {max(channels)} channels"
    for said, count in Counter(header.said for header in headers if header.said).items():
        yield f"in {count:,} images {said}"


def _counted(counts: Counter[Any], of: str) -> str:
    return ", ".join(f"{count:,}{of or ' '}{value}" for value, count in counts.most_common())
