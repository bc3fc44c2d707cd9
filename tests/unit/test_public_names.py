"""Names that users import."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

import pytest

import czrun
from czrun import metrics


@pytest.mark.parametrize("package", [czrun, metrics], ids=["czrun", "czrun.metrics"])
def test_no_public_name_is_that_of_a_module(package: ModuleType) -> None:
    # Importing the module, wherever that happens, would put it in the function's place.
    taken = [name for name in package.__all__ if find_spec(f"{package.__name__}.{name}")]
    assert taken == []


@pytest.mark.parametrize("package", [czrun, metrics], ids=["czrun", "czrun.metrics"])
def test_every_public_name_is_there(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None
