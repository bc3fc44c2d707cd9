"""Columns of any kind as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from czrun.cells import Texts


def as_texts(values: Any) -> Texts:  # noqa: ANN401 - a NumPy array, or a pandas index, series or array
    """Return values as str, None where one is missing; the same texts whatever file they came from."""
    import pandas as pd

    series = pd.Series(np.asarray(values) if isinstance(values, pd.Index) else values)
    if isinstance(series.dtype, pd.CategoricalDtype):
        # By way of the categories: spread out, whole numbers with one missing would turn into 1.0, 2.0.
        names = np.array([*(str(name) for name in series.cat.categories), None], dtype=object)
        named: Texts = names[series.cat.codes.to_numpy()]
        return named
    missing = series.isna().to_numpy()
    texts = np.array([_text(value) for value in series.to_numpy(dtype=object)], dtype=object)
    texts[missing] = None
    return texts


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
