"""Stated errors are those that samples have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from czrun.metrics.sampling import error_of_mean, error_of_median


@pytest.mark.parametrize(("error_of", "average"), [(error_of_mean, np.mean), (error_of_median, np.median)])
@pytest.mark.parametrize("shape", ["normal", "exponential"])
def test_the_error_is_how_much_averages_of_samples_differ(
    error_of: Callable[..., float], average: Callable[..., Any], shape: str
) -> None:
    samples = getattr(np.random.default_rng(0), shape)(size=(2000, 400))
    stated = np.mean([error_of(sample) for sample in samples])
    assert stated == pytest.approx(np.std(average(samples, axis=1)), rel=0.1)


def test_missing_values_are_left_out() -> None:
    values = np.array([1.0, np.nan, 2.0, 3.0, np.nan])
    assert error_of_mean(values) == error_of_mean(np.array([1.0, 2.0, 3.0]))
    assert error_of_median(values) == error_of_median(np.array([1.0, 2.0, 3.0]))


def test_one_value_says_nothing_of_its_error() -> None:
    assert error_of_mean(np.array([3.0])) == 0
    assert error_of_median(np.array([3.0])) == 0
