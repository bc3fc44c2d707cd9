"""What any engine must do, whatever the container does. One suite over every engine."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from czrun.contract.outcome import Status
from czrun.engines.base import Mount, StopReason, Usage
from czrun.engines.docker import DockerEngine
from czrun.engines.failures import attribute
from czrun.engines.policy import OWNER_LABEL, RUN_LABEL
from czrun.errors import ContractError, EngineError

if TYPE_CHECKING:
    from czrun.engines.base import ImageInfo

    from .conftest import Bench

pytestmark = pytest.mark.engine

MIB = 1024**2


def test_the_engine_describes_itself(engine: DockerEngine) -> None:
    info = engine.info()
    assert info.product in {"docker", "podman"}
    assert info.cpus > 0
    assert info.memory_bytes > 0
    assert info.weaknesses == ()


def test_an_image_is_resolved_without_running_it(
    engine: DockerEngine, build: Callable[..., ImageInfo]
) -> None:
    image = build('LABEL org.czrun.contract="1"', "VOLUME /data", "WORKDIR /app", 'ENTRYPOINT ["/model"]')
    assert image.digest.startswith("sha256:")
    assert image.labels["org.czrun.contract"] == "1"
    assert image.volumes == ("/data",)
    assert image.entrypoint == ("/model",)
    assert image.working_dir == "/app"
    assert image.platform.startswith("linux/")
    assert engine.resolve(image.digest).digest == image.digest


def test_a_missing_image_names_the_nearest(engine: DockerEngine, probe_image: ImageInfo) -> None:
    with pytest.raises(ContractError) as caught:
        engine.resolve(probe_image.reference.replace("engines", "engnies"))
    assert probe_image.reference in caught.value.hint
    assert "docker build" in caught.value.hint


@pytest.mark.parametrize("reference", ["", "UPPER/Case", "a b", "../../etc", "x" * 300])
def test_a_reference_that_cannot_be_one_is_missing_as_well(engine: DockerEngine, reference: str) -> None:
    with pytest.raises(ContractError):
        engine.resolve(reference)


@pytest.mark.parametrize("code", [0, 1, 64, 65, 69, 70, 75, 137, 143, 255])
def test_exit_codes_pass_through(bench: Bench, code: int) -> None:
    exit_ = bench.run(f"raise SystemExit({code})")
    assert exit_.exit_code == code
    assert not exit_.oom_killed
    assert exit_.stopped_by is None
    assert exit_.seconds > 0


def test_output_is_kept_when_the_model_fails(bench: Bench) -> None:
    exit_ = bench.run("""
        import os
        os.write(1, b"to stdout\\n")
        os.write(2, b"to stderr\\n")
        os.write(2, b"the reason\\n")
        raise SystemExit(1)
    """)
    # Two pipes: only what went through one of them has an order.
    lines = bench.log.read_text().splitlines()
    assert sorted(lines) == ["the reason", "to stderr", "to stdout"]
    assert lines.index("to stderr") < lines.index("the reason")
    assert exit_.log_tail == tuple(lines)


def test_a_flood_of_output_is_bounded(bench: Bench) -> None:
    exit_ = bench.run("""
        import os
        os.write(1, b"first\\n")
        for _ in range(200):
            os.write(1, b"x" * 1024**2)
        os.write(1, b"\\nlast\\n")
    """)
    text = bench.log.read_text()
    assert exit_.exit_code == 0
    assert len(text) < 1.1 * MIB
    assert text.startswith("first\n")
    assert text.endswith("\nlast\n")
    assert "bytes left out" in text


def test_escape_sequences_reach_no_terminal(bench: Bench) -> None:
    exit_ = bench.run("print('\\x1b]0;owned\\x07\\x1b[31mred\\x1b[0m \\x9b2J\\u202eabc')")
    assert exit_.log_tail == ("red abc",)
    assert bench.log.read_text() == "red abc\n"


def test_the_log_is_readable_while_the_container_runs(bench: Bench) -> None:
    seen = []

    def look(usage: Usage) -> None:
        seen.append((usage.last_log_line, bench.log.with_name(f"{bench.log.name}.part").read_text()))

    bench.engine.run(bench.launch("import time; print('alive', flush=True); time.sleep(1)"), look)
    assert ("alive", "alive\n") in seen


def test_ticks_carry_time_and_memory(bench: Bench) -> None:
    exit_ = bench.run("import time; block = bytearray(100 * 1024**2); time.sleep(1)")
    assert len(bench.ticks) >= 3
    assert max(tick.memory_bytes or 0 for tick in bench.ticks) > 100 * MIB
    times = [tick.elapsed_s for tick in bench.ticks]
    assert times == sorted(times)
    assert 100 * MIB < (exit_.peak_memory_bytes or 0) < bench.limits.memory_bytes
    assert 0 < (exit_.cpu_seconds or 0) < 1


def test_page_cache_is_not_counted_as_memory(bench: Bench) -> None:
    roomy = bench.limited(output_bytes=200 * MIB)
    exit_ = roomy.run("""
        import time
        with open("/czrun/output/big", "wb") as file:
            for _ in range(100):
                file.write(bytes(1024**2))
        time.sleep(0.3)
    """)
    assert (exit_.peak_memory_bytes or 0) < 80 * MIB


def test_the_engines_own_figures_stand_in_for_an_unreadable_cgroup(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("czrun.engines.container.cgroup_meter", lambda *_: None)
    exit_ = bench.run("import time; block = bytearray(100 * 1024**2); time.sleep(3)")
    assert 100 * MIB < (exit_.peak_memory_bytes or 0) < bench.limits.memory_bytes
    assert (exit_.cpu_seconds or 0) > 0


def test_the_deadline_ends_a_container_that_complies(bench: Bench) -> None:
    exit_ = bench.limited(wall_s=0.8).run("""
        import signal, time
        def leave(*_):
            print("leaving")
            raise SystemExit(0)
        signal.signal(signal.SIGTERM, leave)
        time.sleep(600)
    """)
    assert exit_.stopped_by is StopReason.DEADLINE
    assert exit_.exit_code == 0
    assert exit_.log_tail == ("leaving",)
    failure = attribute(exit_, bench.limits)
    assert failure is not None
    assert failure.status is Status.TIMED_OUT


def test_the_deadline_ends_a_container_that_ignores_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("czrun.engines.supervise.GRACE_S", 0.3)
    exit_ = bench.limited(wall_s=0.8).run("""
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    """)
    assert exit_.stopped_by is StopReason.DEADLINE
    assert exit_.exit_code == 137


def test_a_stop_signal_of_the_image_changes_nothing(bench: Bench, build: Callable[..., ImageInfo]) -> None:
    image = build("STOPSIGNAL SIGWINCH", 'ENTRYPOINT ["python3", "/czrun/input/probe.py"]')
    exit_ = bench.limited(wall_s=0.8).run("import time; time.sleep(600)", image=image)
    assert exit_.stopped_by is StopReason.DEADLINE
    assert exit_.exit_code == 143


def test_a_killed_main_process_is_out_of_memory(bench: Bench) -> None:
    exit_ = bench.run("bytearray(1024**3)")
    assert exit_.oom_killed
    assert exit_.exit_code == 137


def test_a_killed_child_is_out_of_memory_though_the_exit_code_is_0(bench: Bench) -> None:
    exit_ = bench.run("""
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "bytearray(1024**3)"])
    """)
    assert exit_.exit_code == 0
    assert exit_.oom_killed
    failure = attribute(exit_, bench.limits)
    assert failure is not None
    assert failure.status is Status.OUT_OF_MEMORY


def test_too_many_bytes_stop_the_container(bench: Bench) -> None:
    exit_ = bench.run("""
        import time
        with open("/czrun/output/big", "wb") as file:
            for _ in range(16):
                file.write(bytes(1024**2))
        time.sleep(600)
    """)
    assert exit_.stopped_by is StopReason.OUTPUT_BYTES
    assert exit_.exit_code == 137


def test_too_many_files_stop_the_container(bench: Bench) -> None:
    exit_ = bench.run("""
        import time
        for number in range(1000):
            open(f"/czrun/output/{number}", "w").close()
        time.sleep(600)
    """)
    assert exit_.stopped_by is StopReason.OUTPUT_FILES


def test_too_many_bytes_are_found_after_a_quick_end(bench: Bench) -> None:
    exit_ = bench.run("open('/czrun/output/big', 'wb').truncate(9 * 1024**2)")
    assert exit_.stopped_by is StopReason.OUTPUT_BYTES


def test_a_nearly_full_disk_stops_the_container(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    free = itertools.chain([10**12, 10**12], itertools.repeat(0))
    monkeypatch.setattr("czrun.engines.watch.Watch.free_bytes", lambda _: next(free))
    assert bench.run("import time; time.sleep(600)").stopped_by is StopReason.DISK_FULL


def test_nothing_starts_on_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("czrun.engines.watch.Watch.free_bytes", lambda _: 0)
    with pytest.raises(EngineError, match="disk"):
        bench.run("pass")


def test_the_model_folder_counts_as_output(bench: Bench) -> None:
    fitting = replace(bench, model_writable=True)
    exit_ = fitting.run("""
        open("/czrun/output/a", "wb").write(bytes(5 * 1024**2))
        open("/czrun/model/b", "wb").write(bytes(5 * 1024**2))
    """)
    assert exit_.stopped_by is StopReason.OUTPUT_BYTES


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_an_exception_out_of_a_tick_leaves_nothing_behind(bench: Bench, error: type[BaseException]) -> None:
    def interrupt(_: Usage) -> None:
        assert len(bench.left_behind()) == 1
        raise error

    with pytest.raises(error):
        bench.engine.run(bench.launch("import time; time.sleep(600)"), interrupt)
    assert bench.left_behind() == []
    assert bench.log.exists()


@pytest.mark.parametrize(
    ("lines", "said", "advice"),
    [
        (['ENTRYPOINT ["/no/such/binary"]'], "no such file", "isn't in the image"),
        (['ENTRYPOINT ["nosuchbinary"]'], "no such file|not found", "isn't in the image"),
        (['ENTRYPOINT ["/etc/passwd"]'], "permission denied", "executable"),
        (['ENTRYPOINT ["/etc"]'], "permission denied|is a directory", "executable"),
        (['CMD ["/no/such/binary"]'], "no such file", "isn't in the image"),
    ],
)
def test_a_program_that_cannot_start_is_the_images_fault(
    bench: Bench, build: Callable[..., ImageInfo], lines: list[str], said: str, advice: str
) -> None:
    exit_ = bench.run(image=build(*lines))
    assert exit_.exit_code is None
    failure = attribute(exit_, bench.limits)
    assert failure is not None
    assert failure.status is Status.MODEL_FAILED
    assert any(part in failure.message.lower() for part in said.split("|")), failure
    assert advice in failure.hint


def imported(engine: DockerEngine, contents: bytes, changes: list[str]) -> ImageInfo:
    """Make an image of one executable, /model, which is its shell as well, and nothing else."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("model", "bin/sh"):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(contents), 0o755
            tar.addfile(member, io.BytesIO(contents))
    digest = engine._client.import_image_from_data(archive.getvalue(), changes=changes)
    return engine.resolve(json.loads(digest.splitlines()[-1])["status"])


