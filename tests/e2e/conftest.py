"""The real command line, a real engine, and small images that do what a test wants of a model."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from czrun.engines.docker import DockerEngine, connect
from czrun.engines.policy import RUN_LABEL

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
CZRUN = Path(sys.executable).with_name("czrun")
CONTROL = "czrun/majority-class:latest"
PATIENCE_S = 120.0

PUPPET_LABELS = {
    "org.czrun.contract": "1",
    "org.czrun.tasks": "cell-type-classification",
    "org.czrun.params": json.dumps(
        {"fit": {"type": "str"}, "predict": {"type": "str"}, "n": {"type": "int"}}
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here as needing an engine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def base_image(engine: DockerEngine) -> str:
    """Name an image with python3 and /bin/sh."""
    if name := os.environ.get("CZRUN_TEST_BASE"):
        return name
    noted = REPOSITORY / ".make" / "base-image"
    if noted.exists():
        return noted.read_text().strip()
    return "czrun-base:local" if engine._client.images("czrun-base:local") else "python:3.12-slim"


@pytest.fixture(scope="session")
def build(engine: DockerEngine, base_image: str) -> Iterator[Callable[..., str]]:
    """Build an image on the base: files into /, an ENTRYPOINT, labels; return its tag."""
    client, built = engine._client, set()

    def build_(
        name: str,
        files: dict[str, str] | None = None,
        entrypoint: tuple[str, ...] = ("python3", "-I", "/puppet.py"),
        labels: dict[str, str] = PUPPET_LABELS,
        lines: tuple[str, ...] = (),
    ) -> str:
        files = {"puppet.py": (HERE / "puppet.py").read_text()} if files is None else files
        dockerfile = [
            f"FROM {base_image}",
            *(f"COPY {path} /" for path in files),
            *(f"LABEL {key}={json.dumps(value)}" for key, value in labels.items()),
            *lines,
            f"ENTRYPOINT {json.dumps(entrypoint)}",
        ]
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for path, text in {**files, "Dockerfile": "\n".join(dockerfile)}.items():
                member = tarfile.TarInfo(path)
                member.size, member.mode = len(text.encode()), 0o755
                archive.addfile(member, io.BytesIO(text.encode()))
        tag = f"czrun-e2e-{name}:{os.getpid()}"
        answers = client.build(
            fileobj=io.BytesIO(context.getvalue()), custom_context=True, tag=tag, rm=True, decode=True
        )
        errors = [answer["error"] for answer in answers if "error" in answer]
        assert not errors, errors
        built.add(tag)
        return tag

    yield build_
    for tag in built:
        client.remove_image(tag, force=True)


@pytest.fixture(scope="session")
def puppet(build: Callable[..., str]) -> str:
    """An image that does what its parameters `fit` and `predict` say; see puppet.py."""
    return build("puppet")


@pytest.fixture(scope="session")
def oracle(build: Callable[..., str]) -> str:
    """The puppet as a pretrained model: no fit phase, which saves a container."""
    return build("oracle", labels={**PUPPET_LABELS, "org.czrun.verbs": "predict"})


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def hints(self) -> list[str]:
        """The lines that say what to do next."""
        return [line for line in self.err.splitlines() if line.startswith("  → ")]

    def failed(self, code: int, *words: str) -> Done:
        """Hold a failure against what every failure owes its user, and against this one's own words."""
        assert self.code == code, (self.code, self.err)
        assert "Traceback" not in self.err
        assert "fault of czrun" not in self.err
        assert self.hints, self.err
        missing = [word for word in words if word not in self.err]
        assert not missing, (missing, self.err)
        return self

    def succeeded(self) -> Done:
        """Hold a success against its exit code."""
        assert self.code == 0, (self.code, self.err)
        return self


