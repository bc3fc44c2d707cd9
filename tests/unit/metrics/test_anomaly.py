"""What the metrics of anomaly scores promise, with scikit-learn as the independent witness."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from czrun.errors import ScoringError
from czrun.metrics.anomaly import (
    METRICS,
    anomaly_auprc,
    anomaly_auroc,
    anomaly_family,
    precision_at_true_rate,
    recall_at_true_rate,
)

FUNCTIONS = {
    "anomaly_auroc": anomaly_auroc,
    "anomaly_auprc": anomaly_auprc,
    "precision_at_true_rate": precision_at_true_rate,
    "recall_at_true_rate": recall_at_true_rate,
}

scored_cells = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=14).filter(
    lambda cells: len({truth for _, truth in cells}) == 2
)


def cells(seed: int, n: int = 150, decimals: int = 1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    anomalous = rng.random(n) < 0.2
    return np.round(anomalous + rng.normal(size=n), decimals), anomalous


def hits_at_true_rate(scores: Any, anomalous: Any) -> float:
    """Flag one by one from the top, averaging over every order of the cells that tie at the cut."""
    m = int(anomalous.sum())
    cut = np.sort(scores)[::-1][m - 1]
    above, tied = scores > cut, np.flatnonzero(scores == cut)
    room = m - int(above.sum())
    draws = [anomalous[list(chosen)].sum() for chosen in itertools.combinations(tied, room)]
    return float((anomalous[above].sum() + np.mean(draws)) / m)


@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_areas_agree_with_scikit_learn_ties_included(decimals: int) -> None:
    scores, anomalous = cells(0, decimals=decimals)
    assert anomaly_auroc(scores, anomalous).value == pytest.approx(sk.roc_auc_score(anomalous, scores))
    expected = sk.average_precision_score(anomalous, scores)
    assert anomaly_auprc(scores, anomalous).value == pytest.approx(expected)


@pytest.mark.slow
@given(scored_cells)
@settings(max_examples=150, deadline=None)
def test_all_agree_with_their_definitions_on_any_few_cells(drawn: list[tuple[int, bool]]) -> None:
    scores, anomalous = np.array([s for s, _ in drawn]), np.array([t for _, t in drawn])
    assert anomaly_auroc(scores, anomalous).value == pytest.approx(sk.roc_auc_score(anomalous, scores))
    expected = sk.average_precision_score(anomalous, scores)
    assert anomaly_auprc(scores, anomalous).value == pytest.approx(expected)
    at_rate = hits_at_true_rate(scores, anomalous)
    assert precision_at_true_rate(scores, anomalous).value == pytest.approx(at_rate)
    assert recall_at_true_rate(scores, anomalous).value == pytest.approx(at_rate)


def test_a_worked_example() -> None:
    scores, anomalous = [9, 8, 8, 8, 1, 0], [1, 1, 0, 0, 1, 0]
    # Two places are left for three cells that tie, of which one is anomalous.
    assert precision_at_true_rate(scores, anomalous).value == pytest.approx((1 + 2 / 3) / 3)
    assert anomaly_auroc(scores, anomalous).value == pytest.approx((3 + (1 + 1 / 2 + 1 / 2) + 1) / 9)
    assert anomaly_auprc(scores, anomalous).value == pytest.approx((1 + 2 / 4 + 3 / 5) / 3)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_anomalies_first_is_one_and_a_monotone_change_of_scores_is_none(name: str) -> None:
    scores, anomalous = cells(1)
    assert FUNCTIONS[name](anomalous * 1.0, anomalous).value == 1
    assert FUNCTIONS[name](np.exp(scores), anomalous).value == FUNCTIONS[name](scores, anomalous).value


def test_equal_scores_are_chance() -> None:
    _, anomalous = cells(2)
    rate = anomalous.mean()
    found = [function(np.zeros(150), anomalous).value for function in FUNCTIONS.values()]
    assert found == pytest.approx([0.5, rate, rate, rate])


def test_scores_of_extreme_size_are_ranked_as_any_others() -> None:
    assert anomaly_auroc([1.7e308, -1.7e308, 1.6e308], [1, 0, 0]).value == 1


@pytest.mark.parametrize("decimals", [0, 12])
def test_a_redraw_is_the_metric_of_the_drawn_cells(decimals: int) -> None:
    scores, anomalous = cells(3, n=60, decimals=decimals)
    draws = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), size=8)
    family = anomaly_family(scores, anomalous)
    assert family.tally is not None
    found = family.tally(np.arange(60), np.ones(60, dtype=np.int64)).values(draws)
    for row, times in zip(found, draws, strict=True):
        drawn = np.repeat(scores, times), np.repeat(anomalous, times)
        np.testing.assert_allclose(row, [function(*drawn).value for function in FUNCTIONS.values()])


def test_donors_are_drawn_whole() -> None:
    scores, anomalous = cells(4, n=60)
    donor = np.arange(60) % 3
    family = anomaly_family(scores, anomalous)
    assert family.tally is not None
    found = family.tally(donor, np.ones(3, dtype=np.int64)).values(np.array([[2, 0, 1]]))
    times = np.array([2, 0, 1])[donor]
    drawn = np.repeat(scores, times), np.repeat(anomalous, times)
    np.testing.assert_allclose(found[0], [function(*drawn).value for function in FUNCTIONS.values()])


@pytest.mark.parametrize("kind", [True, False])
def test_a_redraw_of_one_sort_is_undefined(kind: bool) -> None:
    scores, anomalous = cells(5, n=30)
    family = anomaly_family(scores, anomalous)
    assert family.tally is not None
    draws = (anomalous == kind).astype(np.int64)[None]
    assert np.isnan(family.tally(np.arange(30), np.ones(30, dtype=np.int64)).values(draws)).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_sort_of_cells_is_undefined(name: str) -> None:
    assert FUNCTIONS[name]([1.0, 2.0], [0, 0]).reason == "no cell is anomalous"
    assert FUNCTIONS[name]([1.0, 2.0], [True, True]).reason == "all cells are anomalous"


@pytest.mark.parametrize(
    ("scores", "anomalous", "says"),
    [
        ([1.0, np.nan], [0, 1], "scores: 1 cells have none that is finite"),
        ([1.0, np.inf], [0, 1], "scores: 1 cells have none that is finite"),
        (["a", "b"], [0, 1], "scores: wants numbers"),
        ([[1.0], [2.0]], [0, 1], "scores: wants numbers of shape (n,)"),
        ([], [], "scores: no cells"),
        ([1.0, 2.0], [0, 2], "anomalous: wants 0 or 1"),
        ([1.0, 2.0], ["no", "yes"], "anomalous: wants 0 or 1"),
        ([1.0, 2.0], [0.0, 1.0], "anomalous: wants 0 or 1"),
        ([1.0, 2.0, 3.0], [0, 1], "3 scores for 2 cells"),
    ],
)
def test_what_does_not_fit_is_refused(scores: Any, anomalous: Any, says: str) -> None:
    with pytest.raises(ScoringError) as caught:
        anomaly_auroc(scores, anomalous)
    assert says in caught.value.message
    assert caught.value.hint


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ScoringError) as caught:
        anomaly_auroc([np.nan, 1.0, 2.0], [0, 5])
    for part in ("1 cells have none", "wants 0 or 1", "3 scores for 2 cells"):
        assert part in caught.value.message


def test_each_metric_cites_a_source_with_its_doi_under_its_own_id() -> None:
    assert list(METRICS) == list(FUNCTIONS)
    assert all(name == info.id and "doi:10." in info.reference for name, info in METRICS.items())
