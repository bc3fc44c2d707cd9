from __future__ import annotations

import numpy as np
import pytest

from czrun.errors import ScoringError
from czrun.metrics import batch_effects, conservation, mixing, partitions
from czrun.metrics.scib import BATCHES, BIOLOGY, scib_overall


def test_biology_weighs_three_fifths() -> None:
    assert scib_overall([1] * 5, [0] * 5) == pytest.approx(0.6)
    assert scib_overall([0] * 5, [1] * 5) == pytest.approx(0.4)
    assert scib_overall([1, 0, 0, 0, 0], [0, 0.5, 0, 0, 0]) == pytest.approx(0.6 / 5 + 0.4 * 0.1)


def test_one_missing_part_leaves_no_score() -> None:
    assert np.isnan(scib_overall([1, 1, np.nan, 1, 1], [1] * 5))
    assert np.isnan(scib_overall([1] * 5, [1, 1, 1, 1, np.nan]))


def test_replicates_are_scored_one_by_one() -> None:
    rng = np.random.default_rng(0)
    biology, batches = rng.random((7, 5)), rng.random((7, 5))
    biology[2, 1] = np.nan
    found = scib_overall(biology, batches)
    expected = [scib_overall(*each) for each in zip(biology, batches, strict=True)]
    np.testing.assert_allclose(found, expected)
    assert np.isnan(found).tolist() == [False, False, True, False, False, False, False]


@pytest.mark.parametrize(("biology", "batches"), [((4,), (4,)), ((5,), (2, 5)), ((), ())])
def test_parts_that_dont_fit_are_refused(biology: tuple[int, ...], batches: tuple[int, ...]) -> None:
    with pytest.raises(ScoringError, match="can't be put together"):
        scib_overall(np.ones(biology), np.ones(batches))


def test_parts_are_metrics_that_are_higher_where_better() -> None:
    known = {**partitions.METRICS, **mixing.METRICS, **conservation.METRICS, **batch_effects.METRICS}
    elsewhere = {"silhouette", "batch_silhouette"}
    for name in {*BIOLOGY, *BATCHES} - elsewhere:
        assert known[name].higher_is_better is True, name
