"""A trial that holds what every metric wants, in forms that put metrics to the test, and a call for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from czrun.metrics import (
    anomaly,
    batch_effects,
    classification,
    conservation,
    label_scores,
    mixing,
    ordering,
    partitions,
    perturbation,
    probes,
    scib,
    silhouettes,
    transfer,
)
from czrun.metrics.base import MetricValue, Needs
from czrun.metrics.differential import differential_expression
from czrun.metrics.embedded import Embedded
from czrun.metrics.integration_families import integration_families
from czrun.metrics.perturbation_families import perturbation_families
from czrun.metrics.sparse_cells import SparseCells
from czrun.metrics.true_perturbations import TruePerturbations

CLASSES = ("a", "b", "c")
N_PER_CLASS = 80
N_CELLS = N_PER_CLASS * len(CLASSES)
N_DIMS = 9
N_CONDITIONS, N_TREATED, N_GENES = 4, 30, 60
FIRST_GENES = 12
"""As many genes are changed by each condition, no gene by two."""


@dataclass(frozen=True, eq=False)
class Trial:
    """What is known of cells and perturbations, and what a model said of them.

    Truth: labels, batches, organisms, donors, times, before (the expression before integration), anomalous,
    control, treated (sorted by condition) and offsets. The model's: the rest.
    """

    labels: Any
    batches: Any
    organisms: Any
    donors: Any
    times: Any
    before: Any
    anomalous: Any
    control: Any
    treated: Any
    offsets: Any
    embedding: Any
    clusters: Any
    predicted: Any
    proba: Any
    pseudotime: Any
    scores: Any
    means: Any
    cells: Any


@cache
def perfect() -> Trial:
    """Return a model that knows the truth; labels lie far apart, and nothing tells batches apart."""
    rng = np.random.default_rng(0)
    code, each = np.repeat(np.arange(3), N_PER_CLASS), np.arange(N_CELLS)
    labels = np.array(CLASSES)[code]
    # Labels differ in every dimension: classifiers that scale them see no dimension of mere noise.
    embedding = np.tile(10.0 * np.eye(3)[code], 3) + 0.1 * rng.normal(size=(N_CELLS, N_DIMS))
    organisms = np.array(["human", "mouse"])[each // 2 % 2]
    control, treated = _perturbed_cells(rng)
    return Trial(
        labels=labels,
        batches=np.array(["x", "y"])[each % 2],
        organisms=organisms,
        donors=np.array(
            [f"{organism} {number}" for organism, number in zip(organisms, each // 4 % 6, strict=True)]
        ),
        times=code.astype(float),
        before=embedding + 5.0 * (each % 2)[:, None],
        anomalous=code == 2,
        control=control,
        treated=treated,
        offsets=np.arange(N_CONDITIONS + 1) * N_TREATED,
        embedding=embedding,
        clusters=labels,
        predicted=labels,
        proba=np.eye(3)[code],
        pseudotime=code.astype(float),
        scores=(code == 2).astype(float),
        means=_by_condition(treated).mean(axis=1, dtype=np.float64),
        cells=treated,
    )


def random() -> Trial:
    """Return a model that says nothing: all that it gives is drawn without a look at the truth."""
    rng, trial = np.random.default_rng(1), perfect()
    shuffled = rng.permuted(np.tile(trial.control[:N_TREATED], (N_CONDITIONS, 1)), axis=1)
    return replace(
        trial,
        embedding=rng.normal(size=(N_CELLS, N_DIMS)),
        clusters=rng.permutation(trial.clusters),
        predicted=rng.permutation(trial.predicted),
        proba=np.full((N_CELLS, 3), 1 / 3),
        pseudotime=rng.permutation(N_CELLS).astype(float),
        scores=rng.permutation(N_CELLS).astype(float),
        means=_control_mean(trial) + rng.normal(size=trial.means.shape),
        cells=shuffled,
    )


def constant() -> Trial:
    """Return a model that says the same of all cells, and that perturbations change nothing."""
    trial = perfect()
    return replace(
        trial,
        embedding=np.full_like(trial.embedding, 3.0),
        clusters=np.full(N_CELLS, "one"),
        predicted=np.full(N_CELLS, "a"),
        proba=np.full((N_CELLS, 3), 1 / 3),
        pseudotime=np.zeros(N_CELLS),
        scores=np.zeros(N_CELLS),
        means=np.tile(_control_mean(trial), (N_CONDITIONS, 1)),
        cells=np.tile(trial.control[:N_TREATED], (N_CONDITIONS, 1)),
    )


def broken(value: float) -> Trial:
    """Spoil one number, or one label, of all that a model gives, and of the true perturbed cells."""
    trial = perfect()

    def spoilt(array: Any) -> Any:
        copy = array.astype(object) if array.dtype.kind == "U" else array.astype(np.float64)
        copy[(3, 1)[: array.ndim]] = value
        return copy

    names = ("embedding", "proba", "pseudotime", "scores", "means", "cells", "treated")
    changed = {name: spoilt(getattr(trial, name)) for name in names}
    # No label is infinite unless labels are numbers.
    labels = np.repeat([0.0, 1.0, 2.0], N_PER_CLASS)
    return replace(trial, **changed, clusters=spoilt(labels), labels=labels, predicted=spoilt(labels))


def one_label() -> Trial:
    """Make everything that labels, times, anomalies and conditions part into one group."""
    trial = perfect()
    together = np.zeros(N_CELLS)
    return replace(
        trial,
        labels=np.full(N_CELLS, "a"),
        predicted=np.full(N_CELLS, "a"),
        proba=np.eye(3)[np.zeros(N_CELLS, dtype=int)],
        times=together,
        anomalous=together > 0,
        treated=trial.treated[:N_TREATED],
        cells=trial.cells[:N_TREATED],
        means=trial.means[:1],
        offsets=trial.offsets[:2],
    )


def one_batch() -> Trial:
    """Take all cells from one batch and one organism, with six donors of its own."""
    trial = perfect()
    donors = np.array([f"human {number}" for number in np.arange(N_CELLS) // 4 % 6])
    return replace(trial, batches=np.full(N_CELLS, "x"), organisms=np.full(N_CELLS, "human"), donors=donors)


def twice() -> Trial:
    """Take every cell twice."""
    trial = perfect()
    parallel = ("labels", "batches", "organisms", "donors", "times", "before", "anomalous", "embedding")
    parallel += ("clusters", "predicted", "proba", "pseudotime", "scores", "control")
    doubled = {name: np.concatenate([getattr(trial, name)] * 2) for name in parallel}
    treated = np.repeat(trial.treated, 2, axis=0)
    return replace(trial, **doubled, treated=treated, cells=treated, offsets=2 * trial.offsets)


def two_cells() -> Trial:
    """Keep one cell of each of two labels, batches and organisms, and two cells of one condition."""
    trial = perfect()
    rows = np.array([0, N_PER_CLASS + 3])
    names = ("labels", "batches", "organisms", "donors", "times", "before", "embedding", "clusters")
    kept = {name: getattr(trial, name)[rows] for name in (*names, "predicted", "proba", "pseudotime")}
    return replace(
        trial,
        **kept,
        anomalous=np.array([False, True]),
        scores=np.array([0.0, 1.0]),
        control=trial.control[:2],
        treated=trial.treated[:2],
        cells=trial.cells[:2],
        means=trial.treated[:2].mean(axis=0, keepdims=True, dtype=np.float64),
        offsets=np.array([0, 2]),
    )


Call = Callable[[Trial], MetricValue]

TRIALS: dict[str, Callable[[], Trial]] = {
    "perfect": perfect,
    "random": random,
    "constant": constant,
    "nan": partial(broken, np.nan),
    "inf": partial(broken, np.inf),
    "one_label": one_label,
    "one_batch": one_batch,
    "twice": twice,
    "two_cells": two_cells,
}


@cache
def trial_of(name: str) -> Trial:
    """Make a trial, once."""
    return TRIALS[name]()


def score(metric: str, name: str) -> MetricValue:
    """Ask one metric about one trial."""
    return CALLS[metric](trial_of(name))


def _perturbed_cells(rng: np.random.Generator) -> tuple[Any, Any]:
    """Log counts: each condition raises genes of its own, by far."""
    rates = np.full((N_CONDITIONS + 1, N_GENES), 2.0)
    for condition in range(N_CONDITIONS):
        rates[condition + 1, condition * FIRST_GENES : (condition + 1) * FIRST_GENES] = 40.0
    counts = rng.poisson(np.repeat(rates, N_TREATED, axis=0))
    cells = np.log1p(counts).astype(np.float32)
    return cells[:N_TREATED], cells[N_TREATED:]


def _by_condition(cells: Any) -> Any:
    return cells.reshape(N_CONDITIONS, -1, N_GENES)


def _control_mean(trial: Trial) -> Any:
    return trial.control.mean(axis=0, dtype=np.float64)


def _truth(trial: Trial) -> TruePerturbations:
    n = len(trial.offsets) - 1
    return TruePerturbations(
        conditions=tuple(f"condition {number}" for number in range(n)),
        treated=SparseCells.of_dense(trial.treated),
        offsets=trial.offsets,
        control=SparseCells.of_dense(trial.control),
        context=np.zeros(n, dtype=np.int64),
        control_context=np.zeros(len(trial.control), dtype=np.int64),
    )


def _against_truth(trial: Trial) -> dict[str, Any]:
    """Return the true means and the significant genes, from cells that nothing spoilt."""
    sound = trial if np.isfinite(trial.treated).all() else perfect()
    true = _truth(sound)
    return {"true": true.means, "control": true.control_means, "significant": true.differential.significant}


def _of_means(metric: str, wants: tuple[str, ...], trial: Trial) -> MetricValue:
    known = _against_truth(trial)
    found: MetricValue = getattr(perturbation, metric)(trial.means, *(known[name] for name in wants))
    return found


def _of_cells(trial: Trial) -> MetricValue:
    """Score predicted cells; what the runner calls is what refuses cells that aren't numbers."""
    true = _truth(trial if np.isfinite(trial.treated).all() else perfect())
    perturbation_families(true.means, true, trial.cells)
    predicted = differential_expression(
        trial.cells, true.offsets, true.context, true.control, true.control_context
    )
    return perturbation.differential_expression_score(predicted, true.differential)


