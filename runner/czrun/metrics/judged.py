"""Scores of cells that the three classifiers named, in parts (folds, pairs of organisms) that are averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from czrun.metrics import margins as m
from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.classifiers import CLASSIFIERS
from czrun.metrics.families import Family, undefined
from czrun.metrics.margins import Margins
from czrun.metrics.probabilities import RankingTally
from czrun.metrics.tallies import SumTally, columns_by_unit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LABEL_SCORES = ("accuracy", "f1", "precision", "recall")
RANKING_SCORES = ("auroc",)

_TITLES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "auroc": "AUROC",
}
_CLASSIFIER_TITLES = {"lr": "Logistic regression", "knn": "5 nearest neighbours", "rf": "Random forest"}
_REFERENCES = {
    "lr": "Cox 1958, doi:10.1111/j.2517-6161.1958.tb00292.x",
    "knn": "Cover & Hart 1967, doi:10.1109/TIT.1967.1053964",
    "rf": "Breiman 2001, doi:10.1023/A:1010933404324",
}


@dataclass(frozen=True)
class Named:
    """What a group of these metrics is called.

    Attributes
    ----------
    overall
        Prefix of the means over classifiers, for example ``probe_``.
    single
        Prefix of one classifier's metrics, before the classifier's own name.
    part
        What the parts are that scores are averaged over, in the plural.
    """

    overall: str
    single: str
    part: str

    def ids(self, scores: tuple[str, ...]) -> tuple[str, ...]:
        """Return the ids of some scores: the means over classifiers, then each classifier's own."""
        means = [f"{self.overall}{score}" for score in scores]
        return (*means, *(f"{self.single}{name}_{score}" for name in CLASSIFIERS for score in scores))

    @property
    def all_ids(self) -> tuple[str, ...]:
        """The ids of all metrics of the group, as the two families order them."""
        return (*self.ids(LABEL_SCORES), *self.ids(RANKING_SCORES))

    def infos(self, title: str, undefined: str, reference: str) -> dict[str, MetricInfo]:
        """Describe the group: `title` names what the classifiers are put to."""
        found = {}
        for score in (*LABEL_SCORES, *RANKING_SCORES):
            mean, *each = self.ids((score,))
            found[mean] = _info(mean, f"{title}: mean {_TITLES[score]}", undefined, reference)
            for name, id_ in zip(CLASSIFIERS, each, strict=True):
                words = f"{title}: {_CLASSIFIER_TITLES[name]}, {_TITLES[score]}"
                found[id_] = _info(id_, words, undefined, _REFERENCES[name])
        return found

    def notes(self, common: Sequence[str], linear: str) -> dict[str, str]:
        """Put notes together by id: those common to all, and that of logistic regression where it counts."""
        with_linear = {f"{self.single}{CLASSIFIERS[0]}_", self.overall}
        return {
            id_: "; ".join(
                [*common, linear] if linear and id_.rpartition("_")[0] + "_" in with_linear else common
            )
            for id_ in self.all_ids
        }

    def undefined(self, reason: str) -> tuple[Family, Family]:
        """Return the two families of a trial in which nothing has a value."""
        return undefined(self.ids(LABEL_SCORES), reason), undefined(self.ids(RANKING_SCORES), reason)


def _info(id_: str, title: str, undefined: str, reference: str) -> MetricInfo:
    return MetricInfo(id_, title, Range(0, 1), True, undefined, reference, Needs.EMBEDDING)


