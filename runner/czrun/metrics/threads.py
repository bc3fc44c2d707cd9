"""Kernels over the cores: tiles in threads, and one core for each matrix product."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 16
"""Each holds some tens of MB, and memory bandwidth is used up before."""


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Do `work` on each of `items` at once, as far as there are cores; answers come in the items' order.

    BLAS has one thread meanwhile: its own threads wait for one another after each tile, and tiles are small.
    """
    from concurrent.futures import ThreadPoolExecutor

    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(min(_cores(), MOST_THREADS)) as pool:
        yield from pool.map(work, items)


def _cores() -> int:
    # Only Linux tells which cores this process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