def _isolated(trial: Trial) -> MetricValue:
    widths = silhouettes.cell_silhouettes(trial.embedding, trial.labels)
    return conservation.isolated_labels(widths, trial.labels, trial.batches)


def _overall(trial: Trial) -> MetricValue:
    """Score the last of the runner's metrics of integration, every cell drawn once."""
    codes = [np.unique(values, return_inverse=True)[1] for values in (trial.labels, trial.batches)]
    (family,) = integration_families(Embedded(trial.embedding), *codes, Embedded(trial.before))
    once = np.ones(1, dtype=np.int64)
    assert family.tally is not None
    tally = family.tally(np.zeros(len(codes[0]), dtype=np.int64), once)
    value = tally.values(once[None])[0, family.names.index("scib_overall")]
    return MetricValue.of(value, family.reasons.get("scib_overall", scib.METRICS["scib_overall"].undefined))


_PROBED: dict[tuple[int, int], dict[str, MetricValue]] = {}


def _probed(trial: Trial) -> dict[str, MetricValue]:
    # By identity: the trials that share cells and labels with the perfect one share its forests.
    key = (id(trial.embedding), id(trial.labels))
    if key not in _PROBED:
        _PROBED[key] = probes.probe_scores(trial.embedding, trial.labels)
    return _PROBED[key]


