"""Nearest neighbours: all of them, in a fixed order, whatever the cells look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from czrun.errors import ScoringError
from czrun.metrics import exact_search, inverted_lists, mutual_search, neighbours
from czrun.metrics.inverted_lists import Lists
from czrun.metrics.neighbours import Neighbours, nearest, nearest_approximate
from czrun.metrics.points import Points

Array = NDArray[Any]


def clusters(n: int, d: int = 12, groups: int = 6, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d)) * 3
    return (centres[rng.integers(groups, size=n)] + rng.normal(size=(n, d))).astype(np.float32)


def plainly(embedding: Array, k: int) -> Neighbours:
    """Sort all distances, self first, equals by row number."""
    apart = cdist(embedding.astype(np.float64), embedding.astype(np.float64))
    key = apart.copy()
    np.fill_diagonal(key, -1)
    order = np.argsort(key, axis=1, kind="stable")[:, :k]
    return Neighbours(np.arange(len(key)), order, np.take_along_axis(apart, order, axis=1))


@pytest.fixture
def _narrow_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few cells go the road of many: several blocks and tiles, a sample, several rounds of pruning."""
    monkeypatch.setattr(exact_search, "QUERIES_AT_ONCE", 128)
    monkeypatch.setattr(mutual_search, "_BLOCK", 64)
    monkeypatch.setattr(mutual_search, "_LEAST_SAMPLE", 100)
    monkeypatch.setattr(exact_search, "_COLUMNS_AT_ONCE", 64)
    monkeypatch.setattr(exact_search, "_SAMPLE", 100)
    monkeypatch.setattr(exact_search, "_HITS_TO_PRUNE", 2000)


class TestExact:
    @pytest.mark.parametrize(("n", "k"), [(100, 99), (700, 15), (1100, 90)])
    def test_finds_what_sorting_all_distances_finds(self, n: int, k: int) -> None:
        # Whole numbers up to 40 in few dimensions: many equal distances, and no rounding in any of them.
        embedding = np.random.default_rng(n).integers(0, 40, size=(n, 3)).astype(np.float32)
        found, expected = nearest(embedding, k), plainly(embedding, k)
        assert np.array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)
        assert found.recall is None

    @pytest.mark.usefixtures("_narrow_tiles")
    @pytest.mark.parametrize("k", [2, 15, 200])
    def test_road_of_many_cells(self, k: int) -> None:
        embedding = np.random.default_rng(k).integers(0, 30, size=(1000, 3)).astype(np.float32)
        assert np.array_equal(nearest(embedding, k).indices, plainly(embedding, k).indices)

    @pytest.mark.usefixtures("_narrow_tiles")
    def test_bar_that_was_too_high_is_lowered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exact_search, "rank_in_sample", lambda *_: 1)
        monkeypatch.setattr(mutual_search, "rank_in_sample", lambda *_: 1)
        embedding, some = clusters(1000), np.arange(0, 1000, 3)
        expected = plainly(embedding, 60).indices
        assert np.array_equal(nearest(embedding, 60).indices, expected)
        assert np.array_equal(nearest(embedding, 60, some).indices, expected[some])

    @pytest.mark.usefixtures("_narrow_tiles")
    def test_far_groups_of_near_cells(self) -> None:
        # Seen from the middle, single precision can't tell the cells of a group apart.
        groups = np.repeat(np.eye(4), 100, axis=0) * 1e6
        embedding = groups + np.random.default_rng(0).normal(size=(400, 4))
        found, expected = nearest(embedding, 20), plainly(embedding, 20)
        assert np.array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-6)

    def test_one_cell_far_off_blurs_no_other(self) -> None:
        embedding = clusters(600).astype(np.float64)
        embedding[17] = 1e15
        found, expected = nearest(embedding, 10), plainly(embedding, 10)
        rest = np.arange(600) != 17
        assert np.array_equal(found.indices[rest], expected.indices[rest])

    @pytest.mark.parametrize("factor", [1e-30, 1e-12, 1e12, 1e30])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_size_of_the_numbers_does_not_matter(self, factor: float, dtype: type) -> None:
        embedding = clusters(300).astype(dtype)
        found, expected = nearest(embedding * dtype(factor), 10), nearest(embedding, 10)
        assert np.array_equal(found.indices, expected.indices)
        np.testing.assert_allclose(found.distances / factor, expected.distances, rtol=1e-5)

    def test_half_precision(self) -> None:
        embedding = clusters(300).astype(np.float16)
        found, expected = nearest(embedding, 8), plainly(embedding, 8)
        np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-5)

    def test_queries_alone(self) -> None:
        embedding, queries = clusters(800), np.array([5, 700, 3])
        some, everyone = nearest(embedding, 12, queries), nearest(embedding, 12)
        assert np.array_equal(some.queries, queries)
        assert np.array_equal(some.indices, everyone.indices[queries])
        assert np.array_equal(some.distances, everyone.distances[queries])

    def test_k_is_clipped_to_the_cells(self) -> None:
        found = nearest(clusters(5), 9)
        assert found.indices.shape == (5, 5)
        assert (np.sort(found.indices, axis=1) == np.arange(5)).all()

    def test_k_of_one_is_the_cell_itself(self) -> None:
        found = nearest(clusters(7), 1)
        assert found.indices.tolist() == [[i] for i in range(7)]
        assert not found.distances.any()

    def test_two_cells(self) -> None:
        found = nearest(np.array([[0.0, 3.0], [4.0, 0.0]]), 2)
        assert found.indices.tolist() == [[0, 1], [1, 0]]
        assert found.distances.tolist() == [[0, 5], [0, 5]]

    def test_types(self) -> None:
        found = nearest(clusters(20), 3)
        assert (found.queries.dtype, found.indices.dtype, found.distances.dtype) == ("i8", "i4", "f4")


