from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from czrun.contract.job import Limits, Verb
from czrun.engines.base import EngineInfo, ImageInfo, Launch
from czrun.engines.policy import DEDICATED_USER, User, contract_environment, policy_for, sandbox_user
from czrun.errors import ContractError, EngineError

CALLER = User(1000, 1000)
MIB = 1024**2


def test_the_environment_is_exactly_the_contracts(limits: Limits) -> None:
    assert contract_environment(Verb.PREDICT, 7, limits) == {
        "CZRUN_JOB": "/czrun/job.json",
        "CZRUN_VERB": "predict",
        "CZRUN_SEED": "7",
        "PYTHONHASHSEED": "7",
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "HOME": "/tmp/home",
        "LD_PRELOAD": "",
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "NUMBA_NUM_THREADS": "2",
        "RAYON_NUM_THREADS": "2",
        "NVIDIA_VISIBLE_DEVICES": "void",
    }


def test_granted_gpus_are_left_to_the_engine(limits: Limits) -> None:
    granted = limits.model_copy(update={"gpus": 1})
    assert "NVIDIA_VISIBLE_DEVICES" not in contract_environment(Verb.FIT, 0, granted)


def test_root_is_replaced_by_the_dedicated_user() -> None:
    assert sandbox_user(User(0, 0)) == DEDICATED_USER
    assert sandbox_user(CALLER) == CALLER
    assert str(CALLER) == "1000:1000"


def test_the_whole_translation(launch: Launch, info: EngineInfo) -> None:
    policy = policy_for(launch, info, CALLER)
    assert policy.container_config() == {
        "image": launch.image.digest,
        "command": ["fit"],
        "entrypoint": None,
        "user": "1000:1000",
        "hostname": "czrun",
        "environment": {"A": "1"},
        "labels": {"czrun.run": "run", "czrun.owner": "owner"},
        "stop_signal": "SIGTERM",
        "healthcheck": {"test": ["NONE"]},
        "network_disabled": False,
        "use_config_proxy": False,
    }
    host = policy.host_config()
    mounts = host.pop("mounts")
    limits = host.pop("ulimits")
    tmpfs = "rw,exec,nosuid,nodev,mode=1777,size=268435456"
    assert host == {
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 512,
        "mem_limit": 1024 * MIB,
        "memswap_limit": 1024 * MIB,
        "nano_cpus": 1_500_000_000,
        "init": True,
        "ipc_mode": "private",
        "shm_size": 256 * MIB,
        "cgroupns": "private",
        "tmpfs": {"/tmp": tmpfs, "/tmp/home": tmpfs, "/data": tmpfs},
        "log_config": {"type": "none"},
        "device_requests": None,
        "auto_remove": False,
        "privileged": False,
    }
    assert {limit["Name"]: limit["Hard"] for limit in limits}["core"] == 0
    assert [(mount["Type"], mount["Target"], mount["ReadOnly"]) for mount in mounts] == [
        ("bind", "/czrun/job.json", True),
        ("bind", "/czrun/output", False),
    ]


def test_a_hosts_file_replaces_the_engines_networking(launch: Launch, info: EngineInfo) -> None:
    policy = policy_for(launch, info, CALLER, Path("/work/hosts"))
    assert policy.container_config()["network_disabled"] is True
    assert policy.host_config()["network_mode"] == "none"
    last = policy.host_config()["mounts"][-1]
    assert (last["Source"], last["Target"], last["ReadOnly"]) == ("/work/hosts", "/etc/hosts", True)


def test_an_engine_without_cgroup_namespaces_isnt_asked_for_one(launch: Launch, info: EngineInfo) -> None:
    policy = policy_for(launch, replace(info, api_version="1.40"), CALLER)
    assert policy.host_config()["cgroupns"] is None


def test_scratch_is_never_too_small(launch: Launch, info: EngineInfo, limits: Limits) -> None:
    small = replace(launch, limits=limits.model_copy(update={"memory_bytes": 100 * MIB}))
    assert policy_for(small, info, CALLER).shm_bytes == 64 * MIB


