"""Names of data sets, and how a name, a YAML or a file becomes a data set."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from czrun.cells import CellSource
from czrun.datasets.local import LocalCells
from czrun.datasets.sample import PBMC68K, SampleCells
from czrun.datasets.spec import DatasetSpec, read_spec
from czrun.errors import DatasetError, unknown_name

DEFAULT_DATASET = PBMC68K.name

BUILT_IN: Mapping[str, DatasetSpec] = {PBMC68K.name: PBMC68K}


def named_datasets() -> dict[str, DatasetSpec]:
    """Return the built-in data sets, and those that installed packages add as ``czrun.datasets`` entry points."""
    added = {point.name: point.load() for point in entry_points(group="czrun.datasets")}
    return {**added, **BUILT_IN}


def find_dataset(name: str) -> DatasetSpec:
    """Find a data set.

    Parameters
    ----------
    name
        A name of the catalogue, or the path of an .h5ad file or of a data set's YAML.

    Raises
    ------
    DatasetError
        When it is a path that can't be read.
    UsageError
        When it is neither a path nor a known name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name).expanduser()
    if path.suffix.lower() in (".yaml", ".yml"):
        return read_spec(path)
    if path.suffix or path.exists() or "/" in name:
        if path.suffix.lower() != ".h5ad" and path.is_file():
            raise DatasetError(f"{name}: only .h5ad files are read yet.", "Convert it: adata.write_h5ad('cells.h5ad').")
        return DatasetSpec(name=path.stem, path=path)
    names = named_datasets()
    if name not in names:
        raise unknown_name("data set or file", name, names)
    return names[name]


def open_cells(spec: DatasetSpec) -> CellSource:
    """Open a data set's cells; raises DatasetError when they can't be read."""
    if spec.path == PBMC68K.path:
        return SampleCells(spec.path)
    return LocalCells(spec)
