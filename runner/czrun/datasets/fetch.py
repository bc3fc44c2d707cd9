"""Fetching the file of a data set: once, whole, and only what was meant."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zlib import error as ZlibError  # noqa: N812 - it is an exception

from czrun.datasets.elsewhere import EXTRA, open_elsewhere
from czrun.datasets.remote import (
    SUFFIXES,
    Interrupted,
    NeedsCredentials,
    RemoteVersion,
    Stream,
    file_name,
    shown_url,
)
from czrun.datasets.sources import Place, SourceRecord, place_of
from czrun.datasets.spec import DatasetSpec
from czrun.errors import Cancelled, DatasetError, StorageError, listing
from czrun.progress import Observer, Phase, PhaseEvent, Silent
from czrun.storage import storage_errors

_HASH_BYTES = 1 << 20
# Cuts are ordinary on a way of many gigabytes; a server that cuts this often isn't worth waiting for.
_MOST_CUTS = 20

Open = Callable[[str, int, RemoteVersion | None], Stream]


@dataclass(frozen=True)
class Fetched:
    """A file that was elsewhere and is here now.

    Attributes
    ----------
    path
        Where it is.
    sha256
        Hash of what was downloaded.
    note
        Where it came from, and how it is known to be the right one.
    """

    path: Path
    sha256: str
    note: str


def fetched(spec: DatasetSpec, observer: Observer | None = None) -> Fetched:
    """Have the file of a data set's `url` here; what is here already isn't asked for again.

    Parameters
    ----------
    spec
        The data set.
    observer
        Is told how far it is.

    Raises
    ------
    DatasetError
        When it can't be had, or isn't the file that was meant.
    StorageError
        When there is no room for it.
    Cancelled
        On Ctrl-C; what has come so far stays.
    """
    assert spec.url is not None  # noqa: S101 - only data sets of a url come here
    watch = _Watch(observer or Silent(), spec.name)
    place = place_of(spec.url)
    if (record := _kept(place, spec)) is None:
        with place.locked(lambda: watch.says("waiting for another czrun that fetches it")):
            if (record := _kept(place, spec)) is None:
                record = _fetch(spec, spec.url, place, watch)
    watch.ends(record.size)
    return Fetched(place.folder / record.file, record.sha256, _note(spec, record))


def local_copy(spec: DatasetSpec) -> Path | None:
    """Return the file of a data set's `url` where it has been fetched; nothing is asked of any server."""
    if spec.url is None or _kept(place_of(spec.url), spec) is None:
        return None
    return place_of(spec.url).file()


