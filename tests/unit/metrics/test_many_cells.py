"""More cells than are looked at in full: what is said of errors is true."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from czrun.metrics import Embedded, ari
from czrun.metrics.conservation import connectivity_family
from czrun.metrics.families import Family, plain_value
from czrun.metrics.mixing import lisi_family, mixing_family
from czrun.metrics.neighbours import nearest
from czrun.metrics.ordering import alignment_family
from czrun.metrics.partitions import partition_family
from czrun.metrics.silhouettes import silhouette_family

pytestmark = pytest.mark.slow

N_OBS = 205_000


@dataclass(frozen=True)
class Cells:
    """Blobs that overlap, one a label; batches are moved by less, times by little."""

    embedding: NDArray[np.float32]
    labels: NDArray[np.int64]
    batches: NDArray[np.int64]
    times: NDArray[np.float64]


@pytest.fixture(scope="module")
def cells() -> Cells:
    rng = np.random.default_rng(0)
    labels, batches, times = (rng.integers(count, size=N_OBS) for count in (12, 3, 5))
    embedding = rng.normal(size=(12, 8))[labels] * 4 + rng.normal(size=(3, 8))[batches] / 2
    embedding += rng.normal(size=8) * times[:, None] / 5 + rng.normal(size=(N_OBS, 8))
    return Cells(embedding.astype(np.float32), labels, batches, times.astype(np.float64))


@pytest.fixture(scope="module")
def embedded(cells: Cells) -> Embedded:
    return Embedded(cells.embedding, seed=0)


def test_the_share_of_true_neighbours_is_as_stated(embedded: Embedded) -> None:
    graph = embedded.graph(15)
    queries = np.random.default_rng(1).choice(N_OBS, 2000, replace=False)
    true = nearest(embedded.array, 15, queries).indices[:, 1:]
    found = graph.indices[queries, 1:]
    shared = np.mean([len(np.intersect1d(a, b)) / 14 for a, b in zip(true, found, strict=True)])
    assert graph.recall is not None
    assert graph.recall >= 0.95
    assert shared == pytest.approx(graph.recall, abs=0.01)


def test_clusters_are_the_blobs_and_say_what_they_are_made_of(embedded: Embedded, cells: Cells) -> None:
    value = ari(cells.labels, embedded.clusters()).value
    assert value is not None
    assert value > 0.9
    family = partition_family(cells.labels, embedded.clusters(), embedded.clusters_note())
    assert re.fullmatch(r"on approximate neighbours, \d\d.\d% of them true", family.notes["ari"])


def test_labels_hang_together(embedded: Embedded, cells: Cells) -> None:
    family = connectivity_family(embedded, cells.labels)
    assert valued(family, "graph_connectivity") > 0.99
    assert "of them true" in family.notes["graph_connectivity"]


def test_averages_of_two_samples_differ_by_no_more_than_their_errors(
    embedded: Embedded, cells: Cells
) -> None:
    other = Embedded(cells.embedding, seed=1)
    assert not np.array_equal(embedded.queries, other.queries)
    for one, again in zip(families(embedded, cells), families(other, cells), strict=True):
        for name in one.names:
            error = math.hypot(stated_error(one, name), stated_error(again, name))
            assert 0 <= error < 0.02, name
            assert abs(valued(one, name) - valued(again, name)) <= 4 * error, name


def families(embedded: Embedded, cells: Cells) -> list[Family]:
    # The largest neighbourhood first: the smaller ones are then a part of it.
    return [
        mixing_family(embedded, cells.batches, cells.labels),
        lisi_family(embedded, cells.batches, cells.labels),
        alignment_family(embedded, cells.times),
        silhouette_family(embedded, cells.labels),
    ]


def valued(family: Family, name: str) -> float:
    value = plain_value(family, name, N_OBS, "").value
    assert value is not None
    return value


def stated_error(family: Family, name: str) -> float:
    found = re.search(r"on 20,000 of 205,000 cells.*; standard error (\S+)$", family.notes[name])
    assert found, family.notes
    return float(found[1])
