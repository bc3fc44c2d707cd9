from __future__ import annotations

import os
from pathlib import Path

import pytest

from czrun.contract.job import Limits
from czrun.engines.base import StopReason
from czrun.engines.watch import Watch, survey
from czrun.errors import EngineError


def test_what_fits_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4096))
    assert survey([tmp_path], max_bytes=4096, max_files=1) is None


def test_bytes_add_up_over_folders(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "file").write_bytes(bytes(4096))
    folders = [tmp_path / "a", tmp_path / "b"]
    assert survey(folders, max_bytes=8191, max_files=10) is StopReason.OUTPUT_BYTES
    assert survey(folders, max_bytes=8192, max_files=10) is None


def test_folders_and_links_count_as_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/")
    os.mkfifo(tmp_path / "pipe")
    assert survey([tmp_path], max_bytes=10**6, max_files=2) is StopReason.OUTPUT_FILES
    assert survey([tmp_path], max_bytes=10**6, max_files=3) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "big").write_bytes(bytes(10**6))
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "file").symlink_to(tmp_path / "outside" / "big")
    (tmp_path / "inside" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "inside" / "loop").symlink_to(tmp_path / "inside")
    assert survey([tmp_path / "inside"], max_bytes=10**5, max_files=10) is None


def test_a_sparse_file_counts_with_its_apparent_size(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    assert survey([tmp_path], max_bytes=10**9, max_files=10) is StopReason.OUTPUT_BYTES


def test_a_path_too_deep_to_walk_is_too_many_files(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=descriptor)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    assert survey([tmp_path], max_bytes=10**9, max_files=1000) is StopReason.OUTPUT_FILES


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    assert survey([tmp_path / "gone"], max_bytes=1, max_files=1) is None


def test_too_little_free_disk_stops_a_run_before_and_during(tmp_path: Path, limits: Limits) -> None:
    watch = Watch((tmp_path,), 10**6, 10, floor_bytes=2**62)
    assert watch.check() is StopReason.DISK_FULL
    assert watch.excess() is None
    with pytest.raises(EngineError, match="disk"):
        watch.require_free_disk()
    assert Watch.of([tmp_path], limits).check() is None


def test_nothing_to_watch_is_nothing_to_stop_for() -> None:
    watch = Watch((), 1, 1)
    assert watch.check() is None
    watch.require_free_disk()
