"""The launch policy: everything that a container may and may not do, decided in one place.

`policy_for` builds it, `LaunchPolicy.host_config` and `LaunchPolicy.container_config` translate it into the
engine API's terms. Both are pure; every field has a test that fails when the field is dropped.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from czrun.contract.job import JOB_PATH, Limits, Verb
from czrun.engines.base import EngineInfo, ImageInfo, Launch, Mount
from czrun.errors import ContractError, EngineError, listing

MIB = 1024**2

RUN_LABEL = "czrun.run"
OWNER_LABEL = "czrun.owner"

PIDS_LIMIT = 512
"""Threads count as well: 512 holds a thread pool per library on a large machine, and no fork bomb."""

NOFILE = 16_384
"""Open files. The engine can't raise a limit above its own hard one, so the host's lower one wins."""

NPROC = 16_384

MIN_TMP_BYTES = 64 * MIB

HOME = "/tmp/home"  # noqa: S108 - a path in the container, on its own tmpfs

HOSTNAME = "czrun"

HOSTS_FILE = "127.0.0.1\tlocalhost czrun\n::1\tlocalhost ip6-localhost ip6-loopback\n"
"""What an engine writes for a container without a network; see `LaunchPolicy.hosts_file`."""

# Paths whose covering would take the container's ground away, or hand it the kernel's files.
_FORBIDDEN_VOLUMES = ("/", "/czrun", "/proc", "/sys", "/dev")
_KERNEL_PATHS = ("/proc", "/sys", "/dev")


@dataclass(frozen=True)
class User:
    """A numeric user and group."""

    uid: int
    gid: int

    def __str__(self) -> str:
        """Return it as engines take it."""
        return f"{self.uid}:{self.gid}"


DEDICATED_USER = User(61_000, 61_000)
"""Stands in for root. Debian keeps 60000-64999 for ids allocated on request, so that no account of the host
owns files under it, and root in a container would be root on the host after an escape."""


def current_user() -> User:
    """Return the user that runs czrun."""
    return User(os.getuid(), os.getgid())


def sandbox_user(caller: User) -> User:
    """Return the user that containers run as: the caller, or the dedicated one when the caller is root."""
    return DEDICATED_USER if caller.uid == 0 else caller


def contract_environment(verb: Verb, seed: int, limits: Limits) -> dict[str, str]:
    """Return exactly the variables that the contract lists, on top of the image's own.

    Parameters
    ----------
    verb
        The phase.
    seed
        The trial's seed.
    limits
        Thread counts follow the CPU limit; a GPU grant leaves its variables to the engine.
    """
    threads = str(max(1, math.ceil(limits.cpus)))
    environment = {
        "CZRUN_JOB": JOB_PATH,
        "CZRUN_VERB": str(verb),
        "CZRUN_SEED": str(seed),
        "PYTHONHASHSEED": str(seed),
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "HOME": HOME,
        # The NVIDIA container toolkit runs on the host with the image's variables (CVE-2025-23266).
        "LD_PRELOAD": "",
    }
    for library in ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON"):
        environment[f"{library}_NUM_THREADS"] = threads
    if limits.gpus == 0:
        # An image's `ENV NVIDIA_VISIBLE_DEVICES=all` is a request that some runtimes grant.
        environment["NVIDIA_VISIBLE_DEVICES"] = "void"
    return environment


@dataclass(frozen=True)
class LaunchPolicy:
    """What one container is allowed; see ``docs/contract.md`` and the measurements in the comments.

    Attributes
    ----------
    image, command
        Image id, and the arguments that follow the image's ENTRYPOINT.
    user, hostname, environment, labels, mounts
        As the container gets them.
    hosts_file
        A host file for ``/etc/hosts``. Given one, the engine is told to set up no networking at all: the
        container then has a network namespace of its own with only ``lo``, as with network ``none``, but the
        engine runs no set-up hook (310 ms -> 183 ms a container on Docker 20.10) and hands over no resolver.
    cgroupns_private, gpus, swap
        Left out of the request where the engine doesn't know them.
    tmpfs
        Path to size in bytes: ``/tmp``, HOME, and every VOLUME of the image.
    """

    image: str
    command: tuple[str, ...]
    user: User
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: tuple[Mount, ...]
    tmpfs: Mapping[str, int]
    memory_bytes: int
    shm_bytes: int
    nano_cpus: int
    nofile: int
    nproc: int | None = None
    entrypoint: tuple[str, ...] = ()
    gpus: int = 0
    hosts_file: Path | None = None
    cgroupns_private: bool = True
    pids_limit: int = PIDS_LIMIT
    hostname: str = HOSTNAME
    network: str = "none"
    read_only_root: bool = True
    cap_drop: tuple[str, ...] = ("ALL",)
    security_opt: tuple[str, ...] = ("no-new-privileges:true",)
    init: bool = True
    ipc: str = "private"
    core_bytes: int = 0
    log_driver: str = "none"
    stop_signal: str = "SIGTERM"
    privileged: bool = False

    def host_config(self, mounts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """Return the keyword arguments of docker-py's ``create_host_config``.

        Parameters
        ----------
        mounts
            Stands in for the bind mounts where files travel through volumes.
        """
        return {
            "network_mode": self.network,
            "read_only": self.read_only_root,
            "cap_drop": list(self.cap_drop),
            "security_opt": list(self.security_opt),
            "pids_limit": self.pids_limit,
            "mem_limit": self.memory_bytes,
            # Memory plus swap: equal to the memory limit means no swap.
            "memswap_limit": self.memory_bytes,
            "nano_cpus": self.nano_cpus,
            "init": self.init,
            "ipc_mode": self.ipc,
            "shm_size": self.shm_bytes,
            "cgroupns": "private" if self.cgroupns_private else None,
            "tmpfs": {path: _tmpfs_options(size) for path, size in self.tmpfs.items()},
            "ulimits": [
                {"Name": "core", "Soft": self.core_bytes, "Hard": self.core_bytes},
                {"Name": "nofile", "Soft": self.nofile, "Hard": self.nofile},
                *(
                    [{"Name": "nproc", "Soft": self.nproc, "Hard": self.nproc}]
                    if self.nproc is not None
                    else []
                ),
            ],
            # czrun attaches and keeps a bounded log itself; a driver's file would grow without bound.
            "log_config": {"type": self.log_driver},
            "mounts": self._binds() if mounts is None else mounts,
            "device_requests": [{"Count": self.gpus, "Capabilities": [["gpu"]]}] if self.gpus else None,
            # Never auto_remove: the engine would forget how the container ended.
            "auto_remove": False,
            "privileged": self.privileged,
        }

    def container_config(self) -> dict[str, Any]:
        """Return the keyword arguments of docker-py's ``create_container``, but for host_config and name."""
        return {
            "image": self.image,
            "command": list(self.command),
            "entrypoint": list(self.entrypoint) or None,
            "user": str(self.user),
            "hostname": self.hostname,
            "environment": dict(self.environment),
            "labels": dict(self.labels),
            "stop_signal": self.stop_signal,
            # A HEALTHCHECK is image code on a timer, outside the one process that is measured.
            "healthcheck": {"test": ["NONE"]},
            "network_disabled": self.hosts_file is not None,
            # docker-py otherwise copies the proxies of ~/.docker/config.json into the container.
            "use_config_proxy": False,
        }

    def _binds(self) -> list[dict[str, Any]]:
        binds = [_bind(mount.source, mount.target, writable=mount.writable) for mount in self.mounts]
        if self.hosts_file is not None:
            binds.append(_bind(self.hosts_file, "/etc/hosts", writable=False))
        return binds


