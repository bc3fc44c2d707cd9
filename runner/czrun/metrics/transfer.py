"""How well classifiers trained on one organism's cells name those of another, in an embedding of both.

As cz-benchmarks' cross-species label prediction: logistic regression and the vote of 5 neighbours see
standardized dimensions, a forest of 100 trees sees them as they are. Where donors are known, cells are
averaged first, by donor and label (cz-benchmarks: by donor, under its first label; the same where a donor
has one). F1, precision and recall are those of the second label in sorted order where there are two labels,
else means over the labels that the tested cells have.

Tested cells whose label the training organism lacks are left out: nothing could name them right. A label
that only the training organism has costs recall where it is answered. cz-benchmarks crashes at either.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.errors import ScoringError
from czrun.metrics.base import MetricInfo, MetricValue
from czrun.metrics.classifiers import N_NEIGHBOURS
from czrun.metrics.cross_validation import N_FOLDS
from czrun.metrics.donor_means import Rows
from czrun.metrics.embedded import Embedded, as_embedded
from czrun.metrics.encoding import encode
from czrun.metrics.families import Family
from czrun.metrics.judged import Named, plain_values
from czrun.metrics.points import is_one_point
from czrun.metrics.transfer_judging import Judged, Pair, judge_pairs, judge_within

IntArray = NDArray[np.int64]
Families = tuple[Family, Family]
Aggregation = Literal["mean", "none"]

SEED = 42
"""That of cz-benchmarks, whose folds and forests these then are."""

_ACROSS = Named(overall="transfer_", single="transfer_", part="pairs of organisms")
_WITHIN = Named(overall="within_", single="within_", part="folds")
_ONE_PLACE = "all cells lie in one place"
_REFERENCE = "Rosen et al. 2024, doi:10.1038/s41592-024-02191-z"
METRICS: Mapping[str, MetricInfo] = {
    **_ACROSS.infos(
        "Label transfer",
        f"{_ONE_PLACE}, or the training cells have one label, are fewer than {N_NEIGHBOURS}, or share no "
        "label with the tested cells",
        _REFERENCE,
    ),
    **_WITHIN.infos(
        "Labels within an organism",
        f"{_ONE_PLACE}, or no organism has cells enough of two labels for {N_FOLDS} folds that keep donors "
        "whole",
        _REFERENCE,
    ),
}
"""Across organisms (``transfer_``), and cross-validated within each for comparison (``within_``)."""


def label_transfer(
    train_embedding: NDArray[Any] | Embedded,
    train_labels: ArrayLike,
    test_embedding: NDArray[Any] | Embedded,
    test_labels: ArrayLike,
    *,
    train_donors: ArrayLike | None = None,
    test_donors: ArrayLike | None = None,
    aggregate: Aggregation = "mean",
    seed: int = SEED,
) -> dict[str, MetricValue]:
    """Train the classifiers on some cells and test them on others; all values 0..1, higher is better.

    Undefined when the training cells have one label, are fewer than five, or share no label with the tested
    ones, or when all cells lie in one place.

    Parameters
    ----------
    train_embedding, test_embedding
        Floating-point numbers, shapes (m, d) and (n, d).
    train_labels, test_labels
        One for each cell, shapes (m,) and (n,).
    train_donors, test_donors
        Likewise, both or neither; None where unknown.
    aggregate
        ``mean`` averages cells by donor and label where donors are known, ``none`` does not.
    seed
        Of the forest, and of the sample where there are more than 100,000 training or tested cells.

    Returns
    -------
    One value for each of the ``transfer_`` ids.

    Raises
    ------
    ScoringError
        When an embedding isn't sound, or labels or donors don't fit it.

    References
    ----------
    Rosen et al. 2024, doi:10.1038/s41592-024-02191-z.
    """
    tested = as_embedded(test_embedding)
    families = transfer_families(
        train_embedding,
        train_labels,
        tested,
        test_labels,
        train_donors=train_donors,
        test_donors=test_donors,
        aggregate=aggregate,
        seed=seed,
    )
    return plain_values(families, tested.n_obs, METRICS)


def transfer_families(
    train_embedding: NDArray[Any] | Embedded,
    train_labels: ArrayLike,
    test_embedding: NDArray[Any] | Embedded,
    test_labels: ArrayLike,
    *,
    train_donors: ArrayLike | None = None,
    test_donors: ArrayLike | None = None,
    aggregate: Aggregation = "mean",
    seed: int = SEED,
) -> Families:
    """Return `label_transfer` as two families of the tested cells, on the terms of `across_families`."""
    train, tested = as_embedded(train_embedding), as_embedded(test_embedding)
    if train.array.shape[1] != tested.array.shape[1] or (train_donors is None) != (test_donors is None):
        known = ["unknown" if donors is None else "known" for donors in (train_donors, test_donors)]
        raise ScoringError(
            f"Training and tested cells don't fit: {train.array.shape[1]} and {tested.array.shape[1]} "
            f"dimensions, donors {known[0]} and {known[1]}.",
            "Give both from one embedding, and donors of both or of neither.",
        )
    labels = _sides("labels", train_labels, test_labels, train, tested)
    donors = None
    if train_donors is not None and test_donors is not None:
        donors = _sides("donors", train_donors, test_donors, train, tested)
    side = np.repeat([0, 1], [train.n_obs, tested.n_obs])
    item = np.concatenate([np.arange(train.n_obs), np.arange(tested.n_obs)])
    cells = Rows(np.concatenate([train.array, tested.array]), labels, side, donors, item)
    if is_one_point(cells.array):
        return _ACROSS.undefined(_ONE_PLACE)
    rows = _prepared(cells, aggregate)
    return _families(
        _ACROSS, judge_pairs(rows, tested.n_obs, (Pair(0, 1, "the tested cells"),), seed), cells, rows
    )


def across_organisms(
    embedding: NDArray[Any] | Embedded,
    labels: ArrayLike,
    organisms: ArrayLike,
    donors: ArrayLike | None = None,
    *,
    aggregate: Aggregation = "mean",
    seed: int = SEED,
) -> dict[str, MetricValue]:
    """Train on each organism and test on each other one; all values range over 0..1, higher is better.

    A pair of organisms that has no value, as `label_transfer` has it, is left out; undefined where that
    leaves none, and where there is one organism.

    Parameters
    ----------
    embedding
        Floating-point numbers, shape (n, d).
    labels, organisms
        One for each cell, shape (n,).
    donors
        Likewise; None where unknown.
    aggregate
        ``mean`` averages cells by donor and label where donors are known, ``none`` does not.
    seed
        Of forests, and of samples where an organism has more than 100,000 cells.

    Returns
    -------
    One value for each of the ``transfer_`` ids, means over pairs, and each pair's own as
    ``ID/TRAINED to TESTED``.

    Raises
    ------
    ScoringError
        When the embedding isn't sound, or labels, organisms or donors don't fit it.

    References
    ----------
    Rosen et al. 2024, doi:10.1038/s41592-024-02191-z.
    """
    embedded = as_embedded(embedding)
    families = across_families(embedded, labels, organisms, donors, aggregate=aggregate, seed=seed)
    return plain_values(families, embedded.n_obs, METRICS)


def across_families(
    embedding: NDArray[Any] | Embedded,
    labels: ArrayLike,
    organisms: ArrayLike,
    donors: ArrayLike | None = None,
    *,
    aggregate: Aggregation = "mean",
    seed: int = SEED,
) -> Families:
    """Return `across_organisms` as two families of cells, conditional on the fitted classifiers.

    A cell counts in the pairs in which its organism is tested; an average over a donor's cells is drawn with
    the first of them, so draw donors. Parameters and errors are those of the function that gives the values.
    """
    embedded = as_embedded(embedding)
    cells, names = _organisms(embedded, labels, organisms, donors)
    if embedded.is_constant or len(names) < 2:
        return _ACROSS.undefined(_ONE_PLACE if embedded.is_constant else "all cells are of one organism")
    rows = _prepared(cells, aggregate)
    pairs = [Pair(a, b, f"{names[a]} to {names[b]}") for a, b in permutations(range(len(names)), 2)]
    return _families(_ACROSS, judge_pairs(rows, embedded.n_obs, pairs, seed), cells, rows)


def within_organisms(
    embedding: NDArray[Any] | Embedded,
    labels: ArrayLike,
    organisms: ArrayLike,
    donors: ArrayLike | None = None,
    *,
    aggregate: Aggregation = "mean",
    seed: int = SEED,
) -> dict[str, MetricValue]:
    """Cross-validate within each organism, for comparison; all values range over 0..1, higher is better.

    Five folds, stratified by label, keep donors whole where they are known. An organism that can't be folded
    is left out; undefined where that leaves none. Parameters and errors are those of `across_organisms`.

    Returns
    -------
    One value for each of the ``within_`` ids, means over organisms and folds.

    References
    ----------
    Rosen et al. 2024, doi:10.1038/s41592-024-02191-z.
    """
    embedded = as_embedded(embedding)
    families = within_families(embedded, labels, organisms, donors, aggregate=aggregate, seed=seed)
    return plain_values(families, embedded.n_obs, METRICS)


def within_families(
    embedding: NDArray[Any] | Embedded,
    labels: ArrayLike,
    organisms: ArrayLike,
    donors: ArrayLike | None = None,
    *,
    aggregate: Aggregation = "mean",
    seed: int = SEED,
) -> Families:
    """Return `within_organisms` as two families of cells, on the terms of `across_families`."""
    embedded = as_embedded(embedding)
    cells, names = _organisms(embedded, labels, organisms, donors)
    if embedded.is_constant:
        return _WITHIN.undefined(_ONE_PLACE)
    rows = _prepared(cells, aggregate)
    return _families(_WITHIN, judge_within(rows, embedded.n_obs, names, seed), cells, rows)


def _organisms(
    embedded: Embedded, labels: ArrayLike, organisms: ArrayLike, donors: ArrayLike | None
) -> tuple[Rows, list[str]]:
    given = {"labels": labels, "organisms": organisms}
    codes, organism, *donor = encode(given if donors is None else {**given, "donors": donors}, embedded.n_obs)
    names = [str(name) for name in np.unique(np.asarray(organisms))]
    everything = np.arange(embedded.n_obs)
    return Rows(embedded.array, codes, organism, donor[0] if donor else None, everything), names


def _prepared(cells: Rows, aggregate: Aggregation) -> Rows:
    if aggregate not in get_args(Aggregation):
        raise ScoringError(
            f"Cells can't be aggregated by {aggregate!r}.", f"Say {' or '.join(get_args(Aggregation))}."
        )
    return cells.averaged() if aggregate == "mean" else cells


def _families(named: Named, judged: Judged, cells: Rows, rows: Rows) -> Families:
    if judged.cells is None:
        return named.undefined("; ".join(judged.notes))
    notes = list(judged.notes)
    if rows is not cells:
        notes.insert(0, f"{len(cells.true):,} cells averaged to {len(rows.true):,} by donor and label")
    return judged.cells.families(named, named.notes(notes, judged.linear_note))


def _sides(
    name: str, train: ArrayLike, tested: ArrayLike, train_cells: Embedded, tested_cells: Embedded
) -> IntArray:
    """Encode two sides' labels together, after a look at each by itself."""
    encode({f"training {name}": train}, train_cells.n_obs)
    encode({f"tested {name}": tested}, tested_cells.n_obs)
    return encode({name: np.concatenate([np.asarray(train), np.asarray(tested)])})[0]
