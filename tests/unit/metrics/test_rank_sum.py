"""The rank-sum kernel and what is built on it, with SciPy as the independent witness."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, mannwhitneyu

from czrun.errors import ScoringError
from czrun.metrics.differential import (
    DifferentialExpression,
    benjamini_hochberg,
    differential_expression,
    overlap_scores,
)
from czrun.metrics.rank_sum import rank_sum_p_values
from czrun.metrics.sparse_cells import SparseCells

Floats = NDArray[np.float32]


def expression(seed: int, n: int, n_vars: int = 30, *, signed: bool = False) -> Floats:
    """Mostly zeros, many ties; some genes that no cell expresses."""
    rng = np.random.default_rng(seed)
    cells = np.log1p(rng.poisson(rng.gamma(0.5, 1.0, n_vars), (n, n_vars)))
    cells[:, :2] = 0
    return (cells * (rng.choice([-1, 1], cells.shape) if signed else 1)).astype(np.float32)


def scipy_p_values(group: NDArray[Any], control: NDArray[Any]) -> NDArray[np.float64]:
    """Ask SciPy gene by gene; where all values are equal it answers NaN, or refuses."""
    # In float64: SciPy computes in the dtype that it is given.
    group, control = group.astype(np.float64), control.astype(np.float64)
    p_values = np.ones(group.shape[1])
    for gene in range(group.shape[1]):
        x, y = group[:, gene], control[:, gene]
        if len(np.unique(np.concatenate([x, y]))) > 1:
            p_values[gene] = mannwhitneyu(x, y, method="asymptotic", use_continuity=True).pvalue
    return p_values


small_cells = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.just(3)),
    elements=st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 1e-30, 3e38]),
)


class TestRankSum:
    @pytest.mark.parametrize("signed", [False, True])
    @pytest.mark.parametrize("seed", range(3))
    def test_agrees_with_scipy(self, seed: int, signed: bool) -> None:
        groups = [expression(10 * seed + i, 5 + 20 * i, signed=signed) for i in range(3)]
        control = expression(10 * seed + 9, 60, signed=signed)
        found = rank_sum_p_values([SparseCells.of_dense(g) for g in groups], SparseCells.of_dense(control))
        expected = [scipy_p_values(group, control) for group in groups]
        np.testing.assert_allclose(found, expected, rtol=1e-9)

    @given(small_cells, small_cells)
    def test_agrees_with_scipy_on_any_cells(self, group: Floats, control: Floats) -> None:
        found = rank_sum_p_values([SparseCells.of_dense(group)], SparseCells.of_dense(control))
        np.testing.assert_allclose(found[0], scipy_p_values(group, control), rtol=1e-9)

    def test_dense_cells_get_the_same_answer_as_sparse_ones(self) -> None:
        group, control = expression(0, 20), SparseCells.of_dense(expression(1, 50))
        sparse, dense = rank_sum_p_values([SparseCells.of_dense(group), group], control)
        np.testing.assert_array_equal(sparse, dense)

    def test_stored_zeros_are_zeros(self) -> None:
        group, control = expression(0, 20), expression(1, 50)
        plain, plain_control = SparseCells.of_dense(group), SparseCells.of_dense(control)
        expected = rank_sum_p_values([plain], plain_control)
        np.testing.assert_array_equal(rank_sum_p_values([_with_stored_zeros(group)], plain_control), expected)
        np.testing.assert_array_equal(rank_sum_p_values([plain], _with_stored_zeros(control)), expected)

    def test_cells_of_another_precision_are_compared_as_float32(self) -> None:
        group, control = expression(0, 20), SparseCells.of_dense(expression(1, 50))
        finer = np.where(group == 0, 1e-60, group.astype(np.float64) * (1 + 1e-12))
        found = rank_sum_p_values([group, finer, SparseCells.of_dense(finer)], control)
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])

    @pytest.mark.parametrize("block_values", [1, 40, 333])
    def test_the_size_of_blocks_changes_nothing(self, block_values: int) -> None:
        groups = [SparseCells.of_dense(expression(i, 20)) for i in range(2)]
        control = SparseCells.of_dense(expression(5, 50))
        found = rank_sum_p_values(groups, control, block_values=block_values)
        np.testing.assert_array_equal(found, rank_sum_p_values(groups, control))

    def test_controls_without_any_expression(self) -> None:
        group, nothing = expression(0, 20), np.zeros((9, 30), np.float32)
        found = rank_sum_p_values([SparseCells.of_dense(group)], SparseCells.of_dense(nothing))
        np.testing.assert_allclose(found[0], scipy_p_values(group, nothing), rtol=1e-9)


def _with_stored_zeros(cells: Floats) -> SparseCells:
    n, n_vars = cells.shape
    indices = np.tile(np.arange(n_vars, dtype=np.int32), n)
    return SparseCells(cells.ravel(), indices, np.arange(n + 1) * n_vars, n_vars)


class TestBenjaminiHochberg:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    def test_agrees_with_scipy(self, drawn: list[float]) -> None:
        p_values = np.array(drawn)
        np.testing.assert_allclose(benjamini_hochberg(p_values), false_discovery_control(p_values))


class TestDifferentialExpression:
    def test_conditions_are_compared_with_the_controls_of_their_context(self) -> None:
        treated, control = expression(0, 60), expression(1, 80)
        context, control_context = np.array([0, 1, 0]), np.repeat([1, 0], 40)
        both = differential_expression(
            SparseCells.of_dense(treated), np.array([0, 20, 40, 60]), context,
            SparseCells.of_dense(control), control_context,
        )  # fmt: skip
        for condition, code in enumerate(context):
            alone = differential_expression(
                SparseCells.of_dense(treated[20 * condition : 20 * condition + 20]), np.array([0, 20]),
                np.array([0]), SparseCells.of_dense(control[control_context == code]), np.zeros(40, int),
            )  # fmt: skip
            np.testing.assert_array_equal(both.adjusted[condition], alone.adjusted[0])
            np.testing.assert_array_equal(both.fold_changes[condition], alone.fold_changes[0])

    def test_fold_changes_are_of_back_transformed_means(self) -> None:
        # Means of 3 and 1 counts, of none and 1, of 1 and none, of none at all.
        treated = np.log1p(np.array([[3.0, 0.0, 1.0, 0.0]], np.float32))
        control = np.log1p(np.array([[1.0, 1.0, 0.0, 0.0]], np.float32))
        found = self._compare(treated, control, is_log1p=True)
        np.testing.assert_allclose(found.fold_changes[0], [np.log2(3), -np.inf, np.inf, 0.0], rtol=1e-6)

    def test_in_other_spaces_the_difference_of_means_is_the_change(self) -> None:
        treated, control = np.array([[3.0, -1.0]], np.float32), np.array([[1.0, 0.5]], np.float32)
        found = self._compare(treated, control, is_log1p=False)
        np.testing.assert_array_equal(found.fold_changes[0], [2.0, -1.5])

    def _compare(self, treated: Floats, control: Floats, *, is_log1p: bool) -> DifferentialExpression:
        one = np.array([0])
        return differential_expression(
            treated, np.array([0, 1]), one, SparseCells.of_dense(control), one, is_log1p=is_log1p
        )


class TestOverlap:
    def of(self, adjusted: list[float], changes: list[float], wanted: list[float]) -> float:
        predicted = DifferentialExpression(np.array([adjusted], np.float32), np.array([changes], np.float32))
        true = DifferentialExpression(np.array([wanted], np.float32), np.zeros((1, len(wanted)), np.float32))
        return float(overlap_scores(predicted, true)[0])

    def test_takes_as_many_predicted_genes_as_are_truly_significant(self) -> None:
        # Three genes are predicted, the two of largest change count, one of them is right.
        assert self.of([0.01, 0.01, 0.01, 0.9], [1.0, -3.0, 2.0, 9.0], [0.01, 0.01, 0.9, 0.9]) == 0.5

    def test_no_predicted_gene_finds_none(self) -> None:
        assert self.of([0.9, 0.9], [5.0, 4.0], [0.01, 0.9]) == 0.0

    def test_of_nothing_to_find_no_share_is_found(self) -> None:
        assert np.isnan(self.of([0.01, 0.9], [5.0, 4.0], [0.9, 0.9]))

    def test_significance_is_below_five_per_cent(self) -> None:
        assert np.isnan(self.of([0.01], [1.0], [0.05]))

    def test_tests_of_different_genes_are_refused(self) -> None:
        with pytest.raises(ScoringError, match=r"\(1, 1\).*\(1, 2\)"):
            self.of([0.01], [1.0], [0.01, 0.01])


class TestSparseCells:
    @given(small_cells)
    def test_means_and_rows_are_those_of_the_dense_array(self, cells: Floats) -> None:
        sparse = SparseCells.of_dense(cells)
        order = np.random.default_rng(0).permutation(len(cells))
        assert sparse.problems() == []
        assert sparse.n_obs == len(cells)
        np.testing.assert_allclose(sparse.mean(), cells.mean(axis=0, dtype=np.float64), rtol=1e-12)
        chosen = sparse.rows(order).between(0, 1)
        np.testing.assert_allclose(chosen.mean(), cells[order[0]], rtol=1e-12)

    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"data": np.array([1.0, np.nan, 2.0], np.float32)}, "1 values aren't finite"),
            ({"data": np.ones(2, np.float32)}, r"values of shape \(2,\) with genes of shape \(3,\)"),
            ({"indices": np.array([1, 0, 0], np.int32)}, "don't ascend"),
            ({"indices": np.array([1, 1, 0], np.int32)}, "don't ascend"),
            ({"indices": np.array([0, 4, 0], np.int32)}, "a gene outside 0..3"),
            ({"indices": np.array([-1, 1, 0], np.int32)}, "a gene outside 0..3"),
            ({"indptr": np.array([0, 2, 4])}, "row pointers"),
            ({"indptr": np.array([1, 2, 3])}, "row pointers"),
            ({"indptr": np.array([0, 4, 3])}, "row pointers"),
            ({"indptr": np.array([0])}, "no cells"),
        ],
    )
    def test_what_is_no_csr_is_named(self, changed: dict[str, NDArray[np.generic]], problem: str) -> None:
        sound = {
            "data": np.ones(3, np.float32),
            "indices": np.array([0, 1, 0], np.int32),
            "indptr": np.array([0, 2, 3]),
        }
        assert SparseCells(**sound, n_vars=4).problems() == []
        found = SparseCells(**{**sound, **changed}, n_vars=4).problems()
        assert len(found) == 1
        assert re.search(problem, found[0])

    def test_cells_without_expression_are_fine(self) -> None:
        empty = SparseCells.of_dense(np.array([[0, 0], [0, 1], [0, 0]], np.float32))
        assert empty.problems() == []
        np.testing.assert_array_equal(empty.rows(np.array([2, 0])).mean(), [0, 0])
