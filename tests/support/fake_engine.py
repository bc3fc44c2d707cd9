"""An engine without containers: for the states and faults that a real one can't be brought to at will."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from czrun.contract.image import ModelSpec
from czrun.contract.job import INPUT_DIR, JOB_PATH, MODEL_DIR, OUTPUT_DIR, Verb
from czrun.engines.base import EngineInfo, Exit, ImageInfo, Launch, Usage
from czrun.errors import ContractError

CONTROL = "czrun/majority-class:latest"
TASK = "cell-type-classification"

INFO = EngineInfo(
    product="fake", version="1.0", api_version="1.41", kernel="6.1", cgroup_version="2",
    cgroup_driver="systemd", storage_driver="overlay2", runtime_versions={"runc": "1.3.4"}, cpus=2,
    memory_bytes=2**33, address="nowhere",
)  # fmt: skip


def image(reference: str = "model:1", digit: str = "a", **spec: object) -> ImageInfo:
    """Make an image that declares the task; `spec` changes its model.yaml."""
    declared = ModelSpec.model_validate({"name": "model", "tasks": [TASK], **spec})
    return ImageInfo(reference, "sha256:" + digit * 64, labels=declared.labels())


def ended(code: int = 0, **changes: object) -> Exit:
    """Say how a container ended."""
    facts: dict[str, object] = {
        "exit_code": code, "oom_killed": False, "stopped_by": None, "seconds": 0.5, "cpu_seconds": 0.4,
        "peak_memory_bytes": 1 << 26, "log_tail": ("the last line",), "settings": {"network": "none"},
    }  # fmt: skip
    return Exit(**{**facts, **changes})  # type: ignore[arg-type]


def answer(job: dict[str, object], folders: dict[str, Path]) -> None:
    """Do what an honest model does: leave a model, or name every cell after the first class."""
    if job["verb"] == Verb.FIT:
        (folders[MODEL_DIR] / "model.json").write_text(json.dumps({"seed": job["seed"]}))
        return
    import h5py

    with h5py.File(folders[INPUT_DIR] / "v0.h5ad") as file:
        ids = [name.decode() for name in file["obs/_index"][:]]
    label = job["dataset"]["classes"][0]  # type: ignore[index]
    rows = "".join(f"{cell},{label}\n" for cell in ids)
    (folders[OUTPUT_DIR] / "v0" / "predictions.csv").write_text(f"cell_id,label\n{rows}")


Act = Callable[[dict[str, object], dict[str, Path]], None]


@dataclass
class FakeEngine:
    """Plays containers in this process.

    Attributes
    ----------
    images
        What `resolve` finds.
    faults
        For each verb, what its next containers do in place of answering: end so, raise, or None for no fault.
    act
        What a container without a fault does.
    launches
        Every container that was asked for.
    """

    images: tuple[ImageInfo, ...] = (image(),)
    faults: dict[Verb, list[Exit | BaseException | None]] = field(default_factory=dict)
    act: Act = answer
    described: EngineInfo = INFO
    launches: list[Launch] = field(default_factory=list)
    is_closed: bool = False
    reaped_with: Callable[[str], bool] | None = None

    def info(self) -> EngineInfo:
        return self.described

    def resolve(self, reference: str) -> ImageInfo:
        for each in self.images:
            if each.reference == reference:
                return each
        raise ContractError(f"There is no image {reference}.", "Build it.")

    def run(self, launch: Launch, on_tick: Callable[[Usage], None]) -> Exit:
        self.launches.append(launch)
        launch.log_path.write_text(f"{launch.verb} says hello\n")
        on_tick(Usage(0.1, 1 << 20, "hello"))
        queue = self.faults.get(launch.verb, [])
        fault = queue.pop(0) if queue else None
        if isinstance(fault, BaseException):
            raise fault
        folders = {mount.target: mount.source for mount in launch.mounts}
        if fault is None:
            self.act(json.loads(folders[JOB_PATH].read_bytes()), folders)
        return fault or ended()

    def reap(self, is_alive: Callable[[str], bool]) -> int:
        self.reaped_with = is_alive
        return 0

    def close(self) -> None:
        self.is_closed = True

    @property
    def verbs(self) -> list[str]:
        """The phases of all containers so far, in order."""
        return [str(launch.verb) for launch in self.launches]
