from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from czrun.metrics.medians import MedianTally
from czrun.statistics import Units

scores = st.lists(st.integers(-3, 3).map(float) | st.just(np.nan), min_size=1, max_size=12)


@given(scores, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_redraw_has_the_median_of_the_cells_drawn(values: list[float], random: object) -> None:
    column = np.array(values)
    units = Units.cells(len(column))
    draws = units.draw(np.random.default_rng(len(values)), 20)
    found = MedianTally(column[:, None], units.code, units.share).values(draws)[:, 0]
    for times, median in zip(draws, found, strict=True):
        drawn = np.repeat(column, times)
        known = drawn[~np.isnan(drawn)]
        expected = np.median(known) if len(known) else np.nan
        np.testing.assert_equal(median, expected)


def test_a_clusters_cells_come_and_go_together() -> None:
    values, donor = np.array([1.0, 2.0, 10.0, 20.0, 30.0]), np.array([0, 0, 1, 1, 1])
    tally = MedianTally(values[:, None], donor, np.ones(2, dtype=np.int64))
    assert tally.values(np.array([[1, 1], [2, 0], [0, 1], [2, 1]])).ravel().tolist() == [10, 1.5, 20, 2]


def test_units_that_stand_for_several_draws_count_by_share() -> None:
    values, kind = np.array([1.0, 1.0, 5.0]), np.array([0, 0, 1])
    tally = MedianTally(values[:, None], kind, np.array([2, 1]))
    assert tally.values(np.array([[2, 1], [1, 2], [0, 3]])).ravel().tolist() == [1, 5, 5]


def test_metrics_have_their_own_missing_cells() -> None:
    values = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 7.0]])
    tally = MedianTally(values, np.arange(3), np.ones(3, dtype=np.int64))
    np.testing.assert_equal(
        tally.values(np.array([[1, 1, 1], [2, 1, 0]])), np.array([[2.0, 7.0], [1.0, np.nan]])
    )


def test_nothing_but_missing_cells_has_no_median() -> None:
    tally = MedianTally(np.full((3, 1), np.nan), np.arange(3), np.ones(3, dtype=np.int64))
    assert np.isnan(tally.values(np.array([[1, 1, 1]]))).all()


@pytest.mark.parametrize("n", [5, 6])
def test_the_plain_value_is_the_median(n: int) -> None:
    values = np.random.default_rng(0).normal(size=n)
    tally = MedianTally(values[:, None], np.zeros(n, dtype=np.int64), np.ones(1, dtype=np.int64))
    assert tally.values(np.array([[1]]))[0, 0] == np.median(values)
