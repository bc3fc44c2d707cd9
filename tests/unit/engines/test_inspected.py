from __future__ import annotations

from typing import Any

import pytest

from czrun.engines.inspected import engine_info, image_info, is_reference, no_image, seconds, settings

SOCKET = "unix:///var/run/docker.sock"
LOCAL = ["czrun/logreg:latest", "czrun/svm:latest", "lab/scgpt:2"]


@pytest.mark.parametrize(
    "text",
    [
        "logreg",
        "czrun/logreg:1",
        "localhost:5000/a/b:1.0",
        "ghcr.io/lab/model@sha256:" + "0" * 64,
        "sha256:" + "a" * 64,
        "abc123",
        "REGISTRY.example.org/m",
    ],
)
def test_references_are_known(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize(
    "text", ["", "../../etc", "a b", "a//../b", "x?y", "Upper", "a:b:c", "-a", "a" * 600, "a\n"]
)
def test_what_is_no_reference_never_reaches_the_engine(text: str) -> None:
    assert not is_reference(text)


@pytest.mark.parametrize(
    ("reference", "hints"),
    [
        ("czrun/logerg", ["czrun/logreg:latest", "make images"]),
        ("lab/scgpt", ["lab/scgpt:2", "docker pull lab/scgpt", "docker build"]),
        ("zzz", ["docker pull zzz"]),
        ("localhost:5000/x/y", ["docker pull"]),
    ],
)
def test_a_missing_image_names_the_nearest_and_the_way(reference: str, hints: list[str]) -> None:
    error = no_image(reference, LOCAL)
    assert error.exit_code == 4
    assert all(hint in error.hint for hint in hints), error.hint


def test_an_image_is_read() -> None:
    image = image_info(
        "m:1",
        {
            "Id": "sha256:1",
            "RepoDigests": ["m@sha256:2"],
            "Os": "linux",
            "Architecture": "arm64",
            "Variant": "v8",
            "Size": 7,
            "Config": {
                "Labels": {"a": "b"},
                "Volumes": {"/z": {}, "/a": {}},
                "Entrypoint": ["/m"],
                "Cmd": None,
                "WorkingDir": "/w",
            },
        },
    )
    assert image.platform == "linux/arm64/v8"
    assert image.volumes == ("/a", "/z")
    assert (image.entrypoint, image.command, image.working_dir) == (("/m",), (), "/w")


def test_an_image_that_declares_nothing_is_read() -> None:
    image = image_info(
        "m", {"Id": "sha256:1", "Config": {"Labels": None, "Volumes": None, "Entrypoint": None}}
    )
    assert (image.labels, image.volumes, image.entrypoint) == ({}, (), ())


DOCKER: dict[str, Any] = {
    "Components": [{"Name": "Engine", "Version": "28"}],
    "ApiVersion": "1.50",
    "Version": "28",
}
PODMAN: dict[str, Any] = {"Components": [{"Name": "Podman Engine", "Version": "4.3"}], "ApiVersion": "1.41"}
GOOD: dict[str, Any] = {
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
    "CgroupVersion": "2",
    "CgroupDriver": "systemd",
    "NCPU": 4,
    "MemTotal": 2**33,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Runtimes": {"runc": {}},
}


def test_a_good_engine_has_no_weakness() -> None:
    info = engine_info(GOOD, DOCKER, SOCKET)
    assert (info.product, info.weaknesses, info.remote_files, info.gpus) == ("docker", (), "", False)


@pytest.mark.parametrize("flag", ["MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsQuota"])
def test_each_limit_that_is_ignored_is_a_weakness(flag: str) -> None:
    assert len(engine_info(GOOD | {flag: False}, DOCKER, SOCKET).weaknesses) == 1


def test_an_engine_without_a_cgroup_driver_ignores_everything() -> None:
    assert "every limit" in engine_info(GOOD | {"CgroupDriver": "none"}, DOCKER, SOCKET).weaknesses[0]


def test_rootless_podman_on_the_first_cgroup_version_is_not_believed() -> None:
    rootless = GOOD | {"SecurityOptions": ["name=rootless"], "CgroupVersion": "1"}
    info = engine_info(rootless, PODMAN, SOCKET)
    assert info.product == "podman"
    assert "every limit" in info.weaknesses[0]


@pytest.mark.parametrize("option", ["name=userns", "name=rootless"])
def test_remapped_users_mean_that_files_travel(option: str) -> None:
    assert engine_info(GOOD | {"SecurityOptions": [option]}, DOCKER, SOCKET).remote_files


@pytest.mark.parametrize(
    ("address", "remote"),
    [
        ("tcp://10.0.0.5:2376", True),
        ("tcp://127.0.0.1:2375", False),
        ("http://localhost:2375", False),
        (SOCKET, False),
    ],
)
def test_an_engine_on_another_machine_means_that_files_travel(address: str, remote: bool) -> None:
    assert bool(engine_info(GOOD, DOCKER, address).remote_files) is remote


def test_a_container_s_settings_hold_no_path_of_the_host() -> None:
    inspected = {
        "Image": "sha256:1",
        "HostConfig": {"Memory": 5, "Binds": ["/home/u:/x"], "Mounts": [{"Source": "/home/u"}]},
        "Config": {"User": "1:1"},
        "Mounts": [{"Type": "bind", "Source": "/home/u/x", "Destination": "/czrun/input", "RW": False}],
    }
    found = settings(inspected)
    assert found["Memory"] == 5
    assert found["Mounts"] == [{"target": "/czrun/input", "type": "bind", "writable": False}]
    assert "/home/u" not in str(found)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"StartedAt": "2026-01-01T00:00:00.100000001Z", "FinishedAt": "2026-01-01T00:00:02.6Z"}, 2.5),
        ({"StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}, 0.0),
        ({"StartedAt": "nonsense"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_engines_clock_tells_the_time(state: dict[str, str], expected: float) -> None:
    assert seconds(state) == pytest.approx(expected)