@pytest.mark.usefixtures("_narrow_tiles")
class TestAllCellsAmongThemselves:
    """Pairs of cells are looked at once, by the one that reaches farther, for both."""

    @pytest.mark.parametrize("n", [200, 201, 263, 264, 900])
    @pytest.mark.parametrize("k", [2, 15])
    def test_finds_what_each_finds_on_its_own(self, n: int, k: int) -> None:
        embedding = clusters(n, seed=n)
        apart = [nearest(embedding, k, queries) for queries in np.array_split(np.arange(n), 2)]
        together = nearest(embedding, k)
        assert np.array_equal(together.indices, np.concatenate([each.indices for each in apart]))
        assert np.array_equal(together.distances, np.concatenate([each.distances for each in apart]))

    def test_cells_that_reach_far_and_near_ones(self) -> None:
        # Groups from a hundredth to a hundred wide: nearly every block meets others of another reach.
        width = np.repeat(10.0 ** np.arange(-2, 3), 200)[:, None]
        rng = np.random.default_rng(0)
        embedding = (rng.normal(size=(1000, 6)) * width)[rng.permutation(1000)]
        assert np.array_equal(nearest(embedding, 20).indices, plainly(embedding, 20).indices)

    def test_cells_in_a_crowd_are_met_by_the_others(self) -> None:
        # Three hundred in one place, some of them the nearest of cells around it.
        rng = np.random.default_rng(1)
        embedding = np.concatenate([np.zeros((300, 3)), rng.normal(size=(500, 3))])[rng.permutation(800)]
        found, expected = nearest(embedding, 12), plainly(embedding, 12)
        assert np.array_equal(found.indices, expected.indices)

    def test_a_crowd_is_searched_for_on_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        alone: list[int] = []
        plain = mutual_search.search_each

        def watched(points: Points, queries: Array, k: int, enter: exact_search.Enter) -> None:
            alone.extend(queries.tolist())
            plain(points, queries, k, enter)

        monkeypatch.setattr(mutual_search, "search_each", watched)
        embedding = np.concatenate([np.zeros((300, 3)), np.random.default_rng(1).normal(size=(500, 3))])
        nearest(embedding, 12)
        # Of the others, few that have to search again.
        assert set(range(300)) <= set(alone)
        assert len(alone) == len(set(alone)) < 400

    @pytest.mark.parametrize("far", [1e3, 1e15])
    def test_one_cell_far_off_blurs_no_other(self, far: float) -> None:
        embedding = clusters(700).astype(np.float64)
        embedding[17] = far
        found, expected = nearest(embedding, 10), plainly(embedding, 10)
        rest = np.arange(700) != 17
        assert np.array_equal(found.indices[rest], expected.indices[rest])

    def test_too_many_neighbours_for_bars(self) -> None:
        embedding = np.random.default_rng(2).integers(0, 40, size=(900, 3)).astype(np.float32)
        assert np.array_equal(nearest(embedding, 800).indices, plainly(embedding, 800).indices)

    @given(st.integers(0, 1000), st.integers(2, 30))
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_numbers_on_a_grid(self, seed: int, k: int) -> None:
        rng = np.random.default_rng(seed)
        embedding = rng.integers(0, rng.integers(3, 40), size=(int(rng.integers(200, 500)), 3)).astype(float)
        assert np.array_equal(nearest(embedding, k).indices, plainly(embedding, k).indices)


