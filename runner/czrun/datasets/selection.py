"""Which cells of a data set take part at all: by conditions, then drawn by strata. X stays unread."""

from __future__ import annotations

import numpy as np

from czrun.cells import ObsSource, Texts, is_missing
from czrun.conditions import any_of
from czrun.datasets.matching import Rows, column_key, matching, require_known
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from czrun.subsampling import choose_stratified, combined_strata

_BY_DEFAULT = DatasetSpec.model_fields["stratify"].default


def kept_rows(source: ObsSource, spec: DatasetSpec) -> tuple[Rows, tuple[str, ...]]:
    """Return the cells that the description's `where` keeps, and what to say of that.

    Raises
    ------
    DatasetError
        When a column or a value isn't there, or no cell is left: it says which condition left none.
    """
    everyone = np.arange(source.n_obs, dtype=np.int64)
    clauses = [any_of(column, values) for column, values in sorted(spec.where.items())]
    if not clauses:
        return everyone, ()
    require_known(source, spec, clauses)
    kept = everyone[matching(source, spec, clauses, everyone)]
    asked = " and ".join(map(str, clauses))
    return kept, (f"{len(kept):,} of {len(everyone):,} cells are kept, by {asked}",)


def drawn_rows(source: ObsSource, spec: DatasetSpec, rows: Rows) -> tuple[Rows, tuple[str, ...]]:
    """Draw as many of some cells as the description's `max_cells` allows, and say so.

    Raises
    ------
    DatasetError
        When a column to stratify by isn't there.
    """
    if spec.max_cells is None or spec.max_cells >= len(rows):
        return rows, ()
    keys = _strata_keys(source, spec)
    strata = combined_strata([_codes(source.column(key)[rows]) for key in keys] or [np.zeros(len(rows), int)])
    drawn = rows[choose_stratified(strata, rows, spec.max_cells, spec.sample_seed)]
    by = f"by {', '.join(keys)}, " if keys else ""
    return drawn, (f"{len(drawn):,} of {len(rows):,} cells were drawn, {by}seed {spec.sample_seed}",)


def _strata_keys(source: ObsSource, spec: DatasetSpec) -> tuple[str, ...]:
    """Return the columns to stratify by; of those that nobody named, the ones that there are."""
    keys = {name: column_key(source, spec, name) for name in spec.stratify}
    absent = [name for name, key in keys.items() if key is None]
    if absent and spec.stratify != _BY_DEFAULT:
        raise DatasetError(
            f"{spec.name} has no obs column {', '.join(map(repr, absent))} to stratify by.",
            f"Its columns: {', '.join(source.columns) or '(none)'}. Name others with --stratify.",
        )
    return tuple(dict.fromkeys(key for key in keys.values() if key))


def _codes(texts: Texts) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return numbers of the values, in the order of their names; -1 for cells without one."""
    missing = is_missing(texts)
    codes = np.full(len(texts), -1, dtype=np.int64)
    codes[~missing] = np.unique(texts[~missing].astype(str), return_inverse=True)[1]
    return codes
