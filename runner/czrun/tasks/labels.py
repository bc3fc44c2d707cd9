"""Label prediction: a class for every cell."""

from __future__ import annotations

from czrun.tasks.base import OutputSlot, Task

PREDICTIONS = OutputSlot(
    "predictions.csv",
    required=True,
    dtype=None,
    axes=(),
    summary="cell_id,label: one row per cell in input order; a label of the classes, or __unassigned__",
)
PROBA = OutputSlot(
    "proba.npy",
    required=False,
    dtype="float32",
    axes=("n_obs", "n_classes"),
    summary="class probabilities, rows in input order, columns in the order of the classes",
)

CELL_TYPE_CLASSIFICATION = Task(
    id="cell-type-classification",
    title="Cell type classification",
    summary="Learn cell types from labelled cells, then name the type of cells never seen.",
    fit_obs=("label",),
    predict_obs=(),
    outputs=(PREDICTIONS, PROBA),
    metrics=(
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
    ),
    negative_control="czrun/majority-class:latest",
)
