"""What `import czrun` offers, and keeps offering."""

from __future__ import annotations

import pkgutil

import pytest

import czrun


@pytest.mark.parametrize("name", czrun.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(czrun, name) is not None


def test_no_module_has_a_public_name() -> None:
    # Importing czrun.x puts the module in place of the attribute `x`: a function of that name would be gone.
    assert not {module.name for module in pkgutil.iter_modules(czrun.__path__)} & set(czrun.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'scores_of'"):
        _ = czrun.scores_of
