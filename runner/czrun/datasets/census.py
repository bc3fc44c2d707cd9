"""Cells of the CELLxGENE Census, fetched into a local file. The only importer of cellxgene_census.

Which cells is settled on obs alone; then X is read for those only, some thousand at a time.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import cellxgene_census  # noqa: TID251 - this module is Census's one home
import numpy as np

from czrun.cells import Categorical, Column, RowBlock, Texts
from czrun.datasets.census_cells import CensusCells, speaking
from czrun.datasets.census_filters import clauses, joined
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.census_release import Release
from czrun.datasets.fetched_census import (
    CELLS_FILE,
    PROVENANCE_FILE,
    Provenance,
    folder_of,
    read_provenance,
)
from czrun.datasets.incoming import write_incoming
from czrun.errors import DatasetError
from czrun.leases import acquire
from czrun.progress import Observer, Phase, PhaseEvent
from czrun.storage import cache_home, content_key, publish, storage_errors, write_text
from czrun.version import __version__

_MEMORY = {
    # Census's own setting is 1 GiB for each column that is read.
    "soma.init_buffer_bytes": str(32 * 1024**2),
    "py.init_buffer_bytes": str(32 * 1024**2),
    "sm.mem.total_budget": str(512 * 1024**2),
}


def fetch(query: CensusQuery, release: Release, observer: Observer) -> Provenance:
    """Fetch the cells of a query, whole or not at all, unless they turn out to be here.

    Parameters
    ----------
    query
        What is asked for.
    release
        Of which Census.
    observer
        Is told how far it is.

    Raises
    ------
    DatasetError
        When there is no such Census, no cell matches, or reading fails.
    StorageError
        When the cache can't hold them.
    """
    watched = _Watched(observer, release.title)
    with ExitStack() as open_things:
        experiment, build_date = _open(query, release, open_things)
        if not release.id:
            release = _told_apart(release, experiment, build_date)
            if found := read_provenance(folder_of(query, release)):
                watched.end(cached=True)
                return found
        cells = CensusCells(experiment, release.title)
        chosen = cells.choose(query)
        watched.tell(f"{len(chosen.ids):,} of {chosen.n_matched:,} cells that match")
        obs, genes = cells.obs(chosen.ids), cells.genes()
        lease = acquire(cache_home())
        open_things.callback(lease.release)
        stage = lease.folder()
        with storage_errors(stage):
            names = np.array([str(joinid) for joinid in chosen.ids.tolist()], dtype=object)
            blocks = watched.over(cells.blocks(chosen.ids), len(names))
            nnz = write_incoming(stage / CELLS_FILE, names, genes, obs, blocks)
            found = Provenance(
                query=query,
                release=release.id,
                title=release.title,
                uri=release.uri or str(experiment.uri),
                build_date=build_date,
                value_filter=joined(clauses(query)),
                n_matched=chosen.n_matched,
                n_obs=len(names),
                n_vars=len(genes.ids),
                nnz=nnz,
                datasets=_tally(obs.get("dataset_id")),
                czrun_version=__version__,
            )
            write_text(stage / PROVENANCE_FILE, found.model_dump_json(indent=1))
        publish(stage, folder_of(query, release))
    watched.end()
    return found


class _Watched:
    """Tells an observer how far fetching is."""

    def __init__(self, observer: Observer, subject: str) -> None:
        self._observer, self._subject, self._began = observer, subject, time.monotonic()
        self.tell("choosing cells")

    def tell(self, message: str = "", fraction: float | None = None) -> None:
        """Say how far it is."""
        self._send(message=message, fraction=fraction)

    def over(self, blocks: Iterator[RowBlock], n_obs: int) -> Iterator[RowBlock]:
        """Pass blocks on, and say after each how many cells are done."""
        for block in blocks:
            yield block
            rows = block.start + len(block.indptr) - 1
            self.tell(f"{rows:,} of {n_obs:,} cells", rows / n_obs)

    def end(self, *, cached: bool = False) -> None:
        """Say that it is done."""
        self._send(done=True, cached=cached)

    def _send(self, **said: Any) -> None:  # noqa: ANN401
        elapsed = time.monotonic() - self._began
        self._observer.on_event(PhaseEvent(Phase.FETCH, self._subject, elapsed, **said))


def _open(query: CensusQuery, release: Release, open_things: ExitStack) -> tuple[Any, str]:
    """Open the cells of one organism; return them and the date on which that Census was built."""
    settings = _settings(release, os.environ)
    with speaking(release.title):
        if release.uri:
            census = cellxgene_census.open_soma(uri=release.uri, tiledb_config=settings)
        else:
            census = cellxgene_census.open_soma(census_version=release.id, tiledb_config=settings)
        open_things.enter_context(census)
        names = sorted(census["census_data"]) if "census_data" in census else []
        if not names:
            raise DatasetError(
                f"There is no census_data in {release.title}.", "Name the folder or URI that holds it."
            )
        if query.experiment not in names:
            raise DatasetError(
                f"There is no organism {query.organism!r} in {release.title}.",
                f"It has: {', '.join(names)}.",
            )
        return census["census_data"][query.experiment], _build_date(census)


def _build_date(census: Any) -> str:  # noqa: ANN401
    if "census_info" not in census or "summary" not in census["census_info"]:
        return ""
    summary = census["census_info"]["summary"].read().concat().to_pydict()
    return str(dict(zip(summary["label"], summary["value"], strict=True)).get("census_build_date", ""))


def _told_apart(release: Release, experiment: Any, build_date: str) -> Release:  # noqa: ANN401
    """Tell a Census at a URI from what was there before, by what its metadata count."""
    x = experiment.ms["RNA"].X["raw"]
    seen = [release.title, build_date, str(experiment.obs.schema), experiment.obs.count, x.nnz, list(x.shape)]
    return replace(release, id=content_key(seen))


def _settings(release: Release, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return TileDB's settings: little memory; and, for a bucket of one's own, who one is."""
    settings: dict[str, Any] = dict(_MEMORY)
    if release.uri:
        if {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & set(environment):
            settings["vfs.s3.no_sign_request"] = "false"
        if region := environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"):
            settings["vfs.s3.region"] = region
    return settings


def _tally(column: Column | Texts | None) -> dict[str, int]:
    """Count the cells of each data set."""
    if isinstance(column, Categorical):
        return {
            name: int(np.count_nonzero(column.codes == code)) for code, name in enumerate(column.categories)
        }
    return dict(Counter(column.tolist())) if isinstance(column, np.ndarray) else {}
