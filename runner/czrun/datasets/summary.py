"""A data set at a glance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np

from czrun.cells import CellSource, ImageSource, ObsSource, Texts
from czrun.datasets.catalogue import modality_of, open_obs
from czrun.datasets.oddities import Roles, oddities
from czrun.datasets.spec import CELLXGENE_KEYS, DatasetSpec

_SHOWN_VALUES = 8
_COUNTED = ("label", "donor", "batch", "tissue", "assay", "organism", "disease", "perturbation", "time")
_DISEASE = "disease"


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
class CountedColumn:
    """Cells of each value of a column that stands for something, most frequent first."""

    role: str
    name: str
    counts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class DatasetSummary:
    """What `czrun datasets show` prints.

    Attributes
    ----------
    spec
        The data set.
    n_obs
        Cells.
    content
        What there is of each cell: genes and what X holds, or the size of its image.
    columns, counted
        All obs columns; and those that stand for something, with the cells of every value.
    odd
        What would make scores shaky, or answers easy.
    notes
        What was guessed, left out or changed in reading.
    """

    spec: DatasetSpec
    n_obs: int
    content: tuple[str, ...]
    columns: tuple[ColumnSummary, ...]
    counted: tuple[CountedColumn, ...]
    odd: tuple[str, ...]
    notes: tuple[str, ...]


def summarise(spec: DatasetSpec) -> DatasetSummary:
    """Read the columns of a data set whose files are here; raises DatasetError when it can't be read."""
    modality = modality_of(spec)
    source = open_obs(spec, modality)
    try:
        if modality == "image":
            content, odd = _image_content(cast(ImageSource, source))
        else:
            content, odd = _expression_content(cast(CellSource, source))
        texts = {key: source.column(key) for key in source.columns}
        keys = _roles(spec, source)
        roles = {key: role for role, key in keys.items()}
        counted = {role: key for role, key in keys.items() if role in _COUNTED}
        return DatasetSummary(
            spec=spec,
            n_obs=source.n_obs,
            content=content,
            columns=tuple(_column(key, roles.get(key, ""), texts[key]) for key in source.columns),
            counted=tuple(_counted(role, key, texts[key]) for role, key in counted.items()),
            odd=(*oddities(Roles({role: texts[key] for role, key in counted.items()})), *odd),
            notes=source.notes,
        )
    finally:
        source.close()


def _roles(spec: DatasetSpec, source: ObsSource) -> dict[str, str]:
    """Return which column stands for what, of those that there are."""
    keys = {str(name): spec.key_for(name) for name in {**CELLXGENE_KEYS, **spec.obs}}
    keys.setdefault(_DISEASE, _DISEASE)
    return {name: key for name, key in keys.items() if key in source.columns}


def _expression_content(source: CellSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    nnz = source.row_nnz()
    genes = source.genes()
    kind = "Ensembl ids" if genes.kind == "ensembl" else "symbols"
    named = "".join(f" and {name}" for name in genes.columns)
    content = (
        f"{source.n_vars:,} genes by {kind}{f', with{named[4:]}' if named else ''}",
        f"X holds {source.x}, a cell {nnz.min():,} to {nnz.max():,} genes, median {np.median(nnz):,.0f}",
    )
    empty = int((nnz == 0).sum())
    return content, (f"{empty:,} cells have no gene at all",) if empty else ()


def _image_content(source: ImageSource) -> tuple[tuple[str, ...], tuple[str, ...]]:
    height, width, channels = source.image_shape
    return (
        f"images of {height} × {width} pixels, {channels} channel{'s' if channels > 1 else ''}, uint8",
    ), ()


def _column(key: str, role: str, texts: Texts) -> ColumnSummary:
    counts = Counter(texts.tolist())
    missing = counts.pop(None, 0)
    return ColumnSummary(key, role, len(counts), missing, tuple(counts.most_common(_SHOWN_VALUES)))


def _counted(role: str, key: str, texts: Texts) -> CountedColumn:
    counts = Counter(text for text in texts.tolist() if text is not None)
    return CountedColumn(role, key, tuple(counts.most_common()))