@cache
def _transferred(trial: Trial) -> dict[str, MetricValue]:
    return transfer.across_organisms(trial.embedding, trial.labels, trial.organisms, trial.donors)


@cache
def _within(trial: Trial) -> dict[str, MetricValue]:
    return transfer.within_organisms(trial.embedding, trial.labels, trial.organisms, trial.donors)


def _texts(labels: Any) -> Any:
    """Name the classes of labels that are numbers."""
    return labels if labels.dtype.kind == "U" else np.array(CLASSES)[labels.astype(int)]


def _asked(metric: Callable[..., MetricValue], fields: tuple[str, ...], trial: Trial) -> MetricValue:
    return metric(*(getattr(trial, field) for field in fields))


def _of(module: Any, names: Iterable[str], *fields: str) -> dict[str, Call]:
    """Call metrics of a module that take these fields of a trial."""
    return {name: partial(_asked, getattr(module, name), fields) for name in names}


def _by_name(metric: str, find: Callable[[Trial], dict[str, MetricValue]], trial: Trial) -> MetricValue:
    return find(trial)[metric]


def _with_proba(metric: str, trial: Trial) -> MetricValue:
    found: MetricValue = getattr(label_scores, metric)(_texts(trial.labels), trial.proba, CLASSES)
    return found


