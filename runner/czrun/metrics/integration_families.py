"""All that is said of an integrated embedding, redrawn together so that the overall score can be too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.batch_effects import pcr_family
from czrun.metrics.conservation import connectivity_family, isolated_family
from czrun.metrics.embedded import Embedded
from czrun.metrics.families import Family, Tally, undefined
from czrun.metrics.mixing import lisi_family, mixing_family
from czrun.metrics.partitions import partition_family
from czrun.metrics.scib import BATCHES, BIOLOGY, scib_overall
from czrun.metrics.silhouettes import batch_silhouette_family, cell_silhouettes, silhouette_family

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OVERALL = "scib_overall"
NO_EXPRESSION = "there is no expression from before the integration to compare with"


def integration_families(
    embedded: Embedded, labels: IntArray, batches: IntArray, before: Embedded | None
) -> tuple[Family, ...]:
    """Return all metrics of batch integration as one family of cells.

    Parameters
    ----------
    embedded
        The integrated embedding.
    labels, batches
        Codes from 0, shape (n,).
    before
        The cells before integration, for the PCR comparison; None where that isn't known.
    """
    # The largest neighbourhood first: the smaller ones are then a part of it.
    mixing = mixing_family(embedded, batches, labels)
    comparison = () if before else (undefined(("pcr_comparison",), NO_EXPRESSION),)
    parts = (
        mixing,
        lisi_family(embedded, batches, labels),
        batch_silhouette_family(embedded, labels, batches),
        silhouette_family(embedded, labels),
        isolated_family(cell_silhouettes(embedded, labels), labels, batches),
        connectivity_family(embedded, labels),
        pcr_family(embedded, batches, before),
        *comparison,
        partition_family(labels, embedded.clusters(), embedded.clusters_note()),
    )
    return (_with_overall(parts),)


def _with_overall(parts: Sequence[Family]) -> Family:
    names = (*(name for part in parts for name in part.names), OVERALL)
    reasons = {name: text for part in parts for name, text in part.reasons.items()}
    lacking = {name for part in parts for name in part.names if part.tally is None or name in part.reasons}
    if missing := [name for name in (*BIOLOGY, *BATCHES) if name in lacking]:
        reasons[OVERALL] = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} undefined"
    notes = {name: text for part in parts for name, text in part.notes.items()}

    def tally(unit: IntArray, share: IntArray) -> Tally:
        tallies = [part.tally(unit, share) if part.tally else _Absent(len(part.names)) for part in parts]
        return _JoinedTally(tallies, names)

    return Family(names, tally, reasons=reasons, notes=notes)


@dataclass(frozen=True)
class _Absent:
    """Metrics without a value."""

    n_metrics: int
    cost: int = 0

    def values(self, draws: IntArray) -> FloatArray:
        return np.full((len(draws), self.n_metrics), np.nan)


@dataclass(frozen=True)
class _JoinedTally:
    """Several tallies side by side, and the overall score of what they give."""

    parts: Sequence[Tally]
    names: tuple[str, ...]

    @property
    def cost(self) -> int:
        return sum(part.cost for part in self.parts)

    def values(self, draws: IntArray) -> FloatArray:
        table = np.concatenate([part.values(draws) for part in self.parts], axis=1)
        at = {name: column for column, name in enumerate(self.names)}
        biology, batches = (table[:, [at[name] for name in names]] for names in (BIOLOGY, BATCHES))
        return np.concatenate([table, scib_overall(biology, batches)[:, None]], axis=1)
