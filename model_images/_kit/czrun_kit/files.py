"""Writing files that no reader sees half of, and the model between fit and predict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from czrun_kit.failures import KitError
from czrun_kit.job import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PROGRESS_BYTES = 4096
MAX_TEXT_CHARS = 500


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when all went well; no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Save one array as .npy, whatever the path's suffix."""
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def save_blocks(path: Path, blocks: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Save blocks of rows as one float32 .npy of a shape known beforehand, one block in memory at a time."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4").data)


def write_progress(job: Job, fraction: float, stage: str = "", message: str = "") -> None:
    """Say how far the work is, for the live display; a failure to say so is none of the model's."""
    report = {"fraction": min(1.0, max(0.0, fraction)), "stage": stage[:MAX_TEXT_CHARS]}
    line = json.dumps({**report, "message": message[:MAX_TEXT_CHARS]}, ensure_ascii=False)
    if len(line.encode()) > MAX_PROGRESS_BYTES:
        line = json.dumps(report, ensure_ascii=False)
    with suppress(OSError), replacing(job.output_dir / "progress.json") as part:
        part.write_text(line, encoding="utf-8")


def write_result(output_dir: Path, error: BaseException | None = None) -> None:
    """Write ``result.json``: how it ended, in the model's own words. Advisory, so a failure is ignored."""
    result: dict[str, Any] = {"status": "ok"}
    if error is not None:
        message = str(error) if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
        result = {
            "status": "error",
            "error": {
                "code": getattr(error, "code", "") if isinstance(error, KitError) else "model_error",
                "message": message[:MAX_TEXT_CHARS],
                "hint": getattr(error, "hint", "")[:MAX_TEXT_CHARS] if isinstance(error, KitError) else "",
            },
        }
    with suppress(OSError), replacing(output_dir / "result.json") as part:
        part.write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")


def save_arrays(path: str | Path, **arrays: NDArray[Any]) -> None:
    """Save plain arrays by name, without pickle; a missing ``.npz`` suffix is not added."""
    with replacing(Path(path)) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Load what `save_arrays` saved."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
