"""What czrun asks of a container engine, and the frozen values that pass between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from czrun.contract.job import Limits, Verb


@dataclass(frozen=True)
class ImageInfo:
    """An image as the engine knows it, read without running it.

    Attributes
    ----------
    reference
        What the user typed.
    digest
        The image id (``sha256:…``): the digest of its configuration and with it of all its layers.
        Containers are started from it, never from a tag, which may move.
    repo_digests
        ``name@sha256:…`` in the registries that it came from, if any.
    labels
        Untrusted text.
    volumes
        Paths that the image declares as VOLUME; each is covered by a bounded tmpfs.
    platform
        For example ``linux/amd64``.
    size_bytes
        Size on the engine's disk.
    entrypoint, command
        The image's ENTRYPOINT and CMD. The verb follows the ENTRYPOINT in place of CMD, as in
        ``docker run IMAGE VERB``; in an image without ENTRYPOINT it follows CMD.
    working_dir
        The image's WORKDIR.
    """

    reference: str
    digest: str
    repo_digests: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    platform: str = ""
    size_bytes: int = 0
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""


@dataclass(frozen=True)
class Mount:
    """One file or private folder of the host, at a fixed path in the container."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Launch:
    """Everything that one container is started with.

    Attributes
    ----------
    image
        The image; only its digest and volumes matter here.
    verb
        Appended to the image's own ENTRYPOINT/CMD.
    mounts
        Exactly what the container gets to see of the host. When the caller is root, the engine hands the
        writable ones over to the container's dedicated user before it starts.
    environment
        Set on top of the image's own; nothing of the host's is inherited.
    limits
        What the host enforces.
    log_path
        Where the container's output goes, bounded: its head and its tail are kept.
    run_id
        For the ``czrun.run`` label.
    owner
        For the ``czrun.owner`` label: the lease by which a later start knows an orphan.
    entrypoint
        In place of the image's own, without a verb; czrun's own probes use it.
    """

    image: ImageInfo
    verb: Verb
    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]
    limits: Limits
    log_path: Path
    run_id: str
    owner: str
    entrypoint: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What a running container looks like at one moment."""

    elapsed_s: float
    memory_bytes: int | None
    last_log_line: str


class StopReason(StrEnum):
    """The host's bound that a container ran into."""

    DEADLINE = "deadline"
    OUTPUT_BYTES = "output_bytes"
    OUTPUT_FILES = "output_files"
    DISK_FULL = "disk_full"


@dataclass(frozen=True)
class Exit:
    """How a container ended, as the host saw it.

    Attributes
    ----------
    exit_code
        As the engine reports it; None when the container never started.
    oom_killed
        Whether the kernel killed anything in the container for memory. It may be true with exit code 0:
        a child died and its parent went on.
    stopped_by
        Set when the host ended it for passing a bound, or found right after its end that it had passed one.
    seconds
        Wall clock from start to end, by the engine's clock.
    cpu_seconds, peak_memory_bytes
        Sampled; None when the container was too short to be seen.
    log_tail
        The last lines of its output (stdout and stderr as they came), stripped of control characters.
    settings
        The effective settings of the container, as inspected after it ran.
    start_error
        The engine's message when the container could not be started for a reason in the image
        (no such binary, wrong architecture, no ENTRYPOINT).
    """

    exit_code: int | None
    oom_killed: bool
    stopped_by: StopReason | None
    seconds: float
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    log_tail: tuple[str, ...]
    settings: Mapping[str, object]
    start_error: str = ""


@dataclass(frozen=True)
class EngineInfo:
    """The engine's own account of itself.

    Attributes
    ----------
    product
        ``docker`` or ``podman``.
    remote_files
        Why this engine can't bind-mount the caller's files as the caller (user namespaces, rootless), or
        empty. Files then travel through volumes. A remote engine is found out at the first bind mount.
    weaknesses
        Limits that this engine silently ignores; a run is refused when there are any.
    """

    product: str
    version: str
    api_version: str
    kernel: str
    cgroup_version: str
    cgroup_driver: str
    storage_driver: str
    runtime_versions: Mapping[str, str]
    cpus: int
    memory_bytes: int
    address: str
    remote_files: str = ""
    weaknesses: tuple[str, ...] = ()
    gpus: bool = False


class Engine(Protocol):
    """A container engine. Every method raises EngineError when the engine itself fails."""

    def info(self) -> EngineInfo:
        """Describe the engine."""
        ...

    def resolve(self, reference: str) -> ImageInfo:
        """Look an image up by reference; ContractError with the nearest local names when there is none."""
        ...

    def run(self, launch: Launch, on_tick: Callable[[Usage], None]) -> Exit:
        """Run one container to its end, whatever that is, and leave nothing of it behind.

        `on_tick` is called a few times a second from the calling thread. An exception out of it, or a
        KeyboardInterrupt, stops and removes the container before it goes on.
        """
        ...

    def reap(self, is_alive: Callable[[str], bool]) -> int:
        """Remove containers and volumes whose owner is not alive; return how many containers."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
