"""Cells of Census that were fetched already, and where they lie: a repeat reads nothing from Census.

sources/<key>/cells.h5ad
              provenance.json
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from czrun.contract.base import ContractModel
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.census_release import Release, UnreachableError, is_published, resolve
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from czrun.progress import Observer, Phase, PhaseEvent
from czrun.storage import cache_home, content_key

CELLS_FILE = "cells.h5ad"
PROVENANCE_FILE = "provenance.json"

_LAYOUT = 1
"""Goes up when the same query would give another file."""


class Provenance(ContractModel):
    """Where fetched cells come from."""

    schema_version: Literal[1] = 1
    query: CensusQuery = Field(description="What was asked for.")
    release: str = Field(
        description="Date of the release; a hash of what it holds for a Census of one's own."
    )
    title: str
    uri: str = Field(description="Where it was read.")
    build_date: str = Field(description="As Census itself has it; empty where it doesn't say.")
    value_filter: str | None
    n_matched: int
    n_obs: int
    n_vars: int
    nnz: int
    datasets: dict[str, int] = Field(description="Cells of each CELLxGENE data set, by its id.")
    czrun_version: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of these cells."""
        query, drawn = self.query, ""
        if self.n_obs < self.n_matched:
            drawn = f", drawn by {' and '.join(query.stratify) or 'chance alone'} with seed {query.seed}"
        cells = f"{self.n_obs:,} of {self.n_matched:,} cells of {self.title} that match{drawn}"
        genes = f"all {self.n_vars:,} genes of Census are kept: 0 may mean that a data set didn't measure one"
        return cells, genes


def fetched(spec: DatasetSpec, observer: Observer) -> tuple[DatasetSpec, tuple[str, ...]]:
    """Return the data set with its cells of Census in a local file, and notes; fetch them if need be.

    Raises
    ------
    DatasetError
        When they can't be had.
    """
    query = spec.census
    assert query is not None  # noqa: S101 - only data sets of Census come here
    began = time.monotonic()
    try:
        release = resolve(query)
    except UnreachableError as error:
        found = _newest(query)
        if not found:
            raise
        why = f"what {query.version} is now can't be told: {error.message} They were fetched earlier"
        return _local(spec, found), (*found.notes, why)
    found = read_provenance(folder_of(query, release))
    if found:
        elapsed = time.monotonic() - began
        observer.on_event(PhaseEvent(Phase.FETCH, found.title, elapsed, done=True, cached=True))
    else:
        found = _fetch(query, release, observer)
    return _local(spec, found), found.notes


def fetched_before(spec: DatasetSpec) -> DatasetSpec | None:
    """Return the data set with cells that an earlier run fetched; None where none did. Census isn't asked."""
    found = spec.census and max(_kept(spec.census), key=lambda each: each.release, default=None)
    return _local(spec, found) if found else None


def folder_of(query: CensusQuery, release: Release) -> Path:
    """Return where the cells of a query lie, once they are fetched."""
    key = content_key({"layout": _LAYOUT, "release": release.id, "query": query.meaning()})
    return cache_home() / "sources" / key


def read_provenance(folder: Path) -> Provenance | None:
    """Read what is kept of fetched cells; None where there are none."""
    try:
        return Provenance.model_validate_json((folder / PROVENANCE_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def _fetch(query: CensusQuery, release: Release, observer: Observer) -> Provenance:
    try:
        from czrun.datasets.census import fetch
    except ImportError as error:
        if (error.name or "").startswith("czrun"):
            raise
        raise DatasetError(
            f"Cells of the CELLxGENE Census need packages that aren't installed: {error}.",
            "pip install 'czrun[census]'",
        ) from error
    return fetch(query, release, observer)


def _newest(query: CensusQuery) -> Provenance | None:
    published = (each for each in _kept(query) if is_published(each.release))
    return max(published, key=lambda each: each.release, default=None)


def _kept(query: CensusQuery) -> list[Provenance]:
    """Return what was fetched of a query, from whatever release."""
    kept = (read_provenance(file.parent) for file in (cache_home() / "sources").glob(f"*/{PROVENANCE_FILE}"))
    return [each for each in kept if each and each.query.meaning() == query.meaning()]


def _local(spec: DatasetSpec, found: Provenance) -> DatasetSpec:
    folder = folder_of(found.query, Release(found.release))
    if not (folder / CELLS_FILE).is_file():
        raise DatasetError(
            f"{folder} holds no {CELLS_FILE} any more.", f"Remove it, to fetch again: rm -r {folder}"
        )
    published = is_published(found.release)
    return spec.model_copy(
        update={
            "path": folder / CELLS_FILE,
            "census": None,
            "name": spec.name
            or "_".join(["census", *found.query.tissue, found.query.experiment]).replace(" ", "_"),
            "obs": {"batch": "dataset_id", **spec.obs},
            "organism": spec.organism or found.query.experiment,
            "source": spec.source or (f"CELLxGENE {found.title}" if published else found.title),
            "license": spec.license or ("CC-BY-4.0" if published else ""),
        }
    )
