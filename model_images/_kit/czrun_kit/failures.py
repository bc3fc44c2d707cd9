"""Failures that say by their exit code what was wrong."""

from __future__ import annotations


class KitError(Exception):
    """A failure with an exit code of its own; any other exception is a model error (70).

    Parameters
    ----------
    message
        What went wrong.
    hint
        What to do about it.
    """

    code = "model_error"
    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unsupported(KitError):  # noqa: N818 - it is shown as n/a, which is no error
    """The model doesn't do this task, or this verb."""

    code = "unsupported"
    exit_code = 64


class BadInput(KitError):  # noqa: N818
    """The model refuses the input: unreadable, or not what it can work with."""

    code = "bad_input"
    exit_code = 65


class ResourceMissing(KitError):  # noqa: N818
    """Something that the model needs isn't there, for example a GPU."""

    code = "resource_missing"
    exit_code = 69
