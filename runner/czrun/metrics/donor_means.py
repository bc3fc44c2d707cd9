"""Cells averaged by donor and label, as rows that a classifier learns from and is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """What is classified: cells, or averages over the cells of a donor that have one label.

    Attributes
    ----------
    array
        Features, shape (rows, d).
    true
        Label codes, shape (rows,).
    organism
        Codes, shape (rows,).
    donor
        Codes, shape (rows,); None where unknown.
    item
        The cell that each row is drawn with in a bootstrap: the first of those it stands for, shape (rows,).
    """

    array: NDArray[Any]
    true: IntArray
    organism: IntArray
    donor: IntArray | None
    item: IntArray

    def averaged(self) -> Rows:
        """Average the rows of each organism, donor and label; unchanged where donors are unknown."""
        if self.donor is None:
            return self
        key = (self.organism * (self.donor.max() + 1) + self.donor) * (self.true.max() + 1) + self.true
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        sums = np.add.reduceat(self.array[order], starts, axis=0, dtype=np.float64)
        means = sums / np.diff(starts, append=len(order))[:, None]
        first = order[starts]
        return Rows(
            means.astype(self.array.dtype),
            self.true[first],
            self.organism[first],
            self.donor[first],
            self.item[first],
        )

    def take(self, rows: IntArray) -> Rows:
        """Keep some rows."""
        return Rows(
            self.array[rows],
            self.true[rows],
            self.organism[rows],
            None if self.donor is None else self.donor[rows],
            self.item[rows],
        )
