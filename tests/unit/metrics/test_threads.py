"""Work in threads comes back in order, fails as it would without them, and leaves BLAS as it was."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from czrun.metrics.threads import in_threads


def blas_threads(_: int = 0) -> set[int]:
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_answers_come_in_order() -> None:
    assert list(in_threads(lambda i: i * i, range(100))) == [i * i for i in range(100)]


def test_nothing_to_do() -> None:
    assert list(in_threads(blas_threads, [])) == []


def test_work_is_done_in_other_threads() -> None:
    assert threading.get_ident() not in set(in_threads(lambda _: threading.get_ident(), range(4)))


def test_blas_has_one_thread_and_then_what_it_had() -> None:
    before = blas_threads()
    assert set().union(*in_threads(blas_threads, range(3))) == {1}
    assert blas_threads() == before


def test_errors_arrive_and_leave_blas_as_it_was() -> None:
    before = blas_threads()
    with pytest.raises(np.linalg.LinAlgError):
        list(in_threads(np.linalg.inv, [np.eye(2), np.zeros((2, 2))]))
    assert blas_threads() == before