@dataclass
class Czrun:
    """The command line, with a cache and a folder of runs."""

    engine: DockerEngine
    home: Path
    runs: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    told: set[Path] = field(default_factory=set)

    def __call__(self, *arguments: str) -> Done:
        """Run a command to its end."""
        return self.end(self.start(*arguments))

    def evaluate(self, image: str, *flags: str, **params: str) -> Done:
        """Evaluate an image without the control; keywords are its parameters."""
        return self(*self.evaluation(image, *flags, **params))

    def evaluation(self, image: str, *flags: str, **params: str) -> tuple[str, ...]:
        """Return the arguments of an evaluation without the control; keywords are the image's parameters."""
        given = (part for name, source in params.items() for part in ("--param", f"{name}={source}"))
        return ("evaluate", "--image", image, "--no-control", *given, *flags)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command; the fixture sees to its end."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CZRUN_")}
        environment |= {"CZRUN_HOME": str(self.home), "CZRUN_RUNS": str(self.runs), **self.environment}
        process = subprocess.Popen(
            [*self.prefix, str(CZRUN), *arguments],
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> Done:
        """Wait for a command's end."""
        out, err = process.communicate(timeout=PATIENCE_S)
        return Done(process.returncode, out, err)

    def wait_for(self, what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
        """Wait until `what` returns something, while `process` runs, for a bounded time."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            has_ended = process.poll() is not None
            # A folder may go while it is being listed: then the next look tells.
            with suppress(FileNotFoundError):
                if found := what():
                    return found
            assert not has_ended, process.communicate()
            time.sleep(0.002)
        raise AssertionError("it didn't happen in time")

    def waiting(self) -> list[Path]:
        """Return the output folders of puppets that hold, and weren't told to go."""
        held = [path.parent for path in self.home.glob("work/*/*/output/waiting")]
        return [folder for folder in held if folder not in self.told]

    def go(self, folder: Path) -> None:
        """Tell a puppet to go, once: its folder is then taken away bit by bit."""
        self.told.add(folder)
        (folder / "go").touch()

    def held(self, process: subprocess.Popen[str]) -> Path:
        """Wait until a puppet holds, and return its output folder."""
        return self.wait_for(self.waiting, process)[0]

    def ushered(self, process: subprocess.Popen[str]) -> Done:
        """Tell every puppet that holds to go, until the command has ended."""

        def ended() -> bool:
            for folder in self.waiting():
                self.go(folder)
            return process.poll() is not None

        self.wait_for(ended, process)
        return self.end(process)

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, oldest first."""
        plans = sorted(self.runs.glob("*/plan.json"), key=lambda path: path.stat().st_mtime_ns)
        return [path.parent.name for path in plans]

    def record(self, run_id: str = "") -> dict[str, Any]:
        """Return the record of a run, or of the only one; it must be strict JSON."""
        if not run_id:
            (run_id,) = self.run_ids()
        return strict_json((self.runs / run_id / "record.json").read_text())

    def containers(self) -> list[str]:
        """Return the containers and volumes of these runs."""
        found = []
        for run_id in self.run_ids() if self.runs.is_dir() else ():
            ours = {"label": [f"{RUN_LABEL}={run_id}"]}
            found += [entry["Id"] for entry in self.engine._client.containers(all=True, filters=ours)]
            volumes = self.engine._client.volumes(filters=ours)["Volumes"] or []
            found += [volume["Name"] for volume in volumes]
        return found

    def left_behind(self) -> list[str]:
        """Return whatever a finished command should have taken away."""
        scratch = [str(path) for name in ("work", "leases") for path in (self.home / name).glob("*")]
        staged = [str(path) for path in self.home.rglob("*.partial")]
        return self.containers() + scratch + staged

    def close(self) -> list[str]:
        """End what is still running, clear up, and return what was left behind before."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        left = self.left_behind()
        for name in self.containers():
            self.engine.remove_container(name)
            self.engine.remove_volume(name)
        return left


def strict_json(text: str) -> Any:
    """Read JSON as RFC 8259 has it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for tests to which it doesn't matter what others left in it: the sample is prepared once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def czrun(engine: DockerEngine, shared_home: Path, tmp_path: Path) -> Iterator[Czrun]:
    """The command line with the shared cache and a folder of runs of its own; it must leave nothing."""
    czrun = Czrun(engine, shared_home, tmp_path / "runs")
    yield czrun
    assert czrun.close() == []


@pytest.fixture
def fresh(engine: DockerEngine, tmp_path: Path) -> Iterator[Czrun]:
    """The command line with a cache of its own."""
    czrun = Czrun(engine, tmp_path / "home", tmp_path / "runs")
    yield czrun
    assert czrun.close() == []


@pytest.fixture
def as_json() -> Callable[[str], Any]:
    """Read strict JSON."""
    return strict_json


@pytest.fixture
def in_private_mounts(czrun: Czrun) -> Callable[..., Czrun]:
    """Put the command line into a mount namespace of its own, after some mounts only it can see."""
    if os.getuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("only root on Linux can have mounts of its own")

    def put(script: str, on: Czrun = czrun) -> Czrun:
        prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", f'{script}\nexec "$@"', "sh")
        return replace(on, prefix=prefix)

    return put


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, where there is one."""
    folder = Path(os.environ.get("CZRUN_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set CZRUN_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def czrun_type() -> type[Czrun]:
    """The class, for fixtures that outlive one test."""
    return Czrun
