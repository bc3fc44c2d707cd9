from __future__ import annotations

import random
import sys

import igraph
import numpy as np
import pytest
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics import leiden as module
from czrun.metrics.leiden import Edges, _Draws, leiden, umap_graph
from czrun.metrics.neighbours import Neighbours, nearest
from integration_cells import integrated

# What scanpy 1.11.5 gives on integrated(): neighbors(use_rep="X", n_neighbors=15), then
# leiden(flavor="igraph", n_iterations=2, random_state=42); one digit a cell.
SCANPY_CLUSTERS = (
    "0111230203232121203031000333000312030231010132101221211102110110101331030300033020020223123332333322"
    "0123100312032120112110301320110020122031002103120213103231213003211220113122033221102113001001301230"
    "1103003102111211203231332001032002303203132020033211320021222121300103221223203302302212011100013302"
    "2012020231112031211200230110113103102030122201101331001122312001310133013202110011312210200203212101"
)
SCANPY_EDGES = 7848 // 2
SCANPY_FIRST_ROW = {6: 1.0, 8: 0.4936848, 30: 0.1196954, 42: 0.1794035, 79: 0.5553561, 133: 0.0931766}
SCANPY_NORM = 37.694499333483485


def blobs(seed: int = 0, cells: int = 40) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    blob = np.repeat(np.arange(5), cells)
    return (rng.normal(size=(5, 4))[blob] * 50 + rng.normal(size=(len(blob), 4))).astype(np.float32), blob


def as_pairs(edges: Edges) -> dict[tuple[int, int], float]:
    return dict(
        zip(zip(edges.first.tolist(), edges.second.tolist(), strict=True), edges.weight.tolist(), strict=True)
    )


class TestUmapGraph:
    def test_it_is_scanpys(self) -> None:
        edges = umap_graph(nearest(integrated().embedding, 15))
        assert len(edges.weight) == SCANPY_EDGES
        assert np.sqrt(2 * (edges.weight.astype(float) ** 2).sum()) == pytest.approx(SCANPY_NORM, rel=1e-6)
        pairs = as_pairs(edges)
        assert {b: pairs[0, b] for b in SCANPY_FIRST_ROW} == pytest.approx(SCANPY_FIRST_ROW, abs=1e-5)

    def test_each_edge_is_there_once_in_order(self) -> None:
        edges = umap_graph(nearest(integrated().embedding, 15))
        assert (edges.first < edges.second).all()
        assert (np.diff(edges.first * edges.n_obs + edges.second) > 0).all()
        assert edges.weight.min() > 0
        assert edges.weight.max() <= 1

    def test_two_cells_that_reach_out_to_one_another_are_joined_fully(self) -> None:
        embedding = np.array([[0.0], [1.0], [3.0]])
        # 0 and 1 are one another's nearest: 1 + 1 - 1. 1 is the nearest of 2, whatever 2 is to 1.
        assert as_pairs(umap_graph(nearest(embedding, 3)))[0, 1] == pytest.approx(1)
        assert as_pairs(umap_graph(nearest(embedding, 3)))[1, 2] == pytest.approx(1)

    def test_weights_add_up_to_the_logarithm_of_k_where_nothing_is_mutual(self) -> None:
        # A row of cells, each much farther from the next: all but the first reach back, none forth.
        embedding = np.array([[3.0**i] for i in range(12)])
        edges = umap_graph(nearest(embedding, 4))
        backward = edges.weight[edges.second == 11]
        assert len(backward) == 3
        assert backward.sum() == pytest.approx(np.log2(4), abs=1e-4)

    def test_the_order_of_cells_doesnt_matter(self) -> None:
        embedding = integrated(n=150).embedding
        order = np.random.default_rng(0).permutation(150)
        plain, mixed = as_pairs(umap_graph(nearest(embedding, 15))), umap_graph(nearest(embedding[order], 15))
        renamed = {
            (min(a, b), max(a, b)): weight
            for a, b, weight in zip(
                order[mixed.first].tolist(), order[mixed.second].tolist(), mixed.weight.tolist(), strict=True
            )
        }
        assert renamed == pytest.approx(plain, abs=1e-5)

    def test_cells_in_one_place_are_joined_fully(self) -> None:
        embedding = np.repeat(np.random.default_rng(0).normal(size=(4, 3)), 6, axis=0)
        edges = umap_graph(nearest(embedding, 6))
        assert len(edges.weight) == 4 * 15
        assert (edges.weight == 1).all()

    def test_all_cells_in_one_place_are_joined_fully(self) -> None:
        assert (umap_graph(nearest(np.ones((20, 2)), 5)).weight == 1).all()

    def test_a_cells_twin_is_not_the_nearest_that_it_measures_from(self) -> None:
        # The twins at 0 reach out to 1, which has nearer ones itself.
        embedding = np.array([[0.0], [0.0], [1.0], [1.01], [1.02]])
        assert as_pairs(umap_graph(nearest(embedding, 3)))[0, 2] == 1

    def test_a_scale_is_no_less_than_a_thousandth_of_the_mean_distance(self) -> None:
        # Thirteen neighbours tie, more than the scale could make up for: it would go to nothing.
        cells = np.arange(30)
        indices = ((cells[:, None] + np.arange(15)) % 30).astype(np.int32)
        distances = np.tile(np.array([0.0, *[1.0] * 13, 1.001], dtype=np.float32), (30, 1))
        found = as_pairs(umap_graph(Neighbours(cells, indices, distances)))
        assert found[0, 13] == 1
        assert found[0, 14] == pytest.approx(np.exp(-0.001 / (0.001 * distances[0].mean())), rel=1e-3)

    def test_a_neighbour_too_far_to_weigh_anything_is_not_joined(self) -> None:
        cells = np.arange(30)
        indices = ((cells[:, None] + np.arange(15)) % 30).astype(np.int32)
        distances = np.tile(np.array([0.0, *np.linspace(1, 2, 13), 1e5], dtype=np.float32), (30, 1))
        found = as_pairs(umap_graph(Neighbours(cells, indices, distances)))
        assert (0, 13) in found
        assert (0, 14) not in found

    @pytest.mark.parametrize("queries", [np.arange(10), np.arange(400)[::-1]])
    def test_neighbours_of_anything_but_all_cells_in_order_are_refused(
        self, queries: NDArray[np.int64]
    ) -> None:
        with pytest.raises(ScoringError, match="every cell"):
            umap_graph(nearest(integrated().embedding, 15, queries=queries))


