"""Tests of what comes over a network: real servers, all of them on this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import Czrun, command_line
from file_server import FileServer, file_server
from made_cells import made_cells, written

_connect = socket.socket.connect


def _only_here(self: socket.socket, address: Any) -> None:
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
        self.close()
        # pytest.fail is no Exception: code under test that expects refused connections can't swallow it.
        pytest.fail(f"a test tried to reach {address}")
    _connect(self, address)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(socket.socket, "connect", _only_here)
    monkeypatch.setenv("CZRUN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CZRUN_DATASETS", str(tmp_path / "names"))
    monkeypatch.setenv("no_proxy", "*")
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The cache of this test alone."""
    return tmp_path / "home"


@pytest.fixture
def content() -> bytes:
    """3 MB that can't be mistaken for one another."""
    return np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def server(content: bytes) -> Iterator[FileServer]:
    """A web server that gives the 3 MB."""
    with file_server(content) as file:
        yield file


@pytest.fixture
def cells(tmp_path: Path) -> bytes:
    """The bytes of a small .h5ad file."""
    return written(made_cells(), tmp_path / "made.h5ad").read_bytes()


@pytest.fixture
def czrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Czrun]:
    """The command line, in this process and in a folder of its own."""
    with command_line(tmp_path, monkeypatch, capsys) as run:
        yield run
