"""Folders for a container that runs as another user than the caller: only when the caller is root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from czrun.engines.base import Mount
from czrun.engines.policy import User
from czrun.errors import EngineError


def hand_over(mounts: Iterable[Mount], user: User) -> None:
    """Give the writable mounts to `user`, and make sure that it can read the others.

    Raises
    ------
    EngineError
        When a read-only mount can't be read by `user`: the model would be blamed for it.
    """
    for mount in mounts:
        if not mount.writable:
            _require_readable(mount, user)
            continue
        os.chown(mount.source, user.uid, user.gid, follow_symlinks=False)
        for _, folders, files, descriptor in os.fwalk(mount.source, follow_symlinks=False):
            for name in (*folders, *files):
                os.chown(name, user.uid, user.gid, dir_fd=descriptor, follow_symlinks=False)


def _require_readable(mount: Mount, user: User) -> None:
    status = mount.source.stat()
    needed = stat.S_IROTH | (stat.S_IXOTH if mount.source.is_dir() else 0)
    if status.st_uid == user.uid:
        needed <<= 6
    elif status.st_gid == user.gid:
        needed <<= 3
    if status.st_mode & needed != needed:
        raise EngineError(
            f"{mount.source} can't be read by the user {user} that containers run as when root runs czrun.",
            f"chmod -R a+rX {mount.source}",
        )
