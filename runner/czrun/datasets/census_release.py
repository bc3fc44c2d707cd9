"""Which release of the CELLxGENE Census is meant; nothing of Census is opened for it.

cellxgene-census resolves names of releases too, but importing it takes three seconds, and its request has no
time limit: cells that were fetched already needn't wait for either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from czrun.datasets.census_query import CensusQuery
from czrun.errors import DatasetError, unknown_name
from czrun.storage import content_key
from czrun.version import __version__

RELEASES = "https://census.cellxgene.cziscience.com/cellxgene-census/v1/release.json"
"""The published list of releases, by name."""

_PATIENCE_S = 20
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class UnreachableError(DatasetError):
    """The list of releases can't be had now."""


@dataclass(frozen=True)
class Release:
    """One Census that never changes.

    Attributes
    ----------
    id
        The date of a published release; of a Census of one's own, a hash of what it holds, or nothing while
        it must first be opened to be told from others.
    uri
        Where a Census of one's own is; None for a published release.
    """

    id: str
    uri: str | None = None

    @property
    def title(self) -> str:
        """What people call it."""
        return f"the Census at {self.uri}" if self.uri else f"Census {self.id}"


def resolve(query: CensusQuery) -> Release:
    """Say which release is meant.

    Raises
    ------
    DatasetError
        When there is no such release or path.
    UnreachableError
        When only the published list could tell, and it can't be reached.
    """
    if query.place:
        return _at_place(query, query.place)
    if _DATE.fullmatch(query.version):
        return Release(query.version)
    return named(query.version, _published())


def named(version: str, releases: Mapping[str, Any]) -> Release:
    """Follow a name such as ``stable`` to its release in the published list; raises DatasetError."""
    entry = releases.get(version)
    while isinstance(entry, str):
        entry = releases.get(entry)
    if entry is None:
        error = unknown_name("release of Census", version, releases)
        raise DatasetError(error.message, error.hint)
    if entry.get("flags", {}).get("retracted"):
        reason = entry.get("retraction", {}).get("reason", "no reason is given")
        raise DatasetError(f"Release {version} of Census was retracted: {reason}.", "Take stable.")
    return Release(entry["release_build"])


def is_published(release_id: str) -> bool:
    """Tell a published release from a Census of one's own, by its id."""
    return bool(_DATE.fullmatch(release_id))


def _at_place(query: CensusQuery, place: str) -> Release:
    parts = urlsplit(place)
    scheme = parts.scheme
    if "@" in parts.netloc or parts.query:
        # It would end in the cache and in reports; and TileDB doesn't take it from there.
        raise DatasetError(
            "The URI of that Census holds a user, a password or a token.",
            "Leave it out, and set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    if scheme not in ("", "file"):
        return Release("", place)
    path = Path(parts.path if scheme else place).expanduser().absolute()
    if not path.is_dir():
        raise DatasetError(
            f"There is no Census at {path}: it is no folder.",
            "Name the folder that holds census_data, a URI, a release such as 2025-01-30, or stable.",
        )
    cells = path / "census_data" / query.experiment
    if not cells.is_dir():
        return Release("", str(path))
    # TileDB never changes a file: whatever is written gets a name of its own, of a time and a random number.
    names = sorted(str(name.relative_to(cells)) for name in cells.rglob("__*"))
    return Release(content_key(names), str(path))


def _published() -> dict[str, Any]:
    request = Request(RELEASES, headers={"User-Agent": f"czrun/{__version__}"})
    try:
        with urlopen(request, timeout=_PATIENCE_S) as answer:  # noqa: S310 - a constant
            releases = json.load(answer)
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"The list of Census releases can't be read from {RELEASES}: {error}.",
            "Check the network; or name a local Census with --census-version PATH.",
        ) from error
    if not isinstance(releases, dict):
        raise UnreachableError(
            f"{RELEASES} holds no list of releases.", "Name one: --census-version 2025-01-30."
        )
    return releases
