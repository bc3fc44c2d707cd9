"""Files elsewhere: what a server says of one, and its bytes as they come."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from czrun.contract.base import ContractModel
from czrun.errors import DatasetError

SUFFIXES = (".h5ad", ".h5", ".hdf5", ".loom", ".npz", ".zarr.zip")
"""How the name of a single file of cells or images ends; all but archives may be gzipped besides."""

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".rar", ".7z")


class RemoteVersion(ContractModel):
    """What tells whether a file elsewhere is still the one that was begun.

    Attributes
    ----------
    size
        Bytes; None where the server doesn't say.
    etag, last_modified
        As the server gives them; empty where it doesn't.
    """

    size: int | None
    etag: str = ""
    last_modified: str = ""

    def continues(self, begun: RemoteVersion | None) -> bool:
        """Tell whether bytes of both may be joined: two equal sizes alone prove nothing."""
        return self == begun and bool(self.etag or self.last_modified)


@dataclass(frozen=True)
class Stream:
    """A file under way.

    Attributes
    ----------
    version
        What the server says of the file.
    start
        Which byte of the file the first piece begins with.
    names
        What the server calls the file, the most telling first.
    pieces
        Its bytes; raises `Interrupted`.
    hang_up
        Ends it, whether its bytes have come or not.
    """

    version: RemoteVersion
    start: int
    names: tuple[str, ...]
    pieces: Iterator[bytes]
    hang_up: Callable[[], None]


class Interrupted(Exception):  # noqa: N818 - no fault yet: whoever fetches may go on
    """The bytes stopped coming before the file's end."""


class NeedsCredentials(Exception):  # noqa: N818 - no fault yet: the user may have some
    """A bucket doesn't give the file to strangers."""


def shown_url(url: str) -> str:
    """Return an address as reports may show it: without passwords and without what signs it."""
    parts = urlsplit(url)
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def file_name(url: str, also: tuple[str, ...] = ()) -> str:
    """Say what the file of an address is called; its end says what format it has.

    Parameters
    ----------
    url
        The address. What follows a ``#`` is taken for the name: ``https://…/download?id=7#cells.h5ad``.
    also
        What the server calls it.

    Returns
    -------
    A name that is safe on disk; empty when none of them ends like a format.

    Raises
    ------
    DatasetError
        When it is a folder or an archive.
    """
    parts = urlsplit(url)
    own = PurePosixPath(unquote(parts.path)).name
    name = next((each for each in (parts.fragment, own, *also) if is_readable_name(each)), "")
    if name:
        return re.sub(r"[^A-Za-z0-9._+-]", "_", PurePosixPath(name).name)[-120:].lstrip(".")
    for each in (parts.fragment, own, *also):
        if each.lower().endswith(_ARCHIVES):
            raise DatasetError(
                f"{shown_url(url)} is an archive, {each}.",
                "Download and unpack it yourself, then name the file or the folder in it.",
            )
    if parts.path.endswith("/") or own.lower().endswith(".zarr"):
        raise DatasetError(
            f"{shown_url(url)} is a folder, and only single files are fetched.",
            "Download it yourself and name the folder, or zip it: `zip -r0 ../cells.zarr.zip .` within it.",
        )
    return ""


def is_readable_name(name: str) -> bool:
    """Tell whether a name ends like a file of cells or images."""
    lowered = name.lower()
    return lowered.endswith(SUFFIXES) or (
        lowered.endswith(".gz") and lowered[:-3].endswith((".h5ad", ".h5", ".hdf5", ".loom"))
    )
