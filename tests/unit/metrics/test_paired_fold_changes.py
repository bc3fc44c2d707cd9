"""The Spearman correlation of fold changes that cz-benchmarks reports, with its own answers as witness."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from czrun.errors import ScoringError
from czrun.metrics.paired_fold_changes import (
    UNDEFINED,
    FoldChangeTable,
    PairedCondition,
    paired_conditions,
    paired_lfc_spearman,
    paired_lfc_spearmans,
)

CELLS = [f"c{i}" for i in range(60)]
GENES = [f"g{i}" for i in range(12)]
TARGETS = {"A": GENES[:8], "B": [*GENES[2:9], "unknown", "g11"], "C": ["g1"], "D": []}

# PerturbationExpressionPredictionTask of cz-benchmarks 0.15.0 on `made()`: cells and genes as obs and var of
# an AnnData, the table as uns["de_results"] with columns condition, gene_id and logfoldchange, TARGETS as
# uns["target_conditions_dict"], pairs as uns["control_cells_map"]. C has one gene, for which it answers 0.
REFERENCE = {
    "ratio": {"A": 0.14285714285714288, "B": 0.14285714285714288, "C": 0.0},
    "difference": {"A": 0.2142857142857143, "B": 0.14285714285714288, "C": 0.0},
}


def made() -> tuple[Any, FoldChangeTable, dict[str, dict[str, str]]]:
    rng = np.random.default_rng(11)
    predicted = rng.gamma(1.5, 0.6, (60, 12)).astype(np.float32)
    predicted[10:20] *= np.linspace(0.5, 2.5, 12, dtype=np.float32)
    predicted[20:30, 3] = 0.0
    lines = [(name, gene, rng.normal()) for name in "ABCD" for gene in (*GENES[:9], "unknown")]
    conditions, genes, changes = zip(*lines, strict=True)
    pairs = {
        name: {f"c{10 * k + i}": f"c{40 + (7 * i + 3 * k) % 20}" for i in range(10)}
        for k, name in enumerate("ABCD", start=1)
    }
    pairs["A"]["lost"] = "c41"
    return predicted, FoldChangeTable(conditions, genes, np.array(changes)), pairs


@pytest.fixture
def looked_up() -> tuple[Any, tuple[PairedCondition, ...]]:
    predicted, table, pairs = made()
    return predicted, paired_conditions(CELLS, GENES, table, TARGETS, pairs)


Found = tuple[Any, tuple[PairedCondition, ...]]


class TestAgainstCzBenchmarks:
    @pytest.mark.parametrize("effect", ["ratio", "difference"])
    def test_agrees_condition_by_condition(self, looked_up: Found, effect: Any) -> None:
        predicted, conditions = looked_up
        values = paired_lfc_spearmans(predicted, conditions, effect)
        assert [c.name for c in conditions] == list(REFERENCE[effect])
        np.testing.assert_allclose(np.nan_to_num(values), list(REFERENCE[effect].values()), atol=1e-12)

    def test_where_it_answers_0_for_an_undefined_correlation_there_is_none(self, looked_up: Found) -> None:
        predicted, conditions = looked_up
        assert np.isnan(paired_lfc_spearmans(predicted, conditions)[2])
        assert paired_lfc_spearman(predicted, conditions).value == pytest.approx(0.14285714285714288)

    def test_no_defined_condition_is_no_value(self, looked_up: Found) -> None:
        predicted, conditions = looked_up
        assert paired_lfc_spearman(predicted, conditions[2:]).reason == UNDEFINED
        constant = np.ones_like(predicted)
        assert paired_lfc_spearman(constant, conditions).value is None

    def test_a_mean_that_is_not_positive_makes_the_condition_take_differences(self, looked_up: Found) -> None:
        predicted, (_, b, _) = looked_up
        treated = predicted[b.treated][:, b.genes].mean(axis=0)
        control = predicted[b.control][:, b.genes].mean(axis=0)
        expected = spearmanr(b.fold_changes, treated - control).statistic
        assert treated.min() == 0
        assert paired_lfc_spearmans(predicted, [b])[0] == pytest.approx(expected)


class TestLookingUp:
    def test_leaves_out_what_the_predictions_lack(self, looked_up: Found) -> None:
        _, (a, b, c) = looked_up
        assert len(a.treated) == 10, "the cell that isn't there"
        assert b.genes.tolist() == [2, 3, 4, 5, 6, 7, 8], "an unknown gene, and one without a fold change"
        assert c.genes.tolist() == [1]

    def test_genes_without_a_fold_change_are_left_out(self) -> None:
        _, table, pairs = made()
        table.fold_changes[3] = np.nan
        (a, *_) = paired_conditions(CELLS, GENES, table, TARGETS, pairs)
        assert a.genes.tolist() == [0, 1, 2, 4, 5, 6, 7]

    def test_a_condition_without_controls_is_an_error(self) -> None:
        _, table, pairs = made()
        del pairs["B"]
        with pytest.raises(ScoringError, match="'B' has no control cells"):
            paired_conditions(CELLS, GENES, table, TARGETS, pairs)

    def test_conditions_whose_cells_are_all_missing_are_left_out(self) -> None:
        _, table, pairs = made()
        pairs["B"] = {"lost": "c41"}
        assert [c.name for c in paired_conditions(CELLS, GENES, table, TARGETS, pairs)] == ["A", "C"]


class TestBadInput:
    def refused(self, predicted: Any, conditions: Any) -> str:
        with pytest.raises(ScoringError) as raised:
            paired_lfc_spearmans(predicted, conditions)
        return raised.value.message

    def test_predictions_that_are_not_finite_are_named(self, looked_up: Found) -> None:
        predicted, conditions = looked_up
        predicted[int(conditions[0].treated[0]), 2] = np.nan
        predicted[int(conditions[1].control[0]), 4] = np.inf
        message = self.refused(predicted, conditions)
        assert "A: predictions that aren't finite" in message
        assert "B: predictions that aren't finite" in message

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"treated": np.array([1, 2])}, "its cells aren't paired one to one"),
            (
                {"treated": np.array([], int), "control": np.array([], int)},
                "its cells aren't paired one to one",
            ),
            ({"fold_changes": np.ones(3)}, "wants one finite fold change for each gene"),
            ({"fold_changes": np.full(8, np.nan)}, "wants one finite fold change for each gene"),
            ({"treated": np.arange(51, 61)}, "rows or columns outside the predictions"),
            ({"control": np.arange(-1, 9)}, "rows or columns outside the predictions"),
            ({"genes": np.arange(5, 13)}, "rows or columns outside the predictions"),
            ({"genes": np.arange(-1, 7)}, "rows or columns outside the predictions"),
        ],
    )
    def test_conditions_that_do_not_fit_are_named(
        self, looked_up: Found, changes: dict[str, Any], problem: str
    ) -> None:
        predicted, conditions = looked_up
        message = self.refused(predicted, [replace(conditions[0], **changes)])
        assert f"A: {problem}" in message

    @pytest.mark.parametrize("predicted", [np.ones(4), np.ones((60, 12), int)])
    def test_predictions_of_another_kind_are_refused(self, looked_up: Found, predicted: Any) -> None:
        assert "wants floats of shape (cells, genes)" in self.refused(predicted, looked_up[1])
