"""How well simple classifiers, trained and tested on an embedding's own cells, find a label in it.

As the label prediction of cz-benchmarks defines it: labels of fewer than 10 cells are left out, five folds
are stratified by label; logistic regression and the vote of 5 neighbours see each dimension divided by its
standard deviation, a forest of 100 trees sees it as it is. F1, precision and recall are those of the second
label in sorted order where there are two labels, else means over labels. A fold's score is taken on its own
cells; values are means over folds, and over classifiers.

With `groups` (donors), folds keep groups whole. Without, cells of one donor lie in training and test alike,
and a classifier that knows the donors looks as if it knew the label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.metrics.base import MetricInfo, MetricValue
from czrun.metrics.classifiers import Recipe
from czrun.metrics.cross_validation import (
    MOST_CELLS,
    N_FOLDS,
    CrossJudged,
    judge_folds,
    stratified_sample,
    why_no_folds,
)
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.encoding import encode
from czrun.metrics.families import Family
from czrun.metrics.judged import JudgedCells, Named, plain_values

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SEED = 42
"""That of cz-benchmarks, whose folds and forests these then are."""

MIN_CLASS_SIZE = 10
RECIPE = Recipe(centred=False, max_iter=100)

NAMED = Named(overall="probe_", single="", part="folds")
METRICS: Mapping[str, MetricInfo] = NAMED.infos(
    "Probes",
    f"fewer than two labels have {MIN_CLASS_SIZE} cells, there are fewer groups than folds, or all cells lie "
    "in one place",
    "Alain & Bengio 2016, doi:10.48550/arXiv.1610.01644",
)
"""Five means over the classifiers, then five scores of each."""


def probe_scores(
    embedding: NDArray[Any] | Embedded, labels: ArrayLike, groups: ArrayLike | None = None, seed: int = SEED
) -> dict[str, MetricValue]:
    """Cross-validate three classifiers on an embedding; every value ranges over 0..1, higher is better.

    Undefined when fewer than two labels have 10 cells, when there are fewer groups than the five folds, or
    when all cells lie in one place. A fold that holds one label only has no AUROC and is left out of it.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    labels
        One for each cell, shape (n,).
    groups
        What folds must keep whole, above all donors, shape (n,); None where nothing.
    seed
        Of folds, forests, and the sample where there are more than 100,000 cells.

    Returns
    -------
    One value for each id of `METRICS`, in its order.

    Raises
    ------
    ScoringError
        When the embedding isn't sound, or labels or groups don't fit it.

    References
    ----------
    Alain & Bengio 2016, doi:10.48550/arXiv.1610.01644; Cox 1958, doi:10.1111/j.2517-6161.1958.tb00292.x;
    Cover & Hart 1967, doi:10.1109/TIT.1967.1053964; Breiman 2001, doi:10.1023/A:1010933404324.
    """
    embedded = as_embedded(embedding)
    return plain_values(probe_families(embedded, labels, groups, seed), embedded.n_obs, METRICS)


def probe_families(
    embedding: NDArray[Any] | Embedded, labels: ArrayLike, groups: ArrayLike | None = None, seed: int = SEED
) -> tuple[Family, Family]:
    """Return `METRICS` as two families of cells, conditional on the fitted classifiers.

    A replicate weighs the cells within each fold anew; no classifier is trained again. Parameters and
    errors are those of `probe_scores`.
    """
    embedded = as_embedded(embedding)
    given = {"labels": labels} if groups is None else {"labels": labels, "groups": groups}
    codes, *grouping = encode(given, embedded.n_obs)
    large = np.flatnonzero(np.bincount(codes)[codes] >= MIN_CLASS_SIZE)
    rows = large[stratified_sample(codes[large], MOST_CELLS, MIN_CLASS_SIZE, seed)]
    true = np.unique(codes[rows], return_inverse=True)[1]
    group = grouping[0][rows] if grouping else None
    if reason := _why_undefined(embedded, true, group):
        return NAMED.undefined(reason)
    found = judge_folds(embedded.array[rows], true, int(true.max()) + 1, group, RECIPE, seed)
    if found is None:
        return NAMED.undefined("a fold leaves fewer than five cells to learn from")
    judged = JudgedCells(embedded.n_obs, rows, found.fold, N_FOLDS, true, found.proba)
    return judged.families(NAMED, _notes(codes, rows, found, seed, grouped=bool(grouping)))


def _why_undefined(embedded: Embedded, true: IntArray, group: IntArray | None) -> str:
    if embedded.is_constant:
        return "all cells lie in one place"
    if len(np.unique(true)) < 2:
        return f"fewer than two labels have {MIN_CLASS_SIZE} cells"
    return why_no_folds(true, group)


def _notes(
    codes: IntArray, rows: IntArray, found: CrossJudged, seed: int, *, grouped: bool
) -> dict[str, str]:
    counts = np.bincount(codes)
    small = (counts > 0) & (counts < MIN_CLASS_SIZE)
    n_large = int(counts[~small].sum())
    folds = "folds keep groups whole" if grouped else "folds part the cells of a group"
    common = [folds]
    if small.any():
        common.append(f"{small.sum()} labels of fewer than {MIN_CLASS_SIZE} cells left out")
    if len(rows) < n_large:
        common.append(
            f"on {len(rows):,} of {n_large:,} cells, a sample stratified by label, drawn with seed {seed}"
        )
    return NAMED.notes(common, found.linear_note)
