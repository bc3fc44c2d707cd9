from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import entr

from czrun.errors import ScoringError
from czrun.metrics import embedded as embedded_module
from czrun.metrics.base import MetricValue
from czrun.metrics.embedded import Embedded
from czrun.metrics.families import Family
from czrun.metrics.lisi import effective_groups
from czrun.metrics.mixing import (
    METRICS,
    cilisi,
    clisi,
    ilisi,
    kbet,
    lisi_family,
    mixing_entropy,
    mixing_family,
)
from czrun.metrics.neighbours import nearest
from czrun.statistics import Units
from integration_cells import integrated

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

OF_BATCHES: dict[str, Callable[[Any, Any], MetricValue]] = {
    "mixing_entropy": mixing_entropy,
    "kbet": kbet,
    "ilisi": ilisi,
}


def every(embedding: Any, label: Any, batch: Any) -> dict[str, MetricValue]:
    found = {name: metric(embedding, batch) for name, metric in OF_BATCHES.items()}
    return found | {"clisi": clisi(embedding, label), "cilisi": cilisi(embedding, label, batch)}


def values_of(found: dict[str, MetricValue]) -> dict[str, float | None]:
    return {name: each.value for name, each in found.items()}


def far_apart(groups: IntArray) -> FloatArray:
    spread = np.random.default_rng(0).normal(size=(len(groups), 3))
    return spread + np.stack([groups * 1000.0, np.zeros(len(groups)), np.zeros(len(groups))], axis=1)


def family_values(family: Family, units: Units, draws: IntArray) -> dict[str, FloatArray]:
    found = family.tally(units.code, units.share).values(draws)
    return dict(zip(family.names, found.T, strict=True))


class TestAgainstOthers:
    """On integrated(), with scikit-learn's exact neighbours."""

    def test_entropy_is_that_of_cz_benchmarks(self) -> None:
        # czbenchmarks.metrics.utils.compute_entropy_per_cell(embedding, batch), cz-benchmarks 0.15.0.
        found = mixing_entropy(integrated().embedding, integrated().batch)
        assert found.value == pytest.approx(0.9378101434, abs=1e-6)

    def test_lisi_is_that_of_scib_metrics(self) -> None:
        # scib_metrics.ilisi_knn and clisi_knn, scib-metrics 0.5.10, of 90 neighbours.
        cells = integrated()
        assert ilisi(cells.embedding, cells.batch).value == pytest.approx(0.6421304, abs=1e-4)
        assert clisi(cells.embedding, cells.label).value == pytest.approx(0.9658227, abs=1e-4)

    def test_lisi_of_single_cells_is_that_of_scib_metrics(self) -> None:
        # scib_metrics.lisi_knn: least, quartiles and greatest; and the first four cells.
        cells = integrated()
        (found,) = effective_groups(nearest(cells.embedding, 90), [cells.batch], 30)
        assert np.quantile(found, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
            [1.2806776, 2.0096877, 2.2842607, 2.6028656, 2.9983225], abs=1e-4
        )
        assert found[:4] == pytest.approx([1.9299399, 2.1719794, 2.9855967, 1.9538273], abs=1e-4)

    def test_kbet_is_that_of_scib_metrics(self) -> None:
        # scib_metrics.kbet of 50 neighbours.
        assert kbet(integrated().embedding, integrated().batch).value == pytest.approx(0.775, abs=1e-9)

    def test_lisi_weighs_neighbours_to_the_perplexity(self) -> None:
        cells = integrated(n=60)
        neighbours = nearest(cells.embedding, 30)
        (found,) = effective_groups(neighbours, [cells.batch], 10)
        for row, effective in zip(range(60), found, strict=True):
            distances = neighbours.distances[row, 1:].astype(float)

            def entropy(rate: float, distances: FloatArray = distances) -> float:
                return float(entr(np.exp(-rate * distances) / np.exp(-rate * distances).sum()).sum())

            rate = brentq(lambda rate: entropy(rate) - np.log(10), 1e-3, 1e2)
            weights = np.exp(-rate * distances)
            shares = np.bincount(cells.batch[neighbours.indices[row, 1:]], weights / weights.sum())
            assert effective == pytest.approx(1 / (shares**2).sum(), abs=1e-3)

    def test_cilisi_counts_the_thirty_nearest_of_the_same_label(self) -> None:
        cells = integrated()
        expected = []
        for label in range(4):
            members = cells.label == label
            points, batches = cells.embedding[members].astype(float), cells.batch[members]
            apart = ((points[:, None] - points[None]) ** 2).sum(axis=2)
            np.fill_diagonal(apart, np.inf)
            for row in apart:
                shares = np.bincount(batches[np.argsort(row)[:30]]) / min(30, len(points) - 1)
                expected.append((1 / (shares**2).sum() - 1) / (len(np.unique(batches)) - 1))
        assert cilisi(cells.embedding, cells.label, cells.batch).value == pytest.approx(
            np.mean(expected), abs=1e-9
        )