_MEANS = {
    "pearson_delta": ("true", "control"),
    "lfc_spearman": ("true", "control", "significant"),
    "mse": ("true",),
    "mae": ("true",),
    "perturbation_discrimination": ("true", "control"),
    "top_k_precision": ("true", "control", "significant"),
    "top_k_jaccard": ("true", "control", "significant"),
    "de_direction": ("true", "control", "significant"),
}

OF_PROBA = [name for name, info in classification.METRICS.items() if info.needs is Needs.PROBA]
OF_LABELS = [name for name in classification.METRICS if name not in OF_PROBA]
AGREEMENTS = [name for name in partitions.METRICS if name != "n_clusters"]

CALLS: dict[str, Call] = {
    **_of(label_scores, OF_LABELS, "labels", "predicted"),
    **{name: partial(_with_proba, name) for name in OF_PROBA},
    **_of(partitions, AGREEMENTS, "labels", "clusters"),
    **_of(partitions, ["n_clusters"], "clusters"),
    **_of(silhouettes, ["silhouette"], "embedding", "labels"),
    "time_silhouette": partial(_asked, silhouettes.silhouette_by_time, ("embedding", "times")),
    **_of(silhouettes, ["batch_silhouette", "bras"], "embedding", "labels", "batches"),
    **_of(mixing, ["mixing_entropy", "kbet", "ilisi"], "embedding", "batches"),
    **_of(mixing, ["clisi"], "embedding", "labels"),
    **_of(mixing, ["cilisi"], "embedding", "labels", "batches"),
    **_of(conservation, ["graph_connectivity"], "embedding", "labels"),
    "isolated_labels": _isolated,
    **_of(batch_effects, ["pcr"], "embedding", "batches"),
    **_of(batch_effects, ["pcr_comparison"], "before", "embedding", "batches"),
    "scib_overall": _overall,
    **_of(ordering, ["sequential_alignment"], "embedding", "times"),
    **_of(ordering, ["pseudotime_spearman", "pseudotime_kendall"], "pseudotime", "times"),
    **_of(anomaly, anomaly.METRICS, "scores", "anomalous"),
    **{name: partial(_by_name, name, _probed) for name in probes.METRICS},
    **{name: partial(_by_name, name, _transferred) for name in transfer.METRICS if name[0] == "t"},
    **{name: partial(_by_name, name, _within) for name in transfer.METRICS if name[0] == "w"},
    **{name: partial(_of_means, name, wants) for name, wants in _MEANS.items()},
    "differential_expression_score": _of_cells,
    "pearson_delta_ceiling": lambda trial: perturbation.pearson_delta_ceiling(_truth(trial)),
}
"""One for each metric that comes with czrun."""
