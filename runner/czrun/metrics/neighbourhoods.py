"""What each cell's neighbourhood says of how batches mix and labels keep apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.cell_scores import CellScores
from czrun.metrics.embedded import Embedded
from czrun.metrics.lisi import effective_groups
from czrun.metrics.neighbours import Neighbours, nearest
from czrun.metrics.sampling import error_of_mean, error_of_median

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ENTROPY_K = 200
KBET_K = 50
KBET_ALPHA = 0.05
LISI_K = 90
CILISI_K = 30
MIN_CELLS = 10
"""LISI says nothing of fewer."""

ONE_PLACE = "the embedding puts all cells in one place"
ONE_BATCH = "all cells are of one batch"
ONE_LABEL = "all cells have one label"
FEW_CELLS = f"there are fewer than {MIN_CELLS} cells"
TOO_FEW_FOR_KBET = f"there are no more cells than the {KBET_K} of a neighbourhood"
NO_PAIR_OF_BATCHES = f"no label has {MIN_CELLS} cells and two batches"

_ALL_IN_ONE = "a neighbourhood holds all cells, so it says nothing of the embedding"
_BLOCK = 4096


def cell_entropy(embedded: Embedded, batch: IntArray) -> CellScores:
    """Entropy of batches among each cell's 200 nearest, itself included, over that of equal shares."""
    reason = _reason(embedded, (ONE_BATCH, batch.max() == 0))
    if reason:
        return CellScores.nowhere(embedded.n_obs, reason)
    neighbours = embedded.neighbours(ENTROPY_K)
    shares = np.arange(1, neighbours.k + 1) / neighbours.k
    parts = np.concatenate([[0.0], -shares * np.log(shares)])
    entropy = parts[_group_counts(neighbours, batch)].sum(axis=1) / np.log(batch.max() + 1)
    note = _ALL_IN_ONE if neighbours.k == embedded.n_obs else ""
    return _scored(embedded, entropy, note)


def cell_kbet(embedded: Embedded, batch: IntArray) -> CellScores:
    """Whether each cell's 50 nearest, itself included, pass for a draw from all batches: 1, or else 0."""
    reason = _reason(embedded, (ONE_BATCH, batch.max() == 0), (TOO_FEW_FOR_KBET, embedded.n_obs <= KBET_K))
    if reason:
        return CellScores.nowhere(embedded.n_obs, reason)
    from scipy.special import chdtri

    sizes = np.bincount(batch)
    expected = KBET_K * sizes / sizes.sum()
    observed = _group_counts(embedded.neighbours(KBET_K), batch)
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return _scored(embedded, (statistic <= chdtri(len(sizes) - 1, KBET_ALPHA)).astype(np.float64))


def cell_lisi(embedded: Embedded, groups: Mapping[str, IntArray]) -> dict[str, CellScores]:
    """Batches (``ilisi``) and labels (``clisi``) in effect among each cell's 90 nearest, scaled to 0..1."""
    alone = {"ilisi": ONE_BATCH, "clisi": ONE_LABEL}
    few = (FEW_CELLS, embedded.n_obs < MIN_CELLS)
    reasons = {
        name: _reason(embedded, (alone[name], codes.max() == 0), few) for name, codes in groups.items()
    }
    scores = {name: CellScores.nowhere(embedded.n_obs, reason) for name, reason in reasons.items()}
    scored = [name for name, reason in reasons.items() if not reason]
    if scored:
        neighbours = embedded.neighbours(LISI_K)
        found = effective_groups(neighbours, [groups[name] for name in scored], neighbours.k // 3)
        for name, effective in zip(scored, found, strict=True):
            share = (effective - 1) / groups[name].max()
            share = share if name == "ilisi" else 1 - share
            scores[name] = _scored(embedded, share, error=error_of_median)
    return scores


def cell_cilisi(embedded: Embedded, label: IntArray, batch: IntArray) -> CellScores:
    """Batches in effect among each cell's 30 nearest of its own label, of those the label has, 0..1."""
    if embedded.is_constant:
        return CellScores.nowhere(embedded.n_obs, ONE_PLACE)
    values = np.full(embedded.n_obs, np.nan)
    asked = np.zeros(embedded.n_obs, dtype=np.bool_)
    asked[embedded.queries] = True
    for code in range(int(label.max()) + 1):
        cells = np.flatnonzero(label == code)
        names, within = np.unique(batch[cells], return_inverse=True)
        if len(cells) < MIN_CELLS or len(names) < 2:
            continue
        neighbours = nearest(embedded.array[cells], CILISI_K + 1, np.flatnonzero(asked[cells]))
        effective = effective_groups(neighbours, [within], perplexity=None)[0]
        values[cells[neighbours.queries]] = (effective - 1) / (len(names) - 1)
    if np.isnan(values).all():
        return CellScores.nowhere(embedded.n_obs, NO_PAIR_OF_BATCHES)
    return CellScores(values, note=embedded.sampling_note(error_of_mean(values)))


def _scored(
    embedded: Embedded,
    values: FloatArray,
    note: str = "",
    error: Callable[[FloatArray], float] = error_of_mean,
) -> CellScores:
    texts = (embedded.sampling_note(error(values)), note)
    return CellScores.at(embedded.queries, values, embedded.n_obs, "; ".join(filter(None, texts)))


def _reason(embedded: Embedded, *causes: tuple[str, bool]) -> str:
    """Say why there is nothing to score: the first cause that applies, or else all cells in one place."""
    applying = [reason for reason, applies in (*causes, (ONE_PLACE, embedded.is_constant)) if applies]
    return applying[0] if applying else ""


def _group_counts(neighbours: Neighbours, codes: IntArray) -> IntArray:
    """Count each query's neighbours by group, itself included, shape (q, groups)."""
    n_groups = int(codes.max()) + 1
    counts = np.empty((len(neighbours.queries), n_groups), dtype=np.int64)
    for start in range(0, len(counts), _BLOCK):
        found = codes[neighbours.indices[start : start + _BLOCK]]
        places = found + np.arange(len(found))[:, None] * n_groups
        counts[start : start + _BLOCK] = np.bincount(places.ravel(), minlength=len(found) * n_groups).reshape(
            -1, n_groups
        )
    return counts
