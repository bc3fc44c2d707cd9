"""Real data sets, where this machine has them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Give the path of a real .h5ad or .npz file by name; the test is skipped where it isn't there."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("CZRUN_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
        for path in (folder / f"{name}.h5ad", folder / f"{name}.npz"):
            if path.is_file():
                return path
        pytest.skip(f"{name} is not in {folder}: name its folder with CZRUN_TEST_DATA")

    return find
