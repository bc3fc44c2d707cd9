"""Folders as tar streams, for engines that can't see the caller's files: both ways without a copy on disk."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from czrun.engines.base import StopReason
from czrun.engines.policy import User
from czrun.errors import EngineError

CHUNK = 1024**2

REFUSED_LINK = "/nonexistent/czrun-refused"
"""Links, pipes and devices that a container made come back as a link to nowhere: nothing of theirs reaches
the host, and whoever reads the folder still meets something that isn't a regular file."""


@dataclass
class Budget:
    """What may still be unpacked."""

    bytes: int
    files: int


def pack(source: Path, name: str, user: User) -> Iterator[bytes]:
    """Yield a file or a folder as the members of a tar stream, without the stream's end.

    Parameters
    ----------
    source
        Links in it are packed as links, special files are left out.
    name
        What the file or folder is called in the archive.
    user
        Who owns it there. Modes are widened to what the owner needs.
    """
    status = source.lstat()
    member = tarfile.TarInfo(name)
    member.uid, member.gid = user.uid, user.gid
    if stat.S_ISLNK(status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, str(source.readlink())
        yield _header(member)
    elif stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        yield _header(member)
        for child in sorted(source.iterdir()):
            yield from pack(child, f"{name}/{child.name}", user)
    elif stat.S_ISREG(status.st_mode):
        member.size, member.mode = status.st_size, 0o644 | (status.st_mode & 0o111)
        yield _header(member)
        yield from _contents(source, status.st_size)


def end_of_archive() -> bytes:
    """Return what ends a tar stream."""
    return bytes(2 * tarfile.BLOCKSIZE)


def unpack(chunks: Iterable[bytes], folder: Path, budget: Budget) -> StopReason | None:
    """Replace what `folder` holds by the contents of a folder that arrives as a tar stream.

    Parameters
    ----------
    chunks
        The stream; its first path component is the folder itself.
    folder
        A private folder of the caller's.
    budget
        Drawn on; sizes are checked before a byte is written.

    Returns
    -------
    StopReason or None
        The bound that was passed; the folder then holds a part.
    """
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()
    folders: set[tuple[str, ...]] = {()}
    reader = cast("IO[bytes]", _Reader(chunks))
    with tarfile.open(fileobj=reader, mode="r|") as archive:
        for member in archive:
            parts = PurePosixPath(member.name).parts[1:]
            if not parts:
                continue
            if ".." in parts or member.name.startswith("/") or parts[:-1] not in folders:
                raise EngineError(f"The engine sent an archive with a stray path: {member.name[:200]!r}")
            budget.files -= 1
            budget.bytes -= member.size if member.isreg() else 0
            if budget.files < 0:
                return StopReason.OUTPUT_FILES
            if budget.bytes < 0:
                return StopReason.OUTPUT_BYTES
            if member.isdir():
                folder.joinpath(*parts).mkdir(mode=0o755)
                folders.add(parts)
            else:
                _restore(archive, member, folder.joinpath(*parts))
    return None


def _restore(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
        target.symlink_to(REFUSED_LINK)
        return
    content = archive.extractfile(member)
    mode = 0o644 | (member.mode & 0o111)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        if content is not None:
            shutil.copyfileobj(content, file, CHUNK)


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _contents(source: Path, size: int) -> Iterator[bytes]:
    left = size
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
    if left:
        raise EngineError(f"{source} shrank while it was sent to the engine.", "Run again.")
    yield bytes(-size % tarfile.BLOCKSIZE)


class _Reader:
    """Chunks of any size as something to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data