class TestClosedForms:
    def test_batches_far_apart_dont_mix_at_all(self) -> None:
        batch = np.repeat([0, 1, 2], 210)
        found = every(far_apart(batch), np.tile([0, 1, 2], 210), batch)
        for name in ("mixing_entropy", "kbet", "ilisi", "cilisi"):
            assert found[name].value == pytest.approx(0, abs=1e-6), name

    def test_labels_far_apart_keep_apart_wholly(self) -> None:
        label = np.repeat([0, 1, 2], 100)
        assert clisi(far_apart(label), label).value == pytest.approx(1, abs=1e-6)

    def test_batches_dealt_by_chance_pass_for_mixed(self) -> None:
        rng = np.random.default_rng(3)
        embedding, batch = rng.normal(size=(2000, 3)), rng.integers(2, size=2000)
        found = every(embedding, rng.integers(2, size=2000), batch)
        assert found["mixing_entropy"].value == pytest.approx(1, abs=0.01)
        assert found["kbet"].value == pytest.approx(0.95, abs=0.03)
        assert found["ilisi"].value == pytest.approx(1, abs=0.1)
        assert found["cilisi"].value == pytest.approx(1, abs=0.1)
        assert found["clisi"].value == pytest.approx(0, abs=0.1)

    def test_neighbourhoods_of_all_cells_have_the_entropy_of_all_cells(self) -> None:
        batch = np.array([0] * 15 + [1] * 5)
        shares = np.array([0.75, 0.25])
        expected = -(shares * np.log(shares)).sum() / np.log(2)
        assert mixing_entropy(far_apart(batch), batch).value == pytest.approx(expected)
        assert "says nothing" in mixing_family(Embedded(far_apart(batch)), batch).notes["mixing_entropy"]

    def test_mixed_labels_raise_ilisi_but_not_cilisi(self) -> None:
        # Each batch holds one label only, and the embedding mixes them all.
        rng = np.random.default_rng(4)
        batch = rng.integers(2, size=400)
        embedding = rng.normal(size=(400, 3))
        assert ilisi(embedding, batch).value == pytest.approx(1, abs=0.1)
        assert cilisi(embedding, batch, batch).value is None

    def test_cilisi_leaves_small_labels_and_those_of_one_batch_out(self) -> None:
        cells = integrated()
        label = cells.label.copy()
        alone = np.flatnonzero((cells.label == 0) & (cells.batch == 1))
        label[alone] = 8
        label[np.flatnonzero(cells.label == 1)[:9]] = 9
        scored = label < 8
        assert cilisi(cells.embedding, label, cells.batch).value == pytest.approx(
            cilisi(cells.embedding[scored], label[scored], cells.batch[scored]).value, abs=1e-12
        )


class TestInvariances:
    @given(st.integers(0, 10_000), st.sampled_from([1e-3, 1.0, 1e4]))
    @settings(max_examples=10, deadline=None)
    def test_only_which_cells_are_near_matters(self, seed: int, scale: float) -> None:
        cells, rng = integrated(n=120), np.random.default_rng(seed)
        order = rng.permutation(120)
        turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
        moved = (cells.embedding[order].astype(float) @ turn + rng.normal(size=6)) * scale
        names = rng.permutation(["x", "y", "z"])
        found = every(moved, cells.label[order], names[cells.batch[order]])
        plain = every(cells.embedding, cells.label, cells.batch)
        assert values_of(found) == pytest.approx(values_of(plain), abs=2e-3)

    def test_cells_in_one_place_with_others_elsewhere_have_a_score(self) -> None:
        embedding = np.concatenate([np.zeros((150, 2)), np.random.default_rng(0).normal(size=(50, 2))])
        batch = np.arange(200) % 2
        for name, found in every(embedding, batch, batch).items():
            assert found.value is None or 0 <= found.value <= 1, name
        assert ilisi(embedding, batch).value == pytest.approx(1, abs=0.01)


class TestUndefined:
    def test_one_batch_has_a_reason(self) -> None:
        cells = integrated()
        one = np.zeros(400)
        for name, metric in OF_BATCHES.items():
            assert metric(cells.embedding, one) == MetricValue(None, "all cells are of one batch"), name
        assert clisi(cells.embedding, one) == MetricValue(None, "all cells have one label")
        assert cilisi(cells.embedding, cells.label, one).reason == "no label has 10 cells and two batches"

    def test_all_cells_in_one_place_have_a_reason(self) -> None:
        cells = integrated()
        for name, found in every(np.ones((400, 3)), cells.label, cells.batch).items():
            assert found == MetricValue(None, "the embedding puts all cells in one place"), name

    def test_few_cells_have_a_reason(self) -> None:
        cells = integrated(n=9)
        batch, label = np.arange(9) % 2, np.arange(9) % 3
        assert ilisi(cells.embedding, batch).reason == "there are fewer than 10 cells"
        assert clisi(cells.embedding, label).reason == "there are fewer than 10 cells"
        assert kbet(cells.embedding, batch).reason == "there are no more cells than the 50 of a neighbourhood"
        assert kbet(integrated(n=50).embedding, np.arange(50) % 2).value is None
        assert kbet(integrated(n=51).embedding, np.arange(51) % 2).value is not None

    def test_ten_cells_are_enough_for_lisi(self) -> None:
        cells = integrated(n=10)
        assert ilisi(cells.embedding, np.arange(10) % 2).value is not None

    def test_families_have_the_reasons_too(self) -> None:
        cells, one = Embedded(integrated().embedding), np.zeros(400)
        for family in (mixing_family(cells, one, integrated().label), lisi_family(cells, one)):
            units = Units.cells(400)
            for name, value in family_values(family, units, units.share[None]).items():
                assert np.isnan(value).all()
                assert family.reasons[name]

    def test_every_reason_is_one_that_the_metric_names(self) -> None:
        cells = integrated()
        cases = [(cells.embedding, np.zeros(400)), (np.ones((400, 3)), cells.batch)]
        for embedding, batch in cases:
            for name, found in every(embedding, batch, batch).items():
                assert found.reason in METRICS[name].undefined


