"""Each field of the launch policy, seen from inside a container: drop the field, and its test fails."""

from __future__ import annotations

import json
import resource
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from czrun.contract.job import Verb
from czrun.engines.docker import DockerEngine
from czrun.engines.policy import HOME, NOFILE, contract_environment, current_user, sandbox_user

if TYPE_CHECKING:
    from czrun.engines.base import ImageInfo

    from .conftest import Bench

pytestmark = pytest.mark.engine

LOOK_AROUND = """
import json, os, resource, socket, sys

def read(path):
    try:
        return open(path).read()
    except OSError as error:
        return f"{type(error).__name__}"

def refusal(step):
    try:
        step()
    except OSError as error:
        return error.strerror
    return ""

def loopback():
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname()).close()

limits = lambda which: list(resource.getrlimit(which))
space = lambda path: (lambda s: s.f_blocks * s.f_frsize)(os.statvfs(path))
print(json.dumps({
    "arguments": sys.argv[1:],
    "interfaces": [line.split(":")[0].strip() for line in read("/proc/net/dev").splitlines()[2:]],
    "loopback": refusal(loopback),
    "outside": refusal(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
    "resolver": read("/etc/resolv.conf"),
    "status": dict(line.split(":\\t", 1) for line in read("/proc/self/status").splitlines()),
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "root_write": [refusal(lambda: open(f"{where}/x", "w")) for where in ("/etc", "/var", "/usr", "/")],
    "input_write": refusal(lambda: open("/czrun/input/x", "w")),
    "job_write": refusal(lambda: open("/czrun/job.json", "w")),
    "model_write": refusal(lambda: open("/czrun/model/x", "w")),
    "output_write": refusal(lambda: open("/czrun/output/x", "w")),
    "init": read("/proc/1/comm").strip(),
    "pid": os.getpid(),
    "hostname": socket.gethostname(),
    "environment": dict(os.environ),
    "core": limits(resource.RLIMIT_CORE),
    "nofile": limits(resource.RLIMIT_NOFILE),
    "shm": space("/dev/shm"),
    "tmp": space("/tmp"),
    "home": space(os.environ["HOME"]),
    "mounts": [line.split()[:4] for line in read("/proc/mounts").splitlines()],
    "cgroup": read("/proc/self/cgroup"),
    "devices": sorted(os.listdir("/dev")),
    "cpu": [read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").strip(),
            read("/sys/fs/cgroup/cpu/cpu.cfs_period_us").strip(), read("/sys/fs/cgroup/cpu.max").strip()],
    "kernel_write": refusal(lambda: open("/proc/sys/kernel/core_pattern", "w")),
}))
"""


@pytest.fixture(scope="module")
def seen(
    engine: DockerEngine, probe_image: ImageInfo, tmp_path_factory: pytest.TempPathFactory, bench_type: Any
) -> dict[str, Any]:
    bench = bench_type(engine, probe_image, tmp_path_factory.mktemp("seen"), owner="test-seen")
    facts: dict[str, Any] = json.loads(bench.observe(LOOK_AROUND))
    return facts


def test_only_the_loopback_interface_exists(seen: dict[str, Any]) -> None:
    assert seen["interfaces"] == ["lo"]
    assert seen["outside"] == "Network is unreachable"


def test_localhost_works_by_name(seen: dict[str, Any]) -> None:
    assert seen["loopback"] == ""


def test_no_resolver_of_the_host_is_handed_over(seen: dict[str, Any]) -> None:
    assert "nameserver" not in seen["resolver"]


def test_the_root_file_system_is_read_only(seen: dict[str, Any], bench: Bench) -> None:
    assert set(seen["root_write"]) <= {"Read-only file system", "Permission denied"}
    # The container's user may not write to most of it anyway; the mount's own flag is the guard.
    root = next(mount for mount in seen["mounts"] if mount[1] == "/")
    assert "ro" in root[3].split(",")


