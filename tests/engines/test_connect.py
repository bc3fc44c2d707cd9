"""Finding the engine, and not finding it."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from czrun.engines.docker import DockerEngine, connect
from czrun.errors import EngineError

pytestmark = pytest.mark.engine


@pytest.fixture
def address(engine: DockerEngine) -> str:
    return engine.info().address


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Path]:
    """A socket that accepts and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "mute.sock"))
        server.listen()
        yield tmp_path / "mute.sock"


def test_docker_host_comes_first(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("DOCKER_CONTEXT", "no-such-context")
    engine = connect()
    assert engine.info().address == address
    engine.close()


def test_an_address_that_nobody_listens_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError) as caught:
        connect()
    assert "none.sock" in caught.value.message
    assert "czrun doctor" in caught.value.hint


def test_an_engine_that_hangs_is_an_error_not_a_hang(mute: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{mute}")
    monkeypatch.setattr("czrun.engines.docker.TIMEOUT_S", 0.2)
    with pytest.raises(EngineError, match="timed out"):
        connect()


@pytest.mark.parametrize("by_name", [True, False])
def test_the_context_in_use_is_followed(
    address: str, by_name: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"lab").hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": "lab", "Metadata": {}, "Endpoints": {"docker": {"Host": address, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    (tmp_path / "config.json").write_text(json.dumps({} if by_name else {"currentContext": "lab"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if by_name:
        monkeypatch.setenv("DOCKER_CONTEXT", "lab")
    monkeypatch.setattr("czrun.engines.docker.socket_candidates", lambda *_: ())
    engine = connect()
    assert engine.info().address == address
    engine.close()


def test_without_any_socket_it_says_what_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setattr("czrun.engines.docker.socket_candidates", lambda *_: (tmp_path / "none.sock",))
    with pytest.raises(EngineError) as caught:
        connect()
    assert "make engine" in caught.value.hint or "Start" in caught.value.hint
