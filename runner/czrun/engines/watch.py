"""Bounds on what a running container writes into its mounts: bytes, files, and the host's free disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from czrun.contract.job import Limits
from czrun.engines.base import StopReason
from czrun.errors import EngineError

FREE_DISK_FLOOR = 512 * 1024**2
"""Below this much free disk a run stops: the host, and the log of what happened, need some to live on. It
also catches what a walk can't see, such as a deleted file that is still written to."""


@dataclass(frozen=True)
class Watch:
    """The folders that a container writes to, and their bounds.

    Attributes
    ----------
    folders
        Walked together: the bounds are on their sum.
    max_bytes, max_files
        Folders, links and special files count as files.
    floor_bytes
        Free disk that must remain.
    """

    folders: tuple[Path, ...]
    max_bytes: int
    max_files: int
    floor_bytes: int = FREE_DISK_FLOOR

    @classmethod
    def of(cls, folders: Iterable[Path], limits: Limits) -> Watch:
        """Watch `folders` for a container's limits."""
        return cls(tuple(folders), limits.output_bytes, limits.output_files)

    def check(self) -> StopReason | None:
        """Return the bound that is passed now, if any."""
        if self.free_bytes() < self.floor_bytes:
            return StopReason.DISK_FULL
        return self.excess()

    def excess(self) -> StopReason | None:
        """Return the bound on bytes or files that is passed now, if any."""
        return survey(self.folders, self.max_bytes, self.max_files)

    def free_bytes(self) -> int:
        """Return the free bytes of the folder with the least."""
        free = [self.floor_bytes]
        for folder in self.folders:
            status = os.statvfs(folder)
            free.append(status.f_bavail * status.f_frsize)
        return min(free[1:], default=self.floor_bytes)

    def require_free_disk(self) -> None:
        """Raise EngineError when there is too little free disk to start at all."""
        if self.free_bytes() < self.floor_bytes:
            raise EngineError(
                f"Less than {self.floor_bytes >> 20} MiB of disk are free where {self.folders[0]} lies.",
                "Make room (`docker system df` shows what images and containers hold), and run again.",
            )


def survey(folders: Iterable[Path], max_bytes: int, max_files: int) -> StopReason | None:
    """Walk `folders` until a bound is passed.

    Links aren't followed, what vanishes meanwhile is passed over, and a sparse file counts with its apparent
    size: whoever reads or copies it would meet that size.
    """
    total_bytes = total_files = 0
    pending = [os.fspath(folder) for folder in folders]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                total_files += 1
                if total_files > max_files:
                    return StopReason.OUTPUT_FILES
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError as error:
                    if error.errno == errno.ENAMETOOLONG:
                        # Nested past what a path can name: nobody could walk it, and nothing needs it.
                        return StopReason.OUTPUT_FILES
                    continue
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
                    continue
                total_bytes += max(status.st_size, status.st_blocks * 512)
                if total_bytes > max_bytes:
                    return StopReason.OUTPUT_BYTES
    return None
