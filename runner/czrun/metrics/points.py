"""Embeddings as the kernels want them: sound numbers, centred and scaled for single precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing

PointArray = NDArray[np.float32] | NDArray[np.float64]

_CENTRE_SAMPLE = 1000
_ROWS_AT_ONCE = 16_384
_FARTHEST = 1e36
_USUAL_EXPONENT = 40


def sound_points(embedding: NDArray[Any]) -> PointArray:
    """Take an embedding as float32 or float64, or say what is wrong with it.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).

    Raises
    ------
    ScoringError
        When it isn't two-dimensional, has no cells or no dimensions, or isn't finite throughout.
    """
    array = np.asarray(embedding)
    problems = _problems(array)
    if problems:
        raise ScoringError(
            f"This embedding can't be scored:\n{listing(problems)}",
            "An embedding has one row a cell and one column a dimension, all of them finite floating-point "
            "numbers. Check the output of the model against the contract.",
        )
    if array.itemsize > np.dtype(np.float32).itemsize:
        return np.ascontiguousarray(array, dtype=np.float64)
    return np.ascontiguousarray(array, dtype=np.float32)


def _problems(array: NDArray[Any]) -> list[str]:
    if not np.issubdtype(array.dtype, np.floating):
        return [f"wants floating-point numbers, got {array.dtype}"]
    if array.ndim != 2:
        return [f"wants shape (cells, dimensions), got {array.shape}"]
    if array.size == 0:
        return [f"it is empty: shape {array.shape}"]
    # NaN fails the comparison, as it must.
    if max(float(array.max()), -float(array.min())) <= _FARTHEST:
        return []
    broken = ~(np.abs(array.astype(np.float64)) <= _FARTHEST).all(axis=1)
    wrong = f"isn't finite, or lies beyond {_FARTHEST:.0e}, where distances overflow"
    return [f"{int(broken.sum())} cells have a value that {wrong}; the first is cell {int(broken.argmax())}"]


def is_one_point(array: PointArray) -> bool:
    """Whether all cells lie in one place."""
    return bool((array == array[0]).all())


@dataclass(frozen=True)
class Points:
    """Cells in space, for kernels that work in single precision.

    Attributes
    ----------
    exact
        As given, times `scale`, shape (n, d).
    centred
        `exact` moved to the middle, where single precision loses least, shape (n, d).
    squares
        Squared lengths of `centred`, shape (n,).
    scale
        1, or the power of two that keeps the squares of very large or small numbers in range.
    """

    exact: PointArray
    centred: NDArray[np.float32]
    squares: NDArray[np.float32]
    scale: float

    @classmethod
    def of(cls, array: PointArray) -> Points:
        """Centre on the median of up to 1,000 cells: a few cells far off must not blur all others."""
        step = -(-len(array) // _CENTRE_SAMPLE)
        centre = np.median(array[::step], axis=0).astype(np.float64)
        reach = float(np.maximum(array.max(axis=0) - centre, centre - array.min(axis=0)).max())
        exponent = int(np.frexp(reach)[1])
        scale = 1.0 if abs(exponent) < _USUAL_EXPONENT else 2.0**-exponent
        exact = array if scale == 1 else sound_points((array * np.float64(scale)).astype(array.dtype))
        centred = np.empty(array.shape, dtype=np.float32)
        for start in range(0, len(array), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            centred[rows] = exact[rows] - centre * scale
        return cls(exact, centred, np.einsum("ij,ij->i", centred, centred), scale)
