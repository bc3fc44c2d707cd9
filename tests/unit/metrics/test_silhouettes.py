"""Silhouettes against scikit-learn and scib-metrics, and where they have no value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples, silhouette_score

from czrun.errors import ScoringError
from czrun.metrics import distance_sums, embedded, silhouette_widths
from czrun.metrics.base import MetricValue
from czrun.metrics.embedded import Embedded
from czrun.metrics.families import Family
from czrun.metrics.silhouettes import (
    ALL_SINGLE,
    AT_ORIGIN,
    METRICS,
    NO_LABEL_LEFT,
    ONE_DIRECTION,
    ONE_LABEL,
    ONE_PLACE,
    batch_silhouette,
    batch_silhouette_family,
    bras,
    cell_silhouettes,
    silhouette,
    silhouette_by_time,
    silhouette_family,
)

Array = NDArray[Any]


def cells(n: int = 600, seed: int = 0, labels: int = 5, batches: int = 3) -> tuple[Array, Array, Array]:
    """Labels of very different size, and batches that shift them."""
    rng = np.random.default_rng(seed)
    label = rng.choice(labels, size=n, p=np.arange(1, labels + 1) / np.arange(1, labels + 1).sum())
    batch = rng.integers(batches, size=n)
    centres, shifts = rng.normal(size=(labels, 8)) * 2, rng.normal(size=(batches, 8)) * 0.6
    embedding = 1 + centres[label] + shifts[batch] + rng.normal(size=(n, 8))
    return embedding.astype(np.float32), label, batch


def plain_batch_silhouette(embedding: Array, label: Array, batch: Array) -> float:
    means = []
    for each in np.unique(label):
        inside = label == each
        if 1 < len(np.unique(batch[inside])) < inside.sum():
            widths = silhouette_samples(embedding[inside].astype(np.float64), batch[inside])
            means.append(np.mean(1 - np.abs(widths)))
    return float(np.mean(means))


def valued(value: MetricValue) -> float:
    assert value.value is not None, value.reason
    return value.value


def redrawn(family: Family, draws: Array) -> Array:
    assert family.tally is not None
    n = draws.shape[1]
    return family.tally(np.arange(n), np.ones(n, dtype=np.int64)).values(draws)


@pytest.fixture(params=["one tile", "many tiles", "many tiles, few sums at once"])
def _tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few cells go the road of many."""
    if request.param != "one tile":
        monkeypatch.setattr(distance_sums, "_BLOCK", 96)
        monkeypatch.setattr(distance_sums, "_DOUBLE_PRECISION_UP_TO", 0)
        monkeypatch.setattr(silhouette_widths, "_LARGE_LABEL", 100)
    if request.param == "many tiles, few sums at once":
        monkeypatch.setattr(silhouette_widths, "_MOST_SUMS", 500)


