"""The cells of one organism in an open Census: chosen on obs, then read in blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from czrun.cells import Column, Genes, RowBlock, Texts
from czrun.datasets.arrow_columns import categorical_of, column_of, texts_of
from czrun.datasets.census_filters import (
    FIELDS,
    clauses,
    joined,
    obs_filter_problem,
    one_line,
    unknown_columns,
    unknown_values,
)
from czrun.datasets.census_query import CensusQuery
from czrun.errors import CzrunError, DatasetError, listing
from czrun.subsampling import choose_stratified, combined_strata

_BLOCK_VALUES = 1 << 22
"""Stored values that are read at once: about 200 MB while they are put in order."""

_FIRST_ROWS = 512
_MOST_ROWS = 1 << 16
_OBS_ROWS = 1 << 17
_SHOWN_VALUES = 8


@dataclass(frozen=True)
class Chosen:
    """The soma_joinids of the cells that were chosen, ascending, and how many they were chosen from."""

    ids: npt.NDArray[np.int64]
    n_matched: int


class CensusCells:
    """The cells of one organism in an open Census."""

    def __init__(self, experiment: Any, title: str) -> None:  # noqa: ANN401 - tiledbsoma has no types
        self._obs, self._rna, self._title = experiment.obs, experiment.ms["RNA"], title
        self.columns = tuple(str(name) for name in self._obs.keys())  # noqa: SIM118 - no mapping

    def choose(self, query: CensusQuery) -> Chosen:
        """Choose cells on obs alone."""
        self._check(query)
        wanted = clauses(query)
        by = query.stratify if query.max_cells else ()
        with speaking(self._title):
            table = self._obs.read(column_names=["soma_joinid", *by], value_filter=joined(wanted)).concat()
        if not table.num_rows:
            raise self._nothing(query)
        ids = table.column("soma_joinid").to_numpy()
        if query.max_cells and query.max_cells < len(ids):
            columns = [categorical_of(table.column(name)).codes for name in by]
            strata = combined_strata(columns or [np.zeros(len(ids), dtype=np.int32)])
            chosen = ids[choose_stratified(strata, ids, query.max_cells, query.seed)]
            return Chosen(np.sort(chosen), len(ids))
        return Chosen(np.sort(ids), len(ids))

    def obs(self, ids: npt.NDArray[np.int64]) -> dict[str, Column | Texts]:
        """Read all obs columns of some cells, in the order of their ids."""
        with speaking(self._title):
            pieces = [
                self._obs.read(coords=(ids[start : start + _OBS_ROWS],)).concat().sort_by("soma_joinid")
                for start in range(0, len(ids), _OBS_ROWS)
            ]
            table = pa.concat_tables(pieces)
        return {name: column_of(table.column(name)) for name in self.columns if name != "soma_joinid"}

    def genes(self) -> Genes:
        """Read all genes, in the order of X's columns: Ensembl ids, with their symbols beside."""
        with speaking(self._title):
            var = self._var()
        columns = {"gene_symbol": texts_of(var.column("feature_name"))}
        return Genes(texts_of(var.column("feature_id")), columns)

    def blocks(self, ids: npt.NDArray[np.int64]) -> Iterator[RowBlock]:
        """Read X of some cells, in the order of their ids."""
        with speaking(self._title):
            var_ids = self._var().column("soma_joinid").to_numpy()
            x = self._rna.X["raw"]
        place = np.full(int(x.shape[1]), -1, dtype=np.int32)
        place[var_ids] = np.arange(len(var_ids), dtype=np.int32)
        start, rows, seen = 0, _FIRST_ROWS, 0
        while start < len(ids):
            with speaking(self._title):
                block = _read_block(x, ids[start : start + rows], place, start)
            yield block
            start += len(block.indptr) - 1
            seen += len(block.data)
            rows = min(_MOST_ROWS, max(1, _BLOCK_VALUES * start // max(1, seen)))

    def _var(self) -> Any:  # noqa: ANN401
        names = ["soma_joinid", "feature_id", "feature_name"]
        return self._rna.var.read(column_names=names).concat().sort_by("soma_joinid")

    def _check(self, query: CensusQuery) -> None:
        asked = {field: columns for field, columns in FIELDS.items() if getattr(query, field)}
        problems = [
            f"it has no obs column {column!r}, which {field} is looked for in"
            for field, columns in asked.items()
            for column in columns
            if column not in self.columns
        ]
        if not problems:
            with speaking(self._title):
                known = {
                    field: frozenset().union(*(self._values(column) for column in columns))
                    for field, columns in asked.items()
                }
            problems += unknown_values(query, known)
        problems += unknown_columns(query.stratify if query.max_cells else (), self.columns)
        if query.obs_filter and (problem := self._obs_filter_problem(one_line(query.obs_filter))):
            problems.append(problem)
        if problems:
            raise DatasetError(
                f"This can't be asked of {self._title}:\n{listing(problems)}",
                "https://cellxgene.cziscience.com/ shows what there is; names are told apart by case.",
            )

    def _obs_filter_problem(self, text: str) -> str | None:
        if problem := obs_filter_problem(text, self.columns):
            return problem
        try:
            with speaking(self._title):
                self._obs.read(
                    coords=(slice(0, 0),), column_names=["soma_joinid"], value_filter=text
                ).concat()
        except DatasetError as error:
            reason = str(error.__cause__).partition("\n")[0].removeprefix("SOMAError: ").strip("'. ")
            if "incompatible function arguments" in reason:
                reason = "a column stands beside a value of another type, or where true or false should"
            return f"the filter {text!r} can't be used: {reason}"
        return None

    def _values(self, column: str) -> frozenset[str]:
        if pa.types.is_dictionary(self._obs.schema.field(column).type):
            return frozenset(self._obs.get_enumeration_values([column])[column].to_pylist())
        pieces = self._obs.read(column_names=[column])
        return frozenset().union(*(map(str, piece.column(column).unique().to_pylist()) for piece in pieces))

    def _nothing(self, query: CensusQuery) -> DatasetError:
        """Say which clause left no cell, and what there is instead."""
        wanted, lines = clauses(query), [f"{self._obs.count:,} cells of {query.experiment}"]
        hint = "Choose another organism."
        for number, clause in enumerate(wanted):
            columns = [clause.column] if clause.column else ["soma_joinid"]
            with speaking(self._title):
                left = self._obs.read(
                    column_names=columns, value_filter=joined(wanted[: number + 1])
                ).concat()
                lines.append(f"{left.num_rows:,} of them with {clause.words}")
                if not left.num_rows:
                    before = self._obs.read(column_names=columns, value_filter=joined(wanted[:number]))
                    hint = f"Leave out, or change, {clause.words}."
                    if clause.column:
                        most = _most_common(before.concat().column(clause.column))
                        hint += f" What is left before it: {clause.column} {most}."
                    break
        return DatasetError(f"No cell of {self._title} matches:\n{listing(lines)}", hint)


@contextmanager
def speaking(title: str) -> Iterator[None]:
    """Turn whatever TileDB, Arrow and the network raise into a DatasetError."""
    try:
        yield
    except (CzrunError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DatasetError(
            f"Reading {title} failed: {reason}",
            "Check the network, the release or the path; then start again.",
        ) from error


def _read_block(
    x: Any,  # noqa: ANN401
    ids: npt.NDArray[np.int64],
    place: npt.NDArray[np.int32],
    start: int,
) -> RowBlock:
    table = x.read(coords=(ids,)).tables().concat()
    rows = np.searchsorted(ids, table.column("soma_dim_0").to_numpy()).astype(np.int32)
    columns = place[table.column("soma_dim_1").to_numpy()]
    values = table.column("soma_data").to_numpy()
    shape = (len(ids), int(place.max()) + 1)
    matrix = sparse.coo_matrix((values, (rows, columns)), shape=shape).tocsr()
    matrix.sort_indices()
    return RowBlock(
        start,
        matrix.data.astype(np.float32, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.indptr.astype(np.int64),
    )


def _most_common(column: Any) -> str:  # noqa: ANN401
    """Count a column's values for people."""
    values = categorical_of(column)
    counts = Counter(values.codes.tolist()).most_common(_SHOWN_VALUES)
    return ", ".join(f"{values.categories[code]} ({count:,})" for code, count in counts if code >= 0)