class TestLeiden:
    def test_it_is_scanpys_to_the_last_cell(self) -> None:
        found = leiden(nearest(integrated().embedding, 15), seed=42)
        assert "".join(str(cluster) for cluster in found) == SCANPY_CLUSTERS

    def test_blobs_far_apart_are_found(self) -> None:
        embedding, blob = blobs()
        found = leiden(nearest(embedding, 15))
        assert len(np.unique(found)) == 5
        assert len(np.unique(found * 5 + blob)) == 5

    def test_the_seed_decides(self) -> None:
        neighbours = nearest(np.random.default_rng(1).normal(size=(300, 10)), 15)
        assert np.array_equal(leiden(neighbours, 1), leiden(neighbours, 1))
        assert any(
            not np.array_equal(leiden(neighbours, 1), leiden(neighbours, seed)) for seed in range(2, 5)
        )

    def test_igraph_asks_for_32_bits_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # _Draws gives that many, whatever it is asked for.
        asked = set()

        class Watched(_Draws):
            def __init__(self, seed: int) -> None:
                super().__init__(seed)
                draw = self.getrandbits
                self.getrandbits = lambda k: asked.add(k) or draw(k)

        monkeypatch.setattr(module, "_Draws", Watched)
        leiden(nearest(integrated().embedding, 15), seed=42)
        assert asked == {32}

    def test_igraph_draws_from_python_again_afterwards(self) -> None:
        def drawn() -> list[tuple[int, int]]:
            random.seed(1)
            return igraph.Graph.Erdos_Renyi(30, 0.3).get_edgelist()

        before = drawn()
        leiden(nearest(blobs()[0], 15))
        assert drawn() == before

    def test_without_igraph_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "igraph", None)
        with pytest.raises(ScoringError) as caught:
            leiden(nearest(blobs()[0], 15))
        assert "pip install 'czrun[leiden]'" in caught.value.hint


def test_blocks_of_random_numbers_are_those_that_single_calls_give() -> None:
    draws, state = _Draws(7), np.random.RandomState(7)
    for number in range(10_000):
        if number % 3:
            assert draws.random() == state.random_sample()
        else:
            assert draws.getrandbits(32) == state.tomaxint() & 0xFFFFFFFF
