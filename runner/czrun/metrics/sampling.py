"""How far averages over a sample of the cells may be off."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def error_of_mean(values: FloatArray) -> float:
    """Estimate the standard error of the mean of a sample; NaN among its values are left out."""
    known = values[~np.isnan(values)]
    return float(known.std() / math.sqrt(max(1, len(known))))


def error_of_median(values: FloatArray) -> float:
    """Estimate the standard error of the median of a sample: half the way between the values that far off.

    As many values lie below the true median as heads among that many coins, give or take sqrt(n) / 2.
    """
    known = np.sort(values[~np.isnan(values)])
    middle, off = (len(known) - 1) / 2, math.sqrt(len(known)) / 2
    low, high = math.floor(middle - off), math.ceil(middle + off)
    return float(known[min(high, len(known) - 1)] - known[max(low, 0)]) / 2
