"""Where a file has its counts: in X, in raw, or in a layer that is called so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from czrun.contract.job import XKind
from czrun.datasets.formats import CellFile
from czrun.errors import DatasetError

_LAYERS = ("counts", "raw_counts", "rawcounts", "count", "raw_count", "umi_counts", "umis", "umi")
"""Layers that are looked at, in this order, whatever their case. Whole numbers in others are something else:
the spliced or unspliced molecules alone, ranks, what is left after a correction, who is above a threshold."""

OpenLayer = Callable[[str | None], CellFile]


@dataclass(frozen=True)
class Chosen:
    """A matrix, open, with what its numbers are.

    Attributes
    ----------
    file
        The matrix.
    x
        What it holds.
    notes
        What was guessed.
    """

    file: CellFile
    x: XKind
    notes: tuple[str, ...] = ()


def as_named(file: CellFile, x: XKind | None, place: str) -> Chosen:
    """Take the matrix that was named; raises DatasetError where it isn't counts and nobody said what else."""
    if x:
        return Chosen(file, x)
    odd = odd_value(file)
    if odd is None:
        return Chosen(file, XKind.COUNTS)
    raise _no_counts(place, {file.layer: odd}, file)


def find_counts(first: CellFile, x: XKind | None, open_layer: OpenLayer, place: str) -> Chosen:
    """Choose the matrix where nobody named one.

    Parameters
    ----------
    first
        X, or what the file has in its place; closed where another one is taken.
    x
        What the numbers are said to be; anything but counts is looked for nowhere else.
    open_layer
        Opens another matrix of the same file.
    place
        What the file is called in messages.

    Raises
    ------
    DatasetError
        When there are no counts, and nobody said what X holds instead.
    """
    if x not in (None, XKind.COUNTS):
        assert x is not None  # noqa: S101 - for mypy
        return Chosen(first, x, _instead_of_x(first))
    odd = odd_value(first)
    if odd is None:
        return Chosen(first, XKind.COUNTS, _instead_of_x(first))
    found = {first.layer: odd}
    for name in _candidates(first):
        other = open_layer(name)
        odd = odd_value(other)
        if odd is None:
            first.close()
            return Chosen(other, XKind.COUNTS, (_found(other, first, found[first.layer]),))
        other.close()
        found[name] = odd
    if x is XKind.COUNTS:
        # Who insists is told of every number that is none, when all have been read.
        return Chosen(first, x, _instead_of_x(first))
    raise _no_counts(place, found, first)


def odd_value(file: CellFile) -> float | None:
    """Look at values from many places of a matrix; return one that is no count, None where all are."""
    values = file.sample()
    odd = values[~((values >= 0) & (values == np.floor(values)))]
    return float(odd[0]) if len(odd) else None


def other_layers(file: CellFile) -> str:
    """Say which matrices can be named."""
    return f"If the counts lie elsewhere, name them with --layer: {', '.join(file.layers)}."


def _candidates(first: CellFile) -> Iterator[str]:
    by_name = {name.lower().replace(" ", "_").replace("-", "_"): name for name in reversed(first.layers)}
    for spelling in ("raw", *_LAYERS):
        if spelling in by_name and by_name[spelling] != first.layer:
            yield by_name[spelling]


def _found(counts: CellFile, first: CellFile, odd: float) -> str:
    note = f"counts were found in {_called(counts.layer)}; {first.layer} has other numbers, such as {odd:g}"
    if counts.n_vars == first.n_vars:
        return note
    return f"{note}, and {first.n_vars:,} genes instead of {counts.n_vars:,}"


def _instead_of_x(first: CellFile) -> tuple[str, ...]:
    return () if first.layer == "X" else (f"there is no X: {_called(first.layer)} was taken",)


def _called(layer: str) -> str:
    return "raw" if layer == "raw" else f"layers[{layer!r}]"


def _no_counts(place: str, odd: dict[str, float], file: CellFile) -> DatasetError:
    (name, value), *others = odd.items()
    also = "".join(f", nor does {_called(other)} (it has {number:g})" for other, number in others)
    return DatasetError(
        f"{place}: {name} doesn't hold counts (it has {value:g}){also}.",
        f"{other_layers(file)} Or say what it holds with --x log1p, --x normalized or --x other.",
    )
