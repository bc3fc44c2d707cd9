"""What the metrics of perturbation prediction promise, with cell-eval's answers as independent witness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import pearsonr, spearmanr

from czrun.errors import ScoringError
from czrun.metrics import perturbation as p
from czrun.metrics.compared_means import ComparedMeans
from czrun.metrics.deltas import mid_ranks
from czrun.metrics.differential import differential_expression
from czrun.metrics.families import Family
from czrun.metrics.perturbation import METRICS
from czrun.metrics.perturbation_families import NO_CELLS, perturbation_families
from czrun.metrics.sparse_cells import SparseCells
from czrun.metrics.true_perturbations import TruePerturbations, split_half_means

N_GENES, N_CONDITIONS, N_CONTROL, N_TREATED = 60, 6, 80, 30


def made() -> tuple[Any, Any, Any]:
    """Control, treated and predicted cells; some genes are expressed under some conditions only."""
    rng = np.random.default_rng(7)
    base = rng.gamma(0.8, 1.2, N_GENES)
    base[-2:] = 0.0
    drawn = rng.random((N_CONDITIONS, N_GENES)) < 0.25
    shifts = np.where(drawn, rng.normal(0, 1.2, (N_CONDITIONS, N_GENES)), 0)
    rates = base * np.exp(shifts)
    rates[1, -2:] = 1.5
    rates[2, -1] = 1.5

    def cells(rate: Any, n: int) -> Any:
        return np.log1p(rng.poisson(rate, (n, N_GENES))).astype(np.float32)

    control = cells(base, N_CONTROL)
    treated = np.concatenate([cells(rate, N_TREATED) for rate in rates])
    guess = base * np.exp(0.6 * shifts + rng.normal(0, 0.3, shifts.shape))
    guess[1, -2:] = 1.0
    guess[3] = guess[4]
    return control, treated, np.concatenate([cells(rate, N_TREATED) for rate in guess])


# cell-eval 0.8.2, MetricsEvaluator(...).compute(profile="full") on `made()` in float32, the control cells on
# both sides, condition c named after gene 5 c. Where no gene is significant it answers 0, or nothing.
CELL_EVAL = {
    "pearson_delta": [
        0.17786824703216553, 0.718512237071991, 0.7464205622673035, 0.29156404733657837, 0.7699991464614868,
        0.6049513220787048,
    ],
    "mse": [
        0.036260221153497696, 0.02709994465112686, 0.0420554056763649, 0.20404307544231415,
        0.024429861456155777, 0.020206309854984283,
    ],
    "mae": [
        0.1258593052625656, 0.1127186119556427, 0.12703001499176025, 0.23163825273513794, 0.11122255772352219,
        0.10547928512096405,
    ],
    "perturbation_discrimination": [5 / 6, 1.0, 1.0, 1 / 6, 1.0, 1.0],
    "differential_expression_score": [np.nan, 2 / 3, 3 / 7, 1 / 8, 2 / 3, 1 / 3],
    "de_direction": [np.nan, 1.0, 0.8571428571428571, 0.375, 1.0, 1.0],
}  # fmt: skip


def truth(control_cells: Any, treated: Any, **more: Any) -> TruePerturbations:
    facts = {
        "conditions": tuple(f"condition {c}" for c in range(N_CONDITIONS)),
        "treated": SparseCells.of_dense(treated),
        "offsets": np.arange(N_CONDITIONS + 1) * N_TREATED,
        "control": SparseCells.of_dense(control_cells),
        "context": np.zeros(N_CONDITIONS, int),
        "control_context": np.zeros(N_CONTROL, int),
        "target_gene": np.arange(N_CONDITIONS) * 5,
    }
    return TruePerturbations(**{**facts, **more})


def means(cells: Any) -> Any:
    return cells.reshape(N_CONDITIONS, N_TREATED, -1).mean(axis=1)


def by_condition(family: Family) -> dict[str, Any]:
    """Score each condition on its own, by drawing only it."""
    n = N_CONDITIONS
    tally = family.tally(np.arange(n), np.ones(n, int))
    return dict(zip(family.names, tally.values(np.eye(n, dtype=int)).T, strict=True))


def drawn_once(family: Family, n: int = N_CONDITIONS) -> dict[str, float]:
    values = family.tally(np.arange(n), np.ones(n, int)).values(np.ones((1, n), int))[0]
    return dict(zip(family.names, values.tolist(), strict=True))


@pytest.fixture(scope="module")
def scored() -> tuple[TruePerturbations, Any, Any, Family]:
    control, treated, predicted = made()
    true = truth(control, treated)
    (family,) = perturbation_families(means(predicted), true, predicted)
    return true, means(predicted), predicted, family


Scored = tuple[TruePerturbations, Any, Any, Family]

tables = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 5), st.integers(2, 6)),
    elements=st.integers(0, 40).map(lambda i: i / 8),
)


class TestAgainstCellEval:
    @pytest.mark.parametrize("metric", list(CELL_EVAL))
    def test_agrees_condition_by_condition(self, scored: Scored, metric: str) -> None:
        found = by_condition(scored[3])[metric]
        np.testing.assert_allclose(found, CELL_EVAL[metric], rtol=1e-6)


class TestFamily:
    def test_names_every_metric(self, scored: Scored) -> None:
        assert scored[3].names == tuple(METRICS)
        assert all(name == info.id for name, info in METRICS.items())

    def test_every_condition_drawn_once_is_the_public_value(self, scored: Scored) -> None:
        true, predicted, cells, family = scored
        given_means = (predicted, true.means, true.control_means)
        significant = true.differential.significant
        tested = differential_expression(
            cells, true.offsets, true.context, true.control, true.control_context
        )
        expected = {
            "pearson_delta": p.pearson_delta(*given_means),
            "lfc_spearman": p.lfc_spearman(*given_means, significant),
            "mse": p.mse(*given_means[:2]),
            "mae": p.mae(*given_means[:2]),
            "differential_expression_score": p.differential_expression_score(tested, true.differential),
            "perturbation_discrimination": p.perturbation_discrimination(*given_means, true.target_gene),
            "top_k_precision": p.top_k_precision(*given_means, significant),
            "top_k_jaccard": p.top_k_jaccard(*given_means, significant),
            "de_direction": p.de_direction(*given_means, significant),
            "pearson_delta_ceiling": p.pearson_delta_ceiling(true),
        }
        found = drawn_once(family)
        for name in METRICS:
            assert found[name] == pytest.approx(expected[name].value, rel=1e-12), name

    def test_a_redraw_weights_conditions_by_their_draws(self, scored: Scored) -> None:
        draws = np.array([[3, 0, 1, 0, 2, 0]])
        tally = scored[3].tally(np.arange(6), np.ones(6, int))
        for name, value in zip(scored[3].names, tally.values(draws)[0], strict=True):
            each = by_condition(scored[3])[name]
            kept = ~np.isnan(each)
            assert value == pytest.approx(np.average(each[kept], weights=draws[0][kept])), name

    def test_conditions_left_out_are_counted(self, scored: Scored) -> None:
        note = scored[3].notes["de_direction"]
        assert note == "over 5 of 6 conditions; elsewhere no gene is differentially expressed in truth"
        assert "mse" not in scored[3].notes

    def test_a_model_without_cells_has_no_differential_expression_score(self, scored: Scored) -> None:
        (family,) = perturbation_families(scored[1], scored[0])
        with_cells = drawn_once(scored[3])
        for name, value in drawn_once(family).items():
            if name == "differential_expression_score":
                assert np.isnan(value)
                assert family.reasons[name] == NO_CELLS
            else:
                assert value == with_cells[name]
                assert name not in family.reasons

    def test_the_truth_itself_scores_best(self, scored: Scored) -> None:
        true = scored[0]
        (family,) = perturbation_families(true.means, true, made()[1])
        found = drawn_once(family)
        ceiling = found.pop("pearson_delta_ceiling")
        for name, value in found.items():
            assert value == pytest.approx(0.0 if name in ("mse", "mae") else 1.0), name
        assert 0 < ceiling < 1

    def test_a_model_that_predicts_no_change_gets_no_credit_from_rounding(self, scored: Scored) -> None:
        true = scored[0]
        rng = np.random.default_rng(0)
        ulps = rng.integers(-4, 5, true.control_means.shape) * np.finfo(np.float32).eps
        unchanged = (true.control_means * (1 + ulps)).astype(np.float32)
        assert (unchanged != true.control_means).any()
        found = drawn_once(perturbation_families(unchanged, true)[0])
        assert np.isnan(found["pearson_delta"])
        assert np.isnan(found["lfc_spearman"])
        assert found["de_direction"] == 0

    def test_finding_the_gene_that_was_perturbed_is_no_discrimination(self) -> None:
        control, treated, _ = made()
        rows = np.arange(N_CONDITIONS)
        treated.reshape(N_CONDITIONS, N_TREATED, N_GENES)[rows, :, rows * 5] += 20
        true, unaware = truth(control, treated), truth(control, treated, target_gene=None)
        only_target = true.control_means.copy()
        only_target[rows, true.targets] = true.means[rows, true.targets]

        def discrimination(predicted: Any, true: TruePerturbations) -> Any:
            return by_condition(perturbation_families(predicted, true)[0])["perturbation_discrimination"]

        np.testing.assert_array_equal(discrimination(only_target, unaware), np.ones(N_CONDITIONS))
        np.testing.assert_array_equal(
            discrimination(only_target, true), discrimination(true.control_means, true)
        )

    @pytest.mark.parametrize("size", [3e38, -3e38, 1e5, 1e-40])
    def test_absurd_predictions_are_scored_without_overflow(self, scored: Scored, size: float) -> None:
        true, predicted, *_ = scored
        signs = np.where(np.arange(N_GENES) % 2, 1, -1)
        absurd = (np.ones_like(predicted) * signs * size).astype(np.float32)
        (family,) = perturbation_families(absurd, true, np.repeat(absurd, N_TREATED, axis=0))
        found = drawn_once(family)
        assert all(np.isfinite(value) for value in found.values())
        assert found["mse"] >= 0

    def test_cells_that_do_not_fit_are_refused(self, scored: Scored) -> None:
        true, predicted, cells, _ = scored
        broken = cells.copy()
        broken[3, 4], broken[150, 0] = np.nan, np.inf
        with pytest.raises(ScoringError, match="2 values aren't finite"):
            perturbation_families(predicted, true, broken)
        huge = cells.astype(np.float64)
        huge[5, 5] = -1e39
        with pytest.raises(ScoringError, match="1 values aren't finite, or beyond float32"):
            perturbation_families(predicted, true, huge)
        with pytest.raises(ScoringError, match=r"wants shape \(180, 60\), got \(179, 60\)"):
            perturbation_families(predicted, true, cells[1:])
        with pytest.raises(ScoringError, match="wants floating-point numbers, got int64"):
            perturbation_families(predicted, true, cells.astype(np.int64))


class TestContexts:
    def test_deltas_are_taken_to_the_controls_of_the_own_context(self) -> None:
        control, treated, predicted = made()
        warm = np.concatenate([control, control + 1])
        contexts = np.repeat([0, 1], N_CONTROL)
        in_second = np.concatenate([treated[:90], treated[90:] + 1])
        guess = means(predicted) + np.repeat([0, 1], 3)[:, None]
        true = truth(warm, in_second, context=np.repeat([0, 1], 3), control_context=contexts)
        plain = truth(control, treated)
        expected = by_condition(perturbation_families(means(predicted), plain)[0])
        found = by_condition(perturbation_families(guess, true)[0])
        for name in ("pearson_delta", "perturbation_discrimination", "de_direction", "top_k_precision"):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


class TestCorrelations:
    @given(tables)
    def test_pearson_delta_agrees_with_scipy(self, true: Any) -> None:
        predicted, control = true[::-1] ** 2, true.mean(axis=0)
        expected = [
            pearsonr(x, y).statistic
            for x, y in zip(predicted - control, true - control, strict=True)
            if np.ptp(x) > 1e-9 and np.ptp(y) > 1e-9
        ]
        found = p.pearson_delta(predicted, true, control)
        if expected:
            assert found.value == pytest.approx(np.mean(expected), abs=1e-6)
        else:
            assert found.reason == METRICS["pearson_delta"].undefined

    @given(hnp.arrays(np.float64, st.integers(2, 9), elements=st.sampled_from([0.0, 0.1, 0.5, 2.0])))
    def test_lfc_spearman_agrees_with_scipy(self, true: Any) -> None:
        predicted, control = np.sqrt(true[::-1]) + 0.01, np.linspace(0.1, 1.0, len(true))
        changes = [np.log((m + 1e-8) / (control + 1e-8)) for m in (predicted, true)]
        every = np.ones((1, len(true)), bool)
        found = p.lfc_spearman(predicted[None], true[None], control, every)
        assert found.value == pytest.approx(spearmanr(*changes).statistic)

    @pytest.mark.parametrize("n", [2, 3, 6, 7])
    def test_equal_changes_correlate_with_nothing_however_their_mean_rounds(self, n: int) -> None:
        constant, varied = np.full((1, n), 0.1), np.arange(n, dtype=float)[None] + 1
        assert p.pearson_delta(constant, varied, np.zeros(n)).value is None
        assert p.pearson_delta(varied, constant, np.zeros(n)).value is None

    def test_lfc_spearman_sees_significant_genes_only(self) -> None:
        true, predicted = np.array([[1.0, 2.0, 3.0, 9.0]]), np.array([[1.0, 2.0, 3.0, 0.1]])
        chosen = np.array([[True, True, True, False]])
        assert p.lfc_spearman(predicted, true, np.ones(4), chosen).value == pytest.approx(1.0)
        assert p.lfc_spearman(predicted, true, np.ones(4), chosen & [True, False, False, False]).value is None

    def test_lfc_spearman_takes_differences_where_means_are_negative(self) -> None:
        true, predicted = np.array([[-1.0, 2.0, 9.0]]), np.array([[-2.0, 1.0, 5.0]])
        every = np.ones((1, 3), bool)
        control = np.array([-5.0, 1.0, 4.0])
        # Differences from control: 4, 1, 5 and 3, 0, 1. All ratios would be positive, and ordered alike.
        assert p.lfc_spearman(predicted, true, control, every).value == pytest.approx(0.5)

    def test_a_gene_that_is_lost_altogether_has_a_fold_change(self) -> None:
        means_of_four = np.array([[0.0, 0.5, 2.0, 3.0]])
        every = np.ones((1, 4), bool)
        assert p.lfc_spearman(means_of_four, means_of_four, np.ones(4), every).value == pytest.approx(1.0)

    @given(hnp.arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 4).map(float)))
    def test_ranks_of_equals_are_the_middle(self, values: Any) -> None:
        expected = [(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values]
        np.testing.assert_array_equal(mid_ranks(values), expected)


class TestErrors:
    def test_closed_form(self) -> None:
        predicted, true = np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([[2.0, 2.0], [0.0, 3.0]])
        assert p.mse(predicted, true).value == pytest.approx((0.5 + 4.5) / 2)
        assert p.mae(predicted, true).value == pytest.approx((0.5 + 1.5) / 2)

    def test_float32_predictions_are_compared_in_float64(self) -> None:
        predicted = np.array([[1e-9, 2.0]], np.float32)
        assert p.mae(predicted, np.array([[0.0, 2.0]])).value == pytest.approx(0.5e-9, rel=1e-6)


class TestDiscrimination:
    def score(self, predicted: Any, true: Any, **more: Any) -> float | None:
        control = np.zeros(np.shape(true)[1])
        return p.perturbation_discrimination(np.array(predicted), np.array(true), control, **more).value

    def test_the_rank_of_the_own_delta_counts(self) -> None:
        true = [[0.0, 1.0], [4.0, 1.0], [9.0, 1.0]]
        # Nearest first: own is 1st, 2nd and 3rd.
        assert self.score([[0.0, 1.0], [7.0, 1.0], [1.0, 1.0]], true) == pytest.approx(
            (1 + 2 / 3 + 1 / 3) / 3
        )

    @pytest.mark.parametrize("n", [2, 3, 8])
    def test_predictions_all_alike_score_as_chance_does(self, n: int) -> None:
        true = np.random.default_rng(n).normal(size=(n, 4))
        assert self.score(np.zeros((n, 4)), true) == pytest.approx(0.5 + 1 / (2 * n))

    def test_equal_distances_share_the_middle_of_their_ranks(self) -> None:
        # The first two true deltas are equal: ranks 0 and 1 become 0.5 each.
        assert self.score([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]) == pytest.approx(0.75)

    def test_a_prediction_worse_than_chance_is_not_clipped(self) -> None:
        assert self.score([[9.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [9.0, 0.0]]) == pytest.approx(0.5)
        assert self.score(np.eye(4)[::-1].copy(), np.eye(4) * [1, 1, 1, 1]) < 0.5 + 1 / 8

    def test_the_target_gene_is_left_out(self) -> None:
        true, predicted = [[0.0, 5.0], [0.0, 1.0]], [[9.0, 1.0], [9.0, 5.0]]
        predicted_by_target = [[5.0, 1.0], [0.0, 1.0]]
        assert self.score(predicted, true) == pytest.approx(0.5)
        found = self.score(predicted_by_target, true, target_gene=np.array([1, -1]))
        # Without gene 1 all distances of condition 0 are equal.
        assert found == pytest.approx((0.75 + 1) / 2)

    def test_one_condition_has_nothing_to_be_told_from(self) -> None:
        found = p.perturbation_discrimination(np.ones((1, 3)), np.ones((1, 3)), np.zeros(3))
        assert found.reason == "there is only one condition"

    @given(tables, st.integers(0, 1000))
    def test_the_order_of_conditions_and_genes_changes_nothing(self, true: Any, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows, columns = (rng.permutation(size) for size in true.shape)
        predicted = np.round(rng.random(true.shape) * 8) / 8
        shuffled = self.score(predicted[rows][:, columns], true[rows][:, columns])
        assert shuffled == pytest.approx(self.score(predicted, true))


class TestTopGenes:
    TRUE = np.array([[5.0, -4.0, 3.0, 2.0, 0.1, 0.0]])

    def both(
        self, predicted: list[float], k: int, significant: Any = None
    ) -> tuple[float | None, float | None]:
        given_means = (np.array([predicted]), self.TRUE, np.zeros(6), significant, k)
        return p.top_k_precision(*given_means).value, p.top_k_jaccard(*given_means).value

    def test_direction_does_not_matter(self) -> None:
        assert self.both([-5.0, 4.0, 0.0, 0.0, 0.0, 0.0], 2) == (1.0, 1.0)

    def test_half_of_them(self) -> None:
        precision, jaccard = self.both([5.0, 0.0, 3.0, 0.0, 2.0, 1.0], 4)
        assert precision == pytest.approx(0.5)
        assert jaccard == pytest.approx(2 / 6)

    def test_no_more_genes_are_compared_than_are_significant(self) -> None:
        two = np.array([[False, True, True, False, False, False]])
        assert self.both([9.0, 8.0, 0.0, 0.0, 0.0, 0.0], 20, two) == (1.0, 1.0)
        assert self.both([9.0, 0.0, 1.0, 8.0, 0.0, 0.0], 20, two) == (0.5, pytest.approx(1 / 3))

    def test_without_knowing_which_are_significant_all_may_be_compared(self) -> None:
        assert self.both([0.0, 0.0, 0.0, 0.0, 1.0, 2.0], 6) == (1.0, 1.0)
        assert self.both([0.0, 0.0, 0.0, 0.0, 1.0, 2.0], 20) == (1.0, 1.0)

    def test_ties_share_the_last_places(self) -> None:
        # One gene is certain, the other five tie for one place.
        precision, jaccard = self.both([5.0, 1.0, 1.0, 1.0, 1.0, 1.0], 2)
        assert precision == pytest.approx((1 + 1 / 5) / 2)
        assert jaccard == pytest.approx(1.2 / 2.8)

    def test_without_a_significant_gene_there_is_no_value(self) -> None:
        assert self.both([1.0] * 6, 3, np.zeros((1, 6), bool)) == (None, None)

    def test_k_is_at_least_one(self) -> None:
        with pytest.raises(ScoringError, match="k: wants at least 1, got 0"):
            self.both([1.0] * 6, 0)


class TestDirection:
    def test_no_change_is_a_wrong_one(self) -> None:
        true, predicted = np.array([[2.0, 0.0, 3.0, 1.0]]), np.array([[1.5, 0.5, 1.0, 9.0]])
        significant = np.array([[True, True, True, False]])
        found = p.de_direction(predicted, true, np.ones(4), significant)
        assert found.value == pytest.approx(2 / 3)


class TestHalves:
    def test_halves_share_no_cell_and_are_of_equal_size(self) -> None:
        # Each cell expresses a gene of its own, so a half's mean tells which cells are in it.
        cells = np.eye(6, dtype=np.float32)
        treated, control = SparseCells.of_dense(cells), SparseCells.of_dense(cells[:1])
        true = TruePerturbations(
            ("one", "five"), treated, np.array([0, 1, 6]), control, np.zeros(2, int), np.zeros(1, int)
        )
        halves = split_half_means(true, seed=3)
        assert halves.conditions.tolist() == [1]
        first, second = halves.first[0], halves.second[0]
        assert sorted(first[first > 0]) == sorted(second[second > 0]) == [0.5, 0.5]
        assert not (first[1:] * second[1:]).any()
        assert first[0] == second[0] == 0, "a cell of another condition"

    def test_the_seed_decides(self, scored: Scored) -> None:
        true = scored[0]
        again, other = split_half_means(true, seed=0), split_half_means(true, seed=1)
        np.testing.assert_array_equal(split_half_means(true).first, again.first)
        assert (again.first != other.first).any()

    def test_any_metric_takes_them(self, scored: Scored) -> None:
        true = scored[0]
        halves = split_half_means(true)
        control = true.control_means[halves.conditions]
        ceiling = p.pearson_delta(halves.first, halves.second, control)
        assert ceiling == p.pearson_delta_ceiling(true)
        noise = p.mse(halves.first, halves.second).value
        assert noise is not None
        assert noise > 0

    def test_single_cells_have_no_ceiling(self) -> None:
        cells = SparseCells.of_dense(np.eye(3, dtype=np.float32))
        true = TruePerturbations(
            ("a", "b", "c"), cells, np.arange(4), cells, np.zeros(3, int), np.zeros(3, int)
        )
        assert p.pearson_delta_ceiling(true).reason == METRICS["pearson_delta_ceiling"].undefined


class TestBadMeans:
    def test_every_problem_is_listed(self) -> None:
        predicted = np.array([[np.nan, 1.0], [np.inf, -1e300]])
        with pytest.raises(ScoringError) as raised:
            p.pearson_delta(predicted, np.array([[1.0, np.nan], [0.0, 1.0]]), np.zeros(3))
        for problem in (
            "predicted: 3 values aren't finite, or beyond float32",
            "true: 1 values aren't finite",
            "control: wants shape (2, 2), got (3,)",
        ):
            assert problem in raised.value.message

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"true": np.zeros((0, 3))}, "true: wants shape (conditions, genes), got (0, 3)"),
            ({"true": np.zeros(3)}, "true: wants shape (conditions, genes), got (3,)"),
            ({"predicted": np.zeros((2, 4))}, "predicted: wants shape (2, 3), got (2, 4)"),
            ({"predicted": np.zeros((2, 3), int)}, "predicted: wants floating-point numbers, got int64"),
            ({"significant": np.zeros((2, 3))}, "significant: wants booleans of shape (2, 3)"),
            ({"significant": np.zeros((2, 2), bool)}, "significant: wants booleans of shape (2, 3)"),
            ({"target_gene": np.array([0, 3])}, "target_gene: wants numbers of genes, or -1, of shape (2,)"),
            ({"target_gene": np.array([0])}, "target_gene: wants numbers of genes, or -1, of shape (2,)"),
        ],
    )
    def test_what_does_not_fit_is_named(self, changes: dict[str, Any], problem: str) -> None:
        sound = {"predicted": np.zeros((2, 3)), "true": np.zeros((2, 3)), "control": np.zeros(3)}
        with pytest.raises(ScoringError) as raised:
            ComparedMeans(**{**sound, **changes})
        assert problem in raised.value.message


class TestBadTruth:
    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"offsets": np.arange(6) * 30}, "offsets: wants 7 that go from 0 to 180"),
            ({"offsets": np.arange(7) * 29}, "offsets: wants 7 that go from 0 to 180"),
            ({"offsets": np.array([0, 30, 60, 60, 90, 120, 180])}, "condition 'condition 2' has no cells"),
            ({"context": np.zeros(5, int)}, "context: wants one for each condition"),
            ({"control_context": np.zeros(5, int)}, "and one for each control cell"),
            ({"context": np.array([0, 0, 0, 0, 0, 3])}, "no control cells in the contexts [3]"),
            ({"target_gene": np.full(6, 60)}, "target_gene: wants one for each condition"),
            ({"target_gene": np.full(6, -2)}, "target_gene: wants one for each condition"),
            ({"target_gene": np.zeros(5, int)}, "target_gene: wants one for each condition"),
            ({"conditions": ()}, "no conditions"),
            (
                {"control": SparseCells.of_dense(np.zeros((80, 59), np.float32))},
                "60 genes in treated cells, 59 in control cells",
            ),
            (
                {"control": SparseCells.of_dense(np.full((80, 60), np.inf, np.float32))},
                "control: 4800 values aren't finite",
            ),
        ],
    )
    def test_what_does_not_fit_is_named(self, changes: dict[str, Any], problem: str) -> None:
        control, treated, _ = made()
        with pytest.raises(ScoringError) as raised:
            truth(control, treated, **changes)
        assert problem in raised.value.message
