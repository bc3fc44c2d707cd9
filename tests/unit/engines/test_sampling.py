from __future__ import annotations

from pathlib import Path

import pytest

from czrun.engines.sampling import Sample, StatsMeter, cgroup_meter, read_stats

ID = "c0ffee" * 10


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_the_first_cgroup_version_is_read(tmp_path: Path) -> None:
    write(tmp_path / "proc" / "42", cgroup=f"4:memory:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n0::/\n")
    memory = {
        "memory__usage_in_bytes": "1000\n",
        "memory__stat": "cache 600\ntotal_inactive_file 400\n",
        "memory__oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }
    write(tmp_path / "sys" / "memory" / "docker" / ID, **memory)
    write(tmp_path / "sys" / "cpuacct" / "docker" / ID, cpuacct__usage="1500000000\n")
    meter = cgroup_meter(42, ID, tmp_path / "proc", tmp_path / "sys")
    assert meter is not None
    assert meter.sample() == Sample(600, 1.5, 2)
    (tmp_path / "sys" / "memory" / "docker" / ID / "memory.stat").unlink()
    assert meter.sample() is None


def test_the_second_cgroup_version_is_read(tmp_path: Path) -> None:
    path = f"system.slice/docker-{ID}.scope"
    write(tmp_path / "proc" / "42", cgroup=f"0::/{path}\n")
    files = {
        "memory__current": "1000\n",
        "memory__stat": "anon 300\ninactive_file 400\n",
        "memory__events": "low 0\noom 1\noom_kill 1\n",
        "cpu__stat": "usage_usec 2500000\n",
    }
    write(tmp_path / "sys" / path, **files)
    meter = cgroup_meter(42, ID, tmp_path / "proc", tmp_path / "sys")
    assert meter is not None
    assert meter.sample() == Sample(600, 2.5, 1)


def test_another_process_of_the_same_number_is_not_taken_for_the_container(tmp_path: Path) -> None:
    write(tmp_path / "proc" / "42", cgroup="0::/user.slice/session.scope\n")
    assert cgroup_meter(42, ID, tmp_path / "proc", tmp_path / "sys") is None


def test_no_such_process_or_no_such_cgroup_is_no_meter(tmp_path: Path) -> None:
    write(tmp_path / "proc" / "42", cgroup=f"0::/docker/{ID}\n")
    assert cgroup_meter(42, ID, tmp_path / "proc", tmp_path / "sys") is None
    assert cgroup_meter(43, ID, tmp_path / "proc", tmp_path / "sys") is None


@pytest.mark.parametrize("inactive", ["total_inactive_file", "inactive_file"])
def test_the_engines_figures_are_read(inactive: str) -> None:
    stats = {
        "memory_stats": {"usage": 1000, "stats": {inactive: 400}},
        "cpu_stats": {"cpu_usage": {"total_usage": 500_000_000}},
    }
    assert read_stats(stats) == Sample(600, 0.5)


@pytest.mark.parametrize("stats", [{}, {"memory_stats": {}}, {"memory_stats": None, "cpu_stats": None}])
def test_a_container_that_does_not_run_has_no_figures(stats: dict[str, object]) -> None:
    assert read_stats(stats) is None


def test_a_stats_stream_that_breaks_is_no_fault() -> None:
    def broken() -> object:
        raise ConnectionError

    assert StatsMeter(broken).sample() is None  # type: ignore[arg-type]
