"""Odds of an order: never understated, tiny where the order was made, large where it was drawn."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from czrun.shuffles import _log_tail, odds_of_bits, odds_of_numbers, odds_of_order

SUSPECT = -9 * log(10)


@given(st.data())
def test_a_tail_is_never_understated(data: st.DataObject) -> None:
    total = data.draw(st.integers(2, 300))
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    found = data.draw(st.integers(max(0, marked + drawn - total), min(marked, drawn)))
    exact = hypergeom(total, marked, drawn)
    one_sided = min(exact.sf(found - 1), exact.cdf(found))
    assert exp(_log_tail(found, total, marked, drawn)) >= min(1.0, 2 * one_sided) * (1 - 1e-7)


def test_a_far_tail_is_close_to_the_exact_one() -> None:
    exact = log(2) + float(hypergeom(2000, 1000, 1000).logsf(649))
    assert _log_tail(650, 2000, 1000, 1000) == pytest.approx(exact, abs=0.1)


ORDERS = {
    "sorted": np.repeat([0, 1], 40),
    "sorted, many groups": np.repeat(np.arange(8), 60),
    "rare group first": np.repeat([0, 1], [40, 4000]),
    "taking turns": np.tile([0, 1], 60),
    "taking turns in threes": np.tile([0, 1, 2], 200),
    "in blocks": np.repeat(np.tile([0, 1, 2, 3], 40), 10),
    "mostly sorted": np.where(np.random.default_rng(0).random(2000) < 0.6, np.repeat([0, 1], 1000), 0),
}


@pytest.mark.parametrize("codes", ORDERS.values(), ids=ORDERS)
def test_an_order_that_was_made_is_no_accident(codes: np.ndarray) -> None:
    assert odds_of_order(codes) < SUSPECT
    shuffled = np.random.default_rng(1).permutation(codes)
    assert odds_of_order(shuffled) > log(1e-3)


def test_orders_drawn_by_lot_are_as_likely_as_they_look() -> None:
    """Of 4,000 honest orders some 4 may look like one in a thousand; the bound is cautious, so fewer do."""
    rng = np.random.default_rng(2)
    odds = [
        odds_of_order(rng.permutation(np.repeat(np.arange(n), rng.integers(1, 30, n))))
        for n in rng.integers(1, 9, 4000)
    ]
    assert sum(each < log(1e-3) for each in odds) <= 6


@pytest.mark.parametrize("codes", [[], [0], [0, 0], [0] * 50, [3, 3], [0, 1]])
def test_what_can_come_out_one_way_only_is_no_sign(codes: list[int]) -> None:
    assert odds_of_order(np.array(codes, dtype=np.int32)) == 0.0


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 63, count, dtype=np.uint64)


class TestNumbers:
    @pytest.mark.parametrize("count", [8, 40, 100_000])
    def test_counters_are_told_from_numbers_drawn(self, count: int) -> None:
        assert odds_of_numbers(np.arange(count, dtype=np.uint64)) < SUSPECT
        assert odds_of_numbers(np.arange(count, dtype=np.uint64) + np.uint64(10**15)) < SUSPECT
        assert all(odds_of_numbers(drawn(count, seed)) > log(1e-3) for seed in range(20))

    def test_a_bit_that_tells_the_group_is_seen(self) -> None:
        numbers, codes = drawn(200), np.repeat([0, 1], 100)
        assert odds_of_bits(numbers, codes) > log(1e-3)
        marked = (numbers >> np.uint64(1) << np.uint64(1)) | codes.astype(np.uint64)
        assert odds_of_bits(marked, codes) < SUSPECT
