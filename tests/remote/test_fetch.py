"""Fetching: once, whole, and only what was meant, whatever the server and the way to it do."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from asked import asked
from czrun.datasets.fetch import Fetched, fetched, local_copy
from czrun.datasets.locate import locate, without_fetching
from czrun.datasets.sources import place_of
from czrun.datasets.spec import DatasetSpec
from czrun.errors import Cancelled, ContractError, DatasetError, StorageError
from czrun.evaluation import run_evaluation
from czrun.progress import Phase, PhaseEvent
from fake_engine import FakeEngine
from file_server import FileServer


class Seen:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[PhaseEvent] = []

    def on_event(self, event: PhaseEvent) -> None:
        self.events.append(event)


class CtrlC:
    """An observer during which somebody presses Ctrl-C, once a part is here."""

    def on_event(self, event: PhaseEvent) -> None:
        if event.fraction and event.fraction > 0.1:
            raise KeyboardInterrupt


def spec_of(url: str, content: bytes | None = None) -> DatasetSpec:
    sha256 = hashlib.sha256(content).hexdigest() if content is not None else None
    return DatasetSpec(name="cells", url=url, sha256=sha256)


def fetch(url: str, content: bytes | None = None) -> Fetched:
    return fetched(spec_of(url, content))


def ranges(server: FileServer) -> list[str]:
    return [asked for _, asked in server.asked]


def left_overs(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if "partial" in path.name or "download" in path.name)


class TestFetching:
    def test_the_file_is_here_under_its_own_name(
        self, server: FileServer, content: bytes, home: Path
    ) -> None:
        found = fetch(server.url(), content)
        assert found.path.name == "cells.h5ad"
        assert found.path.is_relative_to(home / "sources")
        assert found.path.read_bytes() == content
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        assert left_overs(home) == []

    def test_it_is_asked_for_once(self, server: FileServer) -> None:
        assert fetch(server.url()) == fetch(server.url())
        assert len(server.asked) == 1

    def test_a_repeat_reads_nothing_of_it(self, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
        fetch(server.url())
        monkeypatch.setattr("czrun.datasets.sources.file_sha256", lambda _: pytest.fail("hashed again"))
        fetch(server.url())

    def test_progress_is_told_in_bytes_and_as_a_share(self, server: FileServer) -> None:
        seen = Seen()
        fetched(spec_of(server.url()), seen)
        assert {event.phase for event in seen.events} == {Phase.FETCH}
        assert {event.subject for event in seen.events} == {"cells"}
        under_way = [event for event in seen.events if not event.done]
        assert under_way[-1].message == "3.0 of 3.0 MB"
        shares = [event.fraction for event in under_way if event.fraction is not None]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert [event.cached for event in seen.events if event.done] == [False]

    def test_what_was_here_is_told_as_cached(self, server: FileServer) -> None:
        fetch(server.url())
        seen = Seen()
        fetched(spec_of(server.url()), seen)
        assert [(event.done, event.cached, event.message) for event in seen.events] == [
            (True, True, "3.0 MB")
        ]

    def test_a_size_that_the_server_keeps_to_itself(self, server: FileServer, content: bytes) -> None:
        server.chunked = True
        seen = Seen()
        found = fetched(spec_of(server.url()), seen)
        assert found.path.read_bytes() == content
        assert seen.events[-2].message == "3.0 MB"
        assert seen.events[-2].fraction is None

    def test_an_answer_that_is_packed_on_the_way(self, server: FileServer, content: bytes) -> None:
        server.content, server.encoding = gzip.compress(content), "gzip"
        assert fetch(server.url(), content).path.read_bytes() == content

    def test_two_at_once_fetch_it_once(self, server: FileServer, content: bytes) -> None:
        server.pause_after = 1_000_000
        waiting, found = threading.Event(), []

        class Waits:
            def on_event(self, event: PhaseEvent) -> None:
                if "another czrun" in event.message:
                    waiting.set()
                    server.go_on.set()

        begun = threading.Event()

        class Begins:
            def on_event(self, event: PhaseEvent) -> None:
                if event.fraction:
                    begun.set()

        first = threading.Thread(target=lambda: found.append(fetched(spec_of(server.url()), Begins())))
        first.start()
        assert begun.wait(60)
        found.append(fetched(spec_of(server.url()), Waits()))
        first.join()
        assert waiting.is_set()
        assert len(server.asked) == 1
        assert [each.path.read_bytes() for each in found] == [content, content]


class TestNames:
    def test_the_query_says_nothing_of_the_format(self, server: FileServer) -> None:
        assert fetch(server.url("cells.h5ad?download=1")).path.name == "cells.h5ad"

    def test_a_name_that_only_the_server_knows(self, server: FileServer) -> None:
        server.disposition = 'attachment; filename="pancreas.h5ad"'
        assert fetch(server.url("ndownloader/files/24539828")).path.name == "pancreas.h5ad"

    def test_a_name_behind_the_address(self, server: FileServer) -> None:
        assert fetch(server.url("download?id=7#mine.loom")).path.name == "mine.loom"
        assert server.asked[0][0] == "/download?id=7"

    def test_addresses_that_differ_in_their_query_are_two(self, server: FileServer, content: bytes) -> None:
        fetch(server.url("download?id=7#cells.h5ad"))
        server.content = content[::-1]
        assert fetch(server.url("download?id=8#cells.h5ad")).path.read_bytes() == content[::-1]

    def test_no_name_at_all(self, server: FileServer) -> None:
        with pytest.raises(DatasetError, match="doesn't say what kind of file") as refused:
            fetch(server.url("files/24539828"))
        assert f"{server.url('files/24539828')}#cells.h5ad" in refused.value.hint

    def test_a_name_stays_in_its_folder(self, server: FileServer, home: Path) -> None:
        server.disposition = 'attachment; filename="../../../evil.h5ad"'
        found = fetch(server.url("files/1"))
        assert found.path.name == "evil.h5ad"
        assert found.path.is_relative_to(home / "sources")

    def test_a_gzipped_file_is_unpacked(self, server: FileServer, content: bytes, home: Path) -> None:
        server.content = gzip.compress(content)
        found = fetch(server.url("GSE1_cells.h5ad.gz"), server.content)
        assert found.path.name == "GSE1_cells.h5ad"
        assert found.path.read_bytes() == content
        assert found.sha256 == hashlib.sha256(server.content).hexdigest()
        assert left_overs(home) == []

    @pytest.mark.parametrize("packed", [b"no gzip", gzip.compress(b"x" * 10_000)[:-9]], ids=["none", "cut"])
    def test_gzip_that_is_none(self, server: FileServer, packed: bytes, home: Path) -> None:
        server.content = packed
        with pytest.raises(DatasetError, match="can't be unzipped"):
            fetch(server.url("cells.h5ad.gz"))
        assert left_overs(home) == []

    @pytest.mark.parametrize(
        ("name", "said"),
        [("cells.zarr", "is a folder"), ("cells/", "is a folder"), ("cells.tar.gz", "archive")],
    )
    def test_folders_and_archives_are_refused_unasked(self, server: FileServer, name: str, said: str) -> None:
        with pytest.raises(DatasetError, match=said):
            fetch(server.url(name))
        assert server.asked == []


class TestInterruptions:
    def test_a_cut_is_mended_at_once(self, server: FileServer, content: bytes) -> None:
        server.cuts = [1_000_000, 700_000]
        assert fetch(server.url(), content).path.read_bytes() == content
        first, *later = ranges(server)
        assert first == ""
        assert len(later) == 2
        assert all(each.startswith("bytes=") for each in later)

    def test_what_came_stays_for_the_next_time(self, server: FileServer, content: bytes) -> None:
        server.cuts = [1_000_000, 0]
        with pytest.raises(DatasetError, match=r"broke off, 0\.\d of 3\.0 MB are here") as refused:
            fetch(server.url(), content)
        assert "goes on from there" in refused.value.hint
        here = place_of(server.url()).partial.stat().st_size
        assert 700_000 < here <= 1_000_000
        assert fetch(server.url(), content).path.read_bytes() == content
        assert ranges(server)[-1] == f"bytes={here}-"

    def test_a_server_that_always_cuts_is_given_up(self, server: FileServer) -> None:
        server.cuts = [1_000] * 1000
        with pytest.raises(DatasetError, match="broke off"):
            fetch(server.url())
        assert len(server.asked) < 30

    def test_a_server_that_knows_no_ranges_gives_it_anew(self, server: FileServer, content: bytes) -> None:
        server.cuts, server.knows_ranges = [1_000_000, 0], False
        with pytest.raises(DatasetError):
            fetch(server.url())
        assert fetch(server.url()).path.read_bytes() == content

    @pytest.mark.parametrize("etag", ['"two"', "", 'W/"one"'])
    def test_another_file_under_the_address_is_begun_anew(
        self, server: FileServer, content: bytes, etag: str
    ) -> None:
        server.cuts = [1_000_000, 0]
        with pytest.raises(DatasetError):
            fetch(server.url())
        server.etag, server.content = etag, content[::-1]
        assert fetch(server.url()).path.read_bytes() == content[::-1]

    def test_without_a_tag_the_date_tells(self, server: FileServer, content: bytes) -> None:
        server.etag, server.last_modified = "", "Tue, 24 Nov 2026 10:00:00 GMT"
        server.cuts = [1_000_000]
        assert fetch(server.url()).path.read_bytes() == content
        assert ranges(server)[1].startswith("bytes=")

    def test_with_neither_it_is_begun_anew(self, server: FileServer, content: bytes) -> None:
        server.etag = ""
        server.cuts = [1_000_000]
        assert fetch(server.url()).path.read_bytes() == content
        assert set(ranges(server)) == {""}

    def test_a_partial_file_that_is_whole(self, server: FileServer, content: bytes) -> None:
        server.cuts = [2_900_000, 0]
        with pytest.raises(DatasetError):
            fetch(server.url())
        place_of(server.url()).partial.write_bytes(content)
        assert fetch(server.url(), content).path.read_bytes() == content
        assert ranges(server)[-1] == f"bytes={len(content) - 1}-"

    def test_a_spoilt_partial_file_is_found_out(self, server: FileServer, content: bytes) -> None:
        server.cuts = [1_000_000, 0]
        with pytest.raises(DatasetError):
            fetch(server.url(), content)
        partial = place_of(server.url()).partial
        partial.write_bytes(bytes(partial.stat().st_size))
        with pytest.raises(DatasetError, match="isn't the file that was meant"):
            fetch(server.url(), content)
        assert fetch(server.url(), content).path.read_bytes() == content

    def test_less_than_was_announced(self, server: FileServer, content: bytes) -> None:
        server.announced = len(content) + 5
        with pytest.raises(DatasetError, match="broke off"):
            fetch(server.url())
        assert local_copy(spec_of(server.url())) is None

    def test_ctrl_c_keeps_what_came(self, server: FileServer, content: bytes) -> None:
        with pytest.raises(Cancelled, match=r"Cancelled; 0\.\d of 3\.0 MB") as cancelled:
            fetched(spec_of(server.url()), CtrlC())
        assert cancelled.value.exit_code == 130
        assert fetch(server.url(), content).path.read_bytes() == content
        assert ranges(server)[-1].startswith("bytes=")

    def test_a_killed_process_s_bytes_are_used(self, server: FileServer, content: bytes) -> None:
        server.pause_after = 2_000_000
        script = (
            "from czrun.datasets.fetch import fetched\n"
            "from czrun.datasets.spec import DatasetSpec\n"
            "class Tells:\n"
            "    def on_event(self, event):\n"
            "        print(int((event.fraction or 0) * 100), flush=True)\n"
            f"fetched(DatasetSpec(name='cells', url={server.url()!r}), Tells())\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while int(process.stdout.readline()) < 50:
                pass
            process.kill()
        server.pause_after = None
        server.go_on.set()
        here = place_of(server.url()).partial.stat().st_size
        assert here > 1_400_000
        assert fetch(server.url(), content).path.read_bytes() == content
        assert ranges(server)[-1] == f"bytes={here}-"


class TestHashes:
    def test_another_hash_than_the_given_one(self, server: FileServer, content: bytes, home: Path) -> None:
        with pytest.raises(DatasetError, match="isn't the file that was meant, and was removed") as refused:
            fetch(server.url(), b"other")
        assert refused.value.exit_code == 3
        assert hashlib.sha256(b"other").hexdigest() in refused.value.message
        assert hashlib.sha256(content).hexdigest() in refused.value.message
        assert left_overs(home) == []
        assert list(home.rglob("*.h5ad")) == []

    def test_without_one_the_first_is_pinned(self, server: FileServer, content: bytes) -> None:
        found = fetch(server.url())
        assert f"hash pinned at first download: {hashlib.sha256(content).hexdigest()}" in found.note

    def test_another_file_than_the_pinned_one(self, server: FileServer, content: bytes) -> None:
        found = fetch(server.url())
        found.path.unlink()
        server.content, server.etag = content[::-1], '"two"'
        with pytest.raises(DatasetError, match="isn't the file that was fetched on") as refused:
            fetch(server.url())
        assert refused.value.hint.endswith(f"rm -r {found.path.parent}")
        server.content = content
        assert fetch(server.url()) == found

    def test_a_new_hash_brings_the_new_file(self, server: FileServer, content: bytes) -> None:
        fetch(server.url(), content)
        server.content = content[::-1]
        assert fetch(server.url(), server.content).path.read_bytes() == content[::-1]
        assert fetch(server.url(), server.content).path.read_bytes() == content[::-1]
        assert len(server.asked) == 2

    def test_a_file_that_somebody_changed(self, server: FileServer) -> None:
        found = fetch(server.url())
        with found.path.open("ab") as file:
            file.write(b"!")
        with pytest.raises(DatasetError, match="has been changed since") as refused:
            fetch(server.url())
        assert f"rm {found.path}" in refused.value.hint

    def test_a_file_that_was_only_touched(self, server: FileServer) -> None:
        found = fetch(server.url())
        os.utime(found.path, ns=(0, 0))
        assert fetch(server.url()) == found
        assert len(server.asked) == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "said", "hint"),
        [
            (404, "isn't there", "where you found it"),
            (410, "isn't there", "where you found it"),
            (403, "isn't given to strangers", "login"),
            (401, "isn't given to strangers", "login"),
            (500, "can't give it now", "goes on"),
            (503, "can't give it now", "goes on"),
            (429, "can't give it now", "goes on"),
            (418, "answers 418", "browser"),
        ],
    )
    def test_what_the_server_says_is_said(
        self, server: FileServer, status: int, said: str, hint: str
    ) -> None:
        server.status = status
        with pytest.raises(DatasetError, match=said) as refused:
            fetch(server.url())
        assert hint in refused.value.hint
        assert local_copy(spec_of(server.url())) is None

    def test_a_web_page_is_no_file(self, server: FileServer) -> None:
        server.content_type = "text/html; charset=utf-8"
        with pytest.raises(DatasetError, match="a web page"):
            fetch(server.url())

    def test_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(DatasetError, match=r"127\.0\.0\.1 can't be reached: .*refused") as refused:
                fetch(f"http://127.0.0.1:{taken.getsockname()[1]}/cells.h5ad")
        assert "https_proxy" in refused.value.hint

    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("czrun.datasets.web._SILENCE_S", 0.05)
        said = pytest.raises(DatasetError, match=r"127\.0\.0\.1 doesn't answer")
        with socket.create_server(("127.0.0.1", 0)) as deaf, said:
            fetch(f"http://127.0.0.1:{deaf.getsockname()[1]}/cells.h5ad")

    def test_no_such_host(self) -> None:
        with pytest.raises(DatasetError, match=r"nowhere\.invalid can't be reached: there is no such host"):
            fetch("https://nowhere.invalid/cells.h5ad")

    def test_no_address(self) -> None:
        with pytest.raises(DatasetError, match="can't be fetched"):
            fetch("http:///cells.h5ad")

    def test_secrets_of_an_address_are_not_shown(self, server: FileServer) -> None:
        url = server.url("cells.h5ad?token=SECRET").replace("http://", "http://me:PASSWORD@")
        found = fetch(url)
        shown = found.note + (found.path.parent / "source.json").read_text()
        assert "SECRET" not in shown
        assert "PASSWORD" not in shown
        server.status = 404
        found.path.unlink()
        with pytest.raises(DatasetError) as refused:
            fetch(url)
        assert "SECRET" not in refused.value.message
        assert "PASSWORD" not in refused.value.message


class TestRoom:
    def test_a_file_that_doesn_t_fit_is_not_begun(self, server: FileServer, home: Path) -> None:
        server.announced = 10**18
        with pytest.raises(StorageError, match=r"needs .* GB more") as refused:
            fetch(server.url())
        assert "CZRUN_HOME" in refused.value.hint
        assert left_overs(home) == []

    def test_a_disk_that_fills_up_meanwhile(self, server: FileServer, content: bytes) -> None:
        server.chunked = True
        script = (
            "import resource, sys\n"
            "from czrun.datasets.fetch import fetched\n"
            "from czrun.datasets.spec import DatasetSpec\n"
            "from czrun.errors import StorageError\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
            "try:\n"
            f"    fetched(DatasetSpec(name='cells', url={server.url()!r}))\n"
            "except StorageError as error:\n"
            "    print(error.message)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert "No space is left" in done.stdout
        assert fetch(server.url(), content).path.read_bytes() == content


class TestLocating:
    def test_a_file_url_is_read_where_it_is(self, tmp_path: Path, cells: bytes, home: Path) -> None:
        path = tmp_path / "my cells.h5ad"
        path.write_bytes(cells)
        found = locate(spec_of(path.as_uri(), cells))
        assert found.spec.path == path
        assert found.spec.url is None
        assert not (home / "sources").exists()
        with pytest.raises(DatasetError, match="isn't the file that was meant"):
            locate(spec_of(path.as_uri(), b"other"))

    def test_what_was_fetched_is_a_local_file_from_then_on(self, server: FileServer, content: bytes) -> None:
        found = locate(spec_of(server.url(), content))
        assert found.spec.file.read_bytes() == content
        assert (found.spec.url, found.spec.sha256) == (None, None)
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        assert found.notes == (f"fetched from {server.url()}; its hash is the given one",)

    def test_nothing_is_fetched_unasked(self, server: FileServer) -> None:
        spec = spec_of(server.url())
        assert local_copy(spec) is None
        assert without_fetching(spec) is None
        assert server.asked == []
        fetched(spec)
        here = without_fetching(spec)
        assert here is not None
        assert here.path == local_copy(spec)

    def test_an_evaluation_fetches_and_says_so(
        self, server: FileServer, cells: bytes, tmp_path: Path
    ) -> None:
        server.content = cells
        seen = Seen()
        options = asked("model:1", server.url(), tmp_path / "runs")
        result = run_evaluation(options, seen, connect=FakeEngine)
        assert next(iter(seen.events)).phase is Phase.FETCH
        assert result.record.dataset.name == "cells"
        again = Seen()
        run_evaluation(options, again, connect=FakeEngine)
        assert [event.cached for event in again.events if event.phase is Phase.FETCH] == [True]
        assert len(server.asked) == 1

    def test_a_mistyped_image_is_told_before_anything_is_fetched(
        self, server: FileServer, cells: bytes, tmp_path: Path
    ) -> None:
        server.content = cells
        with pytest.raises(ContractError, match="no image modle:1"):
            run_evaluation(asked("modle:1", server.url(), tmp_path / "runs"), connect=FakeEngine)
        assert server.asked == []


@pytest.mark.parametrize("signum", [signal.SIGTERM])
def test_sigterm_ends_like_ctrl_c(server: FileServer, signum: signal.Signals) -> None:
    server.pause_after = 1_000_000
    script = "from czrun.cli.app import run; run()"
    arguments = ["datasets", "prepare", server.url()]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "fetch cells: started" in process.stderr.readline()
        process.send_signal(signum)
        said = process.stderr.read()
    assert "of 3.0 MB" in said
    assert process.returncode == 130
