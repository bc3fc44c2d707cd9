"""Columns of Arrow tables as czrun has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from czrun.cells import Categorical, Column, Numeric, Texts


def column_of(values: Any) -> Column | Texts:  # noqa: ANN401 - pyarrow has no types
    """Return whatever an Arrow column holds: dictionaries as categories, numbers and truth values, texts."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return categorical_of(values)
    if pa.types.is_boolean(kind) and not values.null_count:
        return Numeric(values.to_numpy().astype(np.bool_))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return Numeric(values.to_numpy().astype(np.float64))
    return texts_of(values)


def categorical_of(values: Any) -> Categorical:  # noqa: ANN401
    """Return a column as codes, without the values that none of these cells has; -1 is missing."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    array = values.unify_dictionaries().combine_chunks()
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    names = [str(name) for name in array.dictionary.to_pylist()]
    used = np.unique(codes[codes >= 0])
    packed = np.full(len(names) + 1, -1, dtype=np.int32)
    packed[used] = np.arange(len(used), dtype=np.int32)
    return Categorical(packed[codes], tuple(names[code] for code in used.tolist()))


def texts_of(values: Any) -> Texts:  # noqa: ANN401
    """Return a column as text, None where it is missing."""
    return np.array([None if text is None else str(text) for text in values.to_pylist()], dtype=object)