@pytest.fixture
def _sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat 600 cells as very many."""
    monkeypatch.setattr(embedded, "MOST_CELLS_IN_FULL", 300)
    monkeypatch.setattr(embedded, "SAMPLED_CELLS", 150)


@pytest.mark.usefixtures("_tiles")
class TestAgainstScikitLearn:
    @pytest.mark.parametrize("seed", range(3))
    def test_labels(self, seed: int) -> None:
        embedding, label, _ = cells(seed=seed)
        expected = (silhouette_score(embedding.astype(np.float64), label) + 1) / 2
        assert valued(silhouette(embedding, label)) == pytest.approx(expected, abs=1e-6)

    def test_every_cell(self) -> None:
        embedding, label, _ = cells(labels=40)
        expected = silhouette_samples(embedding.astype(np.float64), label)
        np.testing.assert_allclose(cell_silhouettes(embedding, label), expected, atol=1e-5)

    @pytest.mark.parametrize("seed", range(3))
    def test_batches(self, seed: int) -> None:
        embedding, label, batch = cells(seed=seed)
        expected = plain_batch_silhouette(embedding, label, batch)
        assert valued(batch_silhouette(embedding, label, batch)) == pytest.approx(expected, abs=1e-5)

    def test_label_of_one_cell(self) -> None:
        embedding, label, _ = cells()
        label[3] = 99
        expected = silhouette_samples(embedding.astype(np.float64), label)
        found = cell_silhouettes(embedding, label)
        assert found[3] == 0
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_pairs(self) -> None:
        embedding, label = cells(n=120)[0], np.arange(120) // 2
        expected = silhouette_samples(embedding.astype(np.float64), label)
        np.testing.assert_allclose(cell_silhouettes(embedding, label), expected, atol=1e-4)


class TestAgainstScibMetrics:
    # Computed with scib-metrics 0.5.10 on `cells(seed=...)`: silhouette_label(x, label),
    # silhouette_batch(x, label, batch), bras(x, label, batch).
    KNOWN = (
        (0, 0.63110226, 0.89168805, 0.74021757),
        (1, 0.6797278, 0.8991636, 0.7640273),
    )

    @pytest.mark.parametrize(("seed", "labels", "batches", "adapted"), KNOWN)
    def test_same_values(self, seed: int, labels: float, batches: float, adapted: float) -> None:
        embedding, label, batch = cells(seed=seed)
        assert valued(silhouette(embedding, label)) == pytest.approx(labels, abs=1e-6)
        assert valued(batch_silhouette(embedding, label, batch)) == pytest.approx(batches, abs=1e-6)
        assert valued(bras(embedding, label, batch)) == pytest.approx(adapted, abs=1e-6)


class TestClosedForm:
    def test_four_cells_on_a_line(self) -> None:
        embedding, label = np.array([[0.0], [1.0], [4.0], [6.0]]), np.array(["a", "a", "b", "b"])
        expected = [1 - 1 / 5, 1 - 1 / 4, 1 - 2 / 3.5, 1 - 2 / 5.5]
        np.testing.assert_allclose(cell_silhouettes(embedding, label), expected)
        assert valued(silhouette(embedding, label)) == pytest.approx((np.mean(expected) + 1) / 2)

    def test_labels_in_places_of_their_own_are_best(self) -> None:
        label = np.arange(90) % 3
        assert valued(silhouette(np.eye(3)[label] * 0.1, label)) == 1

    def test_batches_in_the_same_place_are_mixed(self) -> None:
        # Sums of directions round differently for each batch: the difference must not count.
        label, batch = np.arange(120) % 3, np.arange(120) % 7
        embedding = np.array([[0.1, 0.7, 0.3], [0.2, 0.1, 0.9], [0.7, 0.7, 0.1]])[label]
        assert valued(batch_silhouette(embedding, label, batch)) == 1
        assert valued(bras(embedding, label, batch)) == 1

    def test_bras_of_three_directions(self) -> None:
        embedding = np.array([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0], [-5.0, 0.0]])
        label, batch = np.zeros(4), np.array([0, 0, 1, 2])
        # Widths: 1 for the two that coincide; 0 for those alone in their batch.
        assert valued(bras(embedding, label, batch)) == pytest.approx(0.5)

    def test_times_are_labels(self) -> None:
        embedding, label, _ = cells()
        assert silhouette_by_time(embedding, label * 0.5) == silhouette(embedding, label)


class TestInvariance:
    @settings(max_examples=10)
    @given(st.integers(0, 1000), st.sampled_from([0.001, 1.0, 50.0, 1e20]))
    def test_turning_scaling_moving_and_order(self, seed: int, factor: float) -> None:
        embedding, label, batch = cells(n=80, seed=seed)
        rng = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(rng.normal(size=(8, 8)))
        order, turned = rng.permutation(80), embedding.astype(np.float64) @ turn * factor
        before, after = silhouette(embedding, label), silhouette(turned[order] + 3 * factor, label[order])
        assert valued(after) == pytest.approx(valued(before), abs=1e-6)
        for metric in (batch_silhouette, bras):
            again = metric(turned[order], label[order], batch[order])
            assert valued(again) == pytest.approx(valued(metric(embedding, label, batch)), abs=1e-6)

    def test_names_of_labels_do_not_matter(self) -> None:
        embedding, label, batch = cells()
        names, plates = np.array([f"type {9 - each}" for each in label]), np.array(list("xyz"))[batch]
        named = batch_silhouette(embedding, names, plates)
        assert valued(named) == pytest.approx(valued(batch_silhouette(embedding, label, batch)), abs=1e-12)

    def test_far_from_the_origin(self) -> None:
        embedding, label, _ = cells()
        far = embedding.astype(np.float64) + 1e7
        assert valued(silhouette(far, label)) == pytest.approx(valued(silhouette(embedding, label)), abs=1e-6)

    def test_half_precision(self) -> None:
        embedding, label, _ = cells()
        assert valued(silhouette(embedding.astype(np.float16), label)) == pytest.approx(
            valued(silhouette(embedding, label)), abs=1e-3
        )

    def test_same_to_the_last_digit_every_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(distance_sums, "_BLOCK", 32)
        embedding, label, _ = cells()
        assert len({silhouette(embedding, label).value for _ in range(5)}) == 1


class TestLargeInput:
    def test_single_precision_is_near_enough(self) -> None:
        embedding, label, _ = cells(n=5200, labels=15)
        rows = np.arange(0, 5200, 50)
        apart = np.linalg.norm(embedding[rows, None].astype(np.float64) - embedding, axis=2)
        sums = np.stack([apart[:, label == each].sum(axis=1) for each in range(15)])
        sizes, own = np.bincount(label), label[rows]
        inside = sums[own, np.arange(len(rows))] / (sizes[own] - 1)
        sums /= sizes[:, None]
        sums[own, np.arange(len(rows))] = np.inf
        outside = sums.min(axis=0)
        expected = (outside - inside) / np.maximum(inside, outside)
        np.testing.assert_allclose(cell_silhouettes(embedding, label)[rows], expected, atol=1e-5)


@pytest.mark.usefixtures("_sampled")
class TestVeryManyCells:
    def test_widths_of_the_sample_are_exact(self) -> None:
        embedding, label, _ = cells()
        shared = Embedded(embedding, seed=1)
        expected = silhouette_samples(embedding.astype(np.float64), label)
        found = cell_silhouettes(shared, label)
        np.testing.assert_allclose(found[shared.queries], expected[shared.queries], atol=1e-6)
        assert np.isnan(found).sum() == 450
        average = (expected[shared.queries].mean() + 1) / 2
        assert valued(silhouette(shared, label)) == pytest.approx(average, abs=1e-6)

    def test_batches_within_the_sample(self) -> None:
        embedding, label, batch = cells()
        shared = Embedded(embedding)
        chosen = np.isin(np.arange(600), shared.queries)
        means = []
        for each in range(5):
            inside = np.flatnonzero(label == each)
            widths = silhouette_samples(embedding[inside].astype(np.float64), batch[inside])
            means.append(np.mean(1 - np.abs(widths[chosen[inside]])))
        assert valued(batch_silhouette(shared, label, batch)) == pytest.approx(np.mean(means), abs=1e-6)

    def test_note_gives_the_standard_error(self) -> None:
        embedding, label, batch = cells()
        shared = Embedded(embedding)
        widths = (cell_silhouettes(shared, label)[shared.queries] + 1) / 2
        error = widths.std() / np.sqrt(150)
        note = silhouette_family(shared, label).notes["silhouette"]
        assert note == f"on 150 of 600 cells, drawn with seed 0; standard error {error:.2g}"
        notes = batch_silhouette_family(shared, label, batch).notes
        assert "standard error" in notes["batch_silhouette"]
        assert "bras" not in notes

    def test_bras_takes_all_cells(self) -> None:
        embedding, label, batch = cells()
        found = bras(embedding, label, batch)
        known = TestAgainstScibMetrics.KNOWN[0]
        assert valued(found) == pytest.approx(known[3], abs=1e-6)


class TestFamilies:
    def test_once_each_is_the_metric(self) -> None:
        embedding, label, batch = cells()
        shared, once = Embedded(embedding), np.ones((1, 600), dtype=np.int64)
        assert redrawn(silhouette_family(shared, label), once)[0, 0] == pytest.approx(
            valued(silhouette(embedding, label)), abs=1e-12
        )
        both = redrawn(batch_silhouette_family(shared, label, batch), once)[0]
        assert both[0] == pytest.approx(valued(batch_silhouette(embedding, label, batch)), abs=1e-12)
        assert both[1] == pytest.approx(valued(bras(embedding, label, batch)), abs=1e-12)

    def test_redraws_weight_cells(self) -> None:
        embedding, label, _ = cells()
        shared = Embedded(embedding)
        draws = np.random.default_rng(0).multinomial(600, np.full(600, 1 / 600), size=3)
        widths = (cell_silhouettes(shared, label) + 1) / 2
        found = redrawn(silhouette_family(shared, label), draws)[:, 0]
        np.testing.assert_allclose(found, (draws * widths).sum(axis=1) / 600)

    def test_names_and_no_notes(self) -> None:
        embedding, label, batch = cells()
        shared = Embedded(embedding)
        assert silhouette_family(shared, label).names == ("silhouette",)
        assert silhouette_family(shared, label, "time_silhouette").names == ("time_silhouette",)
        family = batch_silhouette_family(shared, label, batch)
        assert family.names == ("batch_silhouette", "bras")
        assert not family.notes
        assert not family.reasons

    def test_one_defined_beside_one_undefined(self) -> None:
        embedding, label, batch = cells()
        embedding[5] = 0
        family = batch_silhouette_family(Embedded(embedding), label, batch)
        assert family.reasons == {"bras": AT_ORIGIN}
        found = redrawn(family, np.ones((1, 600), dtype=np.int64))[0]
        assert not np.isnan(found[0])
        assert np.isnan(found[1])

    def test_nothing_to_redraw(self) -> None:
        embedding, label, _ = cells()
        family = batch_silhouette_family(Embedded(embedding), label, np.zeros(600))
        assert family.tally is None
        assert family.reasons == {"batch_silhouette": NO_LABEL_LEFT, "bras": NO_LABEL_LEFT}

    def test_ids_are_described(self) -> None:
        assert set(METRICS) == {"silhouette", "time_silhouette", "batch_silhouette", "bras"}
        assert all("doi:" in info.reference and info.undefined for info in METRICS.values())

    def test_widths_are_shared_between_metrics(self) -> None:
        embedding, label, batch = cells()
        shared = Embedded(embedding)
        assert shared.silhouette_widths(label) is shared.silhouette_widths(label.copy())
        other = shared.silhouette_widths(batch)
        np.testing.assert_allclose(other, cell_silhouettes(embedding, batch))


class TestUndefined:
    def test_one_label(self) -> None:
        assert silhouette(cells()[0], ["a"] * 600) == MetricValue(None, ONE_LABEL)

    def test_every_cell_its_own_label(self) -> None:
        assert silhouette(cells()[0], np.arange(600)) == MetricValue(None, ALL_SINGLE)
        assert silhouette(np.array([[1.0], [2.0]]), ["a", "b"]) == MetricValue(None, ALL_SINGLE)

    def test_one_place(self) -> None:
        _, label, batch = cells()
        embedding = np.full((600, 3), 0.1)
        assert silhouette(embedding, label) == MetricValue(None, ONE_PLACE)
        assert batch_silhouette(embedding, label, batch) == MetricValue(None, ONE_PLACE)
        assert bras(embedding, label, batch) == MetricValue(None, ONE_DIRECTION)
        assert bras(0 * embedding, label, batch) == MetricValue(None, ONE_DIRECTION)
        assert np.isnan(cell_silhouettes(embedding, label)).all()

    @pytest.mark.parametrize("metric", [batch_silhouette, bras])
    @pytest.mark.parametrize("batch", [np.zeros(6), [0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5]])
    def test_no_label_left(self, metric: Callable[..., MetricValue], batch: Any) -> None:
        found = metric(np.random.default_rng(0).normal(size=(6, 2)), [0, 0, 0, 1, 1, 1], batch)
        assert found == MetricValue(None, NO_LABEL_LEFT)

    def test_one_direction(self) -> None:
        _, label, batch = cells()
        ray = np.random.default_rng(0).uniform(1, 9, size=(600, 1)) * np.array([[1.0, 2.0, 3.0]])
        assert bras(ray, label, batch) == MetricValue(None, ONE_DIRECTION)
        assert bras(-ray[:, :1], label, batch) == MetricValue(None, ONE_DIRECTION)
        assert batch_silhouette(ray, label, batch).value is not None

    def test_cell_at_the_origin(self) -> None:
        embedding, label, batch = cells()
        embedding[0] = 0
        assert bras(embedding, label, batch) == MetricValue(None, AT_ORIGIN)
        # No matter where its label is left out.
        label[0], batch[0] = 77, 1
        assert bras(embedding, label, batch).value is not None


class TestRefusals:
    def test_one_broken_cell_moves_nothing_silently(self) -> None:
        embedding, label, _ = cells()
        embedding[4, 4] = np.nan
        with pytest.raises(ScoringError, match="the first is cell 4"):
            silhouette(embedding, label)

    def test_labels_that_do_not_fit(self) -> None:
        embedding, label, batch = cells()
        with pytest.raises(ScoringError, match=r"labels: 599 labels(.|\n)*batches: wants shape"):
            bras(embedding, label[1:], batch[:, None])

    def test_unknown_times(self) -> None:
        with pytest.raises(ScoringError, match="1 cells have no label"):
            silhouette_by_time(cells()[0], np.r_[np.arange(599.0), np.nan])
