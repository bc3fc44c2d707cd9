"""Errors: one exit code a class, and always a next step."""

from __future__ import annotations

import pytest

from czrun import errors
from czrun.contract.outcome import Status
from czrun.errors import CzrunError, listing, unknown_name
from czrun.results import _ERROR_OF

CODES = {
    "UsageError": 2, "DatasetError": 3, "ContractError": 4, "EngineError": 5, "StorageError": 5,
    "ModelError": 6, "ScoringError": 7, "Cancelled": 130,
}  # fmt: skip


def test_every_error_has_its_exit_code() -> None:
    found = {each.__name__: each.exit_code for each in CzrunError.__subclasses__()}
    assert found == CODES


@pytest.mark.parametrize("name", CODES)
def test_an_error_keeps_message_and_hint_apart(name: str) -> None:
    error = getattr(errors, name)("It broke.", "Mend it.")
    assert (str(error), error.message, error.hint) == ("It broke.", "It broke.", "Mend it.")


def test_every_failure_of_a_run_has_an_error() -> None:
    assert set(_ERROR_OF) == set(Status) - {Status.SUCCEEDED}


class TestUnknownNames:
    def test_the_nearest_comes_first_then_all(self) -> None:
        error = unknown_name("task", "cell-typ", ["embedding", "cell-type"])
        assert error.message == "There is no task 'cell-typ'."
        assert error.hint == "Did you mean 'cell-type'? Valid: cell-type, embedding."

    def test_without_anything_near_only_the_valid_ones(self) -> None:
        assert unknown_name("task", "xyz", ["embedding"]).hint == "Valid: embedding."

    def test_without_any_name_at_all(self) -> None:
        assert unknown_name("run", "x", []).hint == "Valid: (none)."


class TestListings:
    def test_one_line_a_problem(self) -> None:
        assert listing(["a", "b"]) == "  - a\n  - b"

    def test_the_rest_is_counted(self) -> None:
        assert listing((str(i) for i in range(25)), limit=2).splitlines() == [
            "  - 0",
            "  - 1",
            "  ... and 23 more",
        ]
