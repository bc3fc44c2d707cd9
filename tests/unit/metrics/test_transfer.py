"""What label transfer promises; the witness is cz-benchmarks 0.15.0, its answers written down."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from czrun.errors import ScoringError
from czrun.metrics import transfer_judging
from czrun.metrics.judged import plain_values
from czrun.metrics.transfer import (
    METRICS,
    across_families,
    across_organisms,
    label_transfer,
    transfer_families,
    within_families,
    within_organisms,
)
from czrun.statistics import Units

pytestmark = pytest.mark.slow

SCORES = ("accuracy", "f1", "precision", "recall", "auroc")

# From CrossSpeciesLabelPredictionTask().run(...) of cz-benchmarks 0.15.0 with scikit-learn 1.9.1, the means
# over its classifiers, on cells_of_donors() with sample_ids: first aggregation_method="none", three types ...
OF_CELLS = {
    "transfer_{}/human to mouse": [0.6711111111111111, 0.5864187952486702, 0.5983991561093762,
                                   0.5828985011004171, 0.8088566098002871],
    "transfer_{}/mouse to human": [0.6711111111111111, 0.5732190119093791, 0.6479983105519324,
                                   0.5785262185262185, 0.8132524037946788],
    "within_{}": np.mean([[0.6666666666666666, 0.5858117581791157, 0.6247553174952555, 0.590220458553792,
                           0.8093791881986327],
                          [0.6599999999999998, 0.5164088941625516, 0.5350342395440434, 0.538856328856329,
                           0.7889291416946644]], axis=0),
}  # fmt: skip
# ... then aggregation_method="mean" and the donors' condition.
OF_DONORS = {
    "transfer_{}/human to mouse": [0.9333333333333332, 0.9333333333333332, 1.0, 0.875, 0.994047619047619],
    "transfer_{}/mouse to human": [0.9222222222222222, 0.9178981937602627, 0.9079365079365079,
                                   0.9285714285714285, 0.9553571428571429],
    "within_{}": np.mean([[0.9, 0.9041269841269841, 0.9055555555555554, 0.911111111111111,
                           0.9296296296296297],
                          [0.9333333333333335, 0.9276190476190478, 0.9666666666666667, 0.911111111111111,
                           1.0]], axis=0),
}  # fmt: skip


def cells_of_donors() -> tuple[Any, Any]:
    """Return an embedding of 300 cells and their types."""
    rng = np.random.default_rng(8)
    codes = rng.choice(3, size=300, p=np.arange(1, 4) / 6)
    embedding = rng.normal(size=(300, 5)) + rng.normal(size=(3, 5))[codes]
    return embedding, np.array([f"type_{code}" for code in codes])


def blobs(seed: int, labels: Any, shift: float = 0.0) -> Any:
    """Put each label's cells in a place of its own."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(len(labels), 3)) + 9 * np.array([[ord(c), 0, -ord(c)] for c in labels]) + shift


def reasons(found: Any) -> set[str]:
    return {each.reason for each in found.values() if each.value is None}


