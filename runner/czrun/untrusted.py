"""Files that a container wrote: opened without following, blocking or trusting anything."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import ValidationError

from czrun.contract.outcome import Progress, ReportedResult

ADVISORY_BYTES = 4096


class RefusedFileError(Exception):
    """A file that isn't a plain file of bounded size; says why."""

    def __init__(self, reason: str, *, is_hostile: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_hostile = is_hostile


def open_folder(name: str, parent: int) -> int:
    """Open a folder below an open one; raises RefusedFileError for a link or anything else in its place."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        raise RefusedFileError(f"the folder {name}/ is missing", is_hostile=False) from None
    except OSError as error:
        raise RefusedFileError(
            f"{name} is not a readable folder ({error.strerror})", is_hostile=True
        ) from None


def open_plain(name: str, folder: int, max_bytes: int) -> int:
    """Open a plain file below an open folder.

    Parameters
    ----------
    name
        File name, without a folder.
    folder
        Descriptor of the folder.
    max_bytes
        Largest size to accept.

    Raises
    ------
    FileNotFoundError
        When there is none.
    RefusedFileError
        When it is a link, has a second name, is no regular file, can't be read, or is too large.
    """
    # O_NONBLOCK: opening a FIFO that nobody writes to would otherwise wait for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        reason = "is a symbolic link" if stat.S_ISLNK(mode) else f"can't be opened ({error.strerror})"
        raise RefusedFileError(f"{name} {reason}", is_hostile=not stat.S_ISREG(mode)) from None
    info = os.fstat(descriptor)
    refusal = None
    if not stat.S_ISREG(info.st_mode):
        refusal = RefusedFileError(f"{name} is not a regular file", is_hostile=True)
    elif info.st_nlink != 1:
        refusal = RefusedFileError(f"{name} has a second name (hard link)", is_hostile=True)
    elif info.st_size > max_bytes:
        reason = f"{name} holds {info.st_size:,} bytes; at most {max_bytes:,} make sense here"
        refusal = RefusedFileError(reason, is_hostile=False)
    if refusal:
        os.close(descriptor)
        raise refusal
    return descriptor


def read_plain(name: str, folder: int, max_bytes: int) -> bytes:
    """Read a plain file whole; raises as `open_plain` does."""
    descriptor = open_plain(name, folder, max_bytes)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(max_bytes)


def read_progress(output: Path) -> Progress | None:
    """Read a running container's progress.json; anything odd reads as nothing."""
    content = _read_advisory(output, "progress.json")
    try:
        return Progress.model_validate_json(content) if content else None
    except ValidationError:
        return None


def read_result(output: Path) -> ReportedResult | None:
    """Read a dead container's result.json; anything odd reads as nothing."""
    content = _read_advisory(output, "result.json")
    try:
        return ReportedResult.model_validate_json(content) if content else None
    except ValidationError:
        return None


def _read_advisory(output: Path, name: str) -> bytes | None:
    try:
        folder = os.open(output, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return read_plain(name, folder, ADVISORY_BYTES)
    except (OSError, RefusedFileError):
        return None
    finally:
        os.close(folder)
