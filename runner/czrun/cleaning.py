"""Giving back what czrun keeps: the cache, and what killed runs left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from czrun.errors import EngineError, UsageError
from czrun.leases import is_alive, living, sweep
from czrun.records import RECORD_FILE, is_abandoned, run_folders
from czrun.storage import cache_home, folder_bytes, remove_tree, storage_errors

CACHES = ("prepared", "groups", "fits", "predictions", "scores")


@dataclass(frozen=True)
class Swept:
    """What was removed."""

    containers: int
    unfinished: int
    freed_bytes: int
    engine_note: str


DOWNLOADS = "sources"


def clean_up(runs: Path, *, with_cache: bool, with_downloads: bool = False) -> Swept:
    """Remove orphaned containers, scratch space, runs without a record and, if asked, cache and downloads.

    Raises
    ------
    UsageError
        When another czrun is running, whose cache it would be.
    """
    home = cache_home()
    names = (CACHES if with_cache else ()) + ((DOWNLOADS,) if with_downloads else ())
    dropped = [home / name for name in names]
    if dropped and (busy := living(home)):
        raise UsageError(
            f"{len(busy)} other czrun process(es) use the cache now.",
            "Wait for them, or clean with --no-cache and without --downloads.",
        )
    containers, note = _reap(home)
    if not note:
        # Without an engine the leases must stay: by them a later start knows whose containers are orphans.
        sweep(home)
    unfinished = [
        path for path in run_folders(runs) if not (path / RECORD_FILE).exists() and is_abandoned(path)
    ]
    freed = sum(map(folder_bytes, dropped))
    with storage_errors(home):
        for path in [*unfinished, *dropped]:
            remove_tree(path)
    return Swept(containers, len(unfinished), freed, note)


def _reap(home: Path) -> tuple[int, str]:
    from czrun.engines.docker import connect

    try:
        engine = connect()
    except EngineError as error:
        return 0, error.message
    try:
        return engine.reap(lambda owner: is_alive(home, owner)), ""
    finally:
        engine.close()
