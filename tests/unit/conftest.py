"""Unit tests reach no engine and no network, and keep their cache to themselves."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

from command_line import Czrun, command_line

# The same examples every time: a red test is a changed promise, not bad luck. No deadline.
settings.register_profile(
    "czrun", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("czrun")


def _refuse(plug: socket.socket, address: object) -> NoReturn:
    plug.close()
    # pytest.fail is no Exception: code under test that expects refused connections can't swallow it.
    pytest.fail(f"a unit test tried to reach {address}")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(socket.socket, "connect", _refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", _refuse)
    # For the processes that a test starts, which the lines above don't reach.
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/engine.sock")
    monkeypatch.setenv("CZRUN_HOME", str(tmp_path / "home"))
    for name in ("CZRUN_RUNS", "CZRUN_DEBUG", "DOCKER_CONTEXT", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The cache of this test alone."""
    return tmp_path / "home"


@pytest.fixture
def czrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Czrun]:
    """The command line, in this process and in a folder of its own."""
    with command_line(tmp_path, monkeypatch, capsys) as run:
        yield run
