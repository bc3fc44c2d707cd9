"""What the metrics of time promise, with scipy and scikit-learn as independent witnesses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr
from sklearn.neighbors import NearestNeighbors

from czrun.errors import ScoringError
from czrun.metrics.neighbours import Neighbours, nearest
from czrun.metrics.ordering import (
    METRICS,
    alignment_family,
    pseudotime_families,
    pseudotime_kendall,
    pseudotime_spearman,
    sequential_alignment,
)

CORRELATIONS = {
    "pseudotime_spearman": (pseudotime_spearman, spearmanr),
    "pseudotime_kendall": (pseudotime_kendall, kendalltau),
}


def timed_cells(seed: int, n: int = 120, levels: int = 5) -> tuple[Any, Any]:
    """Return an embedding in which time goes along the first dimension, and the times."""
    rng = np.random.default_rng(seed)
    times = rng.integers(levels, size=n).astype(float)
    embedding = rng.normal(size=(n, 4))
    embedding[:, 0] += times
    return embedding, times


def redraws(seed: int, n: int, size: int = 6) -> Any:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=size)


def score_redraws(family: Any, n: int, draws: Any) -> Any:
    return family.tally(np.arange(n), np.ones(n, dtype=np.int64)).values(draws)[:, 0]


def mean_gap_between_pairs(times: Any) -> float:
    n = len(times)
    return float(np.abs(times[:, None] - times[None]).sum() / (n * (n - 1)))


class TestSequentialAlignment:
    @pytest.mark.parametrize("seed", range(4))
    def test_it_is_the_gap_to_neighbours_over_the_gap_between_any_two_cells(self, seed: int) -> None:
        embedding, times = timed_cells(seed)
        _, indices = NearestNeighbors(n_neighbors=16).fit(embedding).kneighbors(embedding)
        gap = np.abs(times[indices[:, 1:]] - times[:, None]).mean()
        expected = 1 - gap / mean_gap_between_pairs(times)
        assert sequential_alignment(nearest(embedding, 16), times).value == pytest.approx(expected, abs=1e-12)

    def test_neighbours_of_one_time_give_one(self) -> None:
        times = np.repeat([0.0, 1, 5], 20)
        embedding = np.random.default_rng(0).normal(size=(60, 3)) + 100 * times[:, None]
        assert sequential_alignment(nearest(embedding, 16), times).value == 1

    def test_neighbours_at_random_give_about_zero_and_never_less(self) -> None:
        values = [
            sequential_alignment(nearest(timed_cells(seed)[0], 16), timed_cells(seed + 100)[1]).value
            for seed in range(8)
        ]
        assert all(value is not None and 0 <= value < 0.06 for value in values)
        assert 0.0 in values, "some of them lie below chance, and are clipped"

    def test_the_unit_of_time_and_where_it_starts_do_not_matter(self) -> None:
        embedding, times = timed_cells(1)
        found = nearest(embedding, 16)
        plain = sequential_alignment(found, times).value
        assert sequential_alignment(found, times * 24 + 7).value == pytest.approx(plain)
        assert sequential_alignment(found, [str(time) for time in times]).value == plain

    def test_neighbours_of_some_cells_are_measured_against_the_times_of_all(self) -> None:
        embedding, times = timed_cells(2)
        some = np.arange(0, 120, 3)
        found = nearest(embedding, 16, some)
        gap = np.abs(times[found.indices[:, 1:]] - times[some][:, None]).mean()
        value = sequential_alignment(found, times).value
        assert value == pytest.approx(1 - gap / mean_gap_between_pairs(times))
        note = alignment_family(found, times).notes["sequential_alignment"]
        assert note.startswith("on 40 of 120 cells; standard error 0.")

    def test_only_the_k_nearest_count(self) -> None:
        embedding, times = timed_cells(3)
        few, many = nearest(embedding, 6), nearest(embedding, 30)
        assert sequential_alignment(few, times, k=5) == sequential_alignment(many, times, k=5)

    @pytest.mark.parametrize("seed", range(3))
    def test_a_redraw_weighs_cells_and_draws_the_pairs_anew(self, seed: int) -> None:
        embedding, times = timed_cells(seed)
        found = nearest(embedding, 16)
        gaps = np.abs(times[found.indices[:, 1:]] - times[:, None]).mean(axis=1)
        draws = redraws(seed, 120)
        expected = [
            np.clip(1 - np.repeat(gaps, row).mean() / mean_gap_between_pairs(np.repeat(times, row)), 0, 1)
            for row in draws
        ]
        np.testing.assert_allclose(score_redraws(alignment_family(found, times), 120, draws), expected)

    def test_a_redraw_of_one_time_is_undefined(self) -> None:
        embedding, times = timed_cells(0)
        only_first_time = (times == 0).astype(np.int64)[None]
        family = alignment_family(nearest(embedding, 16), times)
        assert np.isnan(score_redraws(family, 120, only_first_time)).all()

    def test_equal_times_are_undefined_where_cz_benchmarks_says_one(self) -> None:
        value = sequential_alignment(nearest(timed_cells(0)[0], 16), np.full(120, 3.0))
        assert (value.value, value.reason) == (None, "all cells have the same time")

    def test_fewer_cells_than_it_needs_are_undefined(self) -> None:
        embedding, times = timed_cells(0, n=15)
        value = sequential_alignment(nearest(embedding, 16), times)
        assert (value.value, value.reason) == (None, "there are 15 cells, and each wants 15 neighbours")
        assert sequential_alignment(nearest(embedding, 15), times, k=14).value is not None

    @pytest.mark.parametrize("broken", [np.nan, np.inf])
    def test_a_missing_time_is_refused_where_cz_benchmarks_says_one(self, broken: float) -> None:
        embedding, times = timed_cells(0)
        times[3] = broken
        with pytest.raises(ScoringError, match="1 cells have no finite one"):
            sequential_alignment(nearest(embedding, 16), times)

    @pytest.mark.parametrize(
        ("times", "says"),
        [
            (np.arange(119.0), "don't fit 119 times"),
            (np.zeros((120, 2)), r"wants shape \(n,\)"),
            (np.array(["day 1"] * 120), "not all of them are numbers"),
            (np.array([]), "no cells"),
        ],
    )
    def test_times_that_do_not_fit_are_refused(self, times: Any, says: str) -> None:
        with pytest.raises(ScoringError, match=says):
            sequential_alignment(nearest(timed_cells(0)[0], 16), times)

    def test_too_few_neighbours_are_refused(self) -> None:
        embedding, times = timed_cells(0)
        with pytest.raises(ScoringError, match="15 columns"):
            sequential_alignment(nearest(embedding, 15), times)
        short = nearest(embedding, 16)
        unequal = Neighbours(short.queries[:5], short.indices, short.distances, None)
        with pytest.raises(ScoringError, match="don't fit"):
            sequential_alignment(unequal, times)


@pytest.mark.parametrize("name", CORRELATIONS)
class TestRankCorrelations:
    @pytest.mark.parametrize("levels", [2, 3, 8, 200])
    @pytest.mark.parametrize("decimals", [0, 12])
    def test_they_agree_with_scipy_ties_included(self, name: str, levels: int, decimals: int) -> None:
        metric, oracle = CORRELATIONS[name]
        rng = np.random.default_rng(levels)
        times = rng.integers(levels, size=150).astype(float)
        pseudotime = np.round(times / levels + rng.normal(size=150), decimals)
        assert metric(pseudotime, times).value == pytest.approx(
            oracle(pseudotime, times).statistic, abs=1e-12
        )

    @given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=2, max_size=12))
    @settings(max_examples=120, deadline=None)
    def test_they_agree_with_scipy_on_any_few_cells(self, name: str, cells: list[tuple[int, int]]) -> None:
        metric, oracle = CORRELATIONS[name]
        pseudotime, times = (np.array(column, dtype=float) for column in zip(*cells, strict=True))
        found = metric(pseudotime, times)
        if len(set(pseudotime)) == 1 or len(set(times)) == 1:
            assert found.value is None
        else:
            assert found.value == pytest.approx(oracle(pseudotime, times).statistic, abs=1e-12)

    @pytest.mark.parametrize("levels", [3, 90])
    def test_a_redraw_is_what_scipy_says_of_the_drawn_cells(self, name: str, levels: int) -> None:
        rng = np.random.default_rng(levels)
        times = rng.integers(levels, size=90).astype(float)
        pseudotime = np.round(times / levels + rng.normal(size=90), 1)
        families = {family.names[0]: family for family in pseudotime_families(pseudotime, times)}
        draws = redraws(levels, 90)
        expected = [
            CORRELATIONS[name][1](np.repeat(pseudotime, row), np.repeat(times, row)).statistic
            for row in draws
        ]
        np.testing.assert_allclose(score_redraws(families[name], 90, draws), expected, atol=1e-12)

    def test_a_redraw_of_one_time_is_undefined(self, name: str) -> None:
        times = np.repeat([0.0, 1.0], 10)
        families = {family.names[0]: family for family in pseudotime_families(np.arange(20.0), times)}
        draws = (times == 0).astype(np.int64)[None]
        assert np.isnan(score_redraws(families[name], 20, draws)).all()

    def test_the_sign_counts_and_order_alone_matters(self, name: str) -> None:
        metric, _ = CORRELATIONS[name]
        times = np.arange(30.0)
        assert metric(np.exp(times / 10), times).value == pytest.approx(1)
        assert metric(-(times**3), times).value == pytest.approx(-1)

    @pytest.mark.parametrize("n", range(2, 40))
    def test_rounding_carries_no_perfect_correlation_beyond_one(self, name: str, n: int) -> None:
        metric, _ = CORRELATIONS[name]
        times = np.random.default_rng(n).integers(4, size=n).astype(float)
        times[:2] = 0, 1
        value = metric(times, times).value
        assert value is not None
        assert 1 - 1e-12 < value <= 1

    def test_a_constant_is_undefined_and_the_reason_says_which(self, name: str) -> None:
        metric, _ = CORRELATIONS[name]
        varied, constant = np.arange(5.0), np.ones(5)
        assert metric(constant, varied).reason == "all cells have the same pseudotime"
        assert metric(varied, constant).reason == "all cells have the same time"

    def test_what_is_no_number_is_refused_all_at_once(self, name: str) -> None:
        metric, _ = CORRELATIONS[name]
        with pytest.raises(ScoringError) as caught:
            metric([0.1, np.nan, 2.0], [1.0, np.inf])
        for part in ("pseudotime: 1 cells", "times: 1 cells", "3 pseudotime, 2 times"):
            assert part in caught.value.message


def test_each_metric_cites_a_source_with_its_doi_under_its_own_id() -> None:
    assert all(name == info.id and "doi:10." in info.reference for name, info in METRICS.items())
