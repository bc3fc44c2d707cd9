"""What the bootstrap promises, on tallies small enough to reason about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from czrun import statistics
from czrun.statistics import FloatArray, FoldTallies, IntArray, Units, percentile_interval, resample

PUBLISHED = [2.25, 0.25, 2.5, 2.5, 2.5, 1.75]


@dataclass(frozen=True)
class MeanOf:
    """The mean of a number per unit; undefined while `blind` units make up a whole draw."""

    numbers: FloatArray
    blind: IntArray | None = None
    cost: int = 1

    def values(self, draws: IntArray) -> FloatArray:
        means = draws @ self.numbers / draws.sum(axis=1)
        if self.blind is not None:
            means[draws[:, self.blind].sum(axis=1) == draws.sum(axis=1)] = np.nan
        return means[:, None]


def one_fold(numbers: Any, **more: Any) -> list[FoldTallies]:
    numbers = np.asarray(numbers, dtype=float)
    return [FoldTallies(Units.cells(len(numbers)), {0: MeanOf(numbers, **more)})]


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))


class TestUnits:
    def test_a_replicate_has_as_many_draws_as_there_are_cells_or_clusters(self) -> None:
        kinds = np.array([[0, 0]] * 30 + [[0, 1]] * 5 + [[1, 0]] * 40)
        cases = [
            (Units.cells(50), 50),
            (Units.clusters(np.array(list("aabbbc"))), 3),
            (Units.alike(kinds), 75),
        ]
        for units, n in cases:
            draws = units.draw(rng(), 20)
            assert draws.shape == (20, len(units.share))
            assert set(draws.sum(axis=1)) == {n}

    def test_cells_alike_share_a_unit_and_others_do_not(self) -> None:
        outcomes = np.array([[0, 1, 1], [0, 1, 2], [0, 1, 1], [2, 1, 1], [0, -1, 1]])
        units = Units.alike(outcomes)
        assert units.code[0] == units.code[2]
        assert len(set(units.code)) == 4
        assert units.share[units.code].tolist() == [2, 1, 2, 1, 1]

    def test_many_columns_do_not_mix_cells_up(self) -> None:
        outcomes = np.random.default_rng(0).integers(1000, size=(60, 40))
        assert len(Units.alike(outcomes).share) == 60, "1000^40 kinds would overflow"

    @pytest.mark.parametrize("shares", [[700, 200, 100], [5, 3, 2]], ids=["multinomial", "direct"])
    def test_drawing_kinds_has_the_distribution_of_drawing_cells(self, shares: list[int]) -> None:
        kind = np.repeat(np.arange(3), shares)
        n = len(kind)
        by_kind = Units.alike(kind[:, None]).draw(rng(), 20_000)
        one_by_one = np.random.default_rng(1)
        by_cell = np.array(
            [np.bincount(kind[one_by_one.integers(n, size=n)], minlength=3) for _ in range(20_000)]
        )
        np.testing.assert_allclose(by_kind.mean(axis=0), shares, rtol=0.02)
        np.testing.assert_allclose(by_kind.std(axis=0), by_cell.std(axis=0), rtol=0.03)
        np.testing.assert_allclose(np.corrcoef(by_kind.T), np.corrcoef(by_cell.T), atol=0.03)
        for q in (0.025, 0.975):
            np.testing.assert_allclose(
                np.quantile(by_kind, q, axis=0), np.quantile(by_cell, q, axis=0), atol=1
            )


class TestResample:
    def test_replicates_of_a_mean_have_its_standard_error(self) -> None:
        numbers = np.random.default_rng(0).normal(size=400)
        found = resample(one_fold(numbers), seed=1, n_resamples=5000)
        assert found.trials[0, 0] == pytest.approx(numbers.mean())
        assert found.replicates.mean() == pytest.approx(numbers.mean(), abs=0.005)
        assert found.replicates.std() == pytest.approx(numbers.std() / 20, rel=0.05)
        assert found.drawn == ("cells",)

    def test_the_same_seed_gives_the_same_replicates_and_another_seed_does_not(self) -> None:
        folds = one_fold(np.arange(20.0))
        first, again, other = (resample(folds, seed=s, n_resamples=300).replicates for s in (5, 5, 6))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_the_stream_is_the_one_that_was_published(self) -> None:
        # A change of these numbers changes every published interval: say so in the changelog.
        found = resample(one_fold([0, 1, 2, 4]), seed=0, n_resamples=6)
        assert found.replicates.ravel().tolist() == PUBLISHED

    def test_the_order_in_which_seeds_are_given_does_not_matter(self) -> None:
        units = Units.cells(10)
        tallies = {s: MeanOf(np.random.default_rng(s).normal(size=10)) for s in (3, 1, 2)}
        one, other = (
            resample([FoldTallies(units, {s: tallies[s] for s in order})], seed=0, n_resamples=300)
            for order in ((1, 2, 3), (3, 2, 1))
        )
        np.testing.assert_array_equal(one.replicates, other.replicates)
        np.testing.assert_array_equal(one.trials, other.trials)

    def test_seeds_of_a_fold_share_the_draw_of_its_cells(self) -> None:
        numbers = np.random.default_rng(0).normal(size=200)
        opposite = {0: MeanOf(numbers), 1: MeanOf(-numbers)}
        found = resample([FoldTallies(Units.cells(200), opposite)], seed=0, n_resamples=2000)
        both_seeds = np.isclose(found.replicates, 0, atol=1e-12)
        assert both_seeds.mean() == pytest.approx(1 / 2, abs=0.04), "both seeds drawn once: the cells cancel"

    def test_a_fold_drawn_twice_gets_two_draws_of_its_cells(self) -> None:
        numbers = np.random.default_rng(0).normal(size=100)
        alike = [*one_fold(numbers), *one_fold(numbers)]
        found = resample(alike, seed=0, n_resamples=5000)
        assert found.replicates.std() == pytest.approx(numbers.std() / 10 / np.sqrt(2), rel=0.05)

    def test_folds_that_differ_widen_the_replicates(self) -> None:
        cells = np.random.default_rng(0).normal(size=100)
        same, differing = [one_fold(cells)[0]] * 3, [one_fold(cells + shift)[0] for shift in (-1, 0, 1)]
        narrow, wide = (
            resample(folds, seed=0, n_resamples=1000).replicates.std() for folds in (same, differing)
        )
        assert wide > 3 * narrow

    def test_a_trial_that_is_missing_does_not_count(self) -> None:
        units = Units.cells(2)
        folds = [
            FoldTallies(units, {0: MeanOf(np.full(2, 1.0)), 1: MeanOf(np.full(2, 1.0))}),
            FoldTallies(units, {0: MeanOf(np.full(2, 1.0))}),
        ]
        found = resample(folds, seed=0, n_resamples=400)
        nothing_drawn = np.isnan(found.replicates)
        assert set(found.replicates[~nothing_drawn]) == {1.0}
        assert nothing_drawn.mean() == pytest.approx(1 / 16, abs=0.04), "fold 1 twice, seed 1 twice"

    def test_undefined_in_one_drawn_trial_is_undefined_but_the_partial_mean_is_not(self) -> None:
        defined, undefined = one_fold([1.0, 1.0])[0], one_fold([5.0, 5.0], blind=np.array([0, 1]))[0]
        found = resample([defined, undefined], seed=0, n_resamples=2000)
        assert np.isnan(found.replicates).mean() == pytest.approx(3 / 4, abs=0.03)
        assert np.isnan(found.partial_replicates).mean() == pytest.approx(1 / 4, abs=0.03)
        assert np.nanmax(found.partial_replicates) == 1

    def test_chunks_do_not_change_what_is_drawn_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        folds = one_fold(np.arange(50.0))
        whole = resample(folds, seed=0, n_resamples=400).replicates
        monkeypatch.setattr(statistics, "_CHUNK", 50 * 7)
        np.testing.assert_array_equal(resample(folds, seed=0, n_resamples=400).replicates, whole)

    @pytest.mark.parametrize(
        ("cost", "expected"), [(1, 2000), (100_000, 2000), (400_000, 500), (10_000_000, 200)]
    )
    def test_costly_metrics_get_fewer_replicates_but_never_under_200(self, cost: int, expected: int) -> None:
        found = resample(one_fold([0.0, 1.0], cost=cost), seed=0)
        assert len(found.replicates) == expected

    def test_fewer_than_200_are_given_to_whom_asks(self) -> None:
        assert len(resample(one_fold([0.0, 1.0], cost=10**9), seed=0, n_resamples=50).replicates) == 50

    def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says(self) -> None:
        source = np.random.default_rng(0)
        covered = 0
        for each in range(300):
            found = resample(one_fold(source.random(150) < 0.7), seed=each, n_resamples=400)
            interval = percentile_interval(found.replicates[:, 0], 0.7, drawn=found.drawn).interval
            assert interval is not None
            covered += interval.low <= 0.7 <= interval.high
        assert 0.90 <= covered / 300 <= 0.985


class TestPercentileInterval:
    def test_it_takes_the_percentiles_and_says_how_it_came_about(self) -> None:
        found = percentile_interval(np.linspace(0, 1, 2001), 0.5, drawn=("folds", "clusters"), n_clusters=12)
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((0.025, 0.975))
        assert found.interval.method == "percentile bootstrap over folds, clusters"
        assert (found.interval.level, found.interval.n_resamples, found.interval.n_clusters) == (
            0.95,
            2001,
            12,
        )
        assert found.interval.note == found.reason == ""

    def test_the_level_can_be_chosen(self) -> None:
        found = percentile_interval(np.linspace(0, 1, 2001), 0.5, drawn=("cells",), level=0.8)
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((0.1, 0.9))

    def test_undefined_replicates_are_left_out_and_counted(self) -> None:
        replicates = np.r_[np.linspace(0, 1, 60), np.full(40, np.nan)]
        found = percentile_interval(replicates, 0.5, drawn=("cells",))
        assert found.interval is not None
        assert (found.interval.low, found.interval.high) == pytest.approx((0.025, 0.975))
        assert "40 of 100 replicates were undefined" in found.interval.note
        assert found.interval.n_resamples == 100

    @pytest.mark.parametrize(("missing", "there"), [(50, True), (51, False)])
    def test_more_than_half_undefined_means_no_interval(self, missing: int, there: bool) -> None:
        replicates = np.r_[np.linspace(0, 1, 100 - missing), np.full(missing, np.nan)]
        found = percentile_interval(replicates, 0.5, drawn=("cells",))
        assert (found.interval is not None) is there
        assert there or found.reason == "undefined in 51 of 100 bootstrap replicates"

    def test_with_nothing_to_draw_there_is_no_interval_of_no_width(self) -> None:
        found = resample(one_fold([1.0]), seed=0, n_resamples=200)
        answer = percentile_interval(found.replicates[:, 0], 1.0, drawn=found.drawn)
        assert answer.interval is None
        assert "only one test cell" in answer.reason

    def test_seeds_alone_do_not_make_an_interval(self) -> None:
        tallies = {0: MeanOf(np.zeros(1)), 1: MeanOf(np.ones(1))}
        assert resample([FoldTallies(Units.cells(1), tallies)], seed=0, n_resamples=200).drawn == ()

    def test_no_bootstrap_no_interval(self) -> None:
        found = resample(one_fold([0.0, 1.0]), seed=0, n_resamples=0)
        answer = percentile_interval(found.replicates[:, 0], 0.5, drawn=found.drawn)
        assert answer == statistics.Uncertainty(None, "no bootstrap was asked for")

    @pytest.mark.parametrize(("n_clusters", "rough"), [(2, True), (4, True), (5, False), (None, False)])
    def test_few_clusters_are_called_rough(self, n_clusters: int | None, rough: bool) -> None:
        found = percentile_interval(np.linspace(0, 1, 99), 0.5, drawn=("clusters",), n_clusters=n_clusters)
        assert found.interval is not None
        assert ("rough" in found.interval.note) is rough

    def test_an_interval_without_width_and_one_beside_the_estimate_are_pointed_out(self) -> None:
        flat = percentile_interval(np.ones(99), 1.0, drawn=("cells",)).interval
        beside = percentile_interval(np.linspace(0, 1, 99), 2.0, drawn=("cells",)).interval
        assert flat is not None
        assert beside is not None
        assert "no spread" in flat.note
        assert "estimate lies outside" in beside.note
