"""Prepared folds of a request: those that are there, and those that are made now."""

from __future__ import annotations

import time

from czrun.leases import Lease
from czrun.manifest import PreparedManifest, PrepareRequest
from czrun.progress import Observer, Phase, PhaseEvent
from czrun.storage import cache_home


def prepare_folds(request: PrepareRequest, lease: Lease, observer: Observer) -> tuple[PreparedManifest, ...]:
    """Make whatever folds aren't there yet, and read what all of them are.

    Raises
    ------
    DatasetError, StorageError
        See `czrun.prepare.prepare`.
    """
    began, home = time.monotonic(), cache_home()
    folds = range(request.plan.n_folds)
    is_cached = all(request.is_prepared(home, fold) for fold in folds)
    if not is_cached:
        observer.on_event(PhaseEvent(Phase.PREPARE))
        # Imported here: prepared data need no NumPy and no h5py to be found again.
        from czrun.prepare import prepare

        prepare(request, home, lease)
    manifests = tuple(request.manifest(home, fold) for fold in folds)
    sizes = f"{manifests[0].n_fit:,} + {manifests[0].n_predict:,} cells"
    elapsed = time.monotonic() - began
    observer.on_event(PhaseEvent(Phase.PREPARE, "", elapsed, done=True, cached=is_cached, message=sizes))
    return manifests
