"""Classes that both sides of a split know: models can be asked for no others. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from czrun.cells import Texts, has_value
from czrun.errors import DatasetError, listing

_SHOWN = 30


@dataclass(frozen=True)
class SharedClasses:
    """Which labels of two sides are the same class, and what is left out.

    Attributes
    ----------
    classes
        The classes that both sides have, sorted, by the names of the train side.
    train, test
        A side's own label to its class, for the labels that have one.
    left_out
        Cells of each label that the other side doesn't know, by side: ``train``, ``test``.
    renamed
        Test labels that go by another name on the train side, and why: own name, class, reason.
    """

    classes: tuple[str, ...]
    train: Mapping[str, str]
    test: Mapping[str, str]
    left_out: Mapping[str, Mapping[str, int]]
    renamed: tuple[tuple[str, str, str], ...]

    def notes(self, train: str = "train", test: str = "test") -> tuple[str, ...]:
        """Say what was taken for the same, and what was left out, under the names of the two sides."""
        said = [
            f"{test}: {own!r} was taken for {train}'s {name!r}, by its {why}"
            for own, name, why in self.renamed
        ]
        for key, side, other in (("train", train, test), ("test", test, train)):
            if counts := self.left_out[key]:
                what = ", ".join(f"{count:,} cells of {label!r}" for label, count in counts.items())
                said.append(f"{side}: {what} were left out: {other} has no such class")
        return tuple(said)


def shared_classes(
    train: Texts, test: Texts, train_terms: Texts | None = None, test_terms: Texts | None = None
) -> SharedClasses:
    """Find the classes that both sides have.

    A test label is the train label of the same name; else the one with the same Cell Ontology id, where both
    sides have ids; else the one whose name differs in case, spaces, hyphens or a plural only.

    Parameters
    ----------
    train, test
        Labels of the cells, shape (n_cells,) each; missing ones are ignored.
    train_terms, test_terms
        Cell Ontology ids of the same cells, such as ``CL:0000084``.

    Raises
    ------
    DatasetError
        When there is none.
    """
    counts = {"train": _counted(train), "test": _counted(test)}
    names = _test_names(counts["train"], counts["test"], _terms(train, train_terms), _terms(test, test_terms))
    found = {own: name for own, (name, _) in names.items()}
    classes = tuple(sorted(set(found.values())))
    if not classes:
        _refuse(counts["train"], counts["test"])
    known = {"train": set(classes), "test": set(found)}
    return SharedClasses(
        classes=classes,
        train={name: name for name in classes},
        test=found,
        left_out={
            side: {label: count for label, count in each.items() if label not in known[side]}
            for side, each in counts.items()
        },
        renamed=tuple((own, name, why) for own, (name, why) in names.items() if own != name),
    )


def plain(label: str) -> str:
    """Return a label without case, spaces, hyphens, underscores and plurals: ``B-Cells`` as ``b cell``."""
    words = re.split(r"[\s_-]+", label.strip().casefold())
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def _counted(labels: Texts) -> dict[str, int]:
    """Count the cells of each label, most frequent first."""
    return dict(Counter(label for label in labels.tolist() if has_value(label)).most_common())


def _terms(labels: Texts, terms: Texts | None) -> dict[str, str]:
    """Return the ontology id of each label that has one, and one only."""
    found: dict[str, set[str]] = {}
    for label, term in set(zip(labels.tolist(), [] if terms is None else terms.tolist(), strict=False)):
        if has_value(label) and has_value(term):
            found.setdefault(label, set()).add(term)
    return {label: next(iter(ids)) for label, ids in found.items() if len(ids) == 1}


def _test_names(
    train: Mapping[str, int],
    test: Mapping[str, int],
    train_terms: Mapping[str, str],
    test_terms: Mapping[str, str],
) -> dict[str, tuple[str, str]]:
    """Return the train side's name of each test label that it knows, and by what it was found."""
    by_term = _only({label: term for label, term in train_terms.items() if label in train})
    by_plain = _only({label: plain(label) for label in train})
    names = {}
    for own in test:
        term = test_terms.get(own)
        if own in train:
            names[own] = (own, "name")
        elif term in by_term:
            names[own] = (by_term[term], f"ontology id {term}")
        # Where both have an id, and they differ, likeness of names proves nothing.
        elif (near := by_plain.get(plain(own))) and not (term and near in train_terms):
            names[own] = (near, "spelling")
    return names


def _only(values: Mapping[str, str]) -> dict[str, str]:
    """Turn labels by value round, leaving out values that several labels have."""
    counts = Counter(values.values())
    return {value: label for label, value in values.items() if counts[value] == 1}


def _refuse(train: Mapping[str, int], test: Mapping[str, int]) -> None:
    example = f"test:\n    {next(iter(test), 'own label')!r}: {next(iter(train), 'label of train')!r}"
    sides = [
        f"{side}: " + (", ".join(map(repr, list(labels)[:_SHOWN])) or "(no labels)")
        for side, labels in (("train", train), ("test", test))
    ]
    raise DatasetError(
        f"Train and test cells have no class in common:\n{listing(sides)}",
        f"Say which are the same in a YAML, with --label-map FILE. For example:\n  {example}",
    )
