"""cz-benchmarks' tasks on the inputs of `parity_inputs`; needs cz-benchmarks, imported where it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from parity_inputs import Cells, Perturbed

Values = dict[str, float]


@dataclass(frozen=True)
class Ready:
    """One of cz-benchmarks' tasks with all that it wants.

    Attributes
    ----------
    task
        The task.
    cells
        Its cell representation.
    make_input
        Makes a task input; a task writes into its input, so each run has its own.
    """

    task: Any
    cells: Any
    make_input: Callable[[], Any]

    def run(self) -> Values:
        """Return values by metric, for example ``mean_fold_accuracy:lr``."""
        logging.disable(logging.WARNING)  # cz-benchmarks lets everyone log at INFO when it is imported
        return {_key(result): float(result.value) for result in self.task.run(self.cells, self.make_input())}


def _key(result: Any) -> str:
    params = result.params or {}
    return ":".join([str(result.metric_type.value), *(_shown(value) for value in params.values())])


def _shown(value: Any) -> str:
    text = str(value).removeprefix("Organism.").lower()
    return "mean" if text.startswith("mean(") else text


def _clustering(cells: Cells) -> Ready:
    from czbenchmarks.tasks.clustering import ClusteringTask, ClusteringTaskInput

    labels = _series(cells.labels)
    return Ready(
        ClusteringTask(),
        cells.embedding,
        lambda: ClusteringTaskInput(obs=_obs(cells), input_labels=labels),
    )


def _embedding(cells: Cells) -> Ready:
    from czbenchmarks.tasks.embedding import EmbeddingTask, EmbeddingTaskInput

    labels = _series(cells.labels)
    return Ready(EmbeddingTask(), cells.embedding, lambda: EmbeddingTaskInput(input_labels=labels))


def _batch_integration(cells: Cells) -> Ready:
    from czbenchmarks.tasks.integration import BatchIntegrationTask, BatchIntegrationTaskInput

    labels, batches = _series(cells.labels), _series(cells.batches)
    return Ready(
        BatchIntegrationTask(),
        cells.embedding,
        lambda: BatchIntegrationTaskInput(labels=labels, batch_labels=batches),
    )


def _label_prediction(cells: Cells) -> Ready:
    return _prediction_of(cells, cells.labels)


def _disease_prediction(cells: Cells) -> Ready:
    return _prediction_of(cells, cells.diseases)


def _prediction_of(cells: Cells, labels: Any) -> Ready:
    from czbenchmarks.tasks.label_prediction import (
        MetadataLabelPredictionTask,
        MetadataLabelPredictionTaskInput,
    )

    series = _series(labels)
    return Ready(
        MetadataLabelPredictionTask(),
        cells.embedding,
        lambda: MetadataLabelPredictionTaskInput(labels=series),
    )


def _sequential_organization(cells: Cells) -> Ready:
    from czbenchmarks.tasks.sequential import SequentialOrganizationTask, SequentialOrganizationTaskInput

    times = _series(cells.times)
    return Ready(
        SequentialOrganizationTask(),
        cells.embedding,
        lambda: SequentialOrganizationTaskInput(obs=_obs(cells), input_labels=times),
    )


def _cross_species_integration(cells: Cells) -> Ready:
    from czbenchmarks.tasks.single_cell.cross_species_integration import (
        CrossSpeciesIntegrationTask,
        CrossSpeciesIntegrationTaskInput,
    )

    of_organism, organisms = _by_organism(cells)
    labels = [_series(cells.labels[rows]) for rows in of_organism]
    return Ready(
        CrossSpeciesIntegrationTask(),
        [cells.embedding[rows] for rows in of_organism],
        lambda: CrossSpeciesIntegrationTaskInput(labels=labels, organism_list=organisms),
    )


def _cross_species_label_prediction(cells: Cells) -> Ready:
    return transfer_of(cells, cells.labels, sample_ids=None, aggregation_method="none")


def _cross_species_disease_prediction(cells: Cells) -> Ready:
    of_organism, _ = _by_organism(cells)
    donors = [_series(cells.donors[rows]) for rows in of_organism]
    return transfer_of(cells, cells.diseases, sample_ids=donors, aggregation_method="mean")


def transfer_of(cells: Cells, labels: Any, **how: Any) -> Ready:
    """Predict a label across organisms."""
    from czbenchmarks.tasks.single_cell.cross_species_label_prediction import (
        CrossSpeciesLabelPredictionTask,
        CrossSpeciesLabelPredictionTaskInput,
    )

    of_organism, organisms = _by_organism(cells)
    known = [_series(labels[rows]) for rows in of_organism]
    return Ready(
        CrossSpeciesLabelPredictionTask(),
        [cells.embedding[rows] for rows in of_organism],
        lambda: CrossSpeciesLabelPredictionTaskInput(labels=known, organisms=organisms, **how),
    )


def _perturbation(inputs: Perturbed) -> Ready:
    return _fold_changes_of(inputs, "ratio")


def _perturbation_difference(inputs: Perturbed) -> Ready:
    return _fold_changes_of(inputs, "difference")


def _fold_changes_of(inputs: Perturbed, effect: str) -> Ready:
    import anndata as ad  # noqa: TID251 - not czrun, but cz-benchmarks wants it
    import pandas as pd
    from czbenchmarks.tasks.single_cell.perturbation_expression_prediction import (
        PerturbationExpressionPredictionTask,
        PerturbationExpressionPredictionTaskInput,
    )

    data = ad.AnnData(
        X=inputs.predicted,
        obs=pd.DataFrame({"condition": inputs.cell_conditions}, index=inputs.cells),
        var=pd.DataFrame(index=inputs.genes),
    )
    data.uns["config"] = {"condition_key": "condition"}
    data.uns["de_results"] = pd.DataFrame(
        {
            "condition": inputs.conditions,
            "gene_id": inputs.changed_genes,
            "logfoldchange": inputs.fold_changes,
        }
    )
    data.uns["target_conditions_dict"] = inputs.targets()
    data.uns["control_cells_map"] = inputs.control_of()
    return Ready(
        PerturbationExpressionPredictionTask(),
        inputs.predicted,
        lambda: PerturbationExpressionPredictionTaskInput(adata=data, pred_effect_operation=effect),
    )


TASKS: Mapping[str, Callable[[Any], Ready]] = {
    "clustering": _clustering,
    "embedding": _embedding,
    "batch_integration": _batch_integration,
    "label_prediction": _label_prediction,
    "disease_prediction": _disease_prediction,
    "sequential_organization": _sequential_organization,
    "cross_species_integration": _cross_species_integration,
    "cross_species_label_prediction": _cross_species_label_prediction,
    "cross_species_disease_prediction": _cross_species_disease_prediction,
    "perturbation": _perturbation,
    "perturbation_difference": _perturbation_difference,
}
"""cz-benchmarks' tasks, some of them in two forms."""


def _series(values: Any) -> Any:
    import pandas as pd

    return pd.Series(values)


def _obs(cells: Cells) -> Any:
    import pandas as pd

    return pd.DataFrame({"cell_type": cells.labels}, index=[str(row) for row in range(len(cells.embedding))])


def _by_organism(cells: Cells) -> tuple[list[Any], list[Any]]:
    from czbenchmarks.datasets.types import Organism

    return [cells.organisms == "human", cells.organisms == "mouse"], [Organism.HUMAN, Organism.MOUSE]
