"""Memory and CPU of a running container: from its cgroup's files where readable, else from the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@dataclass(frozen=True)
class Sample:
    """One look at a container.

    Attributes
    ----------
    memory_bytes
        Working set: usage without the page cache that the kernel would drop first.
    cpu_seconds
        Since the container's start, user and system together.
    oom_kills
        Processes that the kernel killed for memory.
    """

    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    oom_kills: int = 0


class Meter(Protocol):
    """Something that can look at a container."""

    def sample(self) -> Sample | None:
        """Look now; None when there is nothing to see."""
        ...


@dataclass
class Peaks:
    """What all looks at one container add up to."""

    memory_bytes: int | None = None
    cpu_seconds: float | None = None
    oom_killed: bool = False

    def take(self, sample: Sample | None) -> None:
        """Add one look."""
        if sample is None:
            return
        if sample.memory_bytes is not None:
            self.memory_bytes = max(self.memory_bytes or 0, sample.memory_bytes)
        if sample.cpu_seconds is not None:
            self.cpu_seconds = max(self.cpu_seconds or 0.0, sample.cpu_seconds)
        self.oom_killed = self.oom_killed or sample.oom_kills > 0


@dataclass(frozen=True)
class CgroupV1:
    """Reads the memory and cpuacct hierarchies. About 0.1 ms a look."""

    memory: Path
    cpuacct: Path

    def sample(self) -> Sample | None:
        """Look now; None once the cgroup is gone."""
        try:
            usage = int((self.memory / "memory.usage_in_bytes").read_text())
            inactive = _fields(self.memory / "memory.stat").get("total_inactive_file", 0)
            kills = _fields(self.memory / "memory.oom_control").get("oom_kill", 0)
            nanoseconds = int((self.cpuacct / "cpuacct.usage").read_text())
        except (OSError, ValueError):
            return None
        return Sample(max(0, usage - inactive), nanoseconds / 1e9, kills)


@dataclass(frozen=True)
class CgroupV2:
    """Reads the unified hierarchy. About 0.1 ms a look."""

    folder: Path

    def sample(self) -> Sample | None:
        """Look now; None once the cgroup is gone."""
        try:
            usage = int((self.folder / "memory.current").read_text())
            inactive = _fields(self.folder / "memory.stat").get("inactive_file", 0)
            kills = _fields(self.folder / "memory.events").get("oom_kill", 0)
            microseconds = _fields(self.folder / "cpu.stat").get("usage_usec", 0)
        except (OSError, ValueError):
            return None
        return Sample(max(0, usage - inactive), microseconds / 1e6, kills)


class StatsMeter:
    """Follows the engine's stats stream, about one look a second, in a thread of its own.

    Parameters
    ----------
    stream
        Opens the stream; it ends when the container is removed.
    """

    def __init__(self, stream: Callable[[], Iterator[Mapping[str, Any]]]) -> None:
        self._stream = stream
        self._latest: Sample | None = None
        threading.Thread(target=self._follow, name="czrun-stats", daemon=True).start()

    def sample(self) -> Sample | None:
        """Return the latest look."""
        return self._latest

    def _follow(self) -> None:
        try:
            for stats in self._stream():
                self._latest = read_stats(stats) or self._latest
        except Exception:  # noqa: BLE001 - figures for display; the run itself notices an engine that fails
            return


def read_stats(stats: Mapping[str, Any]) -> Sample | None:
    """Read one entry of the engine's stats stream; None when the container doesn't run."""
    memory = stats.get("memory_stats") or {}
    if "usage" not in memory:
        return None
    details = memory.get("stats") or {}
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    cpu = ((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    return Sample(max(0, memory["usage"] - inactive), None if cpu is None else cpu / 1e9)


def cgroup_meter(pid: int, container_id: str, proc: Path = PROC, root: Path = CGROUP_ROOT) -> Meter | None:
    """Find the cgroup of a container by its main process.

    Parameters
    ----------
    pid
        As the engine reports it. On a remote engine some other local process may have the same number, so the
        cgroup counts only when its path names the container.
    container_id
        The full id.

    Returns
    -------
    Meter or None
        None where the files can't be read: remote engine, other cgroup namespace, no permission.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    paths: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if container_id in path:
            paths.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    meter: Meter
    if "memory" in paths and "cpuacct" in paths:
        meter = CgroupV1(root / "memory" / paths["memory"], root / "cpuacct" / paths["cpuacct"])
    elif "" in paths:
        meter = CgroupV2(root / paths[""])
    else:
        return None
    return meter if meter.sample() is not None else None


def _fields(path: Path) -> dict[str, int]:
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}
