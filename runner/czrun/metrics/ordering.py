"""Whether cells lie, and are ordered, along the time at which they were taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.families import Family, plain_value, undefined
from czrun.metrics.neighbours import Neighbours
from czrun.metrics.rank_correlations import KendallTally, SpearmanTally
from czrun.metrics.sampling import error_of_mean

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ALIGNMENT_K = 15

_NO_TIMES = "all cells have the same time"
_ONE_PLACE = "all cells lie in one place"
_CONSTANT = "all cells have the same time, or the same pseudotime"
METRICS: Mapping[str, MetricInfo] = {
    info.id: info
    for info in (
        MetricInfo(
            "sequential_alignment",
            "Sequential alignment",
            Range(0, 1),
            True,
            f"{_NO_TIMES}, or all cells lie in one place, or there are {ALIGNMENT_K} cells or fewer",
            "cz-benchmarks 0.15; compare Saelens et al. 2019, doi:10.1038/s41587-019-0071-9",
            Needs.EMBEDDING,
        ),
        MetricInfo(
            "pseudotime_spearman",
            "Pseudotime against time, Spearman",
            Range(-1, 1),
            True,
            _CONSTANT,
            "Spearman 1904, doi:10.2307/1412159",
            Needs.PSEUDOTIME,
        ),
        MetricInfo(
            "pseudotime_kendall",
            "Pseudotime against time, Kendall's tau-b",
            Range(-1, 1),
            True,
            _CONSTANT,
            "Kendall 1945, doi:10.1093/biomet/33.3.239",
            Needs.PSEUDOTIME,
        ),
    )
}


def sequential_alignment(
    embedding: NDArray[Any] | Embedded | Neighbours, times: ArrayLike, k: int = ALIGNMENT_K
) -> MetricValue:
    """Measure how much nearer in time a cell's neighbours are than any cells; 0..1, higher is better.

    1 - (mean |t_i - t_j| over cells i and their k nearest neighbours j) / (the same over all pairs of two
    cells), clipped to 0..1: 0 where neighbours are no nearer than chance, 1 where they share their time.
    The mean over all pairs is exact; cz-benchmarks estimates it from 10,000 unseeded draws.

    Undefined when all cells have the same time, when there are k cells or fewer, and when all lie in one
    place.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d); or the neighbours of the cells that are averaged over, each one
        itself first, k + 1 or more columns.
    times
        Of all cells, in any unit, shape (n,).
    k
        Neighbours looked at, the cell itself not counted.

    Raises
    ------
    ScoringError
        When a time is missing or no number, or times and neighbours don't fit one another.

    References
    ----------
    cz-benchmarks 0.15; compare Saelens et al. 2019, doi:10.1038/s41587-019-0071-9.
    """
    return _value("sequential_alignment", alignment_family(embedding, times, k), np.size(times))


def pseudotime_spearman(pseudotime: ArrayLike, times: ArrayLike) -> MetricValue:
    """Correlate the ranks of pseudotime and time; -1..1, higher is better, 0 by chance.

    Ties have mid-ranks. The sign counts: the direction of pseudotime is the model's claim, and a trajectory
    that runs backwards scores below 0. Undefined when either is the same for all cells.

    Parameters
    ----------
    pseudotime
        Of each cell, any scale, shape (n,).
    times
        Of each cell, in any unit, shape (n,).

    Raises
    ------
    ScoringError
        When a value is missing or no number, or the two don't fit one another.

    References
    ----------
    Spearman 1904, doi:10.2307/1412159.
    """
    return _value("pseudotime_spearman", pseudotime_families(pseudotime, times)[0], np.size(times))


def pseudotime_kendall(pseudotime: ArrayLike, times: ArrayLike) -> MetricValue:
    """Kendall's tau-b of pseudotime and time; -1..1, higher is better, 0 by chance.

    Pairs of cells in order minus pairs out of order, over the geometric mean of the pairs that differ in
    pseudotime and in time. The sign counts: the direction of pseudotime is the model's claim. Undefined
    when either is the same for all cells.

    Parameters
    ----------
    pseudotime
        Of each cell, any scale, shape (n,).
    times
        Of each cell, in any unit, shape (n,).

    Raises
    ------
    ScoringError
        When a value is missing or no number, or the two don't fit one another.

    References
    ----------
    Kendall 1945, doi:10.1093/biomet/33.3.239.
    """
    return _value("pseudotime_kendall", pseudotime_families(pseudotime, times)[1], np.size(times))


def alignment_family(
    embedding: NDArray[Any] | Embedded | Neighbours, times: ArrayLike, k: int = ALIGNMENT_K
) -> Family:
    """Return `sequential_alignment` as a family of cells, conditional on the neighbours.

    A replicate weighs the cells' distances in time anew, and the pairs that they are measured against.
    Parameters and errors are those of `sequential_alignment`.
    """
    (time,) = _sound({"times": times})
    names = ("sequential_alignment",)
    if len(time) <= k:
        return undefined(names, f"there are {len(time)} cells, and each wants {k} neighbours")
    if (time == time[0]).all():
        return undefined(names, _NO_TIMES)
    neighbours = _neighbours(embedding, k)
    if neighbours is None:
        return undefined(names, _ONE_PLACE)
    indices = neighbours.indices
    if indices.shape[1] <= k or indices.max() >= len(time) or len(indices) != len(neighbours.queries):
        raise ScoringError(
            f"These neighbours don't fit {len(time)} times: {indices.shape[1]} columns, up to cell "
            f"{indices.max()}.",
            f"Give the neighbours of these very cells, {k + 1} of each, the cell itself first.",
        )
    gaps = np.abs(time[indices[:, 1 : k + 1]] - time[neighbours.queries][:, None]).mean(axis=1)
    notes = {}
    if len(neighbours.queries) < len(time):
        error = error_of_mean(gaps) / _mean_gap(time)
        seen = f"on {len(neighbours.queries):,} of {len(time):,} cells"
        notes[names[0]] = f"{seen}; standard error {error:.2g}"
    return Family(names, lambda unit, _: _AlignmentTally(time, neighbours.queries, gaps, unit), notes=notes)


def _neighbours(embedding: NDArray[Any] | Embedded | Neighbours, k: int) -> Neighbours | None:
    """Find the neighbours, or take those given; None where all cells lie in one place."""
    if isinstance(embedding, Neighbours):
        return embedding
    embedded = as_embedded(embedding)
    return None if embedded.is_constant else embedded.neighbours(k + 1)


def pseudotime_families(pseudotime: ArrayLike, times: ArrayLike) -> tuple[Family, Family]:
    """Return `pseudotime_spearman` and `pseudotime_kendall` as families of cells.

    Both rank the drawn cells anew in each replicate. Parameters and errors are theirs.
    """
    ordered, time = _sound({"pseudotime": pseudotime, "times": times})
    spearman, kendall = ("pseudotime_spearman",), ("pseudotime_kendall",)
    if (ordered == ordered[0]).all() or (time == time[0]).all():
        what = "time" if (time == time[0]).all() else "pseudotime"
        reason = f"all cells have the same {what}"
        return undefined(spearman, reason), undefined(kendall, reason)
    return (
        Family(spearman, lambda unit, _: SpearmanTally(ordered, time, unit)),
        Family(kendall, lambda unit, _: KendallTally(ordered, time, unit)),
    )


def _mean_gap(time: FloatArray) -> float:
    """Average |t_i - t_j| over pairs of two cells."""
    n = len(time)
    return float(2 * ((2 * np.arange(n) - n + 1) @ np.sort(time)) / (n * (n - 1)))


class _AlignmentTally:
    """Sequential alignment of any redraw of the units."""

    def __init__(self, time: FloatArray, queries: IntArray, gaps: FloatArray, unit: IntArray) -> None:
        order = np.argsort(time, kind="stable")
        self._in_time, self._steps = unit[order], np.diff(time[order])
        self._queried, self._gaps = unit[queries], gaps
        self.cost = len(time)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, 1); NaN where all drawn have one time."""
        weights = draws.take(self._queried, axis=1).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = np.einsum("ij,j->i", weights, self._gaps) / weights.sum(axis=1)
            score = 1 - gap / self._mean_gap(draws)
        return np.clip(np.where(np.isfinite(score), score, np.nan), 0, 1)[:, None]

    def _mean_gap(self, draws: IntArray) -> FloatArray:
        """Average |t_i - t_j| over pairs of two draws: a step in time parts those before from those after."""
        passed = np.cumsum(draws.take(self._in_time, axis=1), axis=1, dtype=np.float64)
        total = passed[:, -1]
        before = passed[:, :-1]
        parted = np.einsum("ij,ij,j->i", before, total[:, None] - before, self._steps)
        return np.asarray(2 * parted / (total * (total - 1)))


