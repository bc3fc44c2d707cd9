"""Leases: how a later start knows what a killed run left behind.

Every process that starts containers holds a lock on a file of its own. The kernel drops the lock with the
process, however it ended, so "the lock can be taken" means "the owner is dead": no process ids to
compare, which other containers and other machines would number differently.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from czrun.storage import make_folder, remove_tree, storage_errors


@dataclass
class Lease:
    """A held lease: its id, and the scratch folder that dies with it."""

    id: str
    scratch: Path
    _file: Path
    _descriptor: int

    def release(self) -> None:
        """Remove the scratch folder and give the lock back."""
        remove_tree(self.scratch)
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)

    def folder(self) -> Path:
        """Make a fresh folder in the scratch space; its name says nothing."""
        path = self.scratch / secrets.token_hex(8)
        with storage_errors(path):
            path.mkdir(mode=0o700)
        return path


def acquire(home: Path) -> Lease:
    """Take a new lease; raises StorageError when the cache can't be written."""
    lease_id = secrets.token_hex(8)
    leases = make_folder(home / "leases")
    scratch = make_folder(home / "work") / lease_id
    with storage_errors(leases):
        # Locked under another name first: a sweep must never find our file before we hold it.
        hidden = leases / f".{lease_id}"
        descriptor = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        final = leases / f"{lease_id}.lock"
        hidden.rename(final)
        scratch.mkdir(mode=0o700)
    return Lease(lease_id, scratch, final, descriptor)


def is_alive(home: Path, owner: str) -> bool:
    """Tell whether the owner of a lease may still be running.

    An owner that this cache has never heard of belongs to another user or machine: it counts as alive.
    """
    path = home / "leases" / f"{owner}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def living(home: Path, besides: str = "") -> list[str]:
    """Return the ids of the leases that are held, but for `besides`."""
    ids = [path.stem for path in sorted((home / "leases").glob("*.lock"))]
    return [lease_id for lease_id in ids if lease_id != besides and is_alive(home, lease_id)]


def sweep(home: Path) -> int:
    """Remove the scratch folders and lock files of dead owners; return how many there were.

    Call it after their containers are gone: a container whose lock file is missing looks foreign.
    """
    dead = [p for p in sorted((home / "leases").glob("*.lock")) if not is_alive(home, p.stem)]
    for path in dead:
        remove_tree(home / "work" / path.stem)
        path.unlink(missing_ok=True)
    return len(dead)
