"""Pure readings of the engine's answers: images, containers, the engine itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from czrun.engines import failures
from czrun.engines.base import EngineInfo, Exit, ImageInfo
from czrun.engines.logs import BoundedLog
from czrun.engines.supervise import Supervised
from czrun.errors import ContractError

_LIMIT_FLAGS = {
    "MemoryLimit": "memory limits are ignored",
    "SwapLimit": "swap is not limited, so the memory limit can be escaped",
    "PidsLimit": "the limit on processes is ignored",
    "CpuCfsQuota": "CPU limits are ignored",
}

# Parts of letters, digits and single separators; then a tag, a digest, or both. Or an image id.
_REFERENCE = re.compile(
    r"(?:[a-zA-Z0-9][a-zA-Z0-9.-]*(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)

_HOST_SETTINGS = (
    "NetworkMode", "ReadonlyRootfs", "CapAdd", "CapDrop", "SecurityOpt", "Privileged", "PidsLimit", "Memory",
    "MemorySwap", "NanoCpus", "Init", "IpcMode", "CgroupnsMode", "PidMode", "UsernsMode", "ShmSize", "Tmpfs",
    "Ulimits", "LogConfig", "DeviceRequests", "RestartPolicy", "AutoRemove", "Runtime",
)  # fmt: skip

_CONFIG_SETTINGS = (
    "User", "Hostname", "Env", "Entrypoint", "Cmd", "WorkingDir", "StopSignal", "Healthcheck",
    "NetworkDisabled",
)  # fmt: skip


def image_info(reference: str, inspected: Mapping[str, Any]) -> ImageInfo:
    """Read what ``inspect_image`` returned."""
    config = inspected.get("Config") or {}
    platform = (inspected.get("Os"), inspected.get("Architecture"), inspected.get("Variant"))
    return ImageInfo(
        reference=reference,
        digest=inspected["Id"],
        repo_digests=tuple(inspected.get("RepoDigests") or ()),
        labels=dict(config.get("Labels") or {}),
        volumes=tuple(sorted(config.get("Volumes") or ())),
        platform="/".join(part for part in platform if part),
        size_bytes=int(inspected.get("Size") or 0),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        working_dir=config.get("WorkingDir") or "",
    )


def is_reference(text: str) -> bool:
    """Say whether `text` can be an image reference at all; it becomes a part of the API's URL."""
    return len(text) <= 512 and bool(_REFERENCE.fullmatch(text))


def no_image(reference: str, tags: Iterable[str]) -> ContractError:
    """Say that there is no such image here, with the nearest local ones and how to get it.

    Parameters
    ----------
    reference
        What the user typed.
    tags
        ``name:tag`` of all local images.
    """
    wanted = reference if ":" in reference.rsplit("/", 1)[-1] else f"{reference}:latest"
    near = get_close_matches(wanted, sorted(set(tags)), n=3, cutoff=0.6)
    guess = f"Did you mean {' or '.join(near)}? " if near else ""
    if reference.startswith("czrun/"):
        how = "`make images` builds the czrun/ images."
    else:
        how = f"Get it with `docker pull {reference}`, or build it with `docker build -t {reference} .`"
    return ContractError(f"The engine has no image {reference}.", guess + how)


def engine_info(info: Mapping[str, Any], version: Mapping[str, Any], address: str) -> EngineInfo:
    """Read what ``info`` and ``version`` returned.

    Parameters
    ----------
    info, version
        The engine's answers.
    address
        Where it was reached.
    """
    components = {part["Name"]: str(part.get("Version", "")) for part in version.get("Components") or ()}
    security = [str(option) for option in info.get("SecurityOptions") or ()]
    rootless = any(option.startswith("name=rootless") for option in security)
    return EngineInfo(
        product="podman" if "Podman Engine" in components else "docker",
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        kernel=str(info.get("KernelVersion", "")),
        cgroup_version=str(info.get("CgroupVersion", "1")),
        cgroup_driver=str(info.get("CgroupDriver", "")),
        storage_driver=str(info.get("Driver", "")),
        runtime_versions=components,
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        address=address,
        remote_files=_remote_files(address, security, rootless=rootless),
        weaknesses=_weaknesses(info, rootless=rootless),
        gpus="nvidia" in (info.get("Runtimes") or {}),
    )


def _remote_files(address: str, security: list[str], *, rootless: bool) -> str:
    if rootless:
        return "the engine is rootless: files that a container writes would belong to another user"
    if any(option.startswith("name=userns") for option in security):
        return "the engine remaps users: files that a container writes would belong to another user"
    parts = urlsplit(address)
    if parts.scheme in {"tcp", "http", "https"} and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        # A path that happens to exist there as well may hold something else.
        return "the engine is on another machine"
    return ""


def _weaknesses(info: Mapping[str, Any], *, rootless: bool) -> tuple[str, ...]:
    found = [text for flag, text in _LIMIT_FLAGS.items() if info.get(flag, True) is False]
    if info.get("CgroupDriver") == "none":
        found.append("it has no cgroup driver, so every limit is ignored")
    elif rootless and str(info.get("CgroupVersion", "1")) == "1":
        # Podman's info claims the limits all the same.
        found.append("it is rootless on cgroup v1, so every limit is ignored")
    return tuple(found)


def settings(inspected: Mapping[str, Any]) -> dict[str, object]:
    """Return the effective settings of a container that are worth recording; no path of the host's."""
    host, config = inspected.get("HostConfig") or {}, inspected.get("Config") or {}
    mounts = [
        {"target": mount.get("Destination"), "type": mount.get("Type"), "writable": mount.get("RW")}
        for mount in inspected.get("Mounts") or ()
    ]
    return {
        "Image": inspected.get("Image"),
        **{key: host.get(key) for key in _HOST_SETTINGS},
        **{key: config.get(key) for key in _CONFIG_SETTINGS},
        "Mounts": sorted(mounts, key=lambda mount: str(mount["target"])),
    }


def seconds(state: Mapping[str, Any]) -> float:
    """Return how long a container ran, by the engine's clock; 0 when it never started or hasn't ended."""
    try:
        started = datetime.fromisoformat(state["StartedAt"])
        finished = datetime.fromisoformat(state["FinishedAt"])
        return max(0.0, (finished - started).total_seconds())
    except (KeyError, ValueError, TypeError):
        return 0.0


def exit_of(state: Mapping[str, Any], supervised: Supervised, log: BoundedLog) -> Exit:
    """Put together how a container ended."""
    code = int(state["State"]["ExitCode"])
    fault = failures.init_fault(code, log.last_line())
    return Exit(
        exit_code=None if fault else code,
        oom_killed=bool(state["State"].get("OOMKilled")) or supervised.peaks.oom_killed,
        stopped_by=supervised.stopped_by,
        seconds=seconds(state["State"]),
        cpu_seconds=supervised.peaks.cpu_seconds,
        peak_memory_bytes=supervised.peaks.memory_bytes,
        log_tail=log.tail(),
        settings=settings(state),
        start_error=fault,
    )


def never_started(fault: str, effective: Mapping[str, object] | None = None) -> Exit:
    """Describe a container that the image's own fault kept from starting."""
    return Exit(
        exit_code=None,
        oom_killed=False,
        stopped_by=None,
        seconds=0.0,
        cpu_seconds=None,
        peak_memory_bytes=None,
        log_tail=(),
        settings=effective or {},
        start_error=fault,
    )
