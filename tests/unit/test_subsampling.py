from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from czrun.subsampling import choose_stratified, combined_strata

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=12)
SEEDS = st.integers(0, 2**31 - 1)


def cells(sizes: list[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Cells of strata of these sizes, with ids that are far apart."""
    strata = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return strata, np.arange(len(strata), dtype=np.int64) * 7919 + 10**9


def some(data: st.DataObject, sizes: list[int]) -> int:
    return data.draw(st.integers(1, sum(sizes)))


@given(SIZES, SEEDS, st.data())
def test_exactly_n_cells_are_chosen_each_once_in_ascending_order(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    n = some(data, sizes)
    chosen = choose_stratified(*cells(sizes), n, seed)
    assert len(chosen) == n
    assert np.all(np.diff(chosen) > 0)


@given(SIZES, SEEDS, st.data())
def test_every_stratum_is_there_as_soon_as_n_allows(sizes: list[int], seed: int, data: st.DataObject) -> None:
    strata, ids = cells(sizes)
    n = data.draw(st.integers(len(sizes), sum(sizes)))
    assert len(np.unique(strata[choose_stratified(strata, ids, n, seed)])) == len(sizes)


@given(SIZES, SEEDS, st.data())
def test_strata_keep_their_shares_to_within_one_cell(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    strata, ids = cells(sizes)
    n = some(data, sizes)
    exact = np.array(sizes) * n / sum(sizes)
    if np.all(exact >= 1) or n < len(sizes):  # else the rare strata's one cell is at the others' expense
        counts = np.bincount(strata[choose_stratified(strata, ids, n, seed)], minlength=len(sizes))
        assert np.all(np.abs(counts - exact) < 1)


def test_a_rare_strata_s_one_cell_is_at_the_expense_of_the_common_ones_in_proportion() -> None:
    strata, ids = cells([9_000, 3_000, 1, 1, 1])
    chosen = choose_stratified(strata, ids, 103, seed=0)
    assert np.bincount(strata[chosen]).tolist() == [75, 25, 1, 1, 1]


@given(SIZES, SEEDS, st.data())
def test_neither_the_order_of_cells_nor_the_numbers_of_strata_count(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    strata, ids = cells(sizes)
    n = some(data, sizes)
    order = np.array(data.draw(st.permutations(range(len(ids)))))
    renamed = np.array(data.draw(st.permutations(range(len(sizes)))), dtype=np.int32)[strata]
    here = set(ids[choose_stratified(strata, ids, n, seed)])
    there = set(ids[order][choose_stratified(renamed[order], ids[order], n, seed)])
    assert here == there


@given(SIZES, SEEDS)
def test_more_cells_of_a_stratum_contain_the_fewer(sizes: list[int], seed: int) -> None:
    strata, ids = cells(sizes)
    chosen = [choose_stratified(strata, ids, n, seed) for n in range(1, sum(sizes) + 1)]
    for fewer, more in pairwise(chosen):
        for stratum in range(len(sizes)):
            small, large = (set(rows[strata[rows] == stratum]) for rows in (fewer, more))
            assert small <= large or large <= small


def test_another_seed_chooses_other_cells() -> None:
    strata, ids = cells([500, 500])
    one, other = (choose_stratified(strata, ids, 100, seed) for seed in (0, 1))
    assert len(np.intersect1d(one, other)) < 30


def test_every_cell_is_as_likely_as_any_other_of_its_stratum() -> None:
    strata, ids = cells([200, 40])
    times = np.zeros(240)
    for seed in range(1000):
        times[choose_stratified(strata, ids, 60, seed)] += 1
    # 250 expected, standard deviation 13.7: five of those for the worst of 240.
    assert np.abs(times - 250).max() < 70


def test_more_cells_than_there_are_means_all() -> None:
    assert choose_stratified(*cells([2, 3]), 10, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_strata_are_the_combinations_that_occur() -> None:
    tissue = np.array([0, 0, 1, 1, -1], dtype=np.int32)
    donor = np.array([5, 6, 5, 5, 6], dtype=np.int32)
    strata = combined_strata([tissue, donor])
    assert strata.max() == 3
    assert strata[2] == strata[3]
    assert len(np.unique(strata)) == 4


def test_many_columns_of_many_values_do_not_overflow() -> None:
    columns = [np.arange(100, dtype=np.int32)] * 12
    assert np.unique(combined_strata(columns)).tolist() == list(range(100))
