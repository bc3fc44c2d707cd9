from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from czrun.engines.base import StopReason
from czrun.engines.packing import REFUSED_LINK, Budget, end_of_archive, pack, unpack
from czrun.engines.policy import User
from czrun.errors import EngineError

USER = User(61_000, 61_001)


def archive(*members: tuple[str, bytes | None, bytes]) -> list[bytes]:
    """Make a tar stream of (name, contents or None, type) in small chunks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, contents, kind in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd" if kind in {b"1", b"2"} else ""
            member.size, member.mode = len(contents or b""), 0o000
            tar.addfile(member, io.BytesIO(contents or b""))
    data = buffer.getvalue()
    return [data[start : start + 700] for start in range(0, len(data), 700)]


def test_a_folder_goes_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(b"x" * 1000)
    (source / "empty").touch()
    (source / ("n" * 120)).write_text("long name")
    (source / "new\nline").write_text("odd name")
    (source / "link").symlink_to("empty")
    target = tmp_path / "target"
    target.mkdir()
    stream = [*pack(source, "output", USER), end_of_archive()]
    assert unpack(stream, target, Budget(10**6, 100)) is None
    assert (target / "deep" / "file").read_bytes() == b"x" * 1000
    assert {path.name for path in target.iterdir()} == {path.name for path in source.iterdir()}


def test_everything_belongs_to_the_containers_user(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"x")
    (tmp_path / "source" / "file").chmod(0o600)
    stream = io.BytesIO(b"".join([*pack(tmp_path / "source", "input", USER), end_of_archive()]))
    with tarfile.open(fileobj=stream) as tar:
        members = {member.name: member for member in tar}
    assert {(member.uid, member.gid) for member in members.values()} == {(USER.uid, USER.gid)}
    assert members["input/file"].mode == 0o644


def test_what_was_in_the_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "v0").mkdir()
    (tmp_path / "v0" / "old").touch()
    (tmp_path / "was-a-file").touch()
    stream = archive(("o", None, tarfile.DIRTYPE), ("o/v0", b"now a file", tarfile.REGTYPE))
    assert unpack(stream, tmp_path, Budget(10**6, 10)) is None
    assert [path.name for path in tmp_path.iterdir()] == ["v0"]
    assert (tmp_path / "v0").read_text() == "now a file"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_what_is_no_file_comes_back_as_a_link_to_nowhere(tmp_path: Path, kind: bytes) -> None:
    assert (
        unpack(archive(("o", None, tarfile.DIRTYPE), ("o/x", None, kind)), tmp_path, Budget(10, 10)) is None
    )
    assert str((tmp_path / "x").readlink()) == REFUSED_LINK


@pytest.mark.parametrize(
    "names", [["o/../../x"], ["/abs/x"], ["o/missing/x"], ["o/link", "o/link/x"], ["o/file", "o/file/x"]]
)
def test_no_path_leads_out_of_the_folder(tmp_path: Path, names: list[str]) -> None:
    kinds = {"o/link": tarfile.SYMTYPE}
    members = [(name, b"", kinds.get(name, tarfile.REGTYPE)) for name in names]
    (tmp_path / "in").mkdir()
    with pytest.raises(EngineError, match="stray"):
        unpack(archive(("o", None, tarfile.DIRTYPE), *members), tmp_path / "in", Budget(10**6, 10))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_sizes_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    stream = archive(
        ("o", None, tarfile.DIRTYPE), ("o/a", b"12345", tarfile.REGTYPE), ("o/b", b"6", tarfile.REGTYPE)
    )
    assert unpack(stream, tmp_path, Budget(5, 10)) is StopReason.OUTPUT_BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert unpack(stream, tmp_path, Budget(10, 1)) is StopReason.OUTPUT_FILES


def test_unreadable_modes_are_mended(tmp_path: Path) -> None:
    assert unpack(archive(("o", None, b"5"), ("o/a", b"1", b"0")), tmp_path, Budget(10, 10)) is None
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