def policy_for(
    launch: Launch, info: EngineInfo, caller: User, hosts_file: Path | None = None
) -> LaunchPolicy:
    """Decide what a container may do.

    Parameters
    ----------
    launch
        What is asked for.
    info
        The engine that will run it.
    caller
        Who runs czrun.
    hosts_file
        See `LaunchPolicy`.

    Raises
    ------
    ContractError
        When the image declares a VOLUME or WORKDIR that can't be made safe.
    EngineError
        When the engine can't give what is asked for.
    """
    _check_image(launch.image, launch.mounts)
    _check_engine(launch.limits, info)
    limits = launch.limits
    scratch = max(MIN_TMP_BYTES, limits.memory_bytes // 4)
    covered = {_normal(path) for path in launch.image.volumes} - {mount.target for mount in launch.mounts}
    return LaunchPolicy(
        image=launch.image.digest,
        entrypoint=launch.entrypoint,
        command=() if launch.entrypoint else _command(launch.image, launch.verb),
        user=sandbox_user(caller),
        environment=dict(launch.environment),
        labels={RUN_LABEL: launch.run_id, OWNER_LABEL: launch.owner},
        mounts=launch.mounts,
        # Pages of a tmpfs count against the memory limit: the sizes bound one file system, not the sum.
        tmpfs=dict.fromkeys(("/tmp", HOME, *sorted(covered)), scratch),  # noqa: S108 - in the container
        memory_bytes=limits.memory_bytes,
        shm_bytes=scratch,
        nano_cpus=round(limits.cpus * 1e9),
        nofile=_within_host(NOFILE, resource.RLIMIT_NOFILE),
        # Podman asks for more than a host without CAP_SYS_RESOURCE can give. The bound is pids_limit: this
        # one counts all containers of the same user together.
        nproc=_within_host(NPROC, resource.RLIMIT_NPROC) if info.product == "podman" else None,
        gpus=limits.gpus,
        hosts_file=hosts_file,
        cgroupns_private=_version(info.api_version) >= (1, 41),
    )


def _command(image: ImageInfo, verb: Verb) -> tuple[str, ...]:
    return (str(verb),) if image.entrypoint else (*image.command, str(verb))


def _within_host(wanted: int, kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


def _tmpfs_options(size: int) -> str:
    # exec, because compilers and JITs (numba, torch.compile) load what they write there.
    return f"rw,exec,nosuid,nodev,mode=1777,size={size}"


def _bind(source: Path, target: str, *, writable: bool) -> dict[str, Any]:
    # The Mounts API, unlike Binds, fails on a missing source instead of creating it as root.
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": target,
        "ReadOnly": not writable,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _check_image(image: ImageInfo, mounts: tuple[Mount, ...]) -> None:
    problems = [
        f"VOLUME {path!r}: {reason}" for path in image.volumes if (reason := _volume_problem(path, mounts))
    ]
    if _within(image.working_dir, _KERNEL_PATHS):
        # CVE-2024-21626: a WORKDIR of /proc/self/fd/N reaches the host's files through old versions of runc.
        problems.append(f"WORKDIR {image.working_dir!r}: it lies among the kernel's files")
    if problems:
        raise ContractError(
            f"Image {image.reference} declares paths that can't be isolated:\n{listing(problems)}",
            "Remove them from its Dockerfile and build it again; /tmp is there for scratch files.",
        )


def _volume_problem(path: str, mounts: tuple[Mount, ...]) -> str:
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        return "it isn't an absolute path"
    path = _normal(path)
    if path in _FORBIDDEN_VOLUMES or _within(path, _KERNEL_PATHS):
        return "it would cover what the container stands on"
    if any(path != mount.target and _within(path, (mount.target,)) for mount in mounts):
        return "it lies inside a folder that czrun mounts"
    return ""


def _normal(path: str) -> str:
    return str(PurePosixPath("/" + path.lstrip("/")))


def _within(path: str, folders: tuple[str, ...]) -> bool:
    return any(PurePosixPath(_normal(path)).is_relative_to(folder) for folder in folders)


def _check_engine(limits: Limits, info: EngineInfo) -> None:
    if info.weaknesses:
        raise EngineError(
            f"This {info.product} ({info.address}) can't keep a run's limits:\n{listing(info.weaknesses)}",
            "Run `czrun doctor` for what to change; czrun doesn't run a model without limits.",
        )
    if limits.gpus and info.product == "podman":
        raise EngineError(
            "Podman's API silently ignores a GPU request, so the model would run without one.",
            "Use Docker with the NVIDIA Container Toolkit for GPU runs, or leave --gpus out.",
        )
    if limits.cpus > info.cpus:
        raise EngineError(
            f"The run asks for {limits.cpus:g} CPUs, but the engine's machine has {info.cpus}.",
            f"Ask for less: --cpus {info.cpus}",
        )
