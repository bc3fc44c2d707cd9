"""Which cells take part and what is known of them: labels, groups and donors as codes, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from czrun.cells import CellSource, Texts
from czrun.contract.job import UNASSIGNED
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.errors import DatasetError, listing
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows

_NULL_LABELS = frozenset({"", "nan", "none", "na", "<na>"})


@dataclass(frozen=True)
class Annotated:
    """The obs columns that splitting and scoring need, as codes, for the cells that take part.

    Attributes
    ----------
    rows
        Rows of the source that take part, shape (n,).
    labels, groups, clusters
        Codes from 0, shape (n,); groups keep together in a split, clusters (donors) in the bootstrap.
    cluster_key
        The obs column of the clusters.
    classes
        Labels in code order.
    predefined
        train/test words, shape (n,).
    organisms
        Organisms of the cells, in the form ``homo_sapiens``.
    notes
        What was left out or looks odd.
    """

    rows: Rows
    labels: Codes
    classes: tuple[str, ...]
    groups: Codes | None
    clusters: Codes | None
    cluster_key: str | None
    predefined: Texts | None
    organisms: tuple[str, ...]
    notes: tuple[str, ...]


def annotate(source: CellSource, spec: DatasetSpec, plan: SplitPlan) -> Annotated:
    """Read what splitting and scoring need of a source; raises DatasetError with every problem found."""
    problems: list[str] = []
    key = spec.key_for("label") or ""
    wanted = [key, plan.group_key, plan.split_key, *spec.obs.values()]
    absent = sorted({name for name in wanted if name and name not in source.columns})
    if absent:
        raise DatasetError(
            f"{spec.name} has no obs column {', '.join(map(repr, absent))}.",
            f"Its columns: {', '.join(source.columns) or '(none)'}. Name the label with --label-key.",
        )
    labels = source.column(key)
    rows, notes = _labelled_rows(labels, key, spec.drop_unlabelled, problems)
    classes, codes = _encode(labels[rows])
    _check_classes(classes, codes, key, problems)
    groups = _grouping(source, plan.group_key, rows, problems)
    donor_key = _present(spec, "donor", source) or plan.group_key
    clusters = groups if donor_key == plan.group_key else _clusters(source, donor_key, rows)
    if problems:
        raise DatasetError(
            f"{spec.name} can't be used as it is:\n{listing(problems)}", "Mend the columns named above."
        )
    predefined = (
        source.column(plan.split_key)[rows] if plan.kind is SplitKind.PREDEFINED and plan.split_key else None
    )
    return Annotated(
        rows=rows,
        labels=codes,
        classes=classes,
        groups=groups,
        clusters=clusters,
        cluster_key=donor_key if clusters is not None else None,
        predefined=predefined,
        organisms=_organisms(source, spec),
        notes=tuple(notes),
    )


def _labelled_rows(labels: Texts, key: str, drop: bool, problems: list[str]) -> tuple[Rows, list[str]]:
    missing = np.array([text is None or text.strip().lower() in _NULL_LABELS for text in labels], dtype=bool)
    notes = []
    if count := int(missing.sum()):
        if drop:
            notes.append(f"{count:,} cells without {key!r} were left out")
        else:
            problems.append(
                f"{count:,} of {len(labels):,} cells have no {key!r}: --drop-unlabelled leaves them out"
            )
    if missing.all():
        problems.append(f"no cell has a {key!r}")
    # Where unlabelled cells are a problem, the other checks look at the labelled ones: None is no class.
    return np.flatnonzero(~missing), notes


def _check_classes(classes: tuple[str, ...], codes: Codes, key: str, problems: list[str]) -> None:
    if len(classes) == 1:
        problems.append(f"{key!r} holds one class only ({classes[0]!r}): there is nothing to tell apart")
    if len(classes) > 50 and 2 * len(classes) > len(codes):
        problems.append(
            f"{key!r} holds {len(classes):,} different values in {len(codes):,} cells: is it a label?"
        )
    if UNASSIGNED in classes:
        problems.append(f"{key!r} holds {UNASSIGNED!r}, by which models decline: rename it")


def _grouping(source: CellSource, key: str | None, rows: Rows, problems: list[str]) -> Codes | None:
    if not key:
        return None
    texts = source.column(key)[rows]
    if count := sum(text is None for text in texts):
        problems.append(f"{count:,} cells have no {key!r}, by which the split is grouped")
    return _encode(texts)[1]


def _clusters(source: CellSource, key: str | None, rows: Rows) -> Codes | None:
    """Encode the donors, for intervals only: with some unknown there is no honest clustering."""
    if not key:
        return None
    texts = source.column(key)[rows]
    return None if any(text is None for text in texts) else _encode(texts)[1]


def _organisms(source: CellSource, spec: DatasetSpec) -> tuple[str, ...]:
    key = _present(spec, "organism", source)
    names = {spec.organism} if spec.organism else set(source.column(key)) if key else set()
    return tuple(sorted(str(name).strip().lower().replace(" ", "_") for name in names if name))


def _present(spec: DatasetSpec, name: ObsName, source: CellSource) -> str | None:
    key = spec.key_for(name)
    return key if key in source.columns else None


def _encode(texts: Texts) -> tuple[tuple[str, ...], Codes]:
    values, codes = np.unique(texts.astype(str), return_inverse=True)
    return tuple(str(value) for value in values), codes.astype(np.int32)
