"""Every built image on each of its tasks, as containers run: read-only root, no network, no named user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from answer_checks import problems
from czrun.contract.image import parse_labels
from czrun.contract.job import Verb
from czrun.engines.base import Exit, Launch, Mount
from czrun.engines.docker import DockerEngine, connect
from czrun.engines.policy import contract_environment
from made_jobs import LIMITS, TaskBench, make_task

pytestmark = pytest.mark.engine

MODEL_IMAGES = Path(__file__).resolve().parents[2] / "model_images"
TASKS = {
    path.parent.name: tuple(yaml.safe_load(path.read_text())["tasks"])
    for path in sorted(MODEL_IMAGES.glob("[!_]*/model.yaml"))
}
PAIRS = [(name, task) for name, tasks in TASKS.items() for task in tasks]


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    engine = connect()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TaskBench]:
    """Give the files of a task, made once."""
    return cache(lambda task: make_task(tmp_path_factory.mktemp(task), task))


class Room:
    """The folders of one model's run on one task."""

    def __init__(self, engine: DockerEngine, name: str, bench: TaskBench, folder: Path) -> None:
        self.engine, self.bench, self.folder = engine, bench, folder
        self.image = engine.resolve(f"czrun/{name}:latest")
        (folder / "model").mkdir(parents=True)

    @property
    def output(self) -> Path:
        return self.folder / "predict-output"

    def run(self) -> Room:
        """Run all phases of the image to a good end."""
        for verb in parse_labels(self.image.labels, self.image.reference).verbs:
            exit_ = self.phase(verb)
            assert exit_.exit_code == 0, (exit_.start_error, exit_.log_tail)
            assert exit_.stopped_by is None
        return self

    def answers(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.output)): path.read_bytes() for path in self.output.glob("*/*")}

    def phase(self, verb: Verb) -> Exit:
        job = self.bench.job(verb, "/czrun")
        (self.folder / "job.json").write_text(job.model_dump_json())
        output = self.folder / f"{verb}-output"
        output.mkdir()
        for entry in job.outputs:
            (output / entry.id).mkdir()
        launch = Launch(
            image=self.image,
            verb=verb,
            mounts=(
                Mount(self.folder / "job.json", "/czrun/job.json"),
                Mount(self.bench.fit if verb is Verb.FIT else self.bench.predict, "/czrun/input"),
                Mount(self.folder / "model", "/czrun/model", writable=verb is Verb.FIT),
                Mount(output, "/czrun/output", writable=True),
            ),
            environment=contract_environment(verb, job.seed, LIMITS),
            limits=LIMITS,
            log_path=self.folder / "logs" / f"{verb}.log",
            run_id="test-images",
            owner=f"test-{os.getpid()}",
        )
        return self.engine.run(launch, lambda _usage: None)


@pytest.fixture(scope="module")
def answered(
    engine: DockerEngine, made: Callable[[str], TaskBench], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Room]:
    """Run an image on a task, once for all tests that look at what it left."""

    @cache
    def answer(name: str, task: str) -> Room:
        return Room(engine, name, made(task), tmp_path_factory.mktemp(name) / "room").run()

    return answer


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_the_image_answers_its_task(answered: Callable[[str, str], Room], name: str, task: str) -> None:
    room = answered(name, task)
    assert room.answers()
    assert problems(room.bench, room.output) == []


@pytest.mark.parametrize("name", TASKS)
def test_an_equal_seed_gives_equal_bytes(
    engine: DockerEngine, answered: Callable[[str, str], Room], tmp_path: Path, name: str
) -> None:
    first = answered(name, TASKS[name][0])
    assert Room(engine, name, first.bench, tmp_path / "room").run().answers() == first.answers()


@pytest.mark.parametrize("name", TASKS)
def test_the_image_says_what_model_yaml_says(engine: DockerEngine, name: str) -> None:
    declared = parse_labels(engine.resolve(f"czrun/{name}:latest").labels, name)
    assert declared.tasks == TASKS[name]
