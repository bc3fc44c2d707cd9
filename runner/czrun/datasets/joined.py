"""Two data sets as one source of cells: the same genes, the same classes, no cell on both sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import numpy.typing as npt

from czrun.cells import CellSource, Genes, RowBlock, Texts, has_value
from czrun.datasets.aligned_genes import Side, align_genes
from czrun.datasets.catalogue import open_cells
from czrun.datasets.genes import sums_for
from czrun.datasets.joining import DATASET_KEY, SPLIT_KEY, joined_key, side_names
from czrun.datasets.label_map import Renames, read_label_map
from czrun.datasets.mapped_cells import KeptCells, MappedGenes
from czrun.datasets.orthologs import organism_name, read_orthologs
from czrun.datasets.same_cells import Prints, fingerprints, refuse_same_cells
from czrun.datasets.selection import drawn_rows, kept_rows
from czrun.datasets.shared_classes import shared_classes
from czrun.datasets.spec import DatasetSpec, ObsName
from czrun.errors import DatasetError

_SIDES = ("train", "test")
_TERMS = "cell_type_ontology_term_id"


@dataclass(frozen=True)
class Member:
    """One of the two.

    Attributes
    ----------
    name
        What it is called.
    spec
        Its description.
    source
        Its cells.
    labels
        The common labels of its cells, shape (n_obs,); None where it has none.
    """

    name: str
    spec: DatasetSpec
    source: CellSource
    labels: Texts | None = None

    @property
    def own_labels(self) -> Texts | None:
        """The labels as the file has them, shape (n_obs,)."""
        key = self.spec.key_for("label")
        return self.source.column(key) if key in self.source.columns else None

    def has(self, role: ObsName) -> bool:
        """Tell whether anything is known of a contract column."""
        if role == "label":
            return self.labels is not None
        return self.spec.key_for(role) in self.source.columns or (
            role == "organism" and bool(self.spec.organism)
        )

    def column(self, role: ObsName) -> Texts:
        """Return a contract column, in words that don't clash with those of the other data set."""
        if role == "label":
            assert self.labels is not None  # noqa: S101 - see `has`
            return self.labels
        if role == "organism" and self.spec.organism:
            return np.full(self.source.n_obs, organism_name(self.spec.organism), dtype=object)
        texts = self.source.column(self.spec.key_for(role) or "").tolist()
        if role in ("donor", "batch"):
            # Donor 1 of one data set isn't donor 1 of another.
            return _texts(None if text is None else f"{self.name}:{text}" for text in texts)
        if role == "organism":
            return _texts(None if text is None else organism_name(text) for text in texts)
        if role == "anomaly":
            return _texts(None if text is None else str(text in self.spec.anomalous) for text in texts)
        return _texts(texts)

    @property
    def organism(self) -> str | None:
        """The one organism of its cells, where there is one."""
        found = set(self.column("organism").tolist()) if self.has("organism") else set()
        return found.pop() if len(found) == 1 else None

    def side(self) -> Side:
        """Return what matching genes needs to know."""
        return Side(self.name, self.source.genes(), self.organism, sums_for(self.source.x))


