"""``czrun runs clean`` drops what it is asked to drop, and nothing besides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from czrun.cleaning import CACHES, DOWNLOADS
from czrun.leases import acquire


@pytest.fixture
def full(home: Path) -> Path:
    for name in (*CACHES, DOWNLOADS):
        (home / name / "key").mkdir(parents=True)
        (home / name / "key" / "file").write_bytes(b"x" * 100)
    return home


def clean(*flags: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: it looks for an engine, and this one may reach none.
    script = "from czrun.cli.app import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, "runs", "clean", *flags], capture_output=True, text=True, check=False
    )


def left(home: Path) -> set[str]:
    return {name for name in (*CACHES, DOWNLOADS) if (home / name).exists()}


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ([], {DOWNLOADS}),
        (["--no-cache"], {*CACHES, DOWNLOADS}),
        (["--no-cache", "--downloads"], set(CACHES)),
        (["--downloads"], set()),
    ],
)
def test_downloads_stay_unless_they_are_named(full: Path, flags: list[str], kept: set[str]) -> None:
    assert clean(*flags).returncode == 0
    assert left(full) == kept


def test_nothing_is_dropped_under_another_run_s_feet(full: Path) -> None:
    lease = acquire(full)
    try:
        for flags in ([], ["--no-cache", "--downloads"]):
            done = clean(*flags)
            assert done.returncode == 2
            assert "use the cache now" in done.stderr
        assert left(full) == {*CACHES, DOWNLOADS}
    finally:
        lease.release()
