"""Label transfer: labels, or an embedding that classifiers read the labels off."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from czrun.split_plan import SplitKind
from czrun.tasks.base import Task
from czrun.tasks.labels import (
    EMBEDDING,
    LABEL_METRICS,
    PREDICTIONS,
    PROBA,
    REFERENCE_EMBEDDING,
    measure_labels,
)

if TYPE_CHECKING:
    from czrun.metrics.families import Family
    from czrun.tasks.evidence import Evidence, Measured

TRANSFER_METRICS = tuple(f"transfer_{score}" for score in ("accuracy", "f1", "precision", "recall", "auroc"))
CLASSIFIER_METRICS = (*LABEL_METRICS, *TRANSFER_METRICS)

_NO_EMBEDDING = "the model gave labels, no embedding"
_NO_REFERENCE = "the model gave no embedding of the training cells, on which to train classifiers"


def measure_labels_or_embedding(evidence: Evidence) -> Measured:
    """Score the model's labels; or those that logistic regression reads off its embedding, and two more.

    An embedding's ``transfer_`` metrics are means over logistic regression, 5 nearest neighbours and a random
    forest, all trained on the training cells' embedding.
    """
    if "predictions" in evidence.answers:
        measured = measure_labels(evidence)
        return replace(measured, families=(*measured.families, *_without_transfer(_NO_EMBEDDING)))
    if "embedding" not in evidence.reference_answers or evidence.reference_truth is None:
        return _nothing(evidence)
    from czrun.metrics.classifiers import linear_probabilities
    from czrun.metrics.transfer import transfer_families
    from czrun.metrics.transfer_judging import RECIPE

    trained = evidence.reference_answers["embedding"], evidence.reference_truth.codes("label")
    tested = evidence.answers["embedding"], evidence.truth.codes("label")
    proba = linear_probabilities(*trained, tested[0], len(evidence.truth.categories["label"]), RECIPE)
    read = replace(evidence, answers={"predictions": proba.argmax(axis=1), "proba": proba})
    measured = measure_labels(read)
    return replace(measured, families=(*measured.families, *transfer_families(*trained, *tested)))


def _without_transfer(reason: str) -> tuple[Family, ...]:
    from czrun.metrics.families import undefined
    from czrun.metrics.transfer import METRICS

    return (undefined(tuple(name for name in METRICS if name.startswith("transfer_")), reason),)


def _nothing(evidence: Evidence) -> Measured:
    from czrun.metrics.families import undefined
    from czrun.tasks.evidence import Measured

    families = (undefined(LABEL_METRICS, _NO_REFERENCE), *_without_transfer(_NO_REFERENCE))
    return Measured(families=families, n_items=len(evidence.truth))


CROSS_SPECIES_LABEL_TRANSFER = Task(
    id="cross-species-label-transfer",
    title="Cross-species label transfer",
    summary="Learn labels from the cells of one organism, then name the cells of another.",
    fit_obs=("label", "organism"),
    predict_obs=("organism",),
    truth=("label",),
    outputs=(replace(PREDICTIONS, required=False), PROBA, EMBEDDING),
    one_of=("predictions.csv", "embedding.npy"),
    reference_outputs=(REFERENCE_EMBEDDING,),
    metrics=CLASSIFIER_METRICS,
    measure=measure_labels_or_embedding,
    negative_control="czrun/majority-class:latest",
    default_split=SplitKind.GROUP_KFOLD,
    default_group="organism",
    default_folds=2,
)