class JoinedCells:
    """The cells of two data sets whose genes are the same, those to train on first.

    Parameters
    ----------
    train, test
        The two; their sources are closed with this one.
    prints
        What was seen of their rows.
    notes
        What bringing them together changed.
    """

    def __init__(
        self, train: Member, test: Member, prints: tuple[Prints, Prints], notes: Sequence[str]
    ) -> None:
        self._members = (train, test)
        self._nnz = np.concatenate([each.nnz for each in prints])
        roles: tuple[ObsName, ...] = get_args(ObsName)
        self._roles = {joined_key(role): role for role in roles if train.has(role) and test.has(role)}
        own = [key for key in train.source.columns if key in test.source.columns]
        self.columns = tuple(dict.fromkeys((*self._roles, *own, DATASET_KEY, SPLIT_KEY)))
        self.notes = (
            *(f"{each.name}: {note}" for each in self._members for note in each.source.notes),
            *notes,
            *_one_sided(roles, train, test),
        )
        self.n_obs = train.source.n_obs + test.source.n_obs
        self.n_vars, self.x = train.source.n_vars, train.source.x

    def column(self, key: str) -> Texts:
        """Return one obs column as text, None where it is missing, shape (n_obs,)."""
        if key == SPLIT_KEY:
            return self._by_side(*_SIDES)
        if key == DATASET_KEY:
            return self._by_side(*(each.name for each in self._members))
        if key in self._roles:
            role = self._roles[key]
            return np.concatenate([each.column(role) for each in self._members])
        if key not in self.columns:
            raise DatasetError(
                f"The two data sets have no obs column {key!r} in common.",
                f"Joined, they have: {', '.join(self.columns)}.",
            )
        return np.concatenate([each.source.column(key) for each in self._members])

    def obs_names(self) -> Texts:
        """Return the cell ids, each after its data set's name, shape (n_obs,)."""
        return _texts(
            f"{each.name}:{name}" for each in self._members for name in each.source.obs_names().tolist()
        )

    def genes(self) -> Genes:
        """Return the genes that both have, under the train side's names."""
        return self._members[0].source.genes()

    def row_nnz(self) -> npt.NDArray[np.int64]:
        """Return how many values each row stores, shape (n_obs,)."""
        return self._nnz

    def blocks(self) -> Iterator[RowBlock]:
        """Yield all rows in order, the train side's first."""
        before = 0
        for each in self._members:
            for block in each.source.blocks():
                yield replace(block, start=before + block.start)
            before += each.source.n_obs

    def close(self) -> None:
        """Close both."""
        for each in self._members:
            each.source.close()

    def _by_side(self, train: str, test: str) -> Texts:
        first, second = self._members
        return _texts([train] * first.source.n_obs + [test] * second.source.n_obs)


def open_joined(spec: DatasetSpec) -> JoinedCells:
    """Open two data sets as one.

    Genes are those that both have, classes those that both know. X of both is read once, to count what each
    row stores then and to look for cells that both hold.

    Raises
    ------
    DatasetError
        When either can't be read, X of one holds something else than X of the other, they share no genes or
        no classes, or the same cells are in both.
    """
    join = spec.join
    assert join is not None  # noqa: S101 - only joins come here
    names = side_names(spec)
    with ExitStack() as opened:
        train, test = (
            _chosen(Member(name, side, opened.enter_context(closing(open_cells(side)))))
            for name, side in zip(names, (join.train, join.test), strict=True)
        )
        _refuse_different_x(train, test)
        train, test, said_of_labels = _same_classes(train, test, spec)
        train, test = _drawn(train), _drawn(test)
        aligned = align_genes(
            train.side(), test.side(), read_orthologs(join.orthologs) if join.orthologs else None
        )
        train = replace(train, source=MappedGenes(train.source, aligned.train, aligned.genes))
        test = replace(test, source=MappedGenes(test.source, aligned.test, aligned.genes))
        prints = fingerprints(train.source), fingerprints(test.source)
        refuse_same_cells(prints, names, (train.source, test.source))
        joined = JoinedCells(train, test, prints, (*aligned.notes, *said_of_labels))
        opened.pop_all()
    return joined


def _chosen(member: Member) -> Member:
    """Keep the cells that the description's `where` asks for."""
    rows, notes = kept_rows(member.source, member.spec)
    return replace(member, source=KeptCells(member.source, rows, notes)) if notes else member


def _drawn(member: Member) -> Member:
    """Draw as many of the cells whose class both know as the description's `max_cells` allows."""
    everyone = np.arange(member.source.n_obs, dtype=np.int64)
    rows, notes = drawn_rows(member.source, member.spec, everyone)
    if not notes:
        return member
    labels = None if member.labels is None else member.labels[rows]
    return replace(member, source=KeptCells(member.source, rows, notes), labels=labels)


