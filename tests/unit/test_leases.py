"""Leases: the kernel knows who is alive, however a process ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from czrun.errors import StorageError
from czrun.leases import acquire, is_alive, living, sweep
from processes import running

HOLD = (
    "from czrun.leases import acquire; from pathlib import Path; lease = acquire(Path({!r})); print(lease.id)"
)


class TestLife:
    def test_a_living_owner_is_alive(self, home: Path) -> None:
        with running(HOLD.format(str(home))) as (_, owner):
            assert is_alive(home, owner)
            assert living(home) == [owner]

    def test_a_killed_owner_is_dead(self, home: Path) -> None:
        with running(HOLD.format(str(home))) as (process, owner):
            process.kill()
            process.wait()
            assert not is_alive(home, owner)
            assert living(home) == []

    def test_an_unknown_owner_counts_as_alive(self, home: Path) -> None:
        assert is_alive(home, "0123456789abcdef")

    def test_the_own_lease_is_alive_and_not_another_s(self, home: Path) -> None:
        lease = acquire(home)
        assert is_alive(home, lease.id)
        assert living(home, besides=lease.id) == []
        lease.release()

    def test_leases_are_each_their_own(self, home: Path) -> None:
        one, other = acquire(home), acquire(home)
        assert one.id != other.id
        assert one.folder() != one.folder()
        one.release()
        other.release()


class TestSweep:
    def test_what_a_killed_owner_left_goes(self, home: Path) -> None:
        with running(HOLD.format(str(home))) as (process, owner):
            scratch = home / "work" / owner
            (scratch / "model").mkdir()
            (scratch / "model").chmod(0)
            process.kill()
            process.wait()
            assert sweep(home) == 1
        assert not scratch.exists()
        assert list((home / "leases").iterdir()) == []

    def test_what_a_living_owner_has_stays(self, home: Path) -> None:
        with running(HOLD.format(str(home))) as (_, owner):
            assert sweep(home) == 0
            assert (home / "work" / owner).is_dir()

    def test_an_empty_cache_has_nothing_to_sweep(self, home: Path) -> None:
        assert sweep(home) == 0


class TestRelease:
    def test_nothing_is_left(self, home: Path) -> None:
        lease = acquire(home)
        (lease.folder() / "file").write_text("x")
        lease.release()
        assert [path for path in home.rglob("*") if path.is_file()] == []
        assert list((home / "work").iterdir()) == []

    def test_scratch_is_for_the_owner_only(self, home: Path) -> None:
        lease = acquire(home)
        assert lease.scratch.stat().st_mode & 0o777 == 0o700
        assert lease.folder().stat().st_mode & 0o777 == 0o700
        lease.release()

    def test_a_cache_that_can_not_be_made(self, home: Path) -> None:
        home.write_text("a file")
        with pytest.raises(StorageError, match="in the way"):
            acquire(home)
