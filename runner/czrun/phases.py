"""Where finished phases lie in the cache, and the folders that a container writes to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from czrun.records import PhaseRecord
from czrun.storage import storage_errors

PHASE_FILE = "phase.json"
LOG_FILE = "container.log"


def fit_folder(home: Path, key: str) -> Path:
    """Return where a fitted model of this key lies."""
    return home / "fits" / key


def predictions_folder(home: Path, key: str) -> Path:
    """Return where checked predictions of this key lie."""
    return home / "predictions" / key


def read_phase(folder: Path) -> PhaseRecord | None:
    """Read what is kept of a finished phase; None where there is none."""
    try:
        return PhaseRecord.model_validate_json((folder / PHASE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def writable_folder(path: Path) -> Path:
    """Make a folder for a container to write to; the engine hands it over to the container's user."""
    with storage_errors(path):
        path.mkdir()
        path.chmod(0o755)  # whatever the umask
    return path


def open_to_reading(model: Path) -> None:
    """Undo modes by which a fitted model would lock its own predict phase, or the cache, out."""
    model.chmod(0o755)
    for root, folders, files in os.walk(model):
        for name in folders:
            if not Path(root, name).is_symlink():
                Path(root, name).chmod(0o755)
        for name in files:
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                path.chmod(0o644)


def array_name(view: str, key: str) -> str:
    """Return what one output of one view is called in the cache."""
    return f"{view}.{key}"


def save_arrays(stage: Path, arrays: Mapping[str, Any]) -> None:
    """Write checked outputs, one .npy each."""
    import numpy as np

    for name, array in arrays.items():
        np.save(stage / f"{name}.npy", array)


def load_arrays(folder: Path, view: str) -> dict[str, Any]:
    """Read the checked outputs of one view, by key."""
    import numpy as np

    paths = sorted(folder.glob(f"{view}.*.npy"))
    return {path.name.split(".")[1]: np.load(path, allow_pickle=False) for path in paths}
