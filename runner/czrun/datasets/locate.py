"""Where a data set's cells are on this machine: what isn't here yet is fetched, once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from czrun.datasets.formats import recognise
from czrun.datasets.imaging.kinds import table_of
from czrun.datasets.spec import DatasetSpec
from czrun.datasets.table_beside import find_table
from czrun.errors import DatasetError
from czrun.progress import Observer, Silent
from czrun.storage import content_key, file_sha256, path_sha256


@dataclass(frozen=True)
class Located:
    """A data set whose cells lie on this machine.

    Attributes
    ----------
    spec
        The data set; its `path`, or the paths of the two that it joins, are local.
    sha256
        Hash of all files that its cells come from.
    notes
        Where cells that were fetched came from.
    """

    spec: DatasetSpec
    sha256: str
    notes: tuple[str, ...] = ()


def locate(spec: DatasetSpec, observer: Observer | None = None) -> Located:
    """Find a data set's files; raises DatasetError when they can't be had.

    Parameters
    ----------
    spec
        The data set.
    observer
        Is told how far cells are that have to be fetched.
    """
    watched = observer or Silent()
    if spec.join:
        return _locate_both(spec, watched)
    if spec.url:
        return _locate_remote(spec, spec.url, watched)
    if spec.census:
        from czrun.datasets.fetched_census import fetched

        local, notes = fetched(spec, watched)
        return Located(local, file_sha256(local.file), notes)
    return Located(spec, _with_table(spec, path_sha256(_readable(spec))))


def without_fetching(spec: DatasetSpec) -> DatasetSpec | None:
    """Return a data set with local files, None where they aren't here yet; nothing is asked of any server."""
    if spec.url:
        from czrun.datasets.fetch import file_url_path, local_copy

        path = file_url_path(spec.url) or local_copy(spec)
        return _with_file(spec, path) if path else None
    if spec.census:
        from czrun.datasets.fetched_census import fetched_before

        return fetched_before(spec)
    if spec.join:
        train, test = without_fetching(spec.join.train), without_fetching(spec.join.test)
        sides = {"train": train, "test": test}
        both = train and test
        return spec.model_copy(update={"join": spec.join.model_copy(update=sides)}) if both else None
    return spec


def _locate_both(spec: DatasetSpec, observer: Observer) -> Located:
    join = spec.join
    assert join is not None  # noqa: S101 - only joins come here
    train, test = locate(join.train, observer), locate(join.test, observer)
    tables = {name: file_sha256(path) for name in ("orthologs", "label_map") if (path := getattr(join, name))}
    both = spec.model_copy(update={"join": join.model_copy(update={"train": train.spec, "test": test.spec})})
    return Located(
        both, content_key({"train": train.sha256, "test": test.sha256, **tables}), train.notes + test.notes
    )


def _locate_remote(spec: DatasetSpec, url: str, observer: Observer) -> Located:
    # Imported here: built-in and local data sets need nothing of it.
    from czrun.datasets.fetch import fetched, file_url_path

    if path := file_url_path(url):
        local = _with_file(spec, path)
        sha256 = path_sha256(_readable(local))
        if spec.sha256 not in (None, sha256):
            raise DatasetError(
                f"{path} isn't the file that was meant: sha256 {sha256}, expected {spec.sha256}.",
                "Look at where the hash came from.",
            )
        return Located(local, _with_table(local, sha256))
    file = fetched(spec, observer)
    local = _with_file(spec, file.path)
    return Located(local, _with_table(local, file.sha256), (file.note,))


def _with_file(spec: DatasetSpec, path: Path) -> DatasetSpec:
    return spec.model_copy(update={"path": path, "url": None, "sha256": None})


def _with_table(spec: DatasetSpec, content: str) -> str:
    """Return the hash of a file and of the table of columns that belongs to it, where there is one."""
    table = table_of(spec.file) if spec.holds_images else find_table(spec)
    return content_key([content, path_sha256(table)]) if table else content


def _readable(spec: DatasetSpec) -> Path:
    path = spec.file
    is_known = spec.holds_images or recognise(path)
    if not (is_known if path.is_dir() else path.is_file() and path.stat().st_size):
        # The reader knows every way in which a path can be wrong.
        from czrun.datasets.catalogue import modality_of, open_obs

        open_obs(spec, modality_of(spec))
    return path
