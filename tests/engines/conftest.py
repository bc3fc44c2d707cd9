"""A real engine, an image built from nothing but the base, and folders to run it on."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from czrun.contract.job import Limits, Verb
from czrun.engines.base import Exit, ImageInfo, Launch, Mount, Usage
from czrun.engines.docker import DockerEngine, connect
from czrun.engines.policy import contract_environment

MIB = 1024**2

# A quarter of the memory must not be the 64 MiB that engines give /dev/shm by default.
LIMITS = Limits(wall_s=60, cpus=1, memory_bytes=320 * MIB, output_bytes=8 * MIB, output_files=50)

REPOSITORY = Path(__file__).parents[2]


def base_image() -> str:
    """Name an image with python3 and /bin/sh."""
    noted = REPOSITORY / ".make" / "base-image"
    if name := os.environ.get("CZRUN_TEST_BASE"):
        return name
    return noted.read_text().strip() if noted.exists() else "python:3.12-slim"


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def build(engine: DockerEngine) -> Iterator[Callable[..., ImageInfo]]:
    """Build images from Dockerfile lines on top of the base."""
    client, built = engine._client, []

    def build_(*lines: str, base: str = "") -> ImageInfo:
        dockerfile = "\n".join([f"FROM {base or base_image()}", *lines]).encode()
        tag = f"czrun-test-engines:{len(built)}-{os.getpid()}"
        answers = client.build(fileobj=io.BytesIO(dockerfile), tag=tag, rm=True, decode=True)
        errors = [answer["error"] for answer in answers if "error" in answer]
        assert not errors, errors
        built.append(tag)
        return engine.resolve(tag)

    yield build_
    for tag in built:
        client.remove_image(tag, force=True)


@pytest.fixture(scope="session")
def probe_image(build: Callable[..., ImageInfo]) -> ImageInfo:
    """An image that runs whatever script the test puts into its input folder."""
    return build('ENTRYPOINT ["python3", "/czrun/input/probe.py"]', 'CMD ["unused"]')


@dataclass
class Bench:
    """Folders for one container, and a way to run it."""

    engine: DockerEngine
    image: ImageInfo
    folder: Path
    owner: str
    limits: Limits = LIMITS
    environment: dict[str, str] | None = None
    model_writable: bool = False
    ticks: list[Usage] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "container.log"

    def launch(self, script: str = "", **changes: Any) -> Launch:
        for name in ("input", "model", "output"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "input" / "probe.py").write_text(textwrap.dedent(script))
        (self.folder / "job.json").write_text('{"contract": 1}')
        launch = Launch(
            image=self.image,
            verb=Verb.PREDICT,
            mounts=(
                Mount(self.folder / "job.json", "/czrun/job.json"),
                Mount(self.folder / "input", "/czrun/input"),
                Mount(self.folder / "model", "/czrun/model", writable=self.model_writable),
                Mount(self.output, "/czrun/output", writable=True),
            ),
            environment=self.environment or contract_environment(Verb.PREDICT, 7, self.limits),
            limits=self.limits,
            log_path=self.log,
            run_id="test-run",
            owner=self.owner,
        )
        return replace(launch, **changes)

    def run(self, script: str = "", **changes: Any) -> Exit:
        return self.engine.run(self.launch(script, **changes), self.ticks.append)

    def observe(self, script: str, **changes: Any) -> str:
        """Run a script that must succeed, and return what it printed."""
        exit_ = self.run(script, **changes)
        assert exit_.exit_code == 0, (exit_.start_error, exit_.log_tail)
        return self.log.read_text()

    def limited(self, **limits: Any) -> Bench:
        return replace(self, limits=self.limits.model_copy(update=limits))

    def left_behind(self) -> list[str]:
        """Name the containers and volumes of this test that still exist."""
        ours = {"label": [f"czrun.owner={self.owner}"]}
        containers = self.engine._client.containers(all=True, filters=ours)
        volumes = self.engine._client.volumes(filters=ours)["Volumes"] or []
        return [entry["Id"] for entry in containers] + [volume["Name"] for volume in volumes]


@pytest.fixture
def bench(
    engine: DockerEngine, probe_image: ImageInfo, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    bench = Bench(engine, probe_image, tmp_path, owner=f"test-{os.getpid()}-{request.node.name}")
    yield bench
    assert bench.left_behind() == []


@pytest.fixture(scope="session")
def bench_type() -> type[Bench]:
    """The class, for fixtures that outlive one test."""
    return Bench
