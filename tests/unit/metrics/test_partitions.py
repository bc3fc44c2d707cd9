from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from czrun.errors import ScoringError
from czrun.metrics.base import MetricValue
from czrun.metrics.chance import expected_information
from czrun.metrics.families import Family
from czrun.metrics.partitions import (
    METRICS,
    ami,
    ami_family,
    ari,
    completeness,
    homogeneity,
    n_clusters,
    nmi,
    partition_family,
)
from czrun.statistics import Units

IntArray = NDArray[np.int64]

AGREEMENTS: dict[str, tuple[Callable[[Any, Any], MetricValue], Callable[[Any, Any], float]]] = {
    "ari": (ari, sk.adjusted_rand_score),
    "nmi": (nmi, sk.normalized_mutual_info_score),
    "ami": (ami, sk.adjusted_mutual_info_score),
    "homogeneity": (homogeneity, sk.homogeneity_score),
    "completeness": (completeness, sk.completeness_score),
}


def cells(seed: int, n: int = 300, labels: int = 6, clusters: int = 9) -> tuple[IntArray, IntArray]:
    rng = np.random.default_rng(seed)
    label = rng.choice(labels, size=n, p=rng.dirichlet(np.full(labels, 0.7)))
    cluster = np.where(rng.random(n) < 0.6, label, rng.integers(clusters, size=n))
    return label, cluster


def family_values(family: Family, units: Units, draws: IntArray) -> dict[str, NDArray[np.float64]]:
    found = family.tally(units.code, units.share).values(draws)
    return dict(zip(family.names, found.T, strict=True))


def both_families(label: IntArray, cluster: IntArray) -> tuple[Family, Family]:
    return partition_family(label, cluster), ami_family(label, cluster)