@pytest.mark.parametrize(
    ("hard", "asked"), [(resource.RLIM_INFINITY, 16_384), (20_000, 16_384), (1024, 1024)]
)
def test_limits_stay_within_the_hosts_own(
    hard: int, asked: int, launch: Launch, info: EngineInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (hard, hard))
    assert policy_for(launch, info, CALLER).nofile == asked
    assert policy_for(launch, replace(info, product="podman"), CALLER).nproc == asked
    assert policy_for(launch, info, CALLER).nproc is None


def test_gpus_are_requested_only_when_granted(launch: Launch, info: EngineInfo, limits: Limits) -> None:
    granted = replace(launch, limits=limits.model_copy(update={"gpus": 2}))
    requests = policy_for(granted, info, CALLER).host_config()["device_requests"]
    assert requests == [{"Count": 2, "Capabilities": [["gpu"]]}]


@pytest.mark.parametrize(
    ("image", "command"),
    [
        ({"entrypoint": ("/model",), "command": ("default",)}, ("fit",)),
        ({"entrypoint": (), "command": ("python", "model.py")}, ("python", "model.py", "fit")),
    ],
)
def test_the_verb_follows_entrypoint_or_cmd(
    launch: Launch, info: EngineInfo, image: dict[str, Any], command: tuple[str, ...]
) -> None:
    changed = replace(launch, image=replace(launch.image, **image))
    assert policy_for(changed, info, CALLER).command == command


def with_image(launch: Launch, **changes: Any) -> Launch:
    return replace(launch, image=replace(launch.image, **changes))


@pytest.mark.parametrize(
    "volume",
    [
        "/",
        "//",
        "/.",
        "/czrun",
        "/czrun/",
        "/proc",
        "/proc/1",
        "/sys",
        "/dev",
        "/dev/shm",
        "/czrun/output/deep",
        "relative",
        "",
        "/a/../proc",
        "/czrun/job.json/x",
    ],
)
def test_a_volume_that_cannot_be_covered_is_refused(launch: Launch, info: EngineInfo, volume: str) -> None:
    with pytest.raises(ContractError, match="VOLUME"):
        policy_for(with_image(launch, volumes=(volume,)), info, CALLER)


def test_all_refusals_are_listed_at_once(launch: Launch, info: EngineInfo) -> None:
    with pytest.raises(ContractError) as caught:
        policy_for(with_image(launch, volumes=("/proc", "/sys"), working_dir="/proc/self/fd/8"), info, CALLER)
    assert all(part in caught.value.message for part in ("'/proc'", "'/sys'", "WORKDIR"))


def test_volumes_are_covered_by_their_plain_path(launch: Launch, info: EngineInfo) -> None:
    image = with_image(launch, volumes=("/data/", "//srv/cache", "/czrun/output", "/tmp", "/procs"))
    tmpfs = policy_for(image, info, CALLER).tmpfs
    assert set(tmpfs) == {"/tmp", "/tmp/home", "/data", "/srv/cache", "/procs"}


def test_an_engine_that_ignores_limits_is_refused(launch: Launch, info: EngineInfo) -> None:
    with pytest.raises(EngineError, match="memory limits are ignored"):
        policy_for(launch, replace(info, weaknesses=("memory limits are ignored",)), CALLER)


def test_podman_gets_no_gpu_request(launch: Launch, info: EngineInfo, limits: Limits) -> None:
    granted = replace(launch, limits=limits.model_copy(update={"gpus": 1}))
    with pytest.raises(EngineError, match="GPU"):
        policy_for(granted, replace(info, product="podman"), CALLER)


def test_more_cpus_than_there_are_is_refused_with_the_number(launch: Launch, info: EngineInfo) -> None:
    with pytest.raises(EngineError) as caught:
        policy_for(launch, replace(info, cpus=1), CALLER)
    assert "--cpus 1" in caught.value.hint


def test_the_image_is_started_by_its_digest(launch: Launch, info: EngineInfo) -> None:
    named = replace(launch, image=ImageInfo("model:latest", "sha256:beef", entrypoint=("/model",)))
    assert policy_for(named, info, CALLER).image == "sha256:beef"
