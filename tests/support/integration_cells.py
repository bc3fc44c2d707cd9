"""Cells of four types in three batches, as an integration leaves them: mixed, but not quite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class IntegratedCells:
    embedding: NDArray[np.float32]
    label: NDArray[np.int64]
    batch: NDArray[np.int64]


def integrated(seed: int = 0, n: int = 400, d: int = 6) -> IntegratedCells:
    """Draw them; the rarest label is missing from a batch.

    Reference values in the tests hang on every draw here: change nothing.
    """
    rng = np.random.default_rng(seed)
    label = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    batch = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    batch[label == 3] = rng.choice([0, 2], int((label == 3).sum()))
    centres = rng.normal(size=(4, d))[label] * 2.0
    shifts = rng.normal(size=(3, d))[batch] * 0.6
    return IntegratedCells((centres + shifts + rng.normal(size=(n, d))).astype(np.float32), label, batch)
