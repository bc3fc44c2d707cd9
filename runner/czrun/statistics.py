"""Bootstrap intervals: over donors or cells, over folds, over seeds.

A replicate draws seeds, draws folds, and draws the clusters or cells of each drawn fold, each with
replacement, and is scored as the mean over the trials so drawn. A fold's cells are the same under every
seed, so one draw of them serves all its seeds. A level of which there is only one is not drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LEVEL = 0.95
N_RESAMPLES = 2000
MIN_RESAMPLES = 200
MAX_OPERATIONS = 200_000_000
FEW_CLUSTERS = 5
# Cells times replicates worked on at once: a few megabytes an array stay in the processor's cache, which
# halves the time of a hundred thousand cells against ten times as many.
_CHUNK = 500_000


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval.

    Attributes
    ----------
    low, high
        Ends, in the metric's unit.
    level
        Nominal coverage, 0..1.
    method
        What was drawn with replacement.
    n_resamples
        Replicates drawn, those included in which the metric was undefined.
    n_clusters
        Distinct clusters (donors) among the test cells; None when cells were drawn.
    note
        What to bear in mind when reading it; empty when there is nothing.
    """

    low: float
    high: float
    level: float
    method: str
    n_resamples: int
    n_clusters: int | None
    note: str = ""


@dataclass(frozen=True)
class Uncertainty:
    """An interval, or the reason why there is none."""

    interval: Interval | None
    reason: str = ""


class Tally(Protocol):
    """One trial's test cells, summed up so that any redraw of their units can be scored."""

    @property
    def cost(self) -> int:
        """Elementary operations that one replicate takes."""
        ...

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics); NaN where a metric is undefined."""
        ...


@dataclass(frozen=True)
class Units:
    """What a replicate draws from one fold's test cells.

    Attributes
    ----------
    code
        The unit of every cell, shape (n,).
    share
        How many equally likely draws a unit stands for, shape (units,). As many draws are made as there
        are shares.
    """

    code: IntArray
    share: IntArray

    @classmethod
    def clusters(cls, clusters: NDArray[np.generic]) -> Units:
        """Draw whole clusters: a donor's cells come and go together."""
        names, code = np.unique(clusters, return_inverse=True)
        return cls(code.astype(np.int64), np.ones(len(names), dtype=np.int64))

    @classmethod
    def cells(cls, n_obs: int) -> Units:
        """Draw single cells."""
        return cls(np.arange(n_obs), np.ones(n_obs, dtype=np.int64))

    @classmethod
    def alike(cls, outcomes: IntArray) -> Units:
        """Draw cells, those that score alike taken together.

        n draws from n cells, counted by kind, are multinomial with the kinds' shares as probabilities. A
        metric that sees nothing of a cell but its kind has therefore exactly the distribution that drawing
        single cells gives it, at the price of the kinds, of which there are fewer.

        Parameters
        ----------
        outcomes
            All that the metric sees of each cell, shape (n, columns).
        """
        kind = np.zeros(len(outcomes), dtype=np.int64)
        for column in outcomes.T:
            values, code = np.unique(column, return_inverse=True)
            # Compact after each column: the product of all columns' sizes can pass 64 bits.
            kind = np.unique(kind * len(values) + code, return_inverse=True)[1]
        return cls(kind, np.bincount(kind))

    @property
    def n_draws(self) -> int:
        """Draws in one replicate."""
        return int(self.share.sum())

    def draw(self, rng: np.random.Generator, size: int) -> IntArray:
        """Draw `size` replicates: how often each unit comes up in each, shape (size, units)."""
        n_units = len(self.share)
        # A multinomial costs about eight times as much per unit as a direct draw costs per cell.
        if self.n_draws > 8 * n_units:
            return rng.multinomial(self.n_draws, self.share / self.n_draws, size=size)
        drawn = rng.integers(self.n_draws, size=(size, self.n_draws))
        if n_units < self.n_draws:
            drawn = np.repeat(np.arange(n_units), self.share)[drawn]
        drawn += np.arange(size)[:, None] * n_units
        return np.bincount(drawn.ravel(), minlength=size * n_units).reshape(size, n_units)


@dataclass(frozen=True)
class FoldTallies:
    """One fold's test cells: how they are drawn, and a tally of them for each seed."""

    units: Units
    by_seed: Mapping[int, Tally]


@dataclass(frozen=True)
class Resampled:
    """Values of some metrics on the trials as they are, and on redraws of them.

    Attributes
    ----------
    trials
        Each trial's values, (trials, metrics), by fold as given and then by seed; NaN where undefined.
    replicates
        Means over the drawn trials, (replicates, metrics); NaN where the metric is undefined in any of them.
    partial_replicates
        The same over those of the drawn trials in which the metric is defined; NaN where there is none.
    drawn
        The levels that were drawn, outermost first; empty when there was nothing to draw.
    """

    trials: FloatArray
    replicates: FloatArray
    partial_replicates: FloatArray
    drawn: tuple[str, ...]


