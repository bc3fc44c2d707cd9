"""Genes that two data sets share: by the names that both use, or by orthologs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from czrun.cells import Genes
from czrun.datasets.genes import Targets, merged, organism_of, take_columns
from czrun.datasets.orthologs import Genome, Orthologs, one_to_one
from czrun.errors import DatasetError

Names = Sequence[str | None]

Key = TypeVar("Key")

_NEARLY = 0.9
_FEW_GENES, _FEW_SHARE = 200, 0.1
_SHOWN = 3


@dataclass(frozen=True)
class Side:
    """One of two data sets.

    Attributes
    ----------
    name
        For messages.
    genes
        Its columns.
    organism
        In the form ``homo_sapiens``; None where nobody says.
    sums
        Whether columns of its X may be summed.
    """

    name: str
    genes: Genes
    organism: str | None
    sums: bool

    @property
    def known_organism(self) -> str | None:
        """The organism that was said, else the one that its Ensembl ids are of."""
        return self.organism or next(filter(None, map(organism_of, self.names().values())), None)

    def names(self) -> dict[str, Names]:
        """Return what names the genes: Ensembl ids, symbols, symbols whatever their case."""
        own = "Ensembl ids" if self.genes.kind == "ensembl" else "symbols"
        found: dict[str, Names] = {own: self.genes.ids.tolist()}
        for key, what in (("ensembl_id", "Ensembl ids"), ("gene_symbol", "symbols")):
            if key in self.genes.columns:
                found.setdefault(what, self.genes.columns[key].tolist())
        if "symbols" in found:
            found[_ANY_CASE] = folded(found["symbols"])
        return {what: found[what] for what in _SPACES if what in found}


_ANY_CASE = "symbols, whatever their case"
_SPACES = ("Ensembl ids", "symbols", _ANY_CASE)


@dataclass(frozen=True)
class AlignedGenes:
    """Where the columns of two matrices go so that both have the same.

    Attributes
    ----------
    genes
        The shared columns, under the train side's names.
    train, test
        Where each side's own columns go, -1 for nowhere.
    notes
        What was matched by what, for people.
    """

    genes: Genes
    train: Targets
    test: Targets
    notes: tuple[str, ...]


def folded(names: Names) -> list[str | None]:
    """Return names without their case."""
    return [name.casefold() if name else name for name in names]


def align_genes(train: Side, test: Side, orthologs: Orthologs | None = None) -> AlignedGenes:
    """Bring two data sets to the same genes.

    Of one organism they are matched by Ensembl ids where both have them, else by symbols; by whichever finds
    clearly more. Of two, by a table of orthologs, one to one.

    Raises
    ------
    DatasetError
        When they share none, or the table isn't one of their organisms.
    """
    if orthologs:
        return _by_orthologs(train, test, orthologs)
    mine, theirs = train.names(), test.names()
    shared = {
        what: len({name for name in mine[what] if name} & set(theirs[what]))
        for what in mine
        if what in theirs
    }
    what = _first_best(shared)
    if what is None or not shared[what]:
        raise _no_shared(train, test)
    notes = [_how_many(f"by {what}", shared[what], train, test)]
    if _differ(train, test):
        notes.append(
            f"{train.name} is of {train.known_organism}, {test.name} of {test.known_organism}, and their "
            f"genes were matched by name alone: --orthologs FILE, with a table of orthologs, is surer"
        )
    return _aligned(train, test, mine[what], theirs[what], notes)


def _by_orthologs(train: Side, test: Side, table: Orthologs) -> AlignedGenes:
    if train.known_organism and train.known_organism == test.known_organism:
        raise DatasetError(
            f"{train.name} and {test.name} are both of {train.known_organism}: there is nothing for a "
            f"table of orthologs to map.",
            "Leave --orthologs out; or say what they are of, with `organism:` in their YAML.",
        )
    own, other = _oriented(train, test, table)
    mine, my_column, my_names = _best_column(train, own, table)
    theirs, their_column, their_names = _best_column(test, other, table)
    pairs = one_to_one(my_column, their_column)
    partner = {target: source for source, target in pairs.items()}
    translated = [partner.get(name) if name else None for name in their_names]
    n_shared = len(set(filter(None, my_names)) & set(filter(None, translated)))
    if not n_shared:
        raise _no_shared(train, test, f" by the orthologs of {table.path}")
    if table.n_many:
        notes = [f"{table.n_many:,} rows of {table.path.name} that aren't one to one were left out"]
    else:
        notes = []
    how = f"by {len(pairs):,} one-to-one orthologs ({mine} and {theirs})"
    notes.append(_how_many(how, n_shared, train, test))
    return _aligned(train, test, my_names, translated, notes)


def _aligned(train: Side, test: Side, mine: Names, theirs: Names, notes: list[str]) -> AlignedGenes:
    """Give each shared name one column, in the train side's order."""
    both = set(filter(None, mine)) & set(filter(None, theirs))
    own = merged([name if name in both else None for name in mine], sums=train.sums)
    place = {name: int(at) for name, at in zip(mine, own, strict=True) if at >= 0}
    # The first column of a name settled its place; `merged` tells which of the others may join it.
    follows = merged([name if name in both else None for name in theirs], sums=test.sums)
    other = np.array(
        [place[name] if at >= 0 else -1 for name, at in zip(theirs, follows, strict=True)],
        dtype=np.int32,
    )
    for side, targets in ((train, own), (test, other)):
        used = targets[targets >= 0]
        if more := len(used) - len(np.unique(used)):
            notes.append(f"{side.name}: {more:,} genes were summed with others of the same name")
    return AlignedGenes(take_columns(train.genes, own), own, other, tuple(notes))