def _refuse_different_x(train: Member, test: Member) -> None:
    if train.source.x is not test.source.x:
        raise DatasetError(
            f"{train.name} holds {train.source.x}, {test.name} holds {test.source.x}: a model fitted on one "
            f"can't read the other.",
            "Name matrices of the same kind with `layer:` under `train:` and `test:`; most files of "
            "normalised data keep their counts in raw or in a layer.",
        )


def _same_classes(train: Member, test: Member, spec: DatasetSpec) -> tuple[Member, Member, tuple[str, ...]]:
    """Give both the same labels, and leave out the cells of classes that only one has."""
    mine, theirs = train.own_labels, test.own_labels
    if mine is None or theirs is None:
        return train, test, ()
    path = spec.join.label_map if spec.join else None
    renames: tuple[Renames, Renames] = ({}, {})
    if path:
        renames = read_label_map(path, (train.name, test.name), (_values(mine), _values(theirs)))
    named = [_renamed(labels, own) for labels, own in zip((mine, theirs), renames, strict=True)]
    terms = [_terms(member, own) for member, own in zip((train, test), renames, strict=True)]
    both = all(each is not None for each in terms)
    shared = shared_classes(*named, *(terms if both else (None, None)))
    members, notes = [], list(_said_of_map(renames, (mine, theirs), (train.name, test.name)))
    for member, own, labels, common in (
        (train, mine, named[0], shared.train),
        (test, theirs, named[1], shared.test),
    ):
        found = _texts(common.get(label) if has_value(label) else None for label in labels.tolist())
        unlabelled = ~np.array([has_value(label) for label in own.tolist()], dtype=np.bool_)
        stays = np.array([label is not None for label in found.tolist()], dtype=np.bool_) | unlabelled
        source = member.source if stays.all() else KeptCells(member.source, np.flatnonzero(stays))
        members.append(replace(member, source=source, labels=found[stays]))
    return members[0], members[1], (*notes, *shared.notes(train.name, test.name))


def _renamed(labels: Texts, renames: Renames) -> Texts:
    return _texts(renames.get(label, label) if label is not None else None for label in labels.tolist())


def _terms(member: Member, renames: Renames) -> Texts | None:
    """Return the ontology ids of the cells, of those whose label the user hasn't renamed."""
    if _TERMS not in member.source.columns or member.own_labels is None:
        return None
    pairs = zip(member.source.column(_TERMS).tolist(), member.own_labels.tolist(), strict=True)
    return _texts(None if label in renames else term for term, label in pairs)


def _said_of_map(
    renames: tuple[Renames, Renames], labels: tuple[Texts, Texts], names: tuple[str, str]
) -> Iterator[str]:
    for name, own, cells in zip(names, renames, labels, strict=True):
        for label, common in own.items():
            if count := int((cells == label).sum()):
                fate = f"are {common!r}" if common is not None else "were left out"
                yield f"{name}: {count:,} cells of {label!r} {fate}, by the label map"


def _values(labels: Texts) -> frozenset[str]:
    return frozenset(label for label in labels.tolist() if has_value(label))


def _one_sided(roles: Sequence[ObsName], train: Member, test: Member) -> Iterator[str]:
    for one, other in ((train, test), (test, train)):
        known = [
            joined_key(role) for role in roles if role != "label" and one.has(role) and not other.has(role)
        ]
        if known:
            yield f"only {one.name} says {', '.join(known)}: no use is made of it"
        if one.own_labels is not None and other.own_labels is None:
            yield f"only {one.name} has labels: no use is made of them"


def _texts(values: Iterator[str | None] | Sequence[str | None]) -> Texts:
    found = list(values)
    texts: Texts = np.empty(len(found), dtype=object)
    texts[:] = found
    return texts
