"""Perturbation prediction: how cells would express their genes under conditions that no one has shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from czrun.tasks.base import Content, Design, OutputSlot, Task

if TYPE_CHECKING:
    from czrun.tasks.evidence import Evidence, Measured

EXPRESSION = OutputSlot(
    "expression.npy",
    Content.NUMBERS,
    required=True,
    axes=("n_conditions", "n_vars"),
    summary="mean expression under each condition of conditions.csv, in the space that the job names",
)
CELLS = OutputSlot(
    "cells.npy",
    Content.NUMBERS,
    required=False,
    axes=("n_cells", "n_vars"),
    summary="predicted cells in the same space: n_cells rows for each condition, in their order",
)


def measure(evidence: Evidence) -> Measured:
    """Compare predicted with true expression, condition by condition."""
    from czrun.errors import ScoringError
    from czrun.metrics.perturbation_families import perturbation_families
    from czrun.tasks.evidence import Measured, per_item

    true = evidence.perturbations
    if true is None:
        raise ScoringError("There are no perturbed cells to score against.", "Prepare the data anew.")
    families = perturbation_families(evidence.answers["expression"], true, evidence.answers.get("cells"))
    return Measured(
        families=families,
        n_items=len(true.conditions),
        unit="conditions",
        rows=per_item(families, len(true.conditions)),
        items=true.conditions,
    )


PERTURBATION_PREDICTION = Task(
    id="perturbation-prediction",
    title="Perturbation prediction",
    summary="From control cells and some perturbed ones, predict expression under other conditions.",
    design=Design.PERTURBATION,
    fit_obs=("perturbation", "is_control"),
    optional_obs=("context",),
    optional_truth=("context",),
    stratify="",
    outputs=(EXPRESSION, CELLS),
    metrics=(
        "pearson_delta",
        "lfc_spearman",
        "mse",
        "mae",
        "differential_expression_score",
        "perturbation_discrimination",
        "top_k_precision",
        "top_k_jaccard",
        "de_direction",
        "pearson_delta_ceiling",
    ),
    measure=measure,
    negative_control="czrun/no-change:latest",
)
