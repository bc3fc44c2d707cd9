from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.engines.logs import BoundedLog, Frames, plain


def frame(payload: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(min_value=1, max_value=17))
def test_frames_come_apart_wherever_the_stream_is_cut(payloads: list[bytes], step: int) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    frames = Frames()
    pieces = (stream[start : start + step] for start in range(0, len(stream), step))
    assert b"".join(part for piece in pieces for part in frames.push(piece)) == b"".join(payloads)


def test_a_short_log_is_kept_whole(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "deep" / "log") as log:
        log.feed(b"one\ntwo")
        log.feed(b"\nthree\n")
    assert (tmp_path / "deep" / "log").read_text() == "one\ntwo\nthree\n"
    assert log.tail(2) == ("two", "three")


def test_a_long_log_keeps_head_and_tail_and_says_what_is_missing(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "log", head_bytes=10, tail_bytes=10) as log:
        for number in range(100):
            log.feed(b"%09d\n" % number)
    assert (tmp_path / "log").read_text() == "000000000\n\n… 980 bytes left out …\n000000099\n"


@given(st.lists(st.binary(max_size=30), max_size=30))
def test_nothing_is_lost_or_doubled_at_the_bounds(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    data = b"".join(parts).translate(bytes(65 + byte % 26 for byte in range(256)))
    path = tmp_path_factory.mktemp("log") / "log"
    with BoundedLog(path, head_bytes=50, tail_bytes=40) as log:
        start = 0
        for part in parts:
            log.feed(data[start : start + len(part)])
            start += len(part)
    text = path.read_bytes()
    if len(data) <= 90:
        assert text == data
    else:
        assert text == data[:50] + f"\n… {len(data) - 90} bytes left out …\n".encode() + data[-40:]


def test_the_head_is_on_disk_before_the_end(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log")
    log.feed(b"early\n")
    assert (tmp_path / "log.part").read_text() == "early\n"
    assert not (tmp_path / "log").exists()
    log.close()
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_memory_stays_flat(tmp_path: Path) -> None:
    chunk = b"x" * 2**16
    with BoundedLog(tmp_path / "log") as log:
        tracemalloc.start()
        for _ in range(2_000):
            log.feed(chunk)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert (tmp_path / "log").stat().st_size < 1.1 * 2**20


def test_a_character_cut_between_two_pieces_survives(tmp_path: Path) -> None:
    data = "naïve 細胞".encode()
    with BoundedLog(tmp_path / "log", head_bytes=4) as log:
        for byte in data:
            log.feed(bytes([byte]))
    assert (tmp_path / "log").read_text() == "naïve 細胞"


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "log") as log:
        log.feed(b"a\xff\xfeb\n")
    assert log.tail() == ("a\ufffd\ufffdb",)


def test_the_last_line_is_cut_and_never_blank(tmp_path: Path) -> None:
    with BoundedLog(tmp_path / "log") as log:
        assert log.last_line() == ""
        log.feed(b"first\n" + b"y" * 10_000 + b"\n\n  \n")
        assert len(log.last_line()) == 500
        assert log.last_line().endswith("…")
        log.feed(b"\rstep 1\rstep 2")
        assert log.last_line() == "step 2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPsixel\x1b\\after", "after"),
        ("\x9b2Jcleared", "cleared"),
        ("\x1bcreset", "reset"),
        ("a\x00\x08\x7fb", "ab"),
        ("\u202eevil\u2069", "evil"),
        ("10%\r20%\r\ndone", "10%\n20%\ndone"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("\x1b", ""),
    ],
)
def test_nothing_that_drives_a_terminal_is_left(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_no_control_character_survives(text: str) -> None:
    assert not {character for character in plain(text) if character < " "} - {"\n", "\t"}
    assert "\x7f" not in plain(text)
    assert "\x9b" not in plain(text)
