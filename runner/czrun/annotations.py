"""Which cells take part and what is known of them: the obs columns that a task needs, checked and coded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from czrun.cells import Categorical, Column, Numeric, ObsSource, Texts
from czrun.columns import ColumnReader, encode
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows
from czrun.tasks.base import Task

_MOST_NUMBERS = 20


@dataclass(frozen=True)
class Annotated:
    """The obs columns that splitting, fitting and scoring need, for the cells that take part.

    Attributes
    ----------
    rows
        Rows of the source that take part, shape (n,).
    columns
        Contract name to column, each of shape (n,).
    strata
        Codes whose shares a split keeps, shape (n,).
    groups, clusters
        Codes from 0, shape (n,); groups keep together in a split, clusters (donors) in the bootstrap.
    cluster_key
        The obs column of the clusters.
    cluster_names
        What the source calls them.
    predefined
        train/test words, shape (n,).
    organisms
        Organisms of the cells, in the form ``homo_sapiens``.
    notes
        What was left out or looks odd.
    """

    rows: Rows
    columns: Mapping[str, Column]
    strata: Codes
    groups: Codes | None
    clusters: Codes | None
    cluster_key: str | None
    cluster_names: tuple[str, ...]
    predefined: Texts | None
    organisms: tuple[str, ...]
    notes: tuple[str, ...]

    def categorical(self, name: str) -> Categorical:
        """Return a categorical column."""
        column = self.columns[name]
        assert isinstance(column, Categorical)  # noqa: S101 - names have one kind each
        return column

    def flags(self, name: str) -> Numeric:
        """Return a column of flags or numbers."""
        column = self.columns[name]
        assert isinstance(column, Numeric)  # noqa: S101
        return column


def annotate(source: ObsSource, spec: DatasetSpec, plan: SplitPlan, task: Task) -> Annotated:
    """Read what a task needs of a source; raises DatasetError with every problem found."""
    reader = ColumnReader(source, spec, plan, task)
    reader.require_columns()
    rows = reader.rows()
    columns = {name: reader.column(name, rows) for name in reader.names(rows)}
    group_names, groups = reader.grouping(plan.group_key, rows)
    donor_key = _present(spec, "donor", source) or plan.group_key
    is_grouped = donor_key == plan.group_key
    names, clusters = (group_names, groups) if is_grouped else _clusters(source, donor_key, rows)
    reader.refuse_problems()
    is_predefined = plan.kind is SplitKind.PREDEFINED and plan.split_key
    return Annotated(
        rows=rows,
        columns=columns,
        strata=_strata(columns.get(task.stratify), len(rows)),
        groups=groups,
        clusters=clusters,
        cluster_key=donor_key if clusters is not None else None,
        cluster_names=names,
        predefined=source.column(plan.split_key)[rows] if is_predefined and plan.split_key else None,
        organisms=_organisms(source, spec),
        notes=tuple(reader.notes),
    )


def _strata(column: Column | None, n_obs: int) -> Codes:
    if isinstance(column, Categorical):
        return column.codes
    values = np.zeros(n_obs) if column is None else column.values.astype(np.float64)
    codes = np.unique(values, return_inverse=True)[1].astype(np.int32)
    if n_obs and codes.max() >= _MOST_NUMBERS:
        # Numbers that hardly repeat are strata of one cell each, of which none could be held out.
        edges = np.quantile(values, np.linspace(0, 1, _MOST_NUMBERS + 1)[1:-1])
        codes = np.searchsorted(edges, values, side="right").astype(np.int32)
    return codes


def _clusters(source: ObsSource, key: str | None, rows: Rows) -> tuple[tuple[str, ...], Codes | None]:
    """Encode the donors, for intervals only: with some unknown there is no honest clustering."""
    if not key:
        return (), None
    texts = source.column(key)[rows]
    return ((), None) if None in texts.tolist() else encode(texts)


def _organisms(source: ObsSource, spec: DatasetSpec) -> tuple[str, ...]:
    key = _present(spec, "organism", source)
    names = {spec.organism} if spec.organism else set(source.column(key)) if key else set()
    return tuple(sorted(str(name).strip().lower().replace(" ", "_") for name in names if name))


def _present(spec: DatasetSpec, name: ObsName, source: ObsSource) -> str | None:
    key = spec.key_for(name)
    return key if key in source.columns else None
