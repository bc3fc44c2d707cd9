from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics import embedded as embedded_module
from czrun.metrics.base import MetricValue
from czrun.metrics.conservation import (
    METRICS,
    connectivity_family,
    graph_connectivity,
    isolated_family,
    isolated_labels,
)
from czrun.metrics.embedded import Embedded
from czrun.metrics.families import Family
from czrun.statistics import Units
from integration_cells import integrated


def silhouettes() -> NDArray[np.float64]:
    cells = integrated()
    return np.asarray(sk.silhouette_samples(cells.embedding, cells.label), dtype=np.float64)


def noise() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(300, 10)).astype(np.float32), rng.integers(12, size=300)


def values(family: Family, units: Units, draws: NDArray[np.int64]) -> NDArray[np.float64]:
    return family.tally(units.code, units.share).values(draws)[:, 0]


class TestGraphConnectivity:
    def test_it_is_scibs(self) -> None:
        # As scib.metrics.graph_connectivity: for each label, the share of its largest component in
        # scanpy's connectivities (scanpy 1.11.5, neighbors(use_rep="X", n_neighbors=15)), averaged.
        embedding, label = noise()
        assert graph_connectivity(embedding, label).value == pytest.approx(0.5144611104093862, abs=1e-12)
        cells = integrated()
        assert graph_connectivity(cells.embedding, cells.label).value == 1

    def test_a_label_in_two_places_keeps_its_larger_part(self) -> None:
        rng = np.random.default_rng(0)
        place = np.repeat([0, 1, 2], [60, 30, 50])
        embedding = rng.normal(size=(140, 2)) + place[:, None] * 100
        label = np.where(place < 2, "torn", "whole")
        assert graph_connectivity(embedding, label).value == pytest.approx((60 / 90 + 1) / 2)

    def test_a_label_of_one_cell_hangs_together(self) -> None:
        embedding, label = noise()
        label[label == 3] = 4
        label[0] = 3
        family = connectivity_family(Embedded(embedding), label)
        assert values(family, Units.cells(300), np.eye(300, dtype=np.int64))[0] == 1

    def test_all_cells_in_one_place_have_a_reason(self) -> None:
        found = graph_connectivity(np.ones((20, 2)), np.arange(20) % 2)
        assert found == MetricValue(None, METRICS["graph_connectivity"].undefined)

    def test_labels_must_fit(self) -> None:
        with pytest.raises(ScoringError, match="labels: 299 labels for 300 cells"):
            graph_connectivity(noise()[0], noise()[1][1:])

    def test_a_redraw_weighs_cells_and_labels_anew(self) -> None:
        embedding, label = noise()
        family = connectivity_family(Embedded(embedding), label)
        units = Units.cells(300)
        held = values(family, units, np.eye(300, dtype=np.int64))
        assert set(held) == {0.0, 1.0}
        assert values(family, units, units.share[None]) == pytest.approx(
            graph_connectivity(embedding, label).value, abs=1e-12
        )
        (times,) = draws = units.draw(np.random.default_rng(0), 1)
        drawn = np.repeat(np.arange(300), times)
        means = [held[drawn[label[drawn] == each]].mean() for each in np.unique(label[drawn])]
        assert values(family, units, draws) == pytest.approx(np.mean(means), abs=1e-12)

    def test_approximate_neighbours_are_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded_module, "MOST_CELLS_IN_FULL", 200)
        monkeypatch.setattr(embedded_module, "SAMPLED_CELLS", 100)
        embedding, label = noise()
        family = connectivity_family(Embedded(embedding), label)
        assert "approximate neighbours" in family.notes["graph_connectivity"]
        everyone = values(family, Units.cells(300), np.eye(300, dtype=np.int64))
        assert not np.isnan(everyone).any()


class TestIsolatedLabels:
    def test_it_is_scib_metrics(self) -> None:
        # scib_metrics.isolated_labels(embedding, label, batch), scib-metrics 0.5.10.
        cells = integrated()
        found = isolated_labels(silhouettes(), cells.label, cells.batch)
        assert found.value == pytest.approx(0.5851569, abs=1e-6)

    def test_the_labels_of_the_fewest_batches_count(self) -> None:
        label = ["a", "a", "b", "b", "c", "c"]
        batch = [1, 2, 1, 1, 2, 2]
        found = isolated_labels([0.9, 0.9, 0.0, 0.2, -0.5, -0.5], label, batch)
        assert found.value == pytest.approx(((0.1 + 1) / 2 + (-0.5 + 1) / 2) / 2)

    def test_all_labels_count_where_none_stands_out_and_a_note_says_so(self) -> None:
        label, batch = ["a", "a", "b", "b"], [1, 2, 1, 2]
        assert isolated_labels([1, 1, 0, 0], label, batch).value == pytest.approx(0.75)
        family = isolated_family([1, 1, 0, 0], label, batch)
        assert (
            family.notes["isolated_labels"] == "all labels are in equally many batches, so all of them count"
        )

    def test_cells_without_a_silhouette_are_left_out(self) -> None:
        label, batch = ["a", "a", "b", "b"], [1, 1, 1, 2]
        assert isolated_labels([0.5, np.nan, 0, 0], label, batch).value == pytest.approx(0.75)
        found = isolated_labels([np.nan, np.nan, 0, 0], label, batch)
        assert found == MetricValue(None, "no cell of the isolated labels has a silhouette")

    def test_one_label_or_one_batch_has_a_reason(self) -> None:
        assert isolated_labels([0, 0], [1, 1], [1, 2]) == MetricValue(None, "all cells have one label")
        assert isolated_labels([0, 0], [1, 2], [1, 1]) == MetricValue(None, "all cells are of one batch")

    @pytest.mark.parametrize(("given", "problem"), [([0.0], "shape"), ([0.0, 1.2], "outside")])
    def test_silhouettes_must_be_sound(self, given: list[float], problem: str) -> None:
        with pytest.raises(ScoringError, match=problem):
            isolated_labels(given, [1, 2], [1, 2])

    def test_every_cell_drawn_once_gives_the_plain_value(self) -> None:
        cells = integrated()
        family = isolated_family(silhouettes(), cells.label, cells.batch)
        units = Units.clusters(np.arange(400) % 7)
        expected = isolated_labels(silhouettes(), cells.label, cells.batch).value
        assert values(family, units, units.share[None]) == pytest.approx(expected, abs=1e-12)