def _value(name: str, family: Family, n_obs: int) -> MetricValue:
    return plain_value(family, name, n_obs, METRICS[name].undefined)


def _sound(values: Mapping[str, ArrayLike]) -> list[FloatArray]:
    """Take values as floating-point numbers, one a cell, or raise with all that is wrong with them."""
    arrays, problems = [], []
    for name, given in values.items():
        try:
            array = np.asarray(given).astype(np.float64)
        except (TypeError, ValueError):
            problems.append(f"{name}: not all of them are numbers")
            continue
        arrays.append(array)
        problems += _problems(name, array)
    lengths = {name: np.size(given) for name, given in values.items()}
    if len(set(lengths.values())) > 1:
        problems.append(", ".join(f"{length} {name}" for name, length in lengths.items()))
    if problems:
        raise ScoringError(
            f"These cells can't be scored:\n{listing(problems)}", "Give every cell one finite number of each."
        )
    return arrays


def _problems(name: str, array: NDArray[Any]) -> list[str]:
    if array.ndim != 1:
        return [f"{name}: wants shape (n,), got {array.shape}"]
    if len(array) == 0:
        return [f"{name}: no cells"]
    missing = int((~np.isfinite(array)).sum())
    return [f"{name}: {missing} cells have no finite one"] if missing else []