def resample(
    folds: Sequence[FoldTallies], *, seed: int, n_resamples: int = N_RESAMPLES, unit: str = "cells"
) -> Resampled:
    """Score the trials of all folds and seeds, and bootstrap replicates of them.

    Parameters
    ----------
    folds
        The folds, each with at least one trial. All tallies yield the same metrics in the same order.
    seed
        Of the random generator (PCG64); the same seed gives the same replicates.
    n_resamples
        Replicates wanted, 0 for none. Fewer are drawn, but not under 200 for that, where they would take
        over 2e8 operations.
    unit
        What the folds' units are, for `Resampled.drawn`.
    """
    seeds = sorted({s for fold in folds for s in fold.by_seed})
    cost = sum(tally.cost for fold in folds for tally in fold.by_seed.values())
    size = min(n_resamples, max(MIN_RESAMPLES, MAX_OPERATIONS // max(1, cost)))
    rng = np.random.Generator(np.random.PCG64(seed))
    fold_draws = rng.integers(len(folds), size=(size, len(folds)))
    seed_draws = Units.cells(len(seeds)).draw(rng, size)

    trials = np.concatenate(
        [t.values(f.units.share[None]) for f in folds for _, t in sorted(f.by_seed.items())]
    )
    means = _Means(size, trials.shape[1])
    for number, fold in enumerate(folds):
        # A fold that is drawn twice is in `rows` twice, and its cells are drawn anew each time.
        for rows in _chunks(np.nonzero(fold_draws == number)[0], len(fold.units.code)):
            draws = fold.units.draw(rng, len(rows))
            for s, tally in sorted(fold.by_seed.items()):
                means.add(rows, seed_draws[rows, seeds.index(s)], tally.values(draws))
    return Resampled(trials, means.complete(), means.partial(), _drawn(folds, len(seeds), unit))


def _drawn(folds: Sequence[FoldTallies], n_seeds: int, unit: str) -> tuple[str, ...]:
    n_draws = max(fold.units.n_draws for fold in folds)
    if len(folds) == n_draws == 1:
        # Seeds alone would give an interval that knows nothing of other cells.
        return ()
    levels = (("seeds", n_seeds), ("folds", len(folds)), (unit, n_draws))
    return tuple(name for name, n in levels if n > 1)


class _Means:
    """Running weighted means of the replicates, with account of what was undefined."""

    def __init__(self, size: int, n_metrics: int) -> None:
        self._total = np.zeros((size, n_metrics))
        self._defined = np.zeros((size, n_metrics))
        self._drawn = np.zeros((size, 1))

    def add(self, rows: IntArray, times: IntArray, values: FloatArray) -> None:
        weights = times[:, None] * ~np.isnan(values)
        np.add.at(self._total, rows, weights * np.nan_to_num(values))
        np.add.at(self._defined, rows, weights)
        np.add.at(self._drawn, rows, times[:, None])

    def partial(self) -> FloatArray:
        means = np.full(self._total.shape, np.nan)
        np.divide(self._total, self._defined, out=means, where=self._defined > 0)
        return means

    def complete(self) -> FloatArray:
        return np.asarray(np.where(self._defined == self._drawn, self.partial(), np.nan))


def _chunks(rows: IntArray, n_obs: int) -> Iterator[IntArray]:
    step = max(1, _CHUNK // n_obs)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def percentile_interval(
    replicates: FloatArray,
    estimate: float,
    *,
    drawn: tuple[str, ...],
    n_clusters: int | None = None,
    level: float = LEVEL,
    note: str = "",
) -> Uncertainty:
    """Read an interval off bootstrap replicates.

    Replicates in which the metric is undefined are left out, and counted in the note; where they are more
    than half, there is no interval. Nor is there one where nothing was drawn. With fewer than about 5
    clusters the interval is rough, usually too narrow (Cameron, Gelbach & Miller 2008,
    doi:10.1162/rest.90.3.414), and the note says so.

    Parameters
    ----------
    replicates
        Values of one metric, NaN where undefined, shape (replicates,).
    estimate
        Its value on the data as they are.
    drawn
        `Resampled.drawn`.
    n_clusters
        Distinct clusters, or None when cells were drawn.
    level
        Nominal coverage, 0..1.
    note
        What the caller has to say; put before this function's own notes.
    """
    if not drawn:
        return Uncertainty(None, "there is only one test cell: nothing to draw from")
    if len(replicates) == 0:
        return Uncertainty(None, "no bootstrap was asked for")
    defined = replicates[~np.isnan(replicates)]
    missing = len(replicates) - len(defined)
    if 2 * missing > len(replicates):
        return Uncertainty(None, f"undefined in {missing} of {len(replicates)} bootstrap replicates")
    low, high = (float(q) for q in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    notes = [
        (note, bool(note)),
        (f"only {n_clusters} clusters, so it is rough", n_clusters is not None and n_clusters < FEW_CLUSTERS),
        (f"{missing} of {len(replicates)} replicates were undefined and left out", missing > 0),
        ("every replicate gave the same value, so it shows no spread", low == high),
        (
            "the estimate lies outside: resampling biases this metric",
            low < high and not low <= estimate <= high,
        ),
    ]
    return Uncertainty(
        Interval(
            low=low,
            high=high,
            level=level,
            method=f"percentile bootstrap over {', '.join(drawn)}",
            n_resamples=len(replicates),
            n_clusters=n_clusters,
            note="; ".join(text for text, applies in notes if applies),
        )
    )
