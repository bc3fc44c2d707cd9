from __future__ import annotations

from pathlib import Path

import pytest

from czrun.engines.connection import no_engine, refused_ssh, socket_candidates


def test_the_usual_sockets_are_tried_docker_before_podman() -> None:
    found = socket_candidates({"XDG_RUNTIME_DIR": "/run/user/7"}, Path("/home/u"))
    assert found[0] == Path("/var/run/docker.sock")
    assert {Path("/home/u/.docker/run/docker.sock"), Path("/run/user/7/docker.sock")} <= set(found)
    assert found.index(Path("/run/user/7/docker.sock")) < found.index(Path("/run/user/7/podman/podman.sock"))


def test_without_a_runtime_folder_its_sockets_are_left_out() -> None:
    assert not any("/run/user" in str(path) for path in socket_candidates({}, Path("/home/u")))


@pytest.mark.parametrize(
    ("platform", "start"), [("linux", "make engine"), ("darwin", "Docker Desktop"), ("x", "Podman")]
)
def test_no_engine_says_what_to_start(platform: str, start: str) -> None:
    error = no_engine(["unix:///a: refused"], platform)
    assert "unix:///a: refused" in error.message
    assert start in error.hint
    assert "czrun doctor" in error.hint


def test_ssh_is_answered_with_the_command_that_works() -> None:
    assert "ssh -nNT -L" in refused_ssh("ssh://u@box").hint
    assert "u@box" in refused_ssh("ssh://u@box").hint