def file_url_path(url: str) -> Path | None:
    """Return the path that a ``file://`` address names; None for addresses elsewhere."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _kept(place: Place, spec: DatasetSpec) -> SourceRecord | None:
    """Return what is here of a data set, unless another hash is wanted by now."""
    record = place.record
    if record is None or spec.sha256 not in (None, record.sha256) or place.file() is None:
        return None
    return place.record


def _note(spec: DatasetSpec, record: SourceRecord) -> str:
    how = "its hash is the given one" if spec.sha256 else f"hash pinned at first download: {record.sha256}"
    return f"fetched from {record.url}; {how}"


def _fetch(spec: DatasetSpec, url: str, place: Place, watch: _Watch) -> SourceRecord:
    file_name(url)  # What can't be read needn't be asked for.
    try:
        name, sha256 = _download(url, place, watch)
    except KeyboardInterrupt:
        raise Cancelled(
            f"Cancelled; {watch.so_far} of {shown_url(url)} are here.",
            "The same command goes on from there.",
        ) from None
    _refuse_another(spec, url, place, sha256)
    with storage_errors(place.folder):
        path, file_sha256 = place.folder / name, sha256
        if name.lower().endswith(".gz"):
            path, file_sha256 = _unzip(url, place, path.with_suffix(""), watch)
        else:
            place.partial.replace(path)
        if (before := place.record) and before.file != path.name:
            (place.folder / before.file).unlink(missing_ok=True)
        found = path.stat()
        record = SourceRecord(
            url=shown_url(url),
            sha256=sha256,
            file=path.name,
            file_sha256=file_sha256,
            size=found.st_size,
            mtime_ns=found.st_mtime_ns,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        place.keep(record)
        place.drop_partial()
    return record


def _refuse_another(spec: DatasetSpec, url: str, place: Place, sha256: str) -> None:
    """Drop a file that isn't the one that was meant, or isn't the one that was there before."""
    before = place.record
    if spec.sha256:
        if sha256 == spec.sha256:
            return
        place.drop_partial()
        raise DatasetError(
            f"{shown_url(url)} isn't the file that was meant, and was removed:\n"
            + listing([f"expected sha256 {spec.sha256}", f"received sha256 {sha256}"]),
            "Look at where the hash came from: has the file been replaced there, or on its way here?",
        )
    if before and before.sha256 != sha256:
        place.drop_partial()
        raise DatasetError(
            f"{shown_url(url)} isn't the file that was fetched on {before.fetched[:10]}, and was removed:\n"
            + listing([f"pinned sha256 {before.sha256}", f"received sha256 {sha256}"]),
            f"If you want the new one, forget the old one: rm -r {place.folder}",
        )


def _download(url: str, place: Place, watch: _Watch) -> tuple[str, str]:
    """Bring a file here, however often the way is cut; return its name and its hash."""
    cuts = 0
    while True:
        before = place.begun[1]
        try:
            return _attempt(url, place, watch)
        except Interrupted as cut:
            cuts += 1
            if place.begun[1] <= before or cuts > _MOST_CUTS:
                raise DatasetError(
                    f"{shown_url(url)} broke off, {watch.so_far} are here: {cut}.",
                    "The same command goes on from there.",
                ) from cut


def _attempt(url: str, place: Place, watch: _Watch) -> tuple[str, str]:
    version, here = place.begun
    # The last byte is asked for again, so that a partial file that is whole needs no road of its own.
    start = min(here, (version.size or here + 1) - 1) if version else 0
    stream = _open(url, start, version)
    try:
        name = file_name(url, stream.names)
        if not name:
            raise DatasetError(
                f"The name of {shown_url(url)} doesn't say what kind of file it is.",
                f"Write a name behind it, {url.partition('#')[0]}#cells.h5ad; "
                f"those ending in {', '.join(SUFFIXES)} are read.",
            )
        with storage_errors(place.partial):
            _check_room(place.folder, stream, url)
            place.begin(stream.version)
            return name, _receive(stream, place.partial, watch)
    finally:
        stream.hang_up()


def _open(url: str, start: int, begun: RemoteVersion | None) -> Stream:
    if urlsplit(url).scheme not in ("http", "https", "s3", "gs"):
        return open_elsewhere(url, start, begun)
    # Imported here: requests takes a tenth of a second that only a download need pay.
    from czrun.datasets.web import open_web

    try:
        return open_web(url, start, begun)
    except NeedsCredentials as refused:
        if not find_spec("fsspec"):
            raise DatasetError(
                str(refused), f"If it is yours, {EXTRA}: then your own credentials are used."
            ) from refused
        return open_elsewhere(url, start, begun)


def _receive(stream: Stream, path: Path, watch: _Watch) -> str:
    """Write what comes behind what is there; return the hash of all of it."""
    digest, size = hashlib.sha256(), stream.version.size
    with path.open("r+b" if stream.start else "wb") as file:
        for _ in range(0, stream.start, _HASH_BYTES):
            digest.update(file.read(min(_HASH_BYTES, stream.start - file.tell())))
        file.truncate(stream.start)
        file.seek(done := stream.start)
        for piece in stream.pieces:
            file.write(piece)
            # What has come must outlive this process, however it ends.
            file.flush()
            digest.update(piece)
            done += len(piece)
            watch.came(done, size)
        if size is not None and done < size:
            raise Interrupted("the server ended it early")
        os.fsync(file.fileno())
    if size is not None and done > size:
        path.unlink()
        raise Interrupted(f"the server sent more than the {size:,} bytes that it had announced")
    return digest.hexdigest()


def _check_room(folder: Path, stream: Stream, url: str) -> None:
    missing = (stream.version.size or 0) - stream.start
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise StorageError(
            f"{shown_url(url)} needs {_size(missing)} more, and {_size(free)} are free in {folder}.",
            "Set CZRUN_HOME to a folder on a larger disk; `czrun runs clean` frees czrun's own cache.",
        )


def _unzip(url: str, place: Place, path: Path, watch: _Watch) -> tuple[Path, str]:
    """Unpack a gzipped file to where it stays; return the path and its own hash."""
    watch.says("unzipping")
    digest, whole = hashlib.sha256(), place.folder / "unzipped.partial"
    try:
        with gzip.open(place.partial, "rb") as packed, whole.open("wb") as file:
            while piece := packed.read(_HASH_BYTES):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(path)
    except (gzip.BadGzipFile, EOFError, ZlibError) as error:
        place.drop_partial()
        raise DatasetError(
            f"{shown_url(url)} is called .gz and can't be unzipped: {error}.",
            "Look the file up where you found it.",
        ) from error
    finally:
        whole.unlink(missing_ok=True)
    return path, digest.hexdigest()


class _Watch:
    """Tells an observer how far one file is."""

    def __init__(self, observer: Observer, subject: str) -> None:
        self._observer, self._subject = observer, subject
        self._began = time.monotonic()
        self._is_here = True
        self.so_far = _size(0)

    def came(self, done: int, size: int | None) -> None:
        """Tell how many bytes are here."""
        self.so_far = f"{_size(done, size or done)[:-3]} of {_size(size)}" if size else _size(done)
        self.says(self.so_far, done / size if size else None)

    def says(self, message: str, fraction: float | None = None) -> None:
        """Tell what is done now."""
        self._is_here = False
        self._tell(message, fraction)

    def ends(self, size: int) -> None:
        """Tell that the file is here."""
        self._tell(_size(size), done=True)

    def _tell(self, message: str, fraction: float | None = None, *, done: bool = False) -> None:
        elapsed = time.monotonic() - self._began
        cached = done and self._is_here
        self._observer.on_event(
            PhaseEvent(Phase.FETCH, self._subject, elapsed, done, cached, message=message, fraction=fraction)
        )


def _size(size: int, largest: int | None = None) -> str:
    """Write a size as download pages do, in the unit that suits the largest of several: ``45.6 MB``."""
    unit, name = next(
        ((unit, name) for unit, name in ((10**9, "GB"), (10**6, "MB")) if (largest or size) >= unit),
        (10**3, "kB"),
    )
    return f"{size / unit:.1f} {name}"
