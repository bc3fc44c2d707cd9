"""Scores of cells that the three classifiers named, averaged over parts: folds, or pairs of organisms."""

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

PART_UNDEFINED = "no cell of it could be named, or for AUROC all that were have one label"

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
    part_names
        Names of the parts whose own scores are wanted too, as ``ID/NAME``; empty for the means alone.
    """

    n_items: int
    item: IntArray
    part: IntArray
    n_parts: int
    true: IntArray
    proba: FloatArray
    part_names: tuple[str, ...] = ()

    @property
    def predicted(self) -> IntArray:
        """The most probable class by classifier, the first of equals, shape (3, rows)."""
        return np.asarray(self.proba.argmax(axis=2))

    def label_tally(self, unit: IntArray, share: IntArray) -> SumTally:
        """Sum cells up by unit for `LABEL_SCORES`: the means, then by classifier."""
        k, width = self.proba.shape[2], 7 * self.n_parts * self.proba.shape[2]
        place = self.part * k
        named = self.predicted
        hits = np.where(named == self.true, place + self.true, -1)
        columns = np.concatenate([[place + self.true], hits, place + named]).T
        offsets = np.arange(7) * self.n_parts * k
        columns = np.where(columns < 0, width, columns + offsets)
        sums = columns_by_unit(unit[self.item], columns, np.ones(1), share, width)
        shape = (-1, 7, self.n_parts, k)
        return SumTally(sums, lambda totals: self.averaged(_label_scores(totals.reshape(shape))))

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
        rank_notes = {id_: "; ".join(filter(None, [notes[id_], lacking])) for id_ in ranks}
        label_notes = {id_: notes[id_] for id_ in labels}
        own_labels, own_ranks = self._of_parts(labels), self._of_parts(ranks)
        return (
            Family(
                (*labels, *own_labels),
                self.label_tally,
                self.kinds(),
                dict.fromkeys(own_labels, PART_UNDEFINED),
                label_notes,
            ),
            Family(
                (*ranks, *own_ranks),
                self.ranking_tally,
                reasons=dict.fromkeys(own_ranks, PART_UNDEFINED),
                notes=rank_notes,
            ),
        )

    def _of_parts(self, ids: tuple[str, ...]) -> list[str]:
        return [f"{id_}/{part}" for part in self.part_names for id_ in ids]

    def averaged(self, scores: FloatArray) -> FloatArray:
        """Average scores, (replicates, classifiers, scores, parts), over classifiers and over parts.

        Parts in which a score is undefined are left out. Returns the columns of a family: the means over
        parts, then each named part's own; in both the means over classifiers come first.
        """
        scores = np.concatenate([scores.mean(axis=1, keepdims=True), scores], axis=1)
        n = len(scores)
        columns = [_mean_of_defined(scores).reshape(n, -1)]
        columns += [scores[..., part].reshape(n, -1) for part in range(len(self.part_names))]
        return np.concatenate(columns, axis=1)

    def _without_ranks(self, part_word: str) -> str:
        n_labels = np.bincount(np.unique(np.stack([self.part, self.true]), axis=1)[0])
        single = int((n_labels == 1).sum())
        return f"{single} {part_word} that hold one label left out" if single else ""


class _PartedRankingTally:
    """One-vs-rest AUROC by classifier, averaged over the parts in which it is defined."""

    def __init__(self, judged: JudgedCells, unit: IntArray) -> None:
        units = unit[judged.item]
        rows = [np.flatnonzero(judged.part == part) for part in range(judged.n_parts)]
        self._judged = judged
        self._tallies = [
            [RankingTally(judged.true[r], proba[r], units[r]) for r in rows] for proba in judged.proba
        ]
        self.cost = sum(tally.cost for parts in self._tallies for tally in parts)

    def values(self, draws: IntArray) -> FloatArray:
        """Score redraws, (replicates, units) → (replicates, metrics)."""
        by_classifier = [
            np.concatenate([tally.values(draws) for tally in parts], axis=1) for parts in self._tallies
        ]
        return self._judged.averaged(np.stack(by_classifier, axis=1)[:, :, None, :])


def _label_scores(table: FloatArray) -> FloatArray:
    """Turn totals, (replicates, 7, parts, k), into scores, (replicates, classifiers, scores, parts)."""
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
    return np.stack(scores, axis=2)


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
            info = infos[name.partition("/")[0]]
            row[name] = MetricValue.of(value, family.reasons.get(name) or info.undefined)
    return {name: row[name] for name in dict.fromkeys([*infos, *row]) if name in row}