def test_all_capabilities_are_dropped(seen: dict[str, Any]) -> None:
    assert {seen["status"][key] for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


def test_no_new_privileges_is_set(seen: dict[str, Any]) -> None:
    assert seen["status"]["NoNewPrivs"] == "1"


def test_system_calls_are_filtered(seen: dict[str, Any]) -> None:
    assert seen["status"]["Seccomp"] == "2"


def test_the_user_is_the_caller_or_the_dedicated_one(seen: dict[str, Any]) -> None:
    user = sandbox_user(current_user())
    assert seen["ids"][:2] == [user.uid, user.gid]
    assert user.uid != 0
    assert set(seen["ids"][2]) <= {user.gid}


def test_mounts_are_writable_only_where_the_launch_says(seen: dict[str, Any]) -> None:
    assert seen["input_write"] == seen["job_write"] == seen["model_write"] == "Read-only file system"
    assert seen["output_write"] == ""


def test_exactly_these_mounts_of_the_host_exist(seen: dict[str, Any]) -> None:
    backed = {
        target
        for source, target, _, _ in seen["mounts"]
        if source.startswith("/") and not target.endswith("/docker-init")
    }
    ours = {"/czrun/job.json", "/czrun/input", "/czrun/model", "/czrun/output"}
    assert ours <= backed <= ours | {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}


def test_an_init_process_reaps_children(seen: dict[str, Any]) -> None:
    assert seen["init"] in {"docker-init", "tini", "catatonit", "podman-init"}
    assert seen["pid"] != 1


def test_the_hostname_says_nothing(seen: dict[str, Any]) -> None:
    assert seen["hostname"] == "czrun"


def test_the_verb_is_the_argument(seen: dict[str, Any]) -> None:
    assert seen["arguments"] == ["predict"]


def test_the_environment_is_the_images_own_and_over_it_the_contracts(
    seen: dict[str, Any], bench: Bench, probe_image: ImageInfo, engine: DockerEngine
) -> None:
    own = engine._inspect_image(probe_image.digest)["Config"]["Env"] or []
    expected = dict(text.split("=", 1) for text in own)
    expected |= contract_environment(Verb.PREDICT, 7, bench.limits)
    # The engine adds HOSTNAME, and an interpreter that the C locale doesn't suit LC_CTYPE.
    given = {key: value for key, value in seen["environment"].items() if key not in {"HOSTNAME", "LC_CTYPE"}}
    assert given == expected


def test_core_dumps_are_off(seen: dict[str, Any]) -> None:
    assert seen["core"] == [0, 0]


def test_open_files_are_limited_to_the_hosts_own_or_less(seen: dict[str, Any]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert seen["nofile"] == [min(NOFILE, hard)] * 2


def test_shared_memory_and_scratch_have_their_sizes(seen: dict[str, Any], bench: Bench) -> None:
    quarter = bench.limits.memory_bytes // 4
    assert seen["shm"] == seen["tmp"] == seen["home"] == quarter


def test_scratch_may_execute_but_has_no_devices_or_setuid(seen: dict[str, Any]) -> None:
    for path in ("/tmp", HOME):
        options = next(mount[3].split(",") for mount in seen["mounts"] if mount[1] == path)
        assert {"rw", "nosuid", "nodev"} <= set(options)
        assert "noexec" not in options


def test_the_cpu_quota_is_the_limit(seen: dict[str, Any], bench: Bench) -> None:
    quota, period, unified = seen["cpu"]
    if unified != "FileNotFoundError":
        quota, period = unified.split()
    assert int(quota) / int(period) == bench.limits.cpus


def test_the_cgroup_namespace_is_private(seen: dict[str, Any]) -> None:
    assert {line.split(":", 2)[2] for line in seen["cgroup"].splitlines()} <= {"/", "/init"}


def test_no_device_of_the_host_is_there(seen: dict[str, Any]) -> None:
    assert not {"kmsg", "mem", "vda", "sda", "nvidia0", "fuse", "kvm"} & set(seen["devices"])
    assert seen["kernel_write"] in {"Read-only file system", "Permission denied"}


def test_processes_are_limited(bench: Bench) -> None:
    seen = bench.observe("""
        import threading
        stop = threading.Event()
        started = 0
        try:
            for _ in range(2000):
                threading.Thread(target=stop.wait, daemon=True).start()
                started += 1
        except RuntimeError:
            pass
        print(started, flush=True)
        import os; os._exit(0)
    """)
    assert 400 < int(seen) < 512


def test_memory_is_limited(bench: Bench) -> None:
    exit_ = bench.run("bytearray(512 * 1024**2)")
    assert exit_.exit_code == 137
    assert exit_.oom_killed


def test_there_is_no_swap_beyond_the_memory_limit(bench: Bench) -> None:
    settings = bench.run("pass").settings
    assert settings["MemorySwap"] == settings["Memory"] == bench.limits.memory_bytes


def test_the_shared_memory_namespace_is_private(bench: Bench) -> None:
    assert bench.run("pass").settings["IpcMode"] == "private"


def test_the_engine_keeps_no_log_of_its_own(bench: Bench) -> None:
    assert bench.run("pass").settings["LogConfig"]["Type"] == "none"


def test_the_container_is_never_restarted_or_removed_by_the_engine(bench: Bench) -> None:
    settings = bench.run("raise SystemExit(3)").settings
    assert settings["RestartPolicy"]["Name"] in {"", "no"}
    assert settings["AutoRemove"] is False
    assert settings["Privileged"] is False
    assert settings["StopSignal"] == "SIGTERM"
    assert not settings["DeviceRequests"]


def test_a_volume_of_the_image_is_bounded(bench: Bench, build: Callable[..., ImageInfo]) -> None:
    image = build("VOLUME /data /srv/cache/", 'ENTRYPOINT ["python3", "/czrun/input/probe.py"]')
    assert image.volumes
    script = """
        import errno, os
        for folder in ("/data", "/srv/cache"):
            try:
                with open(folder + "/big", "wb") as file:
                    for _ in range(128):
                        file.write(bytes(1024**2))
                print("unbounded")
            except OSError as error:
                print(errno.errorcode[error.errno])
            os.unlink(folder + "/big")
    """
    assert bench.observe(script, image=image).split() == ["ENOSPC", "ENOSPC"]


def test_a_volume_at_a_mount_of_ours_is_our_mount(bench: Bench, build: Callable[..., ImageInfo]) -> None:
    image = build("VOLUME /czrun/output /tmp", 'ENTRYPOINT ["python3", "/czrun/input/probe.py"]')
    bench.observe("open('/czrun/output/mine', 'w').write('kept')", image=image)
    assert (bench.output / "mine").read_text() == "kept"


def test_a_healthcheck_of_the_image_never_runs(bench: Bench, build: Callable[..., ImageInfo]) -> None:
    image = build(
        "HEALTHCHECK --interval=100ms --start-period=1ms CMD touch /tmp/checked",
        'ENTRYPOINT ["python3", "/czrun/input/probe.py"]',
    )
    script = "import os, time; time.sleep(1.5); print(os.path.exists('/tmp/checked'))"
    assert bench.observe(script, image=image).strip() == "False"


def test_an_image_that_asks_for_gpus_gets_none(bench: Bench, build: Callable[..., ImageInfo]) -> None:
    image = build(
        "ENV NVIDIA_VISIBLE_DEVICES=all LD_PRELOAD=/evil.so",
        'ENTRYPOINT ["python3", "/czrun/input/probe.py"]',
    )
    script = "import os; print(os.environ['NVIDIA_VISIBLE_DEVICES'], repr(os.environ['LD_PRELOAD']))"
    assert bench.observe(script, image=image).strip() == "void ''"


def test_proxies_of_the_docker_configuration_stay_outside(
    bench: Bench, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from czrun.engines.docker import connect

    proxies = {"default": {"httpProxy": "http://user:secret@proxy:3128"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    bench.engine = connect()
    try:
        assert "secret" not in bench.observe("import os; print(dict(os.environ))")
    finally:
        bench.engine.close()


def test_a_writable_mount_is_handed_to_the_containers_user(bench: Bench) -> None:
    bench.launch()
    (bench.output / "v0").mkdir(mode=0o755)
    bench.observe("open('/czrun/output/v0/labels', 'w').write('x')")
    status = (bench.output / "v0" / "labels").stat()
    assert status.st_uid == sandbox_user(current_user()).uid
    assert stat.S_ISREG(status.st_mode)
