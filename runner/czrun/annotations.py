"""Which cells take part and what is known of them: the obs columns that a task needs, checked and coded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from czrun.cells import Categorical, Column, Numeric, ObsSource, Texts
from czrun.columns import ColumnReader, encode
from czrun.datasets.selection import drawn_rows, kept_rows
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.domains import NEITHER, shared_labels, sides
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows
from czrun.tasks.base import Design, Task

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
    predefined
        train/test words, shape (n,); of a split by domain too.
    organisms
        Organisms of the cells, in the form ``homo_sapiens``.
    notes
        What the source says of itself, then what was left out or looks odd.
    group_names, cluster_names
        What the codes of `groups` and `clusters` stand for.
    teaches_classes
        Whether fit learns the labels, so that classes must be on both sides of a split.
    """

    rows: Rows
    columns: Mapping[str, Column]
    strata: Codes
    groups: Codes | None
    clusters: Codes | None
    cluster_key: str | None
    predefined: Texts | None
    organisms: tuple[str, ...]
    notes: tuple[str, ...]
    group_names: tuple[str, ...] = ()
    cluster_names: tuple[str, ...] = ()
    teaches_classes: bool = False

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
    kept, kept_notes = kept_rows(source, spec)
    rows, drawn_notes = drawn_rows(source, spec, reader.rows(kept))
    rows, words, side_notes = _words(source, spec, plan, rows, reader)
    labels = None
    if plan.kind is SplitKind.DOMAIN and words is not None and task.has_classes:
        labels, class_notes = shared_labels(source, spec, rows, words)
        has_class = labels != None  # noqa: E711 - one answer a cell
        rows, words, labels = rows[has_class], words[has_class], labels[has_class]
        side_notes += class_notes
    columns = {name: reader.column(name, rows) for name in reader.names(rows)}
    if labels is not None:
        names, codes = encode(labels)
        columns["label"] = Categorical(codes, names)
    # A split that holds perturbations out divides the perturbed cells only: controls are no group of it.
    by_perturbation = task.design is Design.PERTURBATION and reader.group_key == spec.key_for("perturbation")
    groups = None if by_perturbation else reader.grouping(rows)
    donor_key = _present(spec, "donor", source) or (reader.group_key if groups else None)
    is_grouped_by_donor = groups is not None and donor_key == reader.group_key
    donors = groups if is_grouped_by_donor else _clusters(source, donor_key, rows)
    reader.refuse_problems()
    return Annotated(
        rows=rows,
        columns=columns,
        strata=_strata(columns.get(task.stratify), len(rows)),
        groups=groups.codes if groups else None,
        clusters=donors.codes if donors else None,
        cluster_key=donor_key if donors else None,
        cluster_names=donors.categories if donors else (),
        predefined=words,
        organisms=_organisms(source, spec),
        notes=(*source.notes, *kept_notes, *reader.notes, *drawn_notes, *side_notes),
        group_names=groups.categories if groups else (),
        teaches_classes=task.has_classes,
    )


def _words(
    source: ObsSource, spec: DatasetSpec, plan: SplitPlan, rows: Rows, reader: ColumnReader
) -> tuple[Rows, Texts | None, tuple[str, ...]]:
    """Return which cells train and which are tested, where a column or conditions say so.

    Cells on neither side of a split by domain take no part: their classes aren't among those asked for.
    """
    if plan.kind is SplitKind.PREDEFINED and plan.split_key:
        return rows, source.column(plan.split_key)[rows], ()
    if plan.kind is not SplitKind.DOMAIN:
        return rows, None, ()
    words = sides(source, spec, plan, rows, reader.control_cells(rows))
    takes_part = words != NEITHER
    left_out = len(rows) - int(takes_part.sum())
    notes = (f"{left_out:,} cells are on neither side and were left out",) if left_out else ()
    return rows[takes_part], words[takes_part], notes


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


def _clusters(source: ObsSource, key: str | None, rows: Rows) -> Categorical | None:
    """Encode the donors, for intervals only: with some unknown there is no honest clustering."""
    if not key:
        return None
    texts = source.column(key)[rows]
    if None in texts.tolist():
        return None
    names, codes = encode(texts)
    return Categorical(codes, names)


def _organisms(source: ObsSource, spec: DatasetSpec) -> tuple[str, ...]:
    key = _present(spec, "organism", source)
    names = {spec.organism} if spec.organism else set(source.column(key)) if key else set()
    return tuple(sorted(str(name).strip().lower().replace(" ", "_") for name in names if name))


def _present(spec: DatasetSpec, name: ObsName, source: ObsSource) -> str | None:
    key = spec.key_for(name)
    return key if key in source.columns else None