class TestDuplicates:
    @pytest.mark.usefixtures("_narrow_tiles")
    @pytest.mark.parametrize("places", [1, 2, 15])
    def test_self_first_then_equals_by_row(self, places: int) -> None:
        # As a model that answers with one of a few vectors: hundreds of cells in each place.
        rng = np.random.default_rng(0)
        embedding = np.eye(places, 15, dtype=np.float32)[rng.integers(places, size=900)] * 0.1
        assert np.array_equal(nearest(embedding, 30).indices, plainly(embedding, 30).indices)

    def test_duplicates_are_at_no_distance(self) -> None:
        embedding = np.repeat(clusters(100) + 1000, 3, axis=0)
        assert not nearest(embedding, 3).distances.any()


class TestInvariance:
    @given(st.integers(0, 1000))
    @settings(max_examples=20)
    def test_moving_and_turning_keep_the_neighbours(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        embedding = rng.normal(size=(60, 4))
        turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
        assert np.array_equal(nearest(embedding, 9).indices, nearest(embedding @ turn + 7, 9).indices)

    @given(st.integers(0, 1000))
    @settings(max_examples=20)
    def test_order_of_cells_does_not_matter(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        embedding, order = rng.normal(size=(60, 4)), rng.permutation(60)
        shuffled = nearest(embedding[order], 9)
        assert np.array_equal(order[shuffled.indices], nearest(embedding, 9).indices[order])

    def test_first_is_asking_for_fewer(self) -> None:
        embedding = clusters(400)
        fewer, asked = nearest(embedding, 50).first(15), nearest(embedding, 15)
        assert np.array_equal(fewer.indices, asked.indices)
        assert np.array_equal(fewer.distances, asked.distances)
        assert fewer.k == 15


class TestApproximate:
    @pytest.fixture
    def _few_lists(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neighbours, "_FEW_LISTS", 1)

    def test_recall_is_what_comparison_with_exact_finds(self) -> None:
        embedding = clusters(3000, d=20)
        found, exact = nearest_approximate(embedding, 15), nearest(embedding, 15)
        hits = [np.isin(a, b).mean() for a, b in zip(found.indices[:, 1:], exact.indices[:, 1:], strict=True)]
        assert found.recall is not None
        assert 0.95 <= found.recall < 1
        assert found.recall == pytest.approx(np.mean(hits), abs=0.02)

    def test_found_distances_are_exact(self) -> None:
        embedding = clusters(2000)
        found = nearest_approximate(embedding, 10)
        apart = np.linalg.norm(embedding[found.queries][:, None] - embedding[found.indices], axis=2)
        np.testing.assert_allclose(found.distances, apart, rtol=1e-5)
        assert (np.diff(found.distances, axis=1) >= 0).all()
        assert np.array_equal(found.indices[:, 0], np.arange(2000))

    @pytest.mark.usefixtures("_few_lists")
    def test_recall_that_was_not_reached_is_told(self) -> None:
        rng = np.random.default_rng(0)
        found = nearest_approximate(rng.normal(size=(3000, 30)).astype(np.float32), 15)
        assert found.recall is not None
        assert found.recall < 0.9

    @pytest.mark.usefixtures("_few_lists")
    def test_small_lists_still_give_every_cell_k_neighbours(self) -> None:
        found = nearest_approximate(clusters(500), 100)
        assert (found.indices >= 0).all()
        assert all(len(set(row)) == 100 for row in found.indices.tolist())

    def test_same_seed_same_answer(self) -> None:
        embedding = clusters(1500, d=30)
        one, again = nearest_approximate(embedding, 8, seed=3), nearest_approximate(embedding, 8, seed=3)
        assert np.array_equal(one.indices, again.indices)
        assert one.recall == again.recall

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_hardly_any_cells(self, n: int) -> None:
        assert np.array_equal(nearest_approximate(clusters(n), 4).indices, nearest(clusters(n), 4).indices)

    def test_cells_in_two_places(self) -> None:
        embedding = np.repeat([[0.0, 0.0], [1.0, 0.0]], 200, axis=0)
        found = nearest_approximate(embedding, 5)
        assert not found.distances.any()
        assert found.recall == 1

    def test_every_cell_is_in_one_list(self) -> None:
        lists = Lists.of(Points.of(clusters(1000)), seed=0)
        assert np.array_equal(lists.members(np.arange(len(lists))), np.arange(1000))
        for number in range(len(lists)):
            assert np.array_equal(lists.members(np.array([number])), np.flatnonzero(lists.list_of == number))
        assert np.array_equal(lists.near[:, 0], np.arange(len(lists)))

    def test_every_list_is_nearest_to_itself(self) -> None:
        # Seen from the middle, single precision can't tell the centres of a group apart.
        groups = np.repeat(np.eye(2), 300, axis=0) * 1e4
        lists = Lists.of(Points.of(groups + np.random.default_rng(0).normal(size=(600, 2))), seed=0)
        assert len(lists) > 10
        assert np.array_equal(lists.near[:, 0], np.arange(len(lists)))

    def test_centres_without_cells_are_dropped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inverted_lists, "_ROWS_AT_ONCE", 7)
        lists = Lists.of(Points.of(np.repeat(np.eye(3), 40, axis=0)), seed=0)
        assert len(lists) == 3


class TestRefusals:
    @pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e37])
    def test_numbers_without_distances(self, broken: float) -> None:
        embedding = clusters(50).astype(np.float64)
        embedding[3, 1] = embedding[9, 0] = broken
        with pytest.raises(ScoringError, match=r"2 cells have a value that .*; the first is cell 3"):
            nearest(embedding, 5)

    @pytest.mark.parametrize(
        ("embedding", "words"),
        [
            (np.zeros(4), "wants shape"),
            (np.zeros((2, 2, 2)), "wants shape"),
            (np.zeros((0, 5)), "empty"),
            (np.zeros((5, 0)), "empty"),
            (np.zeros((5, 2), dtype=int), "floating-point"),
            (np.array([["a"]]), "floating-point"),
        ],
    )
    def test_what_is_no_embedding(self, embedding: Array, words: str) -> None:
        with pytest.raises(ScoringError, match=words) as error:
            nearest_approximate(embedding, 5)
        assert error.value.hint

    @pytest.mark.parametrize("k", [0, -3])
    def test_no_neighbours(self, k: int) -> None:
        with pytest.raises(ScoringError, match="make no sense"):
            nearest(clusters(5), k)

    @pytest.mark.parametrize("queries", [[-1], [5], [0.5], [[1]]])
    def test_queries_that_are_no_rows(self, queries: Any) -> None:
        with pytest.raises(ScoringError, match="Queries are rows"):
            nearest(clusters(5), 2, np.array(queries))
