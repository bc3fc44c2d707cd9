"""Files that are whole or absent, folders that are published once, keys that mean their content."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from czrun.errors import StorageError
from czrun.storage import (
    cache_home,
    content_key,
    file_sha256,
    folder_bytes,
    make_folder,
    publish,
    remove_tree,
    storage_errors,
    write_bytes,
    write_text,
)


class TestWriting:
    def test_a_file_is_replaced_whole(self, tmp_path: Path) -> None:
        write_text(tmp_path / "file", "one")
        write_text(tmp_path / "file", "zwei ü")
        assert (tmp_path / "file").read_bytes() == "zwei ü".encode()
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_bytes(tmp_path / "file", b"old")

        def full(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("czrun.storage.os.fsync", full)
        with pytest.raises(StorageError, match="No space is left") as refused:
            write_bytes(tmp_path / "file", b"new")
        assert "czrun runs clean" in refused.value.hint
        assert (tmp_path / "file").read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize(
        ("number", "said"),
        [
            (errno.ENOSPC, "No space"),
            (errno.EDQUOT, "No space"),
            (errno.EACCES, "can't be written"),
            (errno.EROFS, "can't be written"),
            (errno.ENOTDIR, "in the way"),
        ],
    )
    def test_what_the_system_refuses_is_a_storage_error_with_a_hint(self, number: int, said: str) -> None:
        with pytest.raises(StorageError, match=said) as refused, storage_errors(Path("/x")):
            raise OSError(number, os.strerror(number))
        assert refused.value.hint

    def test_other_errors_pass_as_they_are(self) -> None:
        with pytest.raises(InterruptedError), storage_errors(Path("/x")):
            raise OSError(errno.EINTR, "Interrupted")

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "runs").write_text("")
        with pytest.raises(StorageError, match="in the way"):
            make_folder(tmp_path / "runs" / "deeper")


class TestPublishing:
    def test_a_staged_folder_moves_whole(self, tmp_path: Path) -> None:
        (tmp_path / "stage" / "deep").mkdir(parents=True)
        (tmp_path / "stage" / "deep" / "file").write_text("x")
        publish(tmp_path / "stage", tmp_path / "final" / "key")
        assert (tmp_path / "final" / "key" / "deep" / "file").read_text() == "x"
        assert not (tmp_path / "stage").exists()

    def test_who_comes_second_gives_way(self, tmp_path: Path) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(name)
            publish(tmp_path / name, tmp_path / "key")
        assert (tmp_path / "key" / "file").read_text() == "first"
        assert not (tmp_path / "second").exists()


class TestRemoving:
    def test_whatever_modes_a_container_left(self, tmp_path: Path) -> None:
        folder = tmp_path / "work"
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "file").write_text("x")
        for path in (folder / "a" / "b", folder / "a", folder):
            path.chmod(0)
        remove_tree(folder)
        assert not folder.exists()

    def test_links_are_removed_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "kept").mkdir(mode=0o750)
        (tmp_path / "kept" / "file").write_text("x")
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "link").symlink_to(tmp_path / "kept")
        remove_tree(tmp_path / "work")
        assert (tmp_path / "kept" / "file").exists()
        assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o750

    def test_what_is_not_there_is_fine(self, tmp_path: Path) -> None:
        remove_tree(tmp_path / "nothing")

    def test_a_file_and_a_link_are_removed_as_such(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        (tmp_path / "link").symlink_to(tmp_path)
        remove_tree(tmp_path / "file")
        remove_tree(tmp_path / "link")
        assert list(tmp_path.iterdir()) == []


class TestKeys:
    def test_the_order_of_names_does_not_matter(self) -> None:
        assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": [1, 2], "a": 1})

    @pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"b": 1}, {"a": None}, [1], {}])
    def test_everything_else_does(self, other: object) -> None:
        assert content_key({"a": 1}) != content_key(other)

    def test_a_key_is_the_same_for_ever(self) -> None:
        expected = "43258cff783fe7036d8a43033f830adfc60ec037382473548ac742b888292777"
        assert content_key({"b": 2, "a": 1}) == expected

    def test_a_number_that_is_none_has_no_key(self) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            content_key({"a": float("nan")})

    def test_a_file_s_hash_is_its_content_s(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"abc")
        assert file_sha256(tmp_path / "file").startswith("ba7816bf8f01cfea")


class TestCacheHome:
    def test_the_variable_wins(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("CZRUN_HOME", str(tmp_path / "mine"))
        assert cache_home() == tmp_path / "mine"

    def test_then_the_desktop_s(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("CZRUN_HOME")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_home() == tmp_path / "czrun"

    def test_then_the_user_s(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("CZRUN_HOME")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_home() == tmp_path / ".cache" / "czrun"

    def test_a_relative_one_is_made_absolute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CZRUN_HOME", "cache")
        assert cache_home() == Path.cwd() / "cache"


def test_a_folder_s_size_counts_plain_files_only(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(100))
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "file")
    os.mkfifo(tmp_path / "pipe")
    assert folder_bytes(tmp_path) == 100
