"""A real engine that can't see the caller's files: they travel through volumes, and nothing else changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from czrun.engines.base import StopReason
from czrun.engines.docker import DockerEngine, connect

if TYPE_CHECKING:
    from .conftest import Bench

pytestmark = pytest.mark.engine

MIB = 1024**2

HERE = Path(__file__)

needs_namespace = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="hiding files from the engine takes a mount namespace",
)


@pytest.fixture
def remote(bench: Bench) -> Any:
    """An engine that is known to see none of the caller's files."""
    engine = connect()
    engine.info()
    engine._remote_files = "for the test"
    bench.engine = engine
    yield bench
    engine.close()


def test_files_go_in_and_come_back(remote: Bench) -> None:
    (remote.folder / "model").mkdir()
    (remote.folder / "model" / "weights").write_text("w")
    exit_ = remote.run("""
        import os
        print(open("/czrun/job.json").read(), open("/czrun/model/weights").read())
        os.makedirs("/czrun/output/v0/deep")
        open("/czrun/output/v0/deep/labels.csv", "w").write("a,b")
        open("/czrun/output/empty", "w").close()
        for path in ("/czrun/input/x", "/czrun/model/x", "/czrun/x", "/czrun/job.json"):
            try:
                open(path, "w")
                print("wrote", path)
            except OSError:
                pass
    """)
    assert exit_.exit_code == 0, exit_.log_tail
    assert exit_.log_tail == ('{"contract": 1} w',)
    assert (remote.output / "v0" / "deep" / "labels.csv").read_text() == "a,b"
    assert (remote.output / "empty").read_bytes() == b""


def test_what_an_image_holds_at_our_paths_stays_hidden(remote: Bench, build: Any) -> None:
    image = build(
        "RUN mkdir -p /czrun/input /czrun/output && touch /czrun/input/planted /czrun/output/planted",
        'ENTRYPOINT ["python3", "/czrun/input/probe.py"]',
    )
    assert remote.observe("import os; print(os.listdir('/czrun/input'))", image=image) == "['probe.py']\n"
    assert list(remote.output.iterdir()) == []


def test_links_and_pipes_come_back_as_links_to_nowhere(remote: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("truth")
    exit_ = remote.run(f"""
        import os
        os.chdir("/czrun/output")
        os.symlink({str(secret)!r}, "link")
        os.symlink({str(tmp_path)!r}, "folder")
        open("file", "w").write("x")
        os.link("file", "hard")
        os.mkfifo("pipe")
    """)
    assert exit_.exit_code == 0, exit_.log_tail
    for name in ("link", "folder", "pipe"):
        assert (remote.output / name).is_symlink()
        assert not (remote.output / name).exists()
    assert sum((remote.output / name).is_symlink() for name in ("file", "hard")) == 1


@pytest.mark.parametrize("seconds", [0, 600])
def test_too_many_bytes_stop_it(remote: Bench, seconds: int) -> None:
    exit_ = remote.run(f"""
        import time
        open("/czrun/output/big", "wb").write(bytes(9 * 1024**2))
        time.sleep({seconds})
    """)
    assert exit_.stopped_by is StopReason.OUTPUT_BYTES


def test_too_much_is_not_fetched_where_nobody_could_watch(
    remote: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("czrun.engines.volumes.VolumeTransport.watchable", lambda _: ())
    exit_ = remote.run("open('/czrun/output/big', 'wb').truncate(10**12)")
    assert exit_.stopped_by is StopReason.OUTPUT_BYTES
    assert not (remote.output / "big").exists()
    exit_ = remote.run("for n in range(100): open(f'/czrun/output/{n}', 'w')")
    assert exit_.stopped_by is StopReason.OUTPUT_FILES
    assert len(list(remote.output.iterdir())) <= remote.limits.output_files


def test_an_interrupt_leaves_no_volume_behind(remote: Bench) -> None:
    def interrupt(_: object) -> None:
        # The container, its carrier, and the volumes of /czrun, input, model and output.
        assert len(remote.left_behind()) == 6
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remote.engine.run(remote.launch("import time; time.sleep(600)"), interrupt)
    assert remote.left_behind() == []


@needs_namespace
def test_an_engine_that_cannot_see_the_files_is_found_out(bench: Bench, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    command = 'mount -t tmpfs none "$1" && exec "$2" "$3" "$1" "$4"'
    arguments = [str(hidden), sys.executable, str(HERE), bench.image.reference]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"codes": [0, 0], "written": "cells", "left": 0}
    assert list(hidden.iterdir()) == []


def main(folder: Path, image: str) -> None:
    """Run two containers from a folder that the engine can't see, and tell what came of them."""
    sys.path.insert(0, str(HERE.parent))
    import conftest

    engine: DockerEngine = connect()
    bench = conftest.Bench(engine, engine.resolve(image), folder, owner="test-hidden")
    codes = []
    for _ in range(2):
        exit_ = bench.run("open('/czrun/output/predictions', 'w').write('cells')")
        codes.append(exit_.exit_code)
    written = (bench.output / "predictions").read_text()
    left = len(bench.left_behind())
    engine.close()
    print(json.dumps({"codes": codes, "written": written, "left": left}))  # noqa: T201 - its answer


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
