"""A user's own word on labels: a YAML that gives a data set's labels the names that both sides know.

zilionis2019:            # a data set's name, or train, or test, or "*" for both
  Tcell: T cell          # own label: common label
  neutrophil: null       # these cells are left out
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from czrun.datasets.yaml_file import read_mapping
from czrun.errors import DatasetError, listing, nearest

Renames = Mapping[str, str | None]
"""Own label to common label; None leaves its cells out."""

_BOTH = "*"


def read_label_map(
    path: Path, names: tuple[str, str], labels: tuple[frozenset[str], frozenset[str]]
) -> tuple[Renames, Renames]:
    """Read what a label map says of the train side and of the test side.

    Parameters
    ----------
    path
        The YAML.
    names
        Names of the two data sets.
    labels
        The labels that each has.

    Raises
    ------
    DatasetError
        With every problem: sections of no data set, labels that nobody has, values that are no labels.
    """
    content = read_mapping(path, "`test:`, then a line `own label: common label`")
    problems: list[str] = []
    found: tuple[dict[str, str | None], dict[str, str | None]] = ({}, {})
    sections = {_BOTH: (0, 1), "train": (0,), "test": (1,), names[0]: (0,), names[1]: (1,)}
    # What is said of one data set goes before what is said of both.
    for section in sorted(content, key=lambda name: str(name) != _BOTH):
        if section not in sections:
            what = f"{section!r} is neither of the data sets{nearest(str(section), sections)}"
            problems.append(f"{what}: {names[0]}, {names[1]}, train, test or '*' are")
            continue
        sides = sections[section]
        said = content[section]
        renames: dict[object, object] = said if isinstance(said, dict) else {}
        if renames is not said:
            problems.append(f"{section!r} holds no mapping: own label: common label")
        known = frozenset[str]().union(*(labels[side] for side in sides))
        for own, common in renames.items():
            if str(own) not in known:
                problems.append(f"{section}: no cell has the label {str(own)!r}{nearest(str(own), known)}")
            if common is not None and not isinstance(common, str | int | float):
                problems.append(f"{section}: {own!r} is mapped to {common!r}, which is no label")
            for side in sides:
                found[side][str(own)] = None if common is None else str(common)
    if problems:
        raise DatasetError(f"{path} can't be used:\n{listing(problems)}", "See docs/guides/datasets.md.")
    return found
