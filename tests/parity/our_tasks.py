"""What czrun says of cz-benchmarks' tasks: the same work, through czrun's public functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from czrun import metrics
from czrun.metrics import Embedded, MetricValue
from parity_inputs import Cells, Perturbed

Values = dict[str, MetricValue]

SEED = 42
"""That of cz-benchmarks."""

ORGANISMS = {"human": "homo_sapiens", "mouse": "mus_musculus"}


def clustering(cells: Cells) -> Values:
    """Hold Leiden's clusters against the labels."""
    clusters = Embedded(cells.embedding, SEED).clusters()
    return {"ari": metrics.ari(cells.labels, clusters), "nmi": metrics.nmi(cells.labels, clusters)}


def embedding(cells: Cells) -> Values:
    """Look at how labels lie together."""
    return {"silhouette": metrics.silhouette(Embedded(cells.embedding, SEED), cells.labels)}


def batch_integration(cells: Cells) -> Values:
    """Look at how batches mix."""
    return _mixed(cells, cells.batches)


def cross_species_integration(cells: Cells) -> Values:
    """Look at how organisms mix."""
    return _mixed(cells, cells.organisms)


def _mixed(cells: Cells, batches: Any) -> Values:
    embedded = Embedded(cells.embedding, SEED)
    return {
        "mixing_entropy": metrics.mixing_entropy(embedded, batches),
        "batch_silhouette": metrics.batch_silhouette(embedded, cells.labels, batches),
    }


def label_prediction(cells: Cells) -> Values:
    """Find the label in the embedding."""
    return metrics.probe_scores(cells.embedding, cells.labels, seed=SEED)


def disease_prediction(cells: Cells) -> Values:
    """Find one of two labels."""
    return metrics.probe_scores(cells.embedding, cells.diseases, seed=SEED)


def sequential_organization(cells: Cells) -> Values:
    """Look at how cells lie along time."""
    embedded = Embedded(cells.embedding, SEED)
    return {
        "time_silhouette": metrics.silhouette_by_time(embedded, cells.times),
        "sequential_alignment": metrics.sequential_alignment(embedded, cells.times),
    }


def cross_species_label_prediction(cells: Cells) -> Values:
    """Train on one organism's cells, test on the other's."""
    return _across(cells, cells.labels, aggregate="none")


def cross_species_disease_prediction(cells: Cells) -> Values:
    """Train on one organism's donors, test on the other's."""
    return _across(cells, cells.diseases, donors=cells.donors)


def _across(cells: Cells, labels: Any, **how: Any) -> Values:
    organisms = [ORGANISMS[name] for name in cells.organisms.tolist()]
    embedded = Embedded(cells.embedding, SEED)
    return {
        **metrics.across_organisms(embedded, labels, organisms, seed=SEED, **how),
        **metrics.within_organisms(embedded, labels, organisms, seed=SEED, **how),
    }


def perturbation(inputs: Perturbed) -> Values:
    """Correlate fold changes."""
    return _fold_changes(inputs, "ratio")


def perturbation_difference(inputs: Perturbed) -> Values:
    """Correlate fold changes with differences of predictions."""
    return _fold_changes(inputs, "difference")


def _fold_changes(inputs: Perturbed, effect: Literal["ratio", "difference"]) -> Values:
    from czrun.metrics.paired_fold_changes import (
        UNDEFINED,
        FoldChangeTable,
        paired_conditions,
        paired_lfc_spearmans,
    )

    table = FoldChangeTable(inputs.conditions.tolist(), inputs.changed_genes.tolist(), inputs.fold_changes)
    conditions = paired_conditions(
        inputs.cells.tolist(), inputs.genes.tolist(), table, inputs.targets(), inputs.control_of()
    )
    values = paired_lfc_spearmans(inputs.predicted, conditions, effect)
    return {
        condition.name: MetricValue.of(value, UNDEFINED)
        for condition, value in zip(conditions, values.tolist(), strict=True)
    }


TASKS: Mapping[str, Callable[[Any], Values]] = {
    task.__name__: task
    for task in (
        clustering,
        embedding,
        batch_integration,
        label_prediction,
        disease_prediction,
        sequential_organization,
        cross_species_integration,
        cross_species_label_prediction,
        cross_species_disease_prediction,
        perturbation,
        perturbation_difference,
    )
}
"""By the names that `peer_tasks` has for them."""
