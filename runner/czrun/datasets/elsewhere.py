"""Files that fsspec reads: of buckets that ask who you are, and of whatever else it has a back end for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from czrun.datasets.remote import Interrupted, RemoteVersion, Stream, shown_url
from czrun.errors import DatasetError

# A request each: large enough that the waiting between two doesn't count, small enough to see progress.
_PIECE_BYTES = 8 << 20

EXTRA = "pip install 'czrun[remote]'"


def open_elsewhere(url: str, start: int, begun: RemoteVersion | None) -> Stream:
    """Open a file from a byte on, with whatever credentials the back end finds; see `open_web`.

    Raises
    ------
    DatasetError
        When there is no such back end, or it hasn't got the file.
    """
    shown = shown_url(url)
    try:
        import fsspec
    except ImportError as error:
        raise DatasetError(f"{shown}: this kind of address needs fsspec.", EXTRA) from error
    try:
        system, path = fsspec.url_to_fs(url.partition("#")[0])
        info = system.info(path)
    except FileNotFoundError as error:
        raise DatasetError(f"{shown} isn't there.", "Look the address up where you found it.") from error
    except PermissionError as error:
        raise DatasetError(
            f"{shown} isn't given to you: {error}.",
            "Log in, for example with `aws sso login`.",
        ) from error
    except (ImportError, ValueError) as error:
        raise DatasetError(f"{shown} can't be opened: {error}.", f"For s3://, {EXTRA}.") from error
    except Exception as error:
        raise DatasetError(
            f"{shown} can't be reached: {error or type(error).__name__}.",
            "Are you online, and are your credentials set? Or download it yourself and name the file.",
        ) from error
    if info.get("type") == "directory":
        raise DatasetError(
            f"{shown} is a folder, and only single files are fetched.",
            "Download it yourself and name the folder.",
        )
    version = _version(info)
    start = start if version.continues(begun) else 0
    pieces = _pieces(system, path, version, start)
    return Stream(version, start, (), pieces, pieces.close)


def _version(info: dict[str, Any]) -> RemoteVersion:
    changed = [info.get(key) for key in ("LastModified", "updated", "mtime", "created")]
    return RemoteVersion(
        size=info.get("size"),
        etag=str(info.get("ETag") or info.get("etag") or ""),
        last_modified=str(next(filter(None, changed), "")),
    )


def _pieces(system: Any, path: str, version: RemoteVersion, start: int) -> Generator[bytes]:  # noqa: ANN401
    try:
        if version.size is None:
            with system.open(path, "rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
            return
        for begin in range(start, version.size, _PIECE_BYTES):
            yield system.cat_file(path, start=begin, end=min(begin + _PIECE_BYTES, version.size))
        # Each piece was a request of its own: they are of one file only if it is still the same.
        system.invalidate_cache()
        is_the_same = _version(system.info(path)) == version
    except Exception as error:
        raise Interrupted(str(error) or type(error).__name__) from error
    if not is_the_same:
        raise Interrupted("the file was changed meanwhile")
