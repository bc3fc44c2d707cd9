"""A data set at a glance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from czrun.contract.job import GeneIds, XKind
from czrun.datasets.catalogue import modality_of, open_cells
from czrun.datasets.spec import CELLXGENE_KEYS, DatasetSpec

if TYPE_CHECKING:
    from czrun.cells import ObsSource

_SHOWN_VALUES = 8


@dataclass(frozen=True)
class ColumnSummary:
    """One obs column.

    Attributes
    ----------
    name
        In the data set's own words.
    role
        The contract column that it stands for, or empty.
    n_values, n_missing
        Different values, and cells without one.
    common
        The most frequent values with their cells.
    """

    name: str
    role: str
    n_values: int
    n_missing: int
    common: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DatasetSummary:
    """What `czrun datasets show` prints; of images their shape (height, width, channels) and no genes."""

    spec: DatasetSpec
    n_obs: int
    n_vars: int
    x: XKind
    gene_ids: GeneIds
    columns: tuple[ColumnSummary, ...]
    image_shape: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = ()


def summarise(spec: DatasetSpec) -> DatasetSummary:
    """Read a data set's columns; raises DatasetError when it can't be read."""
    if modality_of(spec) == "image":
        return _summarise_images(spec)
    source = open_cells(spec)
    try:
        return DatasetSummary(
            spec, source.n_obs, source.n_vars, source.x, source.genes().kind, _columns(source, spec)
        )
    finally:
        source.close()


def _summarise_images(spec: DatasetSpec) -> DatasetSummary:
    from czrun.datasets.imaging.opening import open_images

    source = open_images(spec)
    try:
        columns, shape = _columns(source, spec), source.image_shape
        return DatasetSummary(spec, source.n_obs, 0, XKind.OTHER, "unknown", columns, shape, source.notes)
    finally:
        source.close()


def _columns(source: ObsSource, spec: DatasetSpec) -> tuple[ColumnSummary, ...]:
    roles = {spec.key_for(name): str(name) for name in {**CELLXGENE_KEYS, **spec.obs}}
    columns = []
    for key in source.columns:
        counts = Counter(source.column(key).tolist())
        missing = counts.pop(None, 0)
        common = tuple(counts.most_common(_SHOWN_VALUES))
        columns.append(ColumnSummary(key, roles.get(key, ""), len(counts), missing, common))
    return tuple(columns)