class TestProblems:
    @pytest.mark.parametrize("name", OF_BATCHES)
    def test_as_many_batches_as_cells_are_wanted(self, name: str) -> None:
        with pytest.raises(ScoringError, match="batches: 399 labels for 400 cells"):
            OF_BATCHES[name](integrated().embedding, integrated().batch[1:])

    def test_an_embedding_that_is_not_finite_is_refused(self) -> None:
        embedding = integrated().embedding.copy()
        embedding[3, 1] = np.nan
        with pytest.raises(ScoringError, match="finite"):
            ilisi(embedding, integrated().batch)


class TestFamilies:
    def test_every_cell_drawn_once_gives_the_plain_value(self) -> None:
        cells = integrated()
        embedded = Embedded(cells.embedding)
        plain = every(embedded, cells.label, cells.batch)
        donors = np.random.default_rng(0).integers(7, size=400)
        families = (
            mixing_family(embedded, cells.batch, cells.label),
            lisi_family(embedded, cells.batch, cells.label),
        )
        for family in families:
            for units in (Units.cells(400), Units.clusters(donors)):
                for name, value in family_values(family, units, units.share[None]).items():
                    assert value[0] == pytest.approx(plain[name].value, abs=1e-12), name
        assert sorted(name for family in families for name in family.names) == sorted(METRICS)

    def test_without_labels_there_are_only_the_metrics_of_batches(self) -> None:
        embedded = Embedded(integrated().embedding)
        assert mixing_family(embedded, integrated().batch).names == ("mixing_entropy", "kbet")
        assert lisi_family(embedded, integrated().batch).names == ("ilisi",)

    def test_a_redraw_weighs_cells_whose_neighbourhoods_stay(self) -> None:
        cells = integrated()
        embedded = Embedded(cells.embedding)
        single = Units.cells(400)
        one_by_one = {
            name: value
            for family in (mixing_family(embedded, cells.batch), lisi_family(embedded, cells.batch))
            for name, value in family_values(family, single, np.eye(400, dtype=np.int64)).items()
        }
        draws = single.draw(np.random.default_rng(1), 3)
        for family, average in (
            (mixing_family(embedded, cells.batch), np.mean),
            (lisi_family(embedded, cells.batch), np.median),
        ):
            for name, value in family_values(family, single, draws).items():
                expected = [average(np.repeat(one_by_one[name], times)) for times in draws]
                assert value == pytest.approx(expected, abs=1e-12), name


class TestVeryManyCells:
    def test_a_sample_of_cells_is_scored_and_said_to_be_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded_module, "MOST_CELLS_IN_FULL", 300)
        monkeypatch.setattr(embedded_module, "SAMPLED_CELLS", 100)
        cells = integrated()
        sampled = Embedded(cells.embedding)
        units, draws = Units.cells(400), np.eye(400, dtype=np.int64)
        for family in (
            mixing_family(sampled, cells.batch, cells.label),
            lisi_family(sampled, cells.batch, cells.label),
        ):
            for name, value in family_values(family, units, draws).items():
                assert np.array_equal(np.flatnonzero(~np.isnan(value)), sampled.queries), name
                assert family.notes[name].startswith("on 100 of 400 cells")

    def test_each_sampled_cell_scores_as_it_does_among_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cells = integrated()
        units, draws = Units.cells(400), np.eye(400, dtype=np.int64)
        whole = mixing_family(Embedded(cells.embedding), cells.batch, cells.label)
        everyone = family_values(whole, units, draws)
        monkeypatch.setattr(embedded_module, "MOST_CELLS_IN_FULL", 300)
        monkeypatch.setattr(embedded_module, "SAMPLED_CELLS", 100)
        sampled = Embedded(cells.embedding)
        for name, value in family_values(
            mixing_family(sampled, cells.batch, cells.label), units, draws
        ).items():
            assert value[sampled.queries] == pytest.approx(everyone[name][sampled.queries]), name