def _oriented(train: Side, test: Side, table: Orthologs) -> tuple[Genome, Genome]:
    """Say which organism of a table is which side's: by name, by ``source`` and ``target``, by its genes."""
    ways = [(table.first, table.second), (table.second, table.first)]
    fitting = [(own, other) for own, other in ways if _may_be(train, own) and _may_be(test, other)]
    if not fitting:
        raise DatasetError(
            f"{table.path} maps {_called(table.first)} to {_called(table.second)}; {train.name} is of "
            f"{train.known_organism or 'an unknown organism'}, {test.name} of "
            f"{test.known_organism or 'an unknown organism'}.",
            "Give a table of these two, or mend `organism:` in their YAML.",
        )
    return max(fitting, key=lambda way: _hits(train, way[0]) + _hits(test, way[1]))


def _may_be(side: Side, genome: Genome) -> bool:
    return not side.known_organism or not genome.organism or side.known_organism == genome.organism


def _called(genome: Genome) -> str:
    return genome.organism or genome.title or "an organism that it doesn't name"


def _hits(side: Side, genome: Genome) -> int:
    return max(
        len(set(names) & set(column)) for names in side.names().values() for column in genome.names.values()
    )


def _best_column(side: Side, genome: Genome, table: Orthologs) -> tuple[str, Names, Names]:
    """Return the names by which a side finds most of a table's genes: what they are, the table's, its own."""
    choices: dict[tuple[str, str], tuple[Names, Names]] = {}
    for what, names in side.names().items():
        for key, column in genome.names.items():
            choices[what, key] = (folded(column) if what == _ANY_CASE else column, names)
    found = {each: len(set(column) & set(names) - {"", None}) for each, (column, names) in choices.items()}
    best = _first_best(found)
    if best is None or not found[best]:
        raise DatasetError(
            f"None of the {len(side.genes.ids):,} genes of {side.name} ({_some(side.genes.ids.tolist())} …) "
            f"is in {table.path} ({_some(next(iter(genome.names.values())))} …).",
            "Give a table that names genes as the data set does: by Ensembl ids or by symbols.",
        )
    return (best[0], *choices[best])


def _first_best(found: Mapping[Key, int]) -> Key | None:
    """Return the first choice that is nearly as good as the best: they are listed from the surest on."""
    most = max(found.values(), default=0)
    return next((each for each, count in found.items() if count >= _NEARLY * most), None)


def _how_many(how: str, n_shared: int, train: Side, test: Side) -> str:
    n_train, n_test = len(train.genes.ids), len(test.genes.ids)
    few = n_shared < _FEW_GENES or n_shared < _FEW_SHARE * min(n_train, n_test)
    return (
        f"{n_shared:,} genes are shared, {how}, of {n_train:,} of {train.name} and {n_test:,} of {test.name}"
        f"{': few to tell cells by' if few else ''}"
    )


def _differ(train: Side, test: Side) -> bool:
    return bool(train.known_organism and test.known_organism and train.known_organism != test.known_organism)


def _no_shared(train: Side, test: Side, how: str = "") -> DatasetError:
    """Say that there is no shared gene, with some of each side and what would help."""
    if _differ(train, test):
        hint = "They are of different organisms: --orthologs FILE maps one's genes to the other's."
    elif train.genes.kind != test.genes.kind:
        hint = "Add a column `ensembl_id` or `gene_symbol` to the var of one, so that both name genes alike."
    else:
        hint = "Check that both hold genes, and name them as var_names: Ensembl ids or symbols."
    return DatasetError(
        f"{train.name} and {test.name} share no gene{how}: {_some(train.genes.ids.tolist())} … against "
        f"{_some(test.genes.ids.tolist())} ….",
        hint,
    )


def _some(names: Names) -> str:
    return ", ".join(repr(name) for name in list(filter(None, names))[:_SHOWN])