@dataclass(frozen=True)
class JudgedCells:
    """Cells (or averages of them) with their true classes and what the classifiers made of them.

    Attributes
    ----------
    n_items
        Cells that a bootstrap draws from; not all of them need be among the judged.
    item
        The cell that each judged one is drawn with, shape (rows,).
    part
        Which part it is scored in, codes from 0, shape (rows,).
    n_parts
        How many parts there are; one without rows counts for nothing.
    true
        Class codes 0..k-1, shape (rows,).
    proba
        Probabilities by classifier, shape (3, rows, k).
    """

    n_items: int
    item: IntArray
    part: IntArray
    n_parts: int
    true: IntArray
    proba: FloatArray

    @property
    def predicted(self) -> IntArray:
        """The most probable class by classifier, the first of equals, shape (3, rows)."""
        return np.asarray(self.proba.argmax(axis=2))

    def label_tally(self, unit: IntArray, share: IntArray) -> SumTally:
        """Sum cells up by unit for `LABEL_SCORES`: the means, then by classifier."""
        k, width = self.proba.shape[2], 7 * self.n_parts * self.proba.shape[2]
        place = self.part * k
        layers = [place + self.true]
        for predicted in self.predicted:
            layers.append(np.where(predicted == self.true, place + self.true, -1))
        layers += [place + predicted for predicted in self.predicted]
        offsets = np.arange(7) * self.n_parts * k
        columns = np.stack(layers, axis=1)
        columns = np.where(columns < 0, width, columns + offsets)
        sums = columns_by_unit(unit[self.item], columns, np.ones(1), share, width)
        return SumTally(sums, lambda totals: _label_values(totals.reshape(-1, 7, self.n_parts, k)))

    def kinds(self) -> IntArray | None:
        """All that the label scores see of each cell; None where a cell is judged in several parts."""
        if len(np.unique(self.item)) < len(self.item):
            return None
        kinds = np.full((self.n_items, 5), -1, dtype=np.int64)
        kinds[self.item] = np.stack([self.part, self.true, *self.predicted], axis=1)
        return kinds

    def ranking_tally(self, unit: IntArray, share: IntArray) -> _PartedRankingTally:  # noqa: ARG002
        """Keep cells in order for `RANKING_SCORES`: the mean, then by classifier."""
        return _PartedRankingTally(self, unit)

    def families(self, named: Named, notes: Mapping[str, str]) -> tuple[Family, Family]:
        """Return the metrics that labels suffice for, and those of ranks, which cost more to redraw."""
        labels, ranks = named.ids(LABEL_SCORES), named.ids(RANKING_SCORES)
        lacking = self._without_ranks(named.part)
        return (
            Family(labels, self.label_tally, self.kinds(), notes={id_: notes[id_] for id_ in labels}),
            Family(
                ranks,
                self.ranking_tally,
                notes={id_: "; ".join(filter(None, [notes[id_], lacking])) for id_ in ranks},
            ),
        )

    def _without_ranks(self, part_word: str) -> str:
        classes = np.unique(np.stack([self.part, self.true]), axis=1)[0]
        n_ranked = int((np.bincount(classes) > 1).sum())
        if n_ranked == self.n_parts:
            return ""
        return f"on {n_ranked} of {self.n_parts} {part_word}: the others hold one label"


class _PartedRankingTally:
    """One-vs-rest AUROC by classifier, averaged over the parts in which it is defined."""

    def __init__(self, judged: JudgedCells, unit: IntArray) -> None:
        units = unit[judged.item]
        parts = [np.flatnonzero(judged.part == part) for part in np.unique(judged.part)]
        self._by_classifier = [
            [RankingTally(judged.true[rows], proba[rows], units[rows]) for rows in parts]
            for proba in judged.proba
        ]
        self.cost = sum(tally.cost for tallies in self._by_classifier for tally in tallies)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, 1 + classifiers)."""
        each = [
            _mean_of_defined(np.concatenate([tally.values(draws) for tally in tallies], axis=1))
            for tallies in self._by_classifier
        ]
        single = np.stack(each, axis=1)
        return np.concatenate([single.mean(axis=1, keepdims=True), single], axis=1)


def _label_values(table: FloatArray) -> FloatArray:
    """Turn totals, (replicates, 7, parts, k), into means and single classifiers' scores."""
    hits, predicted = table[:, 1:4], table[:, 4:7]
    margins = Margins(hits, np.broadcast_to(table[:, :1], hits.shape), predicted, np.zeros(hits.shape[:-1]))
    averaged = margins if table.shape[3] != 2 else _second_class(margins)
    # A part of which nothing was drawn divides 0 by 0, and is then left out.
    with np.errstate(invalid="ignore"):
        scores = [
            m.accuracy(margins),
            m.macro_f1(averaged),
            m.macro_precision(averaged),
            m.macro_recall(averaged),
        ]
    single = _mean_of_defined(np.stack(scores, axis=2))
    return np.concatenate([single.mean(axis=1), single.reshape(len(single), -1)], axis=1)


def _second_class(margins: Margins) -> Margins:
    """Keep the second of two classes, the positive one of binary scores."""
    last = (..., slice(1, 2))
    return Margins(margins.hits[last], margins.true[last], margins.predicted[last], margins.unassigned)


def _mean_of_defined(values: FloatArray) -> FloatArray:
    """Average over the last axis what isn't NaN; NaN where everything is."""
    known = ~np.isnan(values)
    mean = np.full(values.shape[:-1], np.nan)
    np.divide(np.nan_to_num(values).sum(axis=-1), known.sum(axis=-1), out=mean, where=known.any(axis=-1))
    return mean


def plain_values(
    families: tuple[Family, ...], n_items: int, infos: Mapping[str, MetricInfo]
) -> dict[str, MetricValue]:
    """Score the items as they are, in the order of `infos`."""
    row: dict[str, MetricValue] = {}
    for family in families:
        values = np.full(len(family.names), np.nan)
        if family.tally:
            whole, once = np.zeros(n_items, dtype=np.int64), np.ones(1, dtype=np.int64)
            values = family.tally(whole, once).values(once[None])[0]
        for name, value in zip(family.names, values, strict=True):
            row[name] = MetricValue.of(value, family.reasons.get(name) or infos[name].undefined)
    return {name: row[name] for name in infos}
