from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

from czrun.errors import ScoringError
from czrun.metrics.base import MetricValue
from czrun.metrics.batch_effects import METRICS, pcr, pcr_comparison, pcr_family
from czrun.metrics.embedded import Embedded
from czrun.statistics import Units
from integration_cells import integrated


def centred(share: float) -> NDArray[np.float32]:
    """Take a share of each batch's mean away."""
    cells = integrated()
    means = np.stack([cells.embedding[cells.batch == code].mean(0) for code in range(3)])
    return (cells.embedding - means[cells.batch] * share).astype(np.float32)


class TestAgainstOthers:
    def test_both_are_those_of_scib_metrics(self) -> None:
        # scib_metrics.utils.principal_component_regression(categorical=True) and
        # scib_metrics.pcr_comparison(categorical=True), scib-metrics 0.5.10.
        cells = integrated()
        assert pcr(cells.embedding, cells.batch).value == pytest.approx(0.0304832868, abs=1e-6)
        assert pcr(centred(0.5), cells.batch).value == pytest.approx(0.0077991192, abs=1e-6)
        found = pcr_comparison(cells.embedding, centred(0.5), cells.batch)
        assert found.value == pytest.approx(0.7441509747, abs=1e-5)

    def test_components_need_not_be_computed(self) -> None:
        cells = integrated()
        components = PCA().fit(cells.embedding.astype(float))
        scores = components.transform(cells.embedding.astype(float))
        dummies = np.eye(3)[cells.batch]
        explained = [LinearRegression().fit(dummies, each).score(dummies, each) for each in scores.T]
        expected = np.average(explained, weights=components.explained_variance_)
        assert pcr(cells.embedding, cells.batch).value == pytest.approx(expected, abs=1e-9)


class TestClosedForms:
    def test_batches_that_are_points_explain_everything(self) -> None:
        batch = np.arange(30) % 3
        assert pcr(np.eye(3)[batch], batch).value == pytest.approx(1)

    def test_batches_with_equal_means_explain_nothing(self) -> None:
        found = pcr_comparison(integrated().embedding, centred(1), integrated().batch)
        assert pcr(centred(1), integrated().batch).value == pytest.approx(0, abs=1e-10)
        assert found.value == pytest.approx(1, abs=1e-9)

    def test_a_worked_example(self) -> None:
        # Means 1 and 5 around 3: 4 * 4 between, 4 * 1 within.
        assert pcr(np.array([[0.0], [2.0], [4.0], [6.0]]), ["a", "a", "b", "b"]).value == pytest.approx(0.8)

    def test_an_effect_that_grows_counts_as_none_removed(self) -> None:
        assert pcr_comparison(centred(0.5), integrated().embedding, integrated().batch).value == 0

    def test_place_turn_and_scale_dont_matter(self) -> None:
        cells = integrated()
        turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
        moved = cells.embedding.astype(float) @ turn * 50 + 1e4
        assert pcr(moved, cells.batch).value == pytest.approx(
            pcr(cells.embedding, cells.batch).value, abs=1e-9
        )


class TestUndefined:
    def test_one_batch_or_one_place_has_a_reason(self) -> None:
        cells = integrated()
        assert pcr(cells.embedding, np.zeros(400)) == MetricValue(None, "all cells are of one batch")
        place = MetricValue(None, "the embedding puts all cells in one place")
        assert pcr(np.ones((400, 2)), cells.batch) == place
        assert pcr_comparison(cells.embedding, np.ones((400, 2)), cells.batch) == place

    def test_nothing_to_remove_has_a_reason(self) -> None:
        batch = np.arange(40) % 2
        before = np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 2, axis=0)
        found = pcr_comparison(before, integrated(n=40).embedding, batch)
        assert found.value is None
        assert found.reason in METRICS["pcr_comparison"].undefined
        assert pcr_comparison(np.ones((40, 2)), integrated(n=40).embedding, batch) == found

    def test_other_cells_before_are_refused(self) -> None:
        with pytest.raises(ScoringError, match="399 cells before integration, 400 after"):
            pcr_comparison(integrated().embedding[1:], integrated().embedding, integrated().batch)


class TestFamily:
    def test_every_cell_drawn_once_gives_the_plain_value(self) -> None:
        cells, before = integrated(), Embedded(integrated().embedding)
        family = pcr_family(Embedded(centred(0.5)), cells.batch, before)
        for units in (Units.cells(400), Units.clusters(np.arange(400) % 7)):
            found = family.tally(units.code, units.share).values(units.share[None])[0]
            assert found[0] == pytest.approx(pcr(centred(0.5), cells.batch).value, abs=1e-12)
            assert found[1] == pytest.approx(
                pcr_comparison(before, centred(0.5), cells.batch).value, abs=1e-12
            )

    def test_a_redraw_weighs_cells_with_the_centres_where_they_are(self) -> None:
        embedding, batch = np.array([[0.0], [2.0], [4.0], [6.0]]), [0, 0, 1, 1]
        family = pcr_family(Embedded(embedding), batch)
        units = Units.cells(4)
        found = family.tally(units.code, units.share).values(np.array([[2, 0, 1, 1]]))
        # Within 1 each; from the middle at 3: 9, 9, 1, 9.
        assert found == pytest.approx(1 - 4 / 28)

    def test_without_expression_there_is_no_comparison(self) -> None:
        assert pcr_family(Embedded(integrated().embedding), integrated().batch).names == ("pcr",)

    def test_missing_values_have_reasons(self) -> None:
        units = Units.cells(400)
        family = pcr_family(Embedded(centred(0)), integrated().batch, Embedded(np.ones((400, 2))))
        found = family.tally(units.code, units.share).values(units.share[None])[0]
        assert np.isnan(found).tolist() == [False, True]
        assert tuple(family.reasons) == ("pcr_comparison",)
