"""What probes promise; the witness is cz-benchmarks 0.15.0, whose answers stand here as constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from czrun.errors import ScoringError
from czrun.metrics import probes
from czrun.metrics.embedded import Embedded
from czrun.metrics.judged import plain_values
from czrun.metrics.probes import METRICS, probe_families, probe_scores
from czrun.statistics import Units

pytestmark = pytest.mark.slow

# From MetadataLabelPredictionTask().run(embedding, labels) of cz-benchmarks 0.15.0 with scikit-learn 1.9.1 on
# labelled_cells(7, k) with "rare" in place of the first four labels: accuracy, F1, precision, recall, AUROC.
CZ_BENCHMARKS = {
    2: {
        "probe": [0.9636781609195403, 0.974865405597113, 0.9639359432837693, 0.9871428571428571,
                  0.9718077601410934],
        "lr": [0.9797701149425289, 0.9855981416957027, 0.980952380952381, 0.9904761904761905,
               0.981851851851852],
        "knn": [0.9590804597701151, 0.9722648083623694, 0.955952380952381, 0.9904761904761905,
                0.975026455026455],
        "rf": [0.9521839080459771, 0.9667332667332665, 0.9549030679465462, 0.9804761904761904,
               0.9585449735449736],
    },
    4: {
        "probe": [0.6731800766283526, 0.6166303952329775, 0.6485074865221924, 0.6181313131313131,
                  0.85037202456413],
        "lr": [0.7262068965517242, 0.6837997183265725, 0.7306822344322346, 0.6756060606060605,
               0.8812903065745171],
        "knn": [0.608735632183908, 0.5373441055723663, 0.5582892107892108, 0.5468181818181818,
                0.8179683699341593],
        "rf": [0.6845977011494252, 0.6287473617999935, 0.656551014345132, 0.631969696969697,
               0.851857397183713],
    },
}  # fmt: skip
SCORES = ("accuracy", "f1", "precision", "recall", "auroc")


def labelled_cells(seed: int, k: int, n: int = 150) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    codes = rng.choice(k, size=n, p=np.arange(1, k + 1) / (k * (k + 1) / 2))
    embedding = rng.normal(size=(n, 5)) + rng.normal(size=(k, 5))[codes]
    return embedding, np.array([f"type_{code}" for code in codes])


def donors_of_one_condition(seed: int) -> tuple[Any, Any, Any]:
    """Ten donors, each far from all others and of one condition, which leaves no trace of its own."""
    rng = np.random.default_rng(seed)
    donor = np.repeat(np.arange(10), 12)
    embedding = rng.normal(size=(120, 8)) + 4 * rng.normal(size=(10, 8))[donor]
    return embedding, np.array(["healthy", "ill"])[donor % 2], donor


def number(value: float | None) -> float:
    assert value is not None
    return value


class TestAgainstCzBenchmarks:
    @pytest.mark.parametrize("k", [2, 4])
    def test_all_twenty_values_are_the_same(self, k: int) -> None:
        embedding, labels = labelled_cells(7, k)
        labels[:4] = "rare"
        found = probe_scores(embedding, labels)
        assert list(found) == list(METRICS)
        for name, expected in CZ_BENCHMARKS[k].items():
            values = [found[f"{name}_{score}"].value for score in SCORES]
            # Equal but for what another release of scikit-learn may change in a forest.
            assert values == pytest.approx(expected, abs=1e-9 if name == "knn" else 0.005), name


class TestDonors:
    def test_folds_that_keep_donors_whole_show_what_leaks_between_cells_of_one_donor(self) -> None:
        embedding, condition, donor = donors_of_one_condition(0)
        condition[:3] = "unsure"
        leaking, honest = (
            probe_families(embedding, condition, groups) for groups in (None, donor.astype(str))
        )
        accuracy = [
            number(plain_values(families, 120, METRICS)["probe_accuracy"].value)
            for families in (leaking, honest)
        ]
        assert accuracy[0] > 0.95, "as cz-benchmarks reports it"
        assert accuracy[1] < 0.65
        rare = "1 labels of fewer than 10 cells left out"
        assert leaking[1].notes["rf_auroc"] == f"folds part the cells of a group; {rare}"
        assert honest[0].notes["probe_f1"] == f"folds keep groups whole; {rare}"


class TestFamilies:
    def test_cells_drawn_once_each_give_the_plain_values_whoever_holds_the_embedding(self) -> None:
        embedding, labels = labelled_cells(3, 3, n=60)
        labels[5:9] = "rare"
        plain = probe_scores(embedding, labels)
        units = Units.cells(60)
        for family in probe_families(Embedded(embedding), labels):
            assert family.tally is not None
            values = family.tally(units.code, units.share).values(units.share[None])[0]
            assert dict(zip(family.names, values, strict=True)) == pytest.approx(
                {name: plain[name].value for name in family.names}
            )

    def test_of_very_many_cells_a_sample_is_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "MOST_CELLS", 60)
        embedding, labels = labelled_cells(4, 2, n=90)
        labels[:4] = "rare"
        families = probe_families(embedding, labels)
        assert (
            families[0]
            .notes["rf_f1"]
            .endswith("on 60 of 86 cells, a sample stratified by label, drawn with seed 42")
        )
        assert families[0].kinds is not None
        assert (families[0].kinds[:, 0] >= 0).sum() == 60


class TestUndefined:
    @pytest.mark.parametrize(
        ("labels", "groups", "reason"),
        [
            (["a"] * 40, None, "fewer than two labels have 10 cells"),
            (["a"] * 31 + ["b"] * 9, None, "fewer than two labels have 10 cells"),
            ([str(i) for i in range(40)], None, "fewer than two labels have 10 cells"),
            (["a", "b"] * 20, [0, 1, 2, 3] * 10, "there are 4 groups for 5 folds"),
            (["a", "b"] * 20, [0, 1, 2, 3] + [4] * 36, "a fold leaves fewer than five cells to learn from"),
        ],
    )
    def test_no_value_has_its_reason(self, labels: Any, groups: Any, reason: str) -> None:
        found = probe_scores(np.random.default_rng(0).normal(size=(40, 3)), labels, groups)
        assert {(each.value, each.reason) for each in found.values()} == {(None, reason)}

    def test_a_constant_embedding_holds_nothing_to_probe(self) -> None:
        found = probe_scores(np.ones((40, 3)), ["a", "b"] * 20)
        assert {each.reason for each in found.values()} == {"all cells lie in one place"}


class TestRefusals:
    def test_one_cell_that_is_not_finite_is_refused(self) -> None:
        embedding, labels = labelled_cells(0, 2, n=40)
        embedding[7, 1] = np.nan
        with pytest.raises(ScoringError, match="cell 7"):
            probe_scores(embedding, labels)

    def test_labels_and_groups_that_do_not_fit_are_refused_at_once(self) -> None:
        embedding, labels = labelled_cells(0, 2, n=40)
        with pytest.raises(ScoringError) as caught:
            probe_scores(embedding, labels[:39], groups=np.zeros((40, 2)))
        assert "39 labels for 40 cells" in caught.value.message
        assert "groups: wants shape (n,)" in caught.value.message


def test_each_metric_is_described_under_its_own_id_with_a_source() -> None:
    assert next(iter(METRICS)) == "probe_accuracy"
    assert len(METRICS) == 20
    assert all(name == info.id and "doi:10." in info.reference for name, info in METRICS.items())
