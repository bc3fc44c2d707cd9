"""The error tree: one class per exit code, every error with the next thing to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CzrunError(Exception):
    """An error that a user can meet.

    Parameters
    ----------
    message
        What went wrong, in the user's words.
    hint
        The next thing to do, best of all a command to type.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CzrunError):
    """A flag, a name or a combination of them that makes no sense."""

    exit_code = 2


class DatasetError(CzrunError):
    """Data that can't be read, split or prepared as asked."""

    exit_code = 3


class LeakError(DatasetError):
    """Prepared data that would tell a model what it is asked, and so were not published."""


class ContractError(CzrunError):
    """An image, or a file that it wrote, that breaks the model-image contract."""

    exit_code = 4


class EngineError(CzrunError):
    """The container engine is missing, refuses, or can't isolate as it must."""

    exit_code = 5


class StorageError(CzrunError):
    """A folder that can't be written, or a disk that is full."""

    exit_code = 5


class ModelError(CzrunError):
    """The model itself failed: an error, a time-out, out of memory."""

    exit_code = 6


class ScoringError(CzrunError):
    """The predictions are there but can't be scored."""

    exit_code = 7


class Cancelled(CzrunError):  # noqa: N818 - a cancelled run is an outcome, not a fault
    """The user, or a signal, stopped the run."""

    exit_code = 130


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Say that `name` is not a valid `kind`, with the nearest valid names first.

    Parameters
    ----------
    kind
        What the name should have been, for example ``"task"``.
    name
        What was given.
    valid
        All names that would have been accepted.
    """
    names = sorted(valid)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return UsageError(f"There is no {kind} {name!r}.", f"{guess}Valid: {', '.join(names) or '(none)'}.")


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return what to add to a complaint about a name: the valid one that it is most like, or nothing."""
    near = get_close_matches(name, sorted(valid), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def listing(problems: Iterable[str], limit: int = 20) -> str:
    """Lay out gathered problems as one indented line each, the first `limit` of them."""
    lines = list(problems)
    shown = [f"  - {line}" for line in lines[:limit]]
    if len(lines) > limit:
        shown.append(f"  ... and {len(lines) - limit} more")
    return "\n".join(shown)
