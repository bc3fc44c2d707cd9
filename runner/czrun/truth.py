"""The truth on disk: what the host knows of the cells, and no container sees."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from czrun.cells import Categorical, Column
from czrun.splits import Codes
from czrun.storage import content_key, file_sha256
from czrun.tasks.evidence import Truth

TREATED = "treated"
"""The .h5ad file in truth/ with the cells that a perturbation task asks for."""

_CLUSTERS = "__clusters__"


def write_truth(
    stage: Path, view: str, columns: Mapping[str, Column], clusters: Codes | None, names: Iterable[list[str]]
) -> None:
    """Write what is known of one view's cells.

    Parameters
    ----------
    stage
        The prepared folder.
    view
        Its name.
    columns
        By contract name.
    clusters
        Donor codes, for the bootstrap.
    names
        The source's own ids of the cells, in pieces: a million of them aren't held as texts at once.
    """
    folder = stage / "truth"
    folder.mkdir(mode=0o700, exist_ok=True)
    coded = {name: each for name, each in columns.items() if isinstance(each, Categorical)}
    arrays: dict[str, NDArray[np.generic]] = {
        name: each.codes if isinstance(each, Categorical) else each.values for name, each in columns.items()
    }
    if clusters is not None:
        arrays[_CLUSTERS] = clusters
    np.savez(folder / f"{view}.npz", allow_pickle=False, **arrays)
    categories = {name: each.categories for name, each in coded.items()}
    with (folder / f"{view}.json").open("w", encoding="utf-8") as file:
        file.write(f'{{"categories": {json.dumps(categories)}, "obs_names": [')
        for number, piece in enumerate(names):
            file.write(", " * bool(number) + json.dumps(piece)[1:-1])
        file.write("]}")


def truth_of(columns: Mapping[str, Column]) -> Truth:
    """Bring columns into the form in which scoring takes them."""
    coded = {name: each for name, each in columns.items() if isinstance(each, Categorical)}
    return Truth(
        {
            name: each.codes if isinstance(each, Categorical) else each.values
            for name, each in columns.items()
        },
        {name: each.categories for name, each in coded.items()},
    )


def has_truth(folder: Path, view: str) -> bool:
    """Tell whether a prepared folder has this view."""
    return (folder / "truth" / f"{view}.npz").is_file()


def read_truth(folder: Path, view: str) -> tuple[Truth, NDArray[np.int32] | None, list[str]]:
    """Read what `write_truth` wrote: the columns, the clusters, and the source's own ids."""
    with np.load(folder / "truth" / f"{view}.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    texts = json.loads((folder / "truth" / f"{view}.json").read_bytes())
    clusters = arrays.pop(_CLUSTERS, None)
    categories = {name: tuple(values) for name, values in texts["categories"].items()}
    return Truth(arrays, categories), clusters, texts["obs_names"]


def truth_sha256(folder: Path) -> str:
    """Return a hash of all that is in truth/."""
    return content_key({path.name: file_sha256(path) for path in sorted((folder / "truth").iterdir())})