class TestAgainstCzBenchmarks:
    def test_cells_give_the_same_across_and_within(self) -> None:
        embedding, labels = cells_of_donors()
        organism = np.array(["human", "mouse"])[np.arange(300) % 2]
        donor = np.array([f"d{i}" for i in np.arange(300) // 2 % 15])
        across = across_organisms(embedding, labels, organism, donor, aggregate="none")
        within = within_organisms(embedding, labels, organism, donor, aggregate="none")
        assert [*[*across][:20], *within] == [*METRICS]
        for name, expected in OF_CELLS.items():
            values = [{**across, **within}[name.format(score)].value for score in SCORES]
            assert values == pytest.approx(list(expected), abs=0.005), name
        of_pairs = [expected for name, expected in OF_CELLS.items() if "/" in name]
        values = [across[f"transfer_{score}"].value for score in SCORES]
        assert values == pytest.approx(list(np.mean(of_pairs, axis=0)), abs=0.005)

    def test_averages_of_donors_give_the_same_across_and_within(self) -> None:
        embedding, _ = cells_of_donors()
        donor = np.arange(300) // 5
        ill = (np.random.default_rng(9).permutation(60) % 2)[donor]
        cells = (
            embedding + 0.8 * ill[:, None],
            np.array(["healthy", "ill"])[ill],
            np.array(["human", "mouse"])[donor % 2],
            np.array([f"donor_{i:02d}" for i in donor]),
        )
        found = {**across_organisms(*cells), **within_organisms(*cells)}
        for name, expected in OF_DONORS.items():
            values = [found[name.format(score)].value for score in SCORES]
            assert values == pytest.approx(list(expected), abs=0.005), name


class TestLabelsThatDiffer:
    def test_a_label_that_only_training_cells_have_costs_what_is_mistaken_for_it(self) -> None:
        train, test = list("aabbcc" * 4), list("aabb" * 4)
        found = label_transfer(blobs(0, train), train, blobs(1, test), test)
        assert found["transfer_accuracy"].value == 1
        assert found["transfer_auroc"].value == 1
        mistaken = blobs(1, ["c", *test[1:]])
        assert label_transfer(blobs(0, train), train, mistaken, test)["transfer_recall"].value == 15 / 16

    def test_a_label_that_only_tested_cells_have_is_left_out(self) -> None:
        train, test = list("aabb" * 4), list("aabbcc" * 4)
        families = transfer_families(blobs(0, train), train, blobs(1, test), test)
        without = [label != "c" for label in test]
        assert families[0].kinds is not None
        np.testing.assert_array_equal(families[0].kinds[:, 0] == 0, without)
        assert families[0].notes["transfer_f1"] == "8 of 24 tested left out: their labels were not learnt"
        found = label_transfer(blobs(0, train), train, blobs(1, test), test)
        assert found["transfer_accuracy"].value == 1

    @pytest.mark.parametrize(
        ("train", "test", "reason"),
        [
            ("aaaaaaaa", "aabb", "all training cells have one label"),
            ("aabb", "aabb", "there are fewer than 5 training cells or donor averages"),
            ("aabbaabb", "ccdd", "no tested cell has a label of the training cells"),
        ],
    )
    def test_what_cannot_be_transferred_has_its_reason(self, train: str, test: str, reason: str) -> None:
        found = label_transfer(blobs(0, train), list(train), blobs(1, test), list(test))
        assert list(found) == [name for name in METRICS if name.startswith("transfer_")]
        assert reasons(found) == {reason}
        assert all(each.value is None for each in found.values())

    def test_one_tested_label_leaves_auroc_alone_undefined(self) -> None:
        found = label_transfer(blobs(0, "aabb" * 4), list("aabb" * 4), blobs(1, "bbb"), list("bbb"))
        assert {name for name, each in found.items() if each.value is None} == {
            name for name in found if name.endswith("auroc")
        }


class TestDonors:
    def test_cells_are_averaged_by_donor_and_label_and_drawn_with_the_first_of_them(self) -> None:
        labels, donors = list("aaabbb" * 5), np.repeat(np.arange(5), 6)
        train, test = blobs(0, labels), blobs(1, labels, shift=1)
        families = transfer_families(train, labels, test, labels, train_donors=donors, test_donors=donors)
        kinds = families[0].kinds
        assert kinds is not None
        assert np.flatnonzero(kinds[:, 0] == 0).tolist() == list(range(0, 30, 3))
        assert families[0].notes["transfer_f1"] == "60 cells averaged to 20 by donor and label"
        of_means = label_transfer(
            train.reshape(10, 3, 3).mean(axis=1),
            labels[::3],
            test.reshape(10, 3, 3).mean(axis=1),
            labels[::3],
        )
        units, once = Units.clusters(donors), np.ones((1, 5), dtype=np.int64)
        for family in families:
            assert family.tally is not None
            values = family.tally(units.code, units.share).values(once)[0]
            assert list(values) == pytest.approx([of_means[name].value for name in family.names])

    def test_folds_within_an_organism_keep_donors_whole(self) -> None:
        rng = np.random.default_rng(0)
        donor = np.repeat(np.arange(10), 8)
        embedding = rng.normal(size=(80, 6)) + 5 * rng.normal(size=(10, 6))[donor]
        condition = np.array(["healthy", "ill"])[donor % 2]
        found = within_organisms(embedding, condition, ["human"] * 80, donor, aggregate="none")
        value = found["within_accuracy"].value
        assert value is not None
        assert value < 0.65, "classifiers that meet a donor again are right in 95 % and more"


class TestOrganisms:
    def test_a_pair_without_a_value_is_left_out_and_named(self) -> None:
        labels = list("aabb" * 5 + "aabb" * 5 + "aaaa")
        families = across_families(blobs(0, labels), labels, ["h"] * 20 + ["m"] * 20 + ["z"] * 4)
        found = plain_values(families, 44, METRICS)
        assert found["transfer_accuracy"].value == 1
        assert found["transfer_accuracy/h to z"].value == 1
        assert found["transfer_accuracy/z to h"].value is None
        assert found["transfer_accuracy/z to h"].reason
        why = "without z to h: there are fewer than 5 training cells or donor averages"
        assert why in families[0].notes["transfer_f1"]

    def test_an_organism_that_cannot_be_folded_is_left_out_and_named(self) -> None:
        labels = list("aabb" * 5 + "aaaa")
        families = within_families(blobs(0, labels), labels, ["h"] * 20 + ["z"] * 4)
        assert plain_values(families, 24, METRICS)["within_accuracy"].value == 1
        assert families[0].notes["within_f1"] == "without z: all cells have one label"
        assert reasons(within_organisms(blobs(0, "aaaa"), list("aaaa"), list("zzzz"))) == {
            "all cells have one label"
        }

    def test_of_one_organism_there_is_no_pair(self) -> None:
        labels = list("aabb" * 3)
        assert reasons(across_organisms(blobs(0, labels), labels, ["h"] * 12)) == {
            "all cells are of one organism"
        }

    def test_of_very_many_cells_a_sample_is_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transfer_judging, "MOST_CELLS", 12)
        labels = list("aabb" * 5)
        families = transfer_families(blobs(0, labels), labels, blobs(1, labels), labels)
        assert families[0].kinds is not None
        assert (families[0].kinds[:, 0] == 0).sum() == 12
        told = "on 12 cells where there are more, stratified samples, drawn with seed 42"
        assert families[0].notes["transfer_f1"] == told


class TestRefusals:
    def test_sides_that_do_not_fit_are_refused(self) -> None:
        labels = list("aabb" * 4)
        with pytest.raises(ScoringError, match="3 and 2 dimensions"):
            label_transfer(blobs(0, labels), labels, blobs(1, labels)[:, :2], labels)
        with pytest.raises(ScoringError, match="donors known and unknown"):
            label_transfer(blobs(0, labels), labels, blobs(1, labels), labels, train_donors=labels)
        with pytest.raises(ScoringError, match="3 labels for 16 cells"):
            label_transfer(blobs(0, labels), labels, blobs(1, labels), list("aab"))

    def test_an_unknown_aggregation_is_refused(self) -> None:
        labels = list("aabb" * 4)
        with pytest.raises(ScoringError, match="'median'"):
            across_organisms(blobs(0, labels), labels, labels, aggregate="median")  # type: ignore[arg-type]

    def test_a_constant_embedding_is_undefined(self) -> None:
        labels, organism = list("aabb" * 4), ["h", "m"] * 8
        same, told = np.ones((16, 2)), {"all cells lie in one place"}
        assert reasons(across_organisms(same, labels, organism)) == told
        assert reasons(within_organisms(same, labels, organism)) == told
        assert reasons(label_transfer(same, labels, same, labels)) == told


def test_each_metric_is_described_under_its_own_id_with_a_source() -> None:
    assert len(METRICS) == 40
    assert all(name == info.id and "doi:10." in info.reference for name, info in METRICS.items())
