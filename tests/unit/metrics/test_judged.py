"""What the scores of named cells promise, with scikit-learn as the independent witness."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from czrun.metrics.judged import LABEL_SCORES, RANKING_SCORES, JudgedCells, Named, plain_values
from czrun.statistics import Units

NAMED = Named(overall="all_", single="", part="parts")
INFOS = NAMED.infos("Test", "because", "nobody, doi:10.0")
NOTES = dict.fromkeys(NAMED.all_ids, "")


def judged(seed: int, n: int = 150, k: int = 4, parts: int = 3, **changed: Any) -> JudgedCells:
    rng = np.random.default_rng(seed)
    true = rng.integers(k, size=n)
    logits = rng.normal(size=(3, n, k))
    logits[:, np.arange(n), true] += [[1], [0.5], [2]]
    proba = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    given = {
        "n_items": n,
        "item": np.arange(n),
        "part": rng.integers(parts, size=n),
        "n_parts": parts,
        "true": true,
        "proba": proba,
    }
    return JudgedCells(**{**given, **changed})


def sklearn_scores(true: Any, proba: Any) -> list[float]:
    """Ask scikit-learn for one classifier's scores of one part: labels' scores, then AUROC."""
    k = proba.shape[1]
    predicted, present = proba.argmax(axis=1), np.unique(true)
    average = {"average": "binary"} if k == 2 else {"average": "macro", "labels": present, "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of_classes = [sk.roc_auc_score(true == c, proba[:, c]) for c in present]
        return [
            sk.accuracy_score(true, predicted),
            sk.f1_score(true, predicted, **average),
            sk.precision_score(true, predicted, **average),
            sk.recall_score(true, predicted, **average),
            float(np.mean(of_classes)),
        ]


def expected_table(cells: JudgedCells, times: Any) -> Any:
    """Score drawn cells part by part, shape (parts, classifiers, scores)."""
    rows = [np.repeat(np.flatnonzero(cells.part == p), times[cells.part == p]) for p in range(cells.n_parts)]
    return np.array([[sklearn_scores(cells.true[r], proba[r]) for proba in cells.proba] for r in rows])


def columns(table: Any) -> Any:
    """Lay (classifiers, scores) out as the two families do, means over classifiers first."""
    table = np.concatenate([table.mean(axis=0, keepdims=True), table])
    n = len(LABEL_SCORES)
    return np.concatenate([table[:, :n].ravel(), table[:, n:].ravel()])


def redrawn(cells: JudgedCells, units: Units, draws: Any) -> Any:
    families = cells.families(NAMED, NOTES)
    tallies = [family.tally(units.code, units.share) for family in families if family.tally]
    return np.concatenate([tally.values(draws) for tally in tallies], axis=1)


@pytest.mark.parametrize("k", [2, 4])
def test_values_are_means_of_parts_scored_one_by_one(k: int) -> None:
    cells = judged(0, k=k)
    found = plain_values(cells.families(NAMED, NOTES), cells.n_items, INFOS)
    expected = columns(expected_table(cells, np.ones(150, dtype=int)).mean(axis=0))
    ids = [*NAMED.ids(LABEL_SCORES), *NAMED.ids(RANKING_SCORES)]
    assert list(found) == list(INFOS)
    assert [found[id_].value for id_ in ids] == pytest.approx(list(expected), abs=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_a_redraw_weighs_the_cells_of_each_part(k: int) -> None:
    cells = judged(1, k=k)
    draws = np.random.default_rng(0).multinomial(150, np.full(150, 1 / 150), size=4)
    found = redrawn(cells, Units.cells(150), draws)
    for row, times in zip(found, draws, strict=True):
        np.testing.assert_allclose(row, columns(expected_table(cells, times).mean(axis=0)), atol=1e-12)


def test_parts_with_names_have_their_own_scores_beside_the_means() -> None:
    cells = judged(2, part_names=("a", "b", "c"))
    labels, ranks = cells.families(NAMED, NOTES)
    assert labels.names[16:18] == ("all_accuracy/a", "all_f1/a")
    assert ranks.names[4:6] == ("all_auroc/a", "lr_auroc/a")
    found = plain_values((labels, ranks), 150, INFOS)
    expected = expected_table(cells, np.ones(150, dtype=int))
    assert found["rf_f1/b"].value == pytest.approx(expected[1, 2, 1])
    assert found["all_auroc/c"].value == pytest.approx(expected[2, :, 4].mean())


def test_a_part_of_one_label_has_no_auroc_and_the_note_says_so() -> None:
    cells = judged(3, part_names=("a", "b", "c"))
    cells.true[cells.part == 1] = 2
    families = cells.families(NAMED, dict.fromkeys(NAMED.all_ids, "first"))
    found = plain_values(families, 150, INFOS)
    assert found["all_auroc/b"].value is None
    assert families[1].reasons["all_auroc/b"] == found["all_auroc/b"].reason
    assert set(families[0].reasons) == set(families[0].names[16:]), "parts have no general reason to fall to"
    of_others = [found[f"all_auroc/{part}"].value for part in "ac"]
    assert found["all_auroc"].value == pytest.approx(np.mean(of_others))
    assert families[1].notes["all_auroc"] == "first; 1 parts that hold one label left out"
    assert families[0].notes["all_f1"] == "first"


def test_a_part_of_which_nothing_is_drawn_is_left_out_and_nothing_drawn_is_undefined() -> None:
    cells = judged(4)
    once = (cells.part != 1).astype(np.int64)
    found = redrawn(cells, Units.cells(150), np.stack([once, np.zeros_like(once)]))
    expected = expected_table(cells, np.ones(150, dtype=int))[[0, 2]].mean(axis=0)
    np.testing.assert_allclose(found[0], columns(expected), atol=1e-12)
    assert np.isnan(found[1]).all()


def test_binary_scores_leave_out_a_part_without_positive_cells() -> None:
    cells = judged(5, k=2)
    cells.true[cells.part == 0] = 0
    found = plain_values(cells.families(NAMED, NOTES), 150, INFOS)
    parts = [
        [sklearn_scores(cells.true[cells.part == p], proba[cells.part == p])[1] for proba in cells.proba]
        for p in (1, 2)
    ]
    assert found["all_f1"].value == pytest.approx(np.mean(parts))


def test_cells_alike_drawn_together_score_as_cells_one_by_one() -> None:
    cells = judged(6)
    labels, _ = cells.families(NAMED, NOTES)
    assert labels.kinds is not None
    assert labels.tally is not None
    alike = Units.alike(labels.kinds)
    assert len(alike.share) < 150
    times = np.random.default_rng(0).multinomial(150, np.full(150, 1 / 150), size=3)
    together = np.stack([np.bincount(alike.code, weights=row).astype(int) for row in times])
    one_by_one = labels.tally(np.arange(150), np.ones(150, dtype=np.int64)).values(times)
    np.testing.assert_allclose(labels.tally(alike.code, alike.share).values(together), one_by_one)


def test_a_cell_judged_twice_is_drawn_into_both_parts() -> None:
    item = np.arange(150) % 75
    cells = judged(7, n_items=75, item=item)
    assert cells.kinds() is None
    draws = np.random.default_rng(0).multinomial(75, np.full(75, 1 / 75), size=2)
    found = redrawn(cells, Units.cells(75), draws)
    for row, times in zip(found, draws, strict=True):
        expected = columns(expected_table(cells, times[item]).mean(axis=0))
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_cells_that_were_not_judged_count_for_nothing() -> None:
    cells = judged(8)
    more = judged(8, n_items=200, item=np.arange(150) + 50)
    draws = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), size=2)
    found = redrawn(more, Units.cells(200), draws)
    np.testing.assert_allclose(found, redrawn(cells, Units.cells(150), draws[:, 50:]))
    kinds = more.kinds()
    assert kinds is not None
    assert (kinds[:50] == -1).all()


def test_donors_are_drawn_whole() -> None:
    cells = judged(9)
    donors = Units.clusters(np.arange(150) % 4)
    draws = np.array([[2, 0, 1, 1]])
    expected = columns(expected_table(cells, draws[0][donors.code]).mean(axis=0))
    np.testing.assert_allclose(redrawn(cells, donors, draws)[0], expected, atol=1e-12)


def test_the_note_on_logistic_regression_stands_where_it_has_a_part() -> None:
    notes = Named("transfer_", "transfer_", "pairs").notes(["common"], "linear")
    told = {id_ for id_, note in notes.items() if note == "common; linear"}
    scores = (*LABEL_SCORES, *RANKING_SCORES)
    assert told == {f"transfer_{s}" for s in scores} | {f"transfer_lr_{s}" for s in scores}
    assert set(notes.values()) == {"common", "common; linear"}
