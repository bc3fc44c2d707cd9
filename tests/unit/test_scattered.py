"""Rows brought into another order on disk: none lost, none misplaced, whatever the windows and blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun import scattered
from czrun.cells import RowBlock
from czrun.scattered import RowWindows, take_rows

HEAD = 24


def made_block(lengths: list[int], start: int = 0) -> RowBlock:
    """Make rows whose every value is different."""
    indptr = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    values = np.arange(indptr[-1]) + start
    return RowBlock(0, values.astype(np.float32), values.astype(np.int32) * 3, indptr)


@pytest.fixture(name="descriptor")
def _descriptor(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "rows", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=["numpy", "scipy"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "scipy":
        monkeypatch.setattr(scattered, "_FEW_VALUES", 0)


@pytest.mark.usefixtures("both_ways")
class TestTakingRows:
    def test_rows_come_in_the_order_asked_for(self) -> None:
        taken = take_rows(made_block([2, 0, 3, 1]), np.array([3, 1, 0]))
        assert taken.data.tolist() == [5, 0, 1]
        assert taken.indices.tolist() == [15, 0, 3]
        assert taken.indptr.tolist() == [0, 1, 1, 3]
        assert (taken.data.dtype, taken.indices.dtype, taken.indptr.dtype) == ("f4", "i4", "i8")

    def test_no_rows_are_an_empty_block(self) -> None:
        taken = take_rows(made_block([2, 3]), np.zeros(0, dtype=np.int64))
        assert (len(taken.data), taken.indptr.tolist()) == (0, [0])


@given(st.data())
def test_every_row_ends_in_its_place(data: st.DataObject) -> None:
    """Any lengths, order, window size and block size; files are written by appending and settling alone."""
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=40))
    order = np.array(data.draw(st.permutations(range(len(lengths)))))
    window = data.draw(st.integers(1, 30))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lengths)), max_size=4)))
    source = made_block(lengths)
    wanted = take_rows(source, order)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    descriptor = os.memfd_create("rows")
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(scattered, "_WINDOW_VALUES", window)
        rows = RowWindows(descriptor, (HEAD, HEAD + 4 * len(source.data)), wanted.indptr)
        for first, last in zip([0, *cuts], [*cuts, len(lengths)], strict=True):
            block = take_rows(source, np.arange(first, last))
            rows.append(place[first:last], block, np.arange(last - first))
        rows.settle()
    content = os.pread(descriptor, 1 << 16, 0)
    os.close(descriptor)
    assert content[HEAD:] == wanted.data.tobytes() + wanted.indices.tobytes()


def test_a_row_that_never_came_is_no_row_of_zeros(descriptor: int) -> None:
    rows = RowWindows(descriptor, (HEAD, 100), np.array([0, 2, 3]))
    rows.append(np.array([1]), made_block([1]), np.array([0]))
    with pytest.raises(ValueError, match="1 rows never arrived"):
        rows.settle()


def test_rows_beyond_two_to_the_31_values_have_their_place(descriptor: int) -> None:
    first = 2**31 + 5
    rows = RowWindows(descriptor, (HEAD, HEAD + 4 * (first + 3)), np.array([0, first, first + 3]))
    rows.append(np.array([1]), made_block([3], start=7), np.array([0]))
    assert os.pread(descriptor, 12, HEAD + 4 * first) == np.float32([7, 8, 9]).tobytes()
    assert os.pread(descriptor, 12, HEAD + 4 * (2 * first + 3)) == np.int32([21, 24, 27]).tobytes()


def test_a_call_that_writes_a_part_is_followed_by_another(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As happens on a disk that is nearly full."""
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: whole(file, content[:5], at))
    rows = RowWindows(descriptor, (0, 16), np.array([0, 4]))
    rows.append(np.array([0]), made_block([4]), np.array([0]))
    rows.settle()
    assert os.pread(descriptor, 40, 0) == made_block([4]).data.tobytes() + made_block([4]).indices.tobytes()