@pytest.mark.parametrize(
    ("contents", "changes", "advice"),
    [
        pytest.param(b"\x7fELF" + bytes(60), ['ENTRYPOINT ["/model"]'], "platform", id="other platform"),
        pytest.param(b"#!/no/such/interpreter\n", ['ENTRYPOINT ["/model"]'], "#! line", id="no interpreter"),
        pytest.param(b"", [], "ENTRYPOINT", id="no program"),
    ],
)
def test_a_broken_image_is_the_images_fault(
    bench: Bench, contents: bytes, changes: list[str], advice: str
) -> None:
    image = imported(bench.engine, contents, changes)
    try:
        exit_ = bench.run(image=image)
    finally:
        bench.engine._client.remove_image(image.digest, force=True)
    assert exit_.exit_code is None
    failure = attribute(exit_, bench.limits)
    assert failure is not None
    assert advice in failure.hint


def test_an_image_without_entrypoint_gets_the_verb_after_its_cmd(
    bench: Bench, build: Callable[..., ImageInfo]
) -> None:
    image = build('CMD ["python3", "-c", "import sys; print(sys.argv[1:])"]')
    assert bench.observe("", image=image) == "['predict']\n"


def test_a_shell_form_entrypoint_runs_though_it_drops_the_verb(
    bench: Bench, build: Callable[..., ImageInfo]
) -> None:
    image = build('ENTRYPOINT echo "$CZRUN_VERB $#"')
    assert bench.observe("", image=image) == "predict 0\n"


