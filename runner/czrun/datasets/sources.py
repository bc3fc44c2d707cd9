"""What was fetched, by its address: the file, what is known of it, and what a broken-off download left."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from czrun.contract.base import ContractModel, Sha256
from czrun.datasets.remote import RemoteVersion
from czrun.errors import DatasetError
from czrun.storage import cache_home, file_sha256, make_folder, storage_errors, write_text

_RECORD = "source.json"
_PARTIAL, _BEGUN = "download.partial", "download.json"


class SourceRecord(ContractModel):
    """A file that was fetched. It stays when the file is removed: the next download is held against it.

    Attributes
    ----------
    url
        Where from, without what is secret in it.
    sha256
        Hash of what was downloaded.
    file
        Name of the file beside this record.
    file_sha256
        Hash of that file; another one where what was downloaded was unzipped.
    size, mtime_ns
        Of the file when it was hashed: as long as they are the same, it isn't hashed again.
    fetched
        When, in UTC.
    """

    schema_version: int = 1
    url: str
    sha256: Sha256
    file: str
    file_sha256: Sha256
    size: int
    mtime_ns: int
    fetched: str


@dataclass(frozen=True)
class Place:
    """The folder of one address."""

    folder: Path

    @property
    def partial(self) -> Path:
        """The bytes that have come so far."""
        return self.folder / _PARTIAL

    @property
    def record(self) -> SourceRecord | None:
        """What was fetched before, whether its file is still there or not."""
        try:
            return SourceRecord.model_validate_json((self.folder / _RECORD).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    @property
    def begun(self) -> tuple[RemoteVersion | None, int]:
        """What the server said when the partial file was begun, and how many bytes of it are there."""
        try:
            version = RemoteVersion.model_validate_json((self.folder / _BEGUN).read_bytes())
            return version, self.partial.stat().st_size
        except (FileNotFoundError, ValidationError):
            return None, 0

    def file(self) -> Path | None:
        """Return the fetched file, where it is here and what it was.

        Raises
        ------
        DatasetError
            When it was changed since.
        """
        record = self.record
        if record is None:
            return None
        path = self.folder / record.file
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        if (found.st_size, found.st_mtime_ns) == (record.size, record.mtime_ns):
            return path
        if file_sha256(path) != record.file_sha256:
            raise DatasetError(
                f"{path}, fetched from {record.url}, has been changed since.",
                f"The same command fetches it again after: rm {path}",
            )
        self.keep(record.model_copy(update={"size": found.st_size, "mtime_ns": found.st_mtime_ns}))
        return path

    def begin(self, version: RemoteVersion) -> None:
        """Note what the server says of the file whose bytes come now."""
        write_text(self.folder / _BEGUN, version.model_dump_json())

    def keep(self, record: SourceRecord) -> None:
        """Note what was fetched."""
        write_text(self.folder / _RECORD, record.model_dump_json(indent=1))

    def drop_partial(self) -> None:
        """Remove what a download left."""
        for name in (_PARTIAL, _BEGUN):
            (self.folder / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Keep other processes from fetching the same meanwhile; `waiting` is called where another does."""
        make_folder(self.folder)
        with storage_errors(self.folder):
            descriptor = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def place_of(url: str) -> Place:
    """Return where the file of an address is kept; a password in the address makes no other place."""
    parts = urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Place(cache_home() / "sources" / hashlib.sha256(address.encode()).hexdigest()[:32])