partitioned = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=2, max_size=40).map(
    lambda pairs: (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
)


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("name", AGREEMENTS)
    @pytest.mark.parametrize("seed", range(5))
    def test_agreement_on_clusters_that_follow_labels(self, name: str, seed: int) -> None:
        ours, theirs = AGREEMENTS[name]
        label, cluster = cells(seed)
        assert ours(label, cluster).value == pytest.approx(theirs(label, cluster), abs=1e-9)

    @given(partitioned)
    @settings(max_examples=60, deadline=None)
    def test_agreement_on_any_partitions(self, drawn: tuple[IntArray, IntArray]) -> None:
        label, cluster = drawn
        for name, (ours, theirs) in AGREEMENTS.items():
            found = ours(label, cluster)
            if found.value is None:
                sizes = np.unique(label, return_counts=True)[1]
                assert len(sizes) == 1 or sizes.max() == 1
            else:
                assert found.value == pytest.approx(theirs(label, cluster), abs=1e-9), name

    def test_agreement_where_counts_that_are_next_to_impossible_are_left_out(self) -> None:
        label, cluster = cells(1, n=30_000, labels=3, clusters=4)
        assert ami(label, cluster).value == pytest.approx(
            sk.adjusted_mutual_info_score(label, cluster), abs=1e-9
        )


class TestExpectedInformation:
    def test_it_is_the_mean_over_all_ways_to_deal_the_clusters(self) -> None:
        label = [0, 0, 0, 1]
        # Four places for the odd cluster's one cell: with three, its label's rest is split; with one, alike.
        split = sk.mutual_info_score(label, [1, 0, 0, 0])
        alike = sk.mutual_info_score(label, [0, 0, 0, 1])
        found = expected_information(np.array([[3.0, 1.0]]), np.array([[3.0, 1.0]]))
        assert found == pytest.approx((3 * split + alike) / 4, abs=1e-12)

    def test_groups_without_cells_change_nothing(self) -> None:
        without = expected_information(np.array([[30.0, 20.0]]), np.array([[10.0, 40.0]]))
        found = expected_information(np.array([[30.0, 0.0, 20.0]]), np.array([[10.0, 40.0, 0.0]]))
        assert found == pytest.approx(without, abs=1e-15)


class TestClosedForms:
    def test_equal_partitions_agree_whatever_their_names(self) -> None:
        label, cluster = ["T", "B", "T", "NK", "B"], [7, 3, 7, 1, 3]
        for ours, _ in AGREEMENTS.values():
            assert ours(label, cluster).value == pytest.approx(1)

    def test_one_cluster_tells_nothing_but_is_complete(self) -> None:
        label, cluster = [0, 0, 1, 1], [0, 0, 0, 0]
        found = {name: ours(label, cluster).value for name, (ours, _) in AGREEMENTS.items()}
        assert found == pytest.approx({"ari": 0, "nmi": 0, "ami": 0, "homogeneity": 0, "completeness": 1})

    def test_a_label_cut_in_two_is_homogeneous_but_half_complete(self) -> None:
        label, cluster = [0, 0, 1, 1], [0, 1, 2, 3]
        assert homogeneity(label, cluster).value == pytest.approx(1)
        assert completeness(label, cluster).value == pytest.approx(math.log(2) / math.log(4))

    def test_clusters_are_counted(self) -> None:
        assert n_clusters(["a", "b", "b", "c"]).value == 3
        assert n_clusters([0]).value == 1


class TestUndefined:
    @pytest.mark.parametrize("name", AGREEMENTS)
    @pytest.mark.parametrize("label", [[0, 0, 0], [0, 1, 2]])
    def test_one_label_or_a_label_for_each_cell_has_a_reason(self, name: str, label: list[int]) -> None:
        found = AGREEMENTS[name][0](label, [0, 0, 1])
        assert found == MetricValue(None, METRICS[name].undefined)

    def test_a_redraw_with_one_label_left_is_undefined(self) -> None:
        family = partition_family([0, 0, 1], [0, 1, 1])
        found = family_values(family, Units.cells(3), np.array([[2, 1, 0], [1, 1, 1]]))
        assert np.isnan(found["ari"]).tolist() == [True, False]
        assert found["n_clusters"].tolist() == [2, 2]


class TestProblems:
    def test_every_problem_is_listed(self) -> None:
        with pytest.raises(ScoringError) as caught:
            ari([["a"], ["b"]], ["x", None, "y"])
        assert "labels: wants shape (n,), got (2, 1)" in caught.value.message
        assert "clusters: 3 labels for 2 cells" in caught.value.message
        assert "clusters: 1 cells have no label" in caught.value.message

    @pytest.mark.parametrize("missing", [None, math.nan])
    def test_a_missing_label_is_refused(self, missing: Any) -> None:
        with pytest.raises(ScoringError, match="1 cells have no label"):
            nmi(np.array(["a", missing, "b"], dtype=object), [0, 1, 1])

    def test_numbers_that_are_not_finite_are_refused(self) -> None:
        with pytest.raises(ScoringError, match="2 cells have no label"):
            nmi([0.0, math.nan, math.inf], [0, 1, 1])

    def test_labels_of_two_kinds_are_refused(self) -> None:
        with pytest.raises(ScoringError, match="wants labels of one kind, got int, str"):
            nmi(np.array(["a", 1, "b"], dtype=object), [0, 1, 1])

    def test_no_cells_are_refused(self) -> None:
        with pytest.raises(ScoringError, match="labels: no cells"):
            ami([], [])


class TestFamilies:
    @pytest.mark.parametrize("seed", range(3))
    def test_every_cell_drawn_once_gives_the_plain_value(self, seed: int) -> None:
        label, cluster = cells(seed)
        donors = np.random.default_rng(seed).integers(7, size=len(label))
        for family in both_families(label, cluster):
            assert family.kinds is not None
            for units in (Units.alike(family.kinds), Units.cells(len(label)), Units.clusters(donors)):
                for name, value in family_values(family, units, units.share[None]).items():
                    plain = (
                        n_clusters(cluster) if name == "n_clusters" else AGREEMENTS[name][0](label, cluster)
                    )
                    assert value[0] == pytest.approx(plain.value, abs=1e-12), name

    def test_a_redraw_scores_as_the_cells_that_were_drawn(self) -> None:
        label, cluster = cells(4, n=80)
        rng = np.random.default_rng(4)
        donors = Units.clusters(rng.integers(9, size=80))
        draws = donors.draw(rng, 6)
        for family in both_families(label, cluster):
            for name, value in family_values(family, donors, draws).items():
                for replicate, times in zip(value, draws, strict=True):
                    drawn = np.repeat(np.arange(80), times[donors.code])
                    if name == "n_clusters":
                        assert replicate == len(np.unique(cluster[drawn]))
                    else:
                        expected = AGREEMENTS[name][1](label[drawn], cluster[drawn])
                        assert replicate == pytest.approx(expected, abs=1e-9), name

    def test_kinds_are_what_the_metrics_see(self) -> None:
        family = partition_family(["a", "a", "b"], [5, 5, 3])
        assert family.kinds is not None
        assert family.kinds.tolist() == [[0, 1], [0, 1], [1, 0]]

    def test_chance_makes_ami_the_costlier(self) -> None:
        label, cluster = cells(0)
        whole, once = np.zeros(len(label), dtype=np.int64), np.ones(1, dtype=np.int64)
        plain, adjusted = (family.tally(whole, once).cost for family in both_families(label, cluster))
        assert adjusted > 10 * plain

    def test_every_metric_is_in_one_family(self) -> None:
        names = [name for family in both_families(*cells(0)) for name in family.names]
        assert sorted(names) == sorted(METRICS)
