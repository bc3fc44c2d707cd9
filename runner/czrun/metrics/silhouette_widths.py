"""Silhouette widths of single cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.distance_sums import GroupedCells, Spread
from czrun.metrics.points import PointArray
from czrun.metrics.threads import in_threads

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_MOST_SUMS = 2**25
_LARGE_LABEL = 8192
_SAME_DIRECTION = 1e-12
_ONE_DIRECTION = 1e-9
_ROWS_AT_ONCE = 16_384


def widths(exact: PointArray, codes: IntArray, queries: IntArray, spread: Spread = in_threads) -> FloatArray:
    """Silhouette width of each of `queries`, -1..1: 0 where its group has no other cell.

    Parameters
    ----------
    exact
        Coordinates, shape (n, d).
    codes
        The group of each cell, codes from 0 of which each occurs, at least two; shape (n,).
    queries
        Rows, ascending, shape (q,).
    spread
        See `GroupedCells.sums`.

    References
    ----------
    Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7.
    """
    cells = GroupedCells(exact, codes)
    place = np.empty(len(cells), dtype=np.int64)
    place[cells.order] = np.arange(len(cells))
    rows = np.sort(place[queries])
    at_once = max(1, _MOST_SUMS // len(cells.sizes))
    if len(rows) == len(cells) <= at_once:
        sorted_widths = _of_sums(cells.sums(spread), cells.groups, cells.sizes)
    else:
        parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
        found = [_of_sums(cells.sums_of(part, spread), cells.groups[part], cells.sizes) for part in parts]
        sorted_widths = np.concatenate(found)
    return sorted_widths[np.searchsorted(rows, place[queries])]


def _of_sums(sums: FloatArray, own: IntArray, sizes: IntArray) -> FloatArray:
    """Compare distances to the own group and to the nearest other one; overwrites `sums`, (groups, q)."""
    columns = np.arange(len(own))
    inside = sums[own, columns] / np.maximum(sizes[own] - 1, 1)
    sums /= sizes[:, None]
    sums[own, columns] = np.inf
    return _ratio(inside, sums.min(axis=0), sizes[own])


def _ratio(inside: FloatArray, outside: FloatArray, size: IntArray) -> FloatArray:
    larger = np.maximum(inside, outside)
    return np.divide(outside - inside, larger, out=np.zeros(len(inside)), where=(larger != 0) & (size > 1))


def widths_within(
    exact: PointArray, groups: list[IntArray], codes: IntArray, queries: IntArray
) -> FloatArray:
    """Silhouette width of each query among the cells of its group alone; NaN for all other cells.

    Parameters
    ----------
    exact
        Coordinates, shape (n, d).
    groups
        Rows of each group's cells, ascending.
    codes
        What separates cells inside a group, shape (n,); at least two of them in each group.
    queries
        Rows, ascending, shape (q,).
    """
    found = np.full(len(exact), np.nan)
    wanted = np.zeros(len(exact), dtype=bool)
    wanted[queries] = True

    def enter(cells: IntArray, spread: Spread) -> None:
        local = np.unique(codes[cells], return_inverse=True)[1]
        seen = np.flatnonzero(wanted[cells])
        if len(seen):
            found[cells[seen]] = widths(exact.take(cells, axis=0), local, seen, spread)

    for cells in groups:
        if len(cells) > _LARGE_LABEL:
            enter(cells, in_threads)
    # A small group fills no two threads, but several groups do.
    small = [cells for cells in groups if len(cells) <= _LARGE_LABEL]
    for _ in in_threads(lambda cells: enter(cells, map), small):
        pass
    return found


def cosine_widths_within(exact: PointArray, groups: list[IntArray], codes: IntArray) -> FloatArray:
    """Width by cosine distance of each cell in its group, other codes taken as one; NaN outside of groups.

    A mean of cosine distances is one minus a product with the mean direction: no pair of cells is looked at.
    """
    found = np.full(len(exact), np.nan)
    for cells in groups:
        local = np.unique(codes[cells], return_inverse=True)[1]
        found[cells] = _cosine_widths(_directions(exact.take(cells, axis=0)), local)
    return found


def _cosine_widths(unit: FloatArray, own: IntArray) -> FloatArray:
    sizes = np.bincount(own)
    sums = np.stack([np.bincount(own, weights=column) for column in unit.T], axis=1)
    inside = sizes[own] - np.einsum("ij,ij->i", unit, sums[own])
    outside = len(own) - sizes[own] - unit @ sums.sum(axis=0) + np.einsum("ij,ij->i", unit, sums[own])
    inside /= np.maximum(sizes[own] - 1, 1)
    outside /= len(own) - sizes[own]
    # What is left of cells in one direction is rounding, and the ratio of two roundings says nothing.
    inside[inside < _SAME_DIRECTION], outside[outside < _SAME_DIRECTION] = 0, 0
    return _ratio(inside, outside, sizes[own])


def is_one_direction(exact: PointArray) -> bool:
    """Whether all cells that aren't at the origin lie in one direction from it."""
    first = np.flatnonzero((exact != 0).any(axis=1))[:1]
    if len(first) == 0:
        return True
    axis = _directions(exact[first])[0]
    for start in range(0, len(exact), _ROWS_AT_ONCE):
        if (_directions(exact[start : start + _ROWS_AT_ONCE]) @ axis < 1 - _ONE_DIRECTION).any():
            return False
    return True


def _directions(exact: PointArray) -> FloatArray:
    """Scale every cell to length 1, shape (n, d); NaN for a cell at the origin."""
    double = exact.astype(np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", double, double))[:, None]
    return np.asarray(np.divide(double, length, out=np.full(double.shape, np.nan), where=length > 0))