def test_orphans_are_reaped_and_the_living_are_spared(bench: Bench) -> None:
    client = bench.engine._client
    labels = {RUN_LABEL: "old", OWNER_LABEL: bench.owner}
    client.create_volume(f"{bench.owner[:60]}-volume".replace("[", "-").replace("]", ""), labels=labels)
    running = client.create_container(bench.image.digest, ["-"], entrypoint=["sleep", "600"], labels=labels)
    client.start(running)
    client.create_container(bench.image.digest, labels=labels)
    others = {"label": OWNER_LABEL}

    assert bench.engine.reap(lambda _: True) == 0
    assert len(bench.left_behind()) == 3
    assert bench.engine.reap(lambda owner: owner != bench.owner) == 2
    assert bench.left_behind() == []
    assert client.containers(all=True, filters=others) is not None


def test_two_mounts_of_one_parent_do_not_collide(bench: Bench) -> None:
    launch = bench.launch("print(open('/czrun/assets/weights').read())")
    assets = bench.folder / "assets"
    assets.mkdir()
    (assets / "weights").write_text("w")
    exit_ = bench.engine.run(
        replace(launch, mounts=(*launch.mounts, Mount(assets, "/czrun/assets"))), bench.ticks.append
    )
    assert exit_.log_tail == ("w",)


def test_an_engine_that_goes_away_is_an_infrastructure_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(bench.engine._client, "wait", lost)
    with pytest.raises(EngineError, match="reset by peer"):
        bench.run("import time; time.sleep(600)")


def test_an_unreadable_input_is_not_blamed_on_the_model(bench: Bench) -> None:
    launch = bench.launch("pass")
    (bench.folder / "input").chmod(0o700)
    if (bench.folder / "input").stat().st_uid != 0:
        pytest.skip("only when root runs czrun do containers run as another user")
    with pytest.raises(EngineError, match="can't be read"):
        bench.engine.run(launch, bench.ticks.append)


@pytest.mark.parametrize("volume", ["/czrun/output/cache", "/proc/x", "/czrun", "/dev/shm"])
def test_a_volume_that_cannot_be_covered_is_refused(
    bench: Bench, build: Callable[..., ImageInfo], volume: str, tmp_path: Path
) -> None:
    image = build(f"VOLUME {volume}", 'ENTRYPOINT ["python3", "/czrun/input/probe.py"]')
    with pytest.raises(ContractError, match="VOLUME"):
        bench.run("pass", image=image)
    assert list(bench.output.iterdir()) == []
