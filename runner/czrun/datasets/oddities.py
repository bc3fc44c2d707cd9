"""What is odd about a data set's columns: what would make scores shaky, or answers easy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]

FEW_CELLS = 10
_DOMINANT = 0.8
_MOST_LISTED = 5
_MISSING_ROLES = ("label", "donor")


class Roles:
    """Columns by the contract name that they stand for, as codes into their values; -1 where missing.

    Parameters
    ----------
    columns
        Contract name to one text a cell, None where there is none, shape (n_obs,).
    """

    def __init__(self, columns: Mapping[str, NDArray[np.object_]]) -> None:
        self.values: dict[str, tuple[str, ...]] = {}
        self.codes: dict[str, Codes] = {}
        for name, texts in columns.items():
            is_known = np.array([text is not None for text in texts], dtype=bool)
            values, codes = np.unique(texts[is_known].astype(str), return_inverse=True)
            self.values[name] = tuple(values.tolist())
            self.codes[name] = np.full(len(texts), -1, dtype=np.int64)
            self.codes[name][is_known] = codes

    def counts(self, name: str) -> Codes:
        """Return the cells of each value of a column, shape (values,)."""
        codes = self.codes[name]
        return np.bincount(codes[codes >= 0], minlength=len(self.values[name]))

    def together(self, one: str, other: str) -> Codes:
        """Count cells by the values of two columns, shape (values of one, values of the other)."""
        first, second = self.codes[one], self.codes[other]
        known = (first >= 0) & (second >= 0)
        width = len(self.values[other])
        pairs = first[known] * width + second[known]
        return np.bincount(pairs, minlength=len(self.values[one]) * width).reshape(-1, width)


def oddities(roles: Roles) -> Iterator[str]:
    """Say what is odd, the gravest first."""
    for name in _MISSING_ROLES:
        if name not in roles.values:
            what = "scores need one" if name == "label" else "intervals can't cluster by donor"
            yield f"no column is taken for the {name}: {what} (--{name}-key COLUMN)"
    for name, codes in roles.codes.items():
        if missing := int((codes < 0).sum()):
            yield f"{missing:,} of {len(codes):,} cells have no {name}"
    if "label" in roles.values:
        yield from _uneven_labels(roles)
        for name in ("donor", "batch"):
            if name in roles.values:
                yield from _tied(roles, name)


def _uneven_labels(roles: Roles) -> Iterator[str]:
    counts, names = roles.counts("label"), roles.values["label"]
    if few := [f"{names[code]} {counts[code]:,}" for code in np.flatnonzero(counts < FEW_CELLS)]:
        yield f"{len(few)} labels have fewer than {FEW_CELLS} cells, so their scores are shaky: {_some(few)}"
    if len(names) == 1:
        yield f"there is one label only ({names[0]}): nothing to tell apart"
    elif counts.max() > _DOMINANT * counts.sum():
        most = int(counts.argmax())
        share = counts[most] / counts.sum()
        yield f"{share:.0%} of the cells are {names[most]}: read macro scores, accuracy says little"


def _tied(roles: Roles, name: str) -> Iterator[str]:
    """Say where labels and donors, or batches, can't be told apart."""
    together, values = roles.together("label", name), roles.values[name]
    if len(values) < 2:
        if name == "donor":
            yield "all cells are of one donor: how a model does on another can't be seen"
        return
    alone = (together > 0).sum(axis=1) == 1
    labels = roles.values["label"]
    if alone.all() and len(labels) > 1:
        yield f"each label comes from one {name} only: a model may learn the {name} in its place"
    elif only := [labels[code] for code in np.flatnonzero(alone)]:
        yield f"{len(only)} labels come from one {name} only: {_some(only)}"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_LISTED])
    return f"{shown} and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else shown
