"""Files that are whole or absent: atomic writes, folders published by rename, content keys."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from czrun.errors import StorageError

_READ_BYTES = 1 << 20


def cache_home() -> Path:
    """Return the folder of everything that czrun keeps between runs: $CZRUN_HOME, or the user's cache."""
    if home := os.environ.get("CZRUN_HOME"):
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "czrun"


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write under `path` into a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = f"`df -h {path}` shows the disk; `czrun runs clean` frees czrun's own cache."
            raise StorageError(f"No space is left to write {path}.", free) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                f"{path} can't be written: {error.strerror}.",
                "Name a folder that you may write with --output, or set CZRUN_HOME for the cache.",
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            raise StorageError(f"{path} is in the way: {error.strerror}.", "Name another folder.") from error
        raise


def make_folder(path: Path) -> Path:
    """Create a folder and its parents where they are missing; raises StorageError."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.partial")
    with storage_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_bytes(path, content.encode())


def publish(staged: Path, final: Path) -> None:
    """Move a finished folder to its place, where it then never changes.

    When another process has published the same content meanwhile, that one stays and ours is dropped.
    """
    with storage_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        for file in staged.rglob("*"):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        try:
            staged.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            remove_tree(staged)
        _sync(final.parent)


def remove_tree(path: Path) -> None:
    """Remove a file or a folder, whatever modes a container left in it; a missing one is fine."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(stat.S_IRWXU)
    for root, folders, _ in os.walk(path):
        for name in folders:
            # Before os.walk steps into it: a folder of mode 000 can't be listed by its own owner.
            folder = Path(root, name)
            if not folder.is_symlink():
                folder.chmod(stat.S_IRWXU)
    shutil.rmtree(path)


def content_key(value: object) -> str:
    """Return the SHA-256 of a JSON value in its one canonical spelling."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256, reading it in pieces (about 2 GB/s)."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def path_sha256(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder, that of its files' names and contents, wherever it lies."""
    if not path.is_dir():
        return file_sha256(path)
    files = [Path(root, name) for root, _, names in os.walk(path, followlinks=True) for name in names]
    return content_key({file.relative_to(path).as_posix(): file_sha256(file) for file in files})


def seal(path: Path) -> str:
    """Return a finished file's SHA-256, and have the disk take it in."""
    digest = file_sha256(path)
    _sync(path)
    return digest


def folder_bytes(path: Path) -> int:
    """Return the bytes of all regular files under a folder."""
    total = 0
    for root, _, names in os.walk(path):
        for name in names:
            try:
                info = (Path(root) / name).lstat()
            except OSError:
                continue
            if stat.S_ISREG(info.st_mode):
                total += info.st_size
    return total


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
