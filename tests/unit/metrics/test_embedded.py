"""An embedding's shared work is done once, and is the same as when asked for alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics import embedded as module
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.neighbours import nearest, nearest_approximate


def cells(n: int = 400, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


@pytest.fixture
def _sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat 400 cells as very many."""
    monkeypatch.setattr(module, "MOST_CELLS_IN_FULL", 300)
    monkeypatch.setattr(module, "SAMPLED_CELLS", 50)


class TestArray:
    @pytest.mark.parametrize(
        ("given", "kept"), [(np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)]
    )
    def test_precision_is_kept_or_raised(self, given: Any, kept: Any) -> None:
        embedded = Embedded(cells().astype(given))
        assert embedded.array.dtype == kept
        assert embedded.n_obs == 400

    def test_broken_embedding_is_refused(self) -> None:
        broken = cells()
        broken[7, 2] = np.nan
        with pytest.raises(ScoringError, match="the first is cell 7"):
            Embedded(broken)

    def test_embedded_is_taken_as_it_is(self) -> None:
        embedded = Embedded(cells())
        assert as_embedded(embedded) is embedded
        assert np.array_equal(as_embedded(cells()).array, cells())

    def test_constant(self) -> None:
        assert Embedded(np.full((9, 3), 0.1)).is_constant
        assert Embedded(np.zeros((1, 1))).is_constant
        assert not Embedded(np.array([[0.1, 0.0], [0.1, 1e-12]])).is_constant


class TestNeighbours:
    def test_as_when_asked_for_alone(self) -> None:
        embedded, alone = Embedded(cells()), nearest(cells(), 12)
        for found in (embedded.neighbours(12), embedded.graph(12)):
            assert np.array_equal(found.indices, alone.indices)
            assert np.array_equal(found.distances, alone.distances)

    def test_fewer_are_part_of_more(self) -> None:
        embedded = Embedded(cells())
        more, fewer = embedded.neighbours(40), embedded.neighbours(10)
        assert fewer.k == 10
        assert np.shares_memory(more.indices, fewer.indices)

    def test_more_are_found_when_asked_for(self) -> None:
        embedded = Embedded(cells())
        embedded.neighbours(10)
        assert np.array_equal(embedded.neighbours(40).indices, nearest(cells(), 40).indices)

    def test_more_than_there_are(self) -> None:
        embedded = Embedded(cells(30))
        assert embedded.neighbours(200).k == 30
        assert np.shares_memory(embedded.neighbours(500).indices, embedded.neighbours(200).indices)


class TestAllCells:
    def test_all_are_looked_at(self) -> None:
        embedded = Embedded(cells())
        assert np.array_equal(embedded.queries, np.arange(400))
        assert not embedded.is_sampled
        assert embedded.sampling_note(0.5) == ""


@pytest.mark.usefixtures("_sampled")
class TestVeryManyCells:
    def test_some_are_looked_at_and_it_says_so(self) -> None:
        embedded = Embedded(cells(), seed=4)
        assert len(set(embedded.queries.tolist())) == 50
        assert (np.diff(embedded.queries) > 0).all()
        assert embedded.sampling_note(0.01234) == (
            "on 50 of 400 cells, drawn with seed 4; standard error 0.012"
        )

    def test_same_seed_same_cells(self) -> None:
        assert np.array_equal(Embedded(cells(), 4).queries, Embedded(cells(seed=1), 4).queries)
        assert not np.array_equal(Embedded(cells(), 4).queries, Embedded(cells(), 5).queries)

    def test_their_neighbours_are_exact(self) -> None:
        embedded = Embedded(cells())
        found = embedded.neighbours(9)
        assert np.array_equal(found.queries, embedded.queries)
        assert np.array_equal(found.indices, nearest(cells(), 9).indices[embedded.queries])
        assert found.recall is None

    def test_graph_is_approximate_and_of_every_cell(self) -> None:
        graph = Embedded(cells(), seed=2).graph(9)
        assert np.array_equal(graph.queries, np.arange(400))
        assert np.array_equal(graph.indices, nearest_approximate(cells(), 9, seed=2).indices)
        assert graph.recall is not None

    def test_smaller_graph_is_part_of_larger(self) -> None:
        embedded = Embedded(cells())
        assert np.shares_memory(embedded.graph(20).indices, embedded.graph(15).indices)


class TestClusters:
    def test_groups_apart_are_clusters(self) -> None:
        group = np.repeat([0, 1, 2], 60)
        embedded = Embedded(cells(180) + 50 * np.eye(3, 6, dtype=np.float32)[group])
        clusters = embedded.clusters()
        assert clusters.shape == (180,)
        assert all(len(set(group[clusters == each])) == 1 for each in np.unique(clusters))
        assert embedded.clusters() is clusters
