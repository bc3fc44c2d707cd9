"""Files for engines that can't bind-mount the caller's: they travel through volumes instead.

Each folder mount gets a volume of its own below a read-only one for ``/czrun``, which holds the single files
and the mount points. A carrier container of the same image, created and never started, gives the engine's
archive interface a way into the volumes.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from czrun.contract.job import Limits
from czrun.engines.base import Mount, StopReason
from czrun.engines.packing import Budget, end_of_archive, pack, unpack
from czrun.engines.policy import LaunchPolicy

ROOT = "/czrun"


class Carriage(Protocol):
    """What the transport needs of an engine; the adapter translates its errors."""

    def create_volume(self, name: str, labels: Mapping[str, str]) -> Path:
        """Create a volume and return where it lies on the engine's machine."""
        ...

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if it exists."""
        ...

    def create_carrier(self, name: str, policy: LaunchPolicy, mounts: list[dict[str, Any]]) -> None:
        """Create a container that is never started."""
        ...

    def remove_container(self, name: str) -> None:
        """Remove a container, if it exists."""
        ...

    def put(self, container: str, path: str, stream: Iterable[bytes]) -> None:
        """Unpack a tar stream into a folder of a container."""
        ...

    def get(self, container: str, path: str) -> Iterator[bytes]:
        """Return a folder of a container as a tar stream."""
        ...


class VolumeTransport:
    """The volumes of one run.

    Parameters
    ----------
    carriage
        The engine.
    policy
        Its mounts say what travels, its user who owns it, its labels by which it is reaped.
    """

    def __init__(self, carriage: Carriage, policy: LaunchPolicy) -> None:
        self._carriage = carriage
        self._policy = policy
        self._carrier = f"czrun-carrier-{secrets.token_hex(8)}"
        self._folders = tuple(mount for mount in policy.mounts if mount.source.is_dir())
        targets = (ROOT, *(mount.target for mount in self._folders))
        self._names = {target: f"czrun-{secrets.token_hex(8)}" for target in targets}
        self._places: dict[str, Path] = {}

    def send(self) -> None:
        """Create everything and send the files; `remove` belongs after it, whatever happens."""
        for target, name in self._names.items():
            self._places[target] = self._carriage.create_volume(name, self._policy.labels)
        everywhere = dict.fromkeys(self._names, True)
        self._carriage.create_carrier(self._carrier, self._policy, self._mounts(everywhere))
        self._carriage.put(self._carrier, ROOT, self._stream())

    def mounts(self) -> list[dict[str, Any]]:
        """Return the mounts of the model's container."""
        return self._mounts({ROOT: False} | {mount.target: mount.writable for mount in self._folders})

    def watchable(self) -> tuple[Path, ...]:
        """Return the writable volumes' folders where this machine holds them and may read them.

        Elsewhere the bounds on output hold only once it is fetched.
        """
        places = [self._places[mount.target] for mount in self._folders if mount.writable]
        return tuple(place for place in places if _readable(place))

    def fetch(self, limits: Limits) -> StopReason | None:
        """Bring the writable folders' contents back, within the limits on output."""
        budget = Budget(limits.output_bytes, limits.output_files)
        for mount in self._folders:
            if not mount.writable:
                continue
            if reason := unpack(self._carriage.get(self._carrier, mount.target), mount.source, budget):
                return reason
        return None

    def remove(self) -> None:
        """Remove the carrier and the volumes; what isn't there is passed over."""
        self._carriage.remove_container(self._carrier)
        for name in self._names.values():
            self._carriage.remove_volume(name)

    def _mounts(self, writable: Mapping[str, bool]) -> list[dict[str, Any]]:
        return [
            {
                "Type": "volume",
                "Source": name,
                "Target": target,
                "ReadOnly": not writable[target],
                # An engine otherwise fills an empty volume with what the image holds at that path.
                "VolumeOptions": {"NoCopy": True},
            }
            for target, name in self._names.items()
        ]

    def _stream(self) -> Iterator[bytes]:
        members = (self._pack(mount) for mount in self._policy.mounts)
        return itertools.chain(*members, [end_of_archive()])

    def _pack(self, mount: Mount) -> Iterator[bytes]:
        return pack(mount.source, str(PurePosixPath(mount.target).relative_to(ROOT)), self._policy.user)


def _readable(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError:
        return False
    return True
