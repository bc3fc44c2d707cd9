"""Values to start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from czrun.contract.job import Limits, Verb
from czrun.engines.base import EngineInfo, Exit, ImageInfo, Launch, Mount

MIB = 1024**2


@pytest.fixture
def limits() -> Limits:
    return Limits(wall_s=60, cpus=1.5, memory_bytes=1024 * MIB, output_bytes=8 * MIB, output_files=50)


@pytest.fixture
def info() -> EngineInfo:
    return EngineInfo(
        product="docker", version="20.10.24", api_version="1.41", kernel="6.1", cgroup_version="1",
        cgroup_driver="cgroupfs", storage_driver="overlay2", runtime_versions={}, cpus=8, memory_bytes=2**34,
        address="unix:///var/run/docker.sock",
    )  # fmt: skip


@pytest.fixture
def launch(limits: Limits, tmp_path: Path) -> Launch:
    return Launch(
        image=ImageInfo("model:1", "sha256:" + "a" * 64, entrypoint=("/model",), volumes=("/data",)),
        verb=Verb.FIT,
        mounts=(
            Mount(tmp_path / "job.json", "/czrun/job.json"),
            Mount(tmp_path / "output", "/czrun/output", writable=True),
        ),
        environment={"A": "1"},
        limits=limits,
        log_path=tmp_path / "log",
        run_id="run",
        owner="owner",
    )


@pytest.fixture
def ended() -> Exit:
    return Exit(
        exit_code=0, oom_killed=False, stopped_by=None, seconds=1.0, cpu_seconds=None, peak_memory_bytes=None,
        log_tail=(), settings={},
    )  # fmt: skip
