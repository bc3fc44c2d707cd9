"""What keeps the other unit tests honest."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from czrun.errors import EngineError
from czrun.storage import cache_home


def test_a_unit_test_cannot_reach_the_network() -> None:
    with socket.socket() as plug, pytest.raises(pytest.fail.Exception, match="tried to reach"):
        plug.connect(("127.0.0.1", 9))


def test_a_unit_test_cannot_reach_an_engine() -> None:
    from czrun.engines.docker import connect

    with pytest.raises((pytest.fail.Exception, EngineError)):
        connect()


def test_a_unit_test_keeps_its_cache_in_its_own_folder(tmp_path: Path) -> None:
    assert cache_home().is_relative_to(tmp_path)
    assert "CZRUN_RUNS" not in os.environ
