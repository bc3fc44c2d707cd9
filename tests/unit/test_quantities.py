"""Sizes, durations and text, as people write and terminals show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.errors import UsageError
from czrun.quantities import parse_bytes, parse_seconds, printable, show_bytes, show_seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1073741824", 2**30), ("4GiB", 4 * 2**30), ("4gib", 4 * 2**30), ("4Gi", 4 * 2**30),
        ("500MB", 500_000_000), ("1.5 GiB", 3 * 2**29), (" 2k ", 2000), ("1TiB", 2**40), ("7b", 7),
    ],
)  # fmt: skip
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "0GiB", "-1GiB", "4 apples", "GiB", "1e9", "4,5GiB", "9" * 400])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size") as refused:
        parse_bytes(text)
    assert "4GiB" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("1.5h", 5400), ("45", 45)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "soon", "5 m", "m5", "1y", "9" * 400])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_seconds(text)
    assert "30m" in refused.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (2048, "2 KiB"),
        (123 << 20, "123 MiB"),
        (3 << 29, "1.5 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_a_size_is_shown(size: float | None, text: str) -> None:
    assert show_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.84, "0.8 s"), (125, "2 min 05 s"), (5430, "1 h 30 min")],
)
def test_a_duration_is_shown(seconds: float | None, text: str) -> None:
    assert show_seconds(seconds) == text


@pytest.mark.parametrize("text", ["\x1b[2J", "\r", "\x07", "\u202e", "\x9b31m", "\ud800", "\x00"])
def test_what_would_steer_a_terminal_is_replaced(text: str) -> None:
    assert printable(f"a{text}b") == "a\ufffd" + text[1:] + "b"


def test_what_people_write_stays() -> None:
    assert printable("naïve T cell (CD4⁺)\n细胞") == "naïve T cell (CD4⁺)\n细胞"


@given(st.binary().map(lambda raw: raw.decode("latin-1")))
def test_nothing_unprintable_is_left(text: str) -> None:
    assert all(char == "\n" or char.isprintable() for char in printable(text))
