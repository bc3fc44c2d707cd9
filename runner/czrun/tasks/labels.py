"""Label prediction: a class for every cell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from czrun.contract.job import UNASSIGNED
from czrun.tasks.base import Content, OutputSlot, Task

if TYPE_CHECKING:
    from czrun.tasks.evidence import Evidence, Measured

PREDICTIONS = OutputSlot(
    "predictions.csv",
    Content.LABELS,
    required=True,
    axes=(),
    summary="cell_id,label: one row per cell in input order; a label of the classes, or __unassigned__",
)
PROBA = OutputSlot(
    "proba.npy",
    Content.PROBABILITIES,
    required=False,
    axes=("n_obs", "n_classes"),
    summary="class probabilities, rows in input order, columns in the order of the classes",
)
EMBEDDING = OutputSlot(
    "embedding.npy",
    Content.NUMBERS,
    required=False,
    axes=("n_obs", "n_dims"),
    summary="one row per cell in input order; classifiers trained on those of the training cells name labels",
)
REFERENCE_EMBEDDING = replace(
    EMBEDDING, summary="the same for the training cells, in the order of that input"
)

LABEL_METRICS = (
    "macro_f1",
    "accuracy",
    "balanced_accuracy",
    "weighted_f1",
    "macro_precision",
    "macro_recall",
    "mcc",
    "auroc_ovr_macro",
    "log_loss",
    "expected_calibration_error",
    "unassigned_rate",
)


def measure_labels(evidence: Evidence) -> Measured:
    """Score predicted labels, and probabilities where there are any."""
    import numpy as np

    from czrun.metrics.classification import label_families
    from czrun.metrics.margins import confusion_matrix
    from czrun.tasks.evidence import Confusion, Measured

    true, predicted = evidence.truth.codes("label"), evidence.answers["predictions"]
    classes = evidence.truth.categories["label"]
    names = [*classes, UNASSIGNED]
    return Measured(
        families=label_families(true, predicted, evidence.answers.get("proba"), classes),
        n_items=len(true),
        rows={
            "label": evidence.truth.texts("label"),
            "predicted": [names[code] for code in predicted.tolist()],
        },
        confusion=Confusion(
            classes,
            confusion_matrix(true, predicted, len(classes)),
            np.bincount(true, minlength=len(classes)),
        ),
    )


CELL_TYPE_CLASSIFICATION = Task(
    id="cell-type-classification",
    title="Cell type classification",
    summary="Learn cell types from labelled cells, then name the type of cells never seen.",
    fit_obs=("label",),
    truth=("label",),
    outputs=(PREDICTIONS, PROBA),
    metrics=LABEL_METRICS,
    measure=measure_labels,
    negative_control="czrun/majority-class:latest",
)
