"""Looking this machine over: what czrun needs of it, what was found, what to do."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from czrun.contract.job import Limits, Verb
from czrun.engines.base import Engine, EngineInfo, Exit, ImageInfo, Launch
from czrun.errors import CzrunError
from czrun.leases import acquire
from czrun.quantities import show_bytes
from czrun.storage import cache_home
from czrun.tasks.registry import all_tasks
from czrun.version import __version__

_MIN_FREE_BYTES = 5 * 1024**3
_MIN_API = (1, 41)
_PROBE_MEMORY_BYTES = 64 * 1024**2

RUNC_FIXES = (
    # CVE, and the first version of each line that has the fix; from runc's own security advisories.
    ("CVE-2024-21626", ((1, 1, 12),)),
    ("CVE-2025-31133, CVE-2025-52565, CVE-2025-52881", ((1, 2, 8), (1, 3, 3))),
)


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name
        What.
    state
        How it came out.
    found
        What is there.
    advice
        What to do about it; empty when all is well.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def examine() -> Iterator[Check]:
    """Look at everything, one check after the other; no check raises."""
    yield Check("czrun", State.OK, f"{__version__}, Python {platform.python_version()}, {sys.platform}")
    yield check_disk("cache", cache_home())
    yield check_disk("runs", Path.cwd())
    try:
        from czrun.engines.docker import connect

        engine = connect()
    except CzrunError as error:
        yield Check("engine", State.FAILED, error.message, error.hint)
        return
    try:
        info = engine.info()
        yield from check_engine(info)
        yield from _check_images(engine)
        yield from _probe_limits(engine)
    except CzrunError as error:
        yield Check("engine", State.FAILED, error.message, error.hint)
    finally:
        engine.close()


def check_disk(name: str, folder: Path) -> Check:
    """Look at the disk that a folder is, or would be, on."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Check(
            name, State.FAILED, f"{folder} can't be written", "Set CZRUN_HOME, or name another --output."
        )
    found = f"{folder}, {show_bytes(free)} free"
    if free < _MIN_FREE_BYTES:
        return Check(
            name, State.WARNING, found, "`czrun runs clean` and `docker system prune` give space back."
        )
    return Check(name, State.OK, found)


def check_engine(info: EngineInfo) -> Iterator[Check]:
    """Judge an engine by its own account of itself."""
    api = tuple(int(part) for part in info.api_version.split("."))
    yield Check(
        "engine",
        State.OK if api >= _MIN_API else State.WARNING,
        f"{info.product} {info.version}, API {info.api_version}, at {info.address}",
        "" if api >= _MIN_API else "Docker 20.10 or newer (API 1.41) is what czrun is tested with.",
    )
    yield Check(
        "machine", State.OK, f"{info.cpus} CPUs, {show_bytes(info.memory_bytes)}, kernel {info.kernel}"
    )
    yield Check(
        "cgroups",
        State.OK,
        f"v{info.cgroup_version}, driver {info.cgroup_driver}; storage {info.storage_driver}",
    )
    for weakness in info.weaknesses:
        yield Check(
            "limits", State.FAILED, weakness, "Use an engine that enforces it: czrun refuses to run without."
        )
    files = (
        f"through volumes: {info.remote_files}"
        if info.remote_files
        else "bind mounts, tried at the first run"
    )
    yield Check("files", State.OK, files)
    yield check_runc(info.runtime_versions.get("runc", ""))
    gpu = "available" if info.gpus else "none that this engine can grant; --gpus 0 only"
    yield Check("GPU", State.OK, gpu, "" if info.gpus else "For GPUs, install the NVIDIA Container Toolkit.")


def check_runc(version: str) -> Check:
    """Hold runc's version against the escapes that are known."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    if not match:
        return Check("runc", State.SKIPPED, f"version {version or 'unknown'}")
    number = tuple(int(part) for part in match.groups())
    open_ = [cves for cves, fixes in RUNC_FIXES if not _has_fix(number, fixes)]
    if not open_:
        return Check("runc", State.OK, version)
    return Check(
        "runc",
        State.WARNING,
        f"{version} is older than the fix of {'; '.join(open_)}",
        "Update Docker or runc before you run images of strangers. Distributions patch without a new number: "
        "their changelog says whether yours has the fix.",
    )


def _has_fix(number: tuple[int, ...], fixes: tuple[tuple[int, int, int], ...]) -> bool:
    """Tell whether a version is at or past the fix of its own line, or on a later line than all of them."""
    same_line = [fix for fix in fixes if fix[:2] == number[:2]]
    return number >= same_line[0] if same_line else number[:2] > max(fixes)[:2]


def _check_images(engine: Engine) -> Iterator[Check]:
    for reference in sorted({task.negative_control for task in all_tasks().values()}):
        try:
            image = engine.resolve(reference)
        except CzrunError:
            yield Check(
                "control", State.WARNING, f"{reference} is not built", "Run `make images` in czrun's source."
            )
        else:
            yield Check("control", State.OK, f"{reference} ({show_bytes(image.size_bytes)})")


def _probe_limits(engine: Engine) -> Iterator[Check]:
    """Have a container try to pass its limits: some engines claim limits that they don't enforce."""
    image = next(
        filter(None, (_resolve(engine, task.negative_control) for task in all_tasks().values())), None
    )
    if image is None:
        yield Check(
            "enforced", State.SKIPPED, "no control image to try the limits with", "Run `make images`."
        )
        return
    over = _probe(engine, image, "head -c 300000000 /dev/zero | tail -c 299999999 > /dev/null; echo survived")
    held = over.oom_killed or "survived" not in over.log_tail
    yield _enforced("memory", held, "a container that took 300 MB was stopped at 64 MiB")
    forks = _probe(engine, image, "i=0; while [ $i -lt 2000 ]; do sleep 9 & i=$((i+1)); done; echo survived")
    yield _enforced(
        "processes", "survived" not in forks.log_tail, "a container couldn't start 2,000 processes"
    )
    network = _probe(engine, image, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")
    yield _enforced("network", set(network.log_tail) <= {"lo"}, "a container sees no interface but lo")


def _enforced(what: str, held: bool, found: str) -> Check:
    if held:
        return Check(f"{what} limit", State.OK, found)
    return Check(
        f"{what} limit",
        State.FAILED,
        f"the engine doesn't enforce it (not so: {found})",
        "Don't run strangers' images on it.",
    )


def _resolve(engine: Engine, reference: str) -> ImageInfo | None:
    try:
        return engine.resolve(reference)
    except CzrunError:
        return None


def _probe(engine: Engine, image: ImageInfo, script: str) -> Exit:
    lease = acquire(cache_home())
    try:
        launch = Launch(
            image=image,
            verb=Verb.PREDICT,
            mounts=(),
            environment={},
            limits=Limits(
                wall_s=20, cpus=1, memory_bytes=_PROBE_MEMORY_BYTES, output_bytes=1, output_files=1
            ),
            log_path=lease.folder() / "probe.log",
            run_id="doctor",
            owner=lease.id,
            entrypoint=("/bin/sh", "-c", script),
        )
        return engine.run(launch, lambda _usage: None)
    finally:
        lease.release()
