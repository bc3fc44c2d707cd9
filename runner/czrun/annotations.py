"""Which cells take part and what is known of them: the obs columns that a task needs, checked and coded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from czrun.cells import Categorical, Column, Numeric, ObsSource, Texts
from czrun.contract.job import UNASSIGNED
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.errors import DatasetError, listing
from czrun.split_plan import SplitKind, SplitPlan
from czrun.splits import Codes, Rows
from czrun.tasks.base import Task

CONTROL = "control"
"""What a model reads as the perturbation of a control cell, whatever the data set calls it."""

_NULL_LABELS = frozenset({"", "nan", "none", "na", "<na>"})
_TRUE_WORDS = frozenset({"true", "1", "yes"})
_CONTROL_WORDS = frozenset(
    {"control", "ctrl", "non-targeting", "nt", "unperturbed", "untreated", "dmso", "vehicle", "unstimulated"}
)
_ALONE_IS_USELESS = ("label", "batch", "organism")


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
    reader = _Reader(source, spec, plan, task)
    reader.require_columns()
    rows = reader.rows()
    columns = {name: reader.column(name, rows) for name in reader.names}
    groups = reader.grouping(plan.group_key, rows)
    donor_key = _present(spec, "donor", source) or plan.group_key
    clusters = groups if donor_key == plan.group_key else _clusters(source, donor_key, rows)
    reader.refuse_problems()
    is_predefined = plan.kind is SplitKind.PREDEFINED and plan.split_key
    return Annotated(
        rows=rows,
        columns=columns,
        strata=_strata(columns.get(task.stratify), len(rows)),
        groups=groups,
        clusters=clusters,
        cluster_key=donor_key if clusters is not None else None,
        predefined=source.column(plan.split_key)[rows] if is_predefined and plan.split_key else None,
        organisms=_organisms(source, spec),
        notes=tuple(reader.notes),
    )


class _Reader:
    """Reads columns by their contract names, and gathers what is wrong with them."""

    def __init__(self, source: ObsSource, spec: DatasetSpec, plan: SplitPlan, task: Task) -> None:
        self._source, self._spec, self._plan = source, spec, plan
        needed = dict.fromkeys((*task.fit_obs, *task.predict_obs, *task.truth))
        # Which cells are controls may stand in the perturbation column itself.
        self._needed = tuple(name for name in needed if name != "is_control")
        optional = dict.fromkeys((*task.optional_obs, *task.optional_truth))
        found = tuple(name for name in optional if name not in needed and self._has(name))
        self.names = (*needed, *found)
        self.problems: list[str] = []
        self.notes: list[str] = []

    def require_columns(self) -> None:
        """Raise DatasetError where a column isn't there."""
        keys = {name: self._key(name) for name in self._needed}
        wanted = [*keys.values(), self._plan.group_key, self._plan.split_key, *self._spec.obs.values()]
        absent = sorted({name for name in wanted if name and name not in self._source.columns})
        if unnamed := [name for name, key in keys.items() if not key]:
            raise DatasetError(
                f"This task needs to know which column holds: {', '.join(unnamed)}.",
                f"Say so: {' '.join(_flag(name) for name in unnamed)}. "
                f"Columns of {self._spec.name}: {', '.join(self._source.columns) or '(none)'}.",
            )
        if absent:
            flags = [_flag(name) for name, key in keys.items() if key in absent]
            raise DatasetError(
                f"{self._spec.name} has no obs column {', '.join(map(repr, absent))}.",
                f"Its columns: {', '.join(self._source.columns) or '(none)'}. "
                f"Name the right one with {' '.join(flags or ['--label-key COLUMN'])}.",
            )

    def rows(self) -> Rows:
        """Return the rows that have all that the task needs."""
        complete = np.ones(self._source.n_obs, dtype=bool)
        for name in self._needed:
            key = self._key(name)
            texts = self._source.column(key)
            missing = np.array([text is None or text.strip().lower() in _NULL_LABELS for text in texts])
            if count := int(missing.sum()):
                self._tell_missing(count, key, len(texts))
            complete &= ~missing
        # Where incomplete cells are a problem, the other checks look at the complete ones: None is no class.
        return np.flatnonzero(complete)

    def _tell_missing(self, count: int, key: str, n_obs: int) -> None:
        if self._spec.drop_unlabelled:
            self.notes.append(f"{count:,} cells without {key!r} were left out")
        else:
            self.problems.append(
                f"{count:,} of {n_obs:,} cells have no {key!r}: --drop-unlabelled leaves them out"
            )
        if count == n_obs:
            self.problems.append(f"no cell has a {key!r}")

    def column(self, name: str, rows: Rows) -> Column:
        """Read one column in the form that its contract name has."""
        if name == "is_control":
            return Numeric(self._is_control()[rows])
        key = self._key(name)
        texts = self._source.column(key)[rows]
        if name == "time":
            return Numeric(self._times(key, texts))
        if name == "anomaly":
            return Numeric(self._anomalies(key, texts))
        if name == "perturbation":
            texts = np.where(self._is_control()[rows], CONTROL, texts)
        names, codes = _encode(texts)
        self._check_values(name, key, names, codes)
        return Categorical(codes, names)

    def grouping(self, key: str | None, rows: Rows) -> Codes | None:
        """Encode the column by which a split is grouped."""
        if not key:
            return None
        texts = self._source.column(key)[rows]
        if count := sum(text is None for text in texts):
            self.problems.append(f"{count:,} cells have no {key!r}, by which the split is grouped")
        return _encode(texts)[1]

    def refuse_problems(self) -> None:
        """Raise DatasetError with everything that was found."""
        if self.problems:
            raise DatasetError(
                f"{self._spec.name} can't be used as it is:\n{listing(dict.fromkeys(self.problems))}",
                "Mend the columns named above.",
            )

    def _key(self, name: str) -> str:
        if name == "context" and "context" not in self._spec.obs and self._plan.group_key:
            return self._plan.group_key
        return self._spec.key_for(cast(ObsName, name)) or ""

    def _has(self, name: str) -> bool:
        return self._key(name) in self._source.columns

    def _is_control(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        key, perturbation = self._key("is_control"), self._key("perturbation")
        if key in self._source.columns:
            words = [str(text).lower() in _TRUE_WORDS for text in self._source.column(key)]
        else:
            words = [str(text).lower() in _CONTROL_WORDS for text in self._source.column(perturbation)]
        if not any(words) or all(words):
            which = "no cell is" if not any(words) else "every cell is"
            self.problems.append(
                f"{which} a control: name a column that says so with --obs is_control=COLUMN, or call "
                f"control cells {CONTROL!r} in {perturbation!r}"
            )
        return np.array(words, dtype=bool)

    def _times(self, key: str, texts: Texts) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        times = np.full(len(texts), np.nan)
        for row, text in enumerate(texts):
            try:
                times[row] = float(text)
            except ValueError:
                self.problems.append(f"{key!r} holds {text!r}, which is no number: times are numbers")
                return times
        if not np.isfinite(times).all():
            self.problems.append(f"{key!r} holds a time that isn't finite")
        elif len(np.unique(times)) == 1:
            self.problems.append(f"{key!r} holds one time only: there is no order to find")
        return times

    def _anomalies(self, key: str, texts: Texts) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        found = np.isin(texts.astype(str), list(self._spec.anomalous))
        if not found.any() or found.all():
            values = ", ".join(repr(value) for value in np.unique(texts.astype(str))[:8])
            self.problems.append(
                f"{'no' if not found.any() else 'every'} cell's {key!r} is one of "
                f"{', '.join(map(repr, self._spec.anomalous))}; it holds {values}: "
                f"--anomaly {key}=VALUE says which are anomalous"
            )
        return found

    def _check_values(self, name: str, key: str, values: tuple[str, ...], codes: Codes) -> None:
        if len(values) == 1 and name in _ALONE_IS_USELESS:
            what = "class" if name == "label" else name
            self.problems.append(
                f"{key!r} holds one {what} only ({values[0]!r}): there is nothing to tell apart"
            )
        if name == "label" and len(values) > 50 and 2 * len(values) > len(codes):
            self.problems.append(
                f"{key!r} holds {len(values):,} different values in {len(codes):,} cells: is it a label?"
            )
        if name == "label" and UNASSIGNED in values:
            self.problems.append(f"{key!r} holds {UNASSIGNED!r}, by which models decline: rename it")


def _flag(name: str) -> str:
    if name in ("label", "donor", "batch", "time"):
        return f"--{name}-key COLUMN"
    return "--anomaly COLUMN=VALUE" if name == "anomaly" else f"--obs {name}=COLUMN"


def _strata(column: Column | None, n_obs: int) -> Codes:
    if isinstance(column, Categorical):
        return column.codes
    values = np.zeros(n_obs) if column is None else column.values
    return np.unique(values, return_inverse=True)[1].astype(np.int32)


def _clusters(source: ObsSource, key: str | None, rows: Rows) -> Codes | None:
    """Encode the donors, for intervals only: with some unknown there is no honest clustering."""
    if not key:
        return None
    texts = source.column(key)[rows]
    return None if any(text is None for text in texts) else _encode(texts)[1]


def _organisms(source: ObsSource, spec: DatasetSpec) -> tuple[str, ...]:
    key = _present(spec, "organism", source)
    names = {spec.organism} if spec.organism else set(source.column(key)) if key else set()
    return tuple(sorted(str(name).strip().lower().replace(" ", "_") for name in names if name))


def _present(spec: DatasetSpec, name: ObsName, source: ObsSource) -> str | None:
    key = spec.key_for(name)
    return key if key in source.columns else None


def _encode(texts: Texts) -> tuple[tuple[str, ...], Codes]:
    values, codes = np.unique(texts.astype(str), return_inverse=True)
    return tuple(str(value) for value in values), codes.astype(np.int32)
