"""obs columns by their contract names, with everything that is wrong with them told at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt

from czrun.cells import Categorical, Column, Flags, Numeric, ObsSource, Texts, each, is_missing
from czrun.contract.job import UNASSIGNED
from czrun.datasets.matching import column_key
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.domains import context_column
from czrun.errors import DatasetError, listing
from czrun.split_plan import SplitPlan
from czrun.splits import Codes, Rows
from czrun.tasks.base import Task

CONTROL = "control"
"""What a model reads as the perturbation of a control cell, whatever the data set calls it."""

_TRUE_WORDS = frozenset({"true", "1", "1.0", "yes"})
_CONTROL_WORDS = frozenset(
    {"control", "ctrl", "non-targeting", "nt", "unperturbed", "untreated", "dmso", "vehicle", "unstimulated"}
)
_ALONE_IS_USELESS = ("label", "batch", "organism")


class ColumnReader:
    """Reads columns by their contract names, and gathers what is wrong with them."""

    def __init__(self, source: ObsSource, spec: DatasetSpec, plan: SplitPlan, task: Task) -> None:
        self._source, self._spec, self._plan = source, spec, plan
        self.group_key = column_key(source, spec, plan.group_key) if plan.group_key else None
        required = dict.fromkeys((*task.fit_obs, *task.predict_obs, *task.truth))
        # What a model gets of a column it gets of every cell; what only scoring uses may stay away.
        shown = [name for name in task.optional_obs if self._has(name)]
        self._names = tuple(dict.fromkeys((*required, *shown)))
        self._helpful = tuple(name for name in task.optional_truth if name not in self._names)
        # Which cells are controls may stand in the perturbation column itself.
        self._needed = tuple(name for name in self._names if name != "is_control" or self._has(name))
        self._read: dict[str, Texts] = {}
        self.problems: list[str] = []
        self.notes: list[str] = []

    def require_columns(self) -> None:
        """Raise DatasetError where a column isn't there."""
        keys = {name: self._key(name) for name in self._needed}
        unnamed = [name for name, key in keys.items() if not key]
        named = {str(name): str(key) for name, key in self._spec.obs.items()}
        flags = {key: _flag(name) for name, key in {**named, **keys}.items() if key}
        group_key = self.group_key or self._plan.group_key
        for key, flag in ((group_key, "--group-key"), (self._plan.split_key, "--split-key")):
            if key:
                flags.setdefault(key, f"{flag} COLUMN")
        absent = sorted(key for key in flags if key not in self._source.columns)
        said = [f"This task needs to know which column holds: {', '.join(unnamed)}."] if unnamed else []
        if absent:
            said.append(f"{self._spec.name} has no obs column {', '.join(map(repr, absent))}.")
        if said:
            right = dict.fromkeys([*map(_flag, unnamed), *(flags[key] for key in absent)])
            raise DatasetError(
                " ".join(said),
                f"Its columns: {', '.join(self._source.columns) or '(none)'}. "
                f"Name the right one with {' '.join(right)}.",
            )

    def rows(self, kept: Rows) -> Rows:
        """Return those rows that have all that the task needs; raises DatasetError where there are none."""
        complete = np.ones(len(kept), dtype=bool)
        for name in self._needed:
            key = self._key(name)
            missing = is_missing(self._texts_of(key)[kept])
            if count := int(missing.sum()):
                self._tell_missing(count, key, len(missing))
            complete &= ~missing
        if not complete.any():
            self.problems = self.problems or ["no cell has all that the task needs"]
            self.refuse_problems()
        # Where incomplete cells are a problem, the other checks look at the complete ones: None is no class.
        return kept[complete]

    def names(self, rows: Rows) -> Iterator[str]:
        """Yield the columns that there are, those that only help scoring where they are complete."""
        yield from self._names
        for name in filter(self._has, self._helpful):
            key = self._key(name)
            if count := int(is_missing(self._texts_of(key)[rows]).sum()):
                self.notes.append(f"{count:,} cells have no {key!r}, so scores make no use of it")
            else:
                yield name

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
            return Numeric(self._is_control(rows))
        key = self._key(name)
        texts = self._texts_of(key)[rows]
        if name == "time":
            return Numeric(self._times(key, texts))
        if name == "anomaly":
            return Numeric(self._anomalies(key, texts))
        if name == "perturbation":
            texts = self._perturbations(key, texts, self._is_control(rows))
        names, codes = encode(texts)
        self._check_values(name, key, names, codes)
        return Categorical(codes, names)

    def grouping(self, rows: Rows) -> Categorical | None:
        """Encode the column by which a split is grouped."""
        key = self.group_key
        if not key:
            return None
        texts = self._texts_of(key)[rows]
        if count := sum(text is None for text in texts):
            self.problems.append(f"{count:,} cells have no {key!r}, by which the split is grouped")
        names, codes = encode(texts)
        return Categorical(codes, names)

    def control_cells(self, rows: Rows) -> Flags | None:
        """Tell which cells are controls, where the task knows controls."""
        return self._is_control(rows) if "is_control" in self._names else None

    def refuse_problems(self) -> None:
        """Raise DatasetError with everything that was found."""
        if self.problems:
            raise DatasetError(
                f"{self._spec.name} can't be used as it is:\n{listing(dict.fromkeys(self.problems))}",
                "Mend the columns named above.",
            )

    def _texts_of(self, key: str) -> Texts:
        if key not in self._read:
            self._read[key] = self._source.column(key)
        return self._read[key]

    def _key(self, name: str) -> str:
        if name == "context" and "context" not in self._spec.obs and (key := self._context_key()):
            return key
        return self._spec.key_for(cast(ObsName, name)) or ""

    def _context_key(self) -> str | None:
        """Return the column by which contexts are held out, where that isn't the perturbation itself."""
        key = self.group_key or self._plan.group_key or context_column(self._plan, self._source, self._spec)
        return None if key == self._spec.key_for("perturbation") else key

    def _has(self, name: str) -> bool:
        return self._key(name) in self._source.columns

    def _is_control(self, rows: Rows) -> Flags:
        key, perturbation = self._key("is_control"), self._key("perturbation")
        if key in self._source.columns:
            texts, wanted = self._texts_of(key)[rows], _TRUE_WORDS
        else:
            texts, wanted = self._texts_of(perturbation)[rows], _CONTROL_WORDS
        is_control = each(texts, lambda text: str(text).strip().lower() in wanted)
        if not is_control.any() or is_control.all():
            which = "no cell is" if not is_control.any() else "every cell is"
            self.problems.append(
                f"{which} a control: name a column that says so with --obs is_control=COLUMN, or call "
                f"control cells {CONTROL!r} in {perturbation!r}"
            )
        return is_control

    def _perturbations(self, key: str, texts: Texts, is_control: Flags) -> Texts:
        if count := int((~is_control & (texts == CONTROL)).sum()):
            self.problems.append(
                f"{count:,} cells are called {CONTROL!r} in {key!r}, and by {self._key('is_control')!r} they "
                f"are none: rename them"
            )
        return np.where(is_control, CONTROL, texts)

    def _times(self, key: str, texts: Texts) -> npt.NDArray[np.float64]:
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

    def _anomalies(self, key: str, texts: Texts) -> Flags:
        found = each(texts, lambda text: str(text) in self._spec.anomalous)
        if not found.any() or found.all():
            values = ", ".join(repr(value) for value in sorted(set(map(str, texts)))[:8])
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


def encode(texts: Texts) -> tuple[tuple[str, ...], Codes]:
    """Return the values in sorted order, and each text as a number into them."""
    found = {text: str(text) for text in set(texts.tolist())}
    values = sorted(set(found.values()))
    number = {value: code for code, value in enumerate(values)}
    code_of = {text: number[value] for text, value in found.items()}
    return tuple(values), np.fromiter((code_of[text] for text in texts), dtype=np.int32, count=len(texts))
