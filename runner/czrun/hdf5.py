"""Opening users' HDF5 files, and what is said of those that are damaged or laid out otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from czrun.errors import CzrunError, DatasetError


@dataclass(frozen=True)
class FileKind:
    """A kind of file, for messages.

    Attributes
    ----------
    name
        What people call it, for example ``.h5ad``.
    layout
        What it is laid out as, for example ``AnnData``.
    mend
        How to get a whole one.
    """

    name: str
    layout: str
    mend: str


def check_file(path: Path, name: str) -> None:
    """Raise DatasetError unless a path is a file with something in it."""
    if path.is_dir():
        raise DatasetError(f"{path} is a folder.", f"Name the {name} file itself.")
    if not path.exists():
        raise DatasetError(
            f"There is no file {path}.", "Check the path; `czrun datasets list` shows names that work."
        )
    if path.stat().st_size == 0:
        raise DatasetError(f"{path} is empty (0 bytes).", "Copy or write it again.")


def open_hdf5(path: Path, kind: FileKind) -> Any:  # noqa: ANN401 - h5py has no types
    """Open an HDF5 file; raises DatasetError."""
    check_file(path, kind.name)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated" in str(error):
            raise DatasetError(f"{path} is cut off: {_reason(error)}.", "Copy it again, whole.") from error
        if isinstance(error, PermissionError):
            raise DatasetError(f"{path} may not be read.", f"Try `chmod u+r {path}`.") from error
        raise DatasetError(f"{path} is not an HDF5 file, so it can't be {kind.name}.", kind.mend) from error


@contextmanager
def reading(path: Path, kind: FileKind) -> Iterator[None]:
    """Turn whatever the libraries raise over a damaged or odd file into a DatasetError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata tells its users to rewrite old files; ours can't
            yield
    except (CzrunError, MemoryError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise DatasetError(
            f"{path} can't be read: it is damaged, or not laid out as {kind.layout} ({what}).",
            f"Copy it again; or {kind.mend[0].lower()}{kind.mend[1:]}",
        ) from error


def _reason(error: OSError) -> str:
    text = str(error)
    return text[text.find("truncated file") :].rstrip(")")
