"""Labels of any kind as codes, the problems of all of them gathered first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError, listing

IntArray = NDArray[np.int64]


def encode(labels: Mapping[str, ArrayLike], n_obs: int | None = None) -> list[IntArray]:
    """Turn labellings of the same cells into codes.

    Parameters
    ----------
    labels
        Labellings by name, each of shape (n,): strings, whole numbers, or anything else that sorts.
    n_obs
        The number of cells that there should be; that of the first labelling where None.

    Returns
    -------
    Codes from 0 in the labels' sorted order, shape (n,), one array for each labelling.

    Raises
    ------
    ScoringError
        When a labelling isn't one label for each cell; every problem is listed.
    """
    arrays = {name: np.asarray(values) for name, values in labels.items()}
    wanted = len(next(iter(arrays.values())).ravel()) if n_obs is None else n_obs
    problems = [problem for name, values in arrays.items() for problem in _problems(name, values, wanted)]
    if problems:
        raise ScoringError(
            f"These cells can't be scored:\n{listing(problems)}",
            "Give every cell one label: strings or whole numbers, none of them missing.",
        )
    return [np.unique(values, return_inverse=True)[1].astype(np.int64) for values in arrays.values()]


def _problems(name: str, values: NDArray[Any], n_obs: int) -> list[str]:
    if values.ndim != 1:
        return [f"{name}: wants shape (n,), got {values.shape}"]
    if len(values) == 0:
        return [f"{name}: no cells"]
    problems = [] if len(values) == n_obs else [f"{name}: {len(values)} labels for {n_obs} cells"]
    missing = _n_missing(values)
    if missing:
        return [*problems, f"{name}: {missing} cells have no label"]
    kinds = {type(value) for value in values} if values.dtype == object else set()
    if len(kinds) > 1:
        named = ", ".join(sorted(kind.__name__ for kind in kinds))
        problems.append(f"{name}: wants labels of one kind, got {named}")
    return problems


def _n_missing(values: NDArray[Any]) -> int:
    if values.dtype == object:
        # A missing label is None, or NaN, which alone isn't equal to itself.
        return sum(value is None or value != value for value in values)
    return int((~np.isfinite(values)).sum()) if values.dtype.kind == "f" else 0
