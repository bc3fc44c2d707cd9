"""How many folds it takes to leave each group out once: counted in the data, and remembered.

A fully cached run must know how many folds it has without opening the data: the count is kept in a file of
its own, under the key of everything that it depends on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from czrun.manifest import PrepareRequest
from czrun.split_plan import SplitKind
from czrun.storage import make_folder, write_text


def counted(request: PrepareRequest, home: Path) -> PrepareRequest:
    """Fill in the number of folds where it is the number of groups.

    Raises
    ------
    DatasetError
        When the data can't be read, or don't have what the task needs.
    StorageError
        When the count can't be kept.
    """
    plan = request.plan
    if plan.kind is not SplitKind.LEAVE_ONE_GROUP_OUT or plan.folds:
        return request
    path = home / "groups" / f"{request.key(0)}.txt"
    n_groups = _remembered(path)
    if n_groups is None:
        n_groups = _count(request)
        make_folder(path.parent)
        write_text(path, f"{n_groups}\n")
    return replace(request, plan=replace(plan, folds=n_groups))


def _remembered(path: Path) -> int | None:
    """Read a count; one that can't be read is counted again."""
    try:
        number = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return number if number > 0 else None


def _count(request: PrepareRequest) -> int:
    # Imported here: a count that is remembered needs no NumPy and no h5py.
    from czrun.annotations import annotate
    from czrun.arrangement import arrange, n_groups
    from czrun.datasets.catalogue import open_obs

    source = open_obs(request.spec, request.task.modality)
    try:
        cells = annotate(source, request.spec, request.plan, request.task)
    finally:
        source.close()
    found = n_groups(cells, request.task.design)
    # Too few groups, or too many, are refused before anything is written or launched.
    arrange(cells, request.task.design, replace(request.plan, folds=found), 0)
    return found
