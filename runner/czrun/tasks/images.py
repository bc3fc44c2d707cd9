"""Image classification: a class for every imaged cell."""

from __future__ import annotations

from czrun.tasks.base import Task
from czrun.tasks.transfer import CLASSIFIER_METRICS, CROSS_SPECIES_LABEL_TRANSFER, measure_labels_or_embedding

IMAGE_CLASSIFICATION = Task(
    id="image-classification",
    title="Image classification",
    summary="Learn classes from labelled images of single cells, then name the class of images never seen.",
    modality="image",
    fit_obs=("label",),
    truth=("label",),
    outputs=CROSS_SPECIES_LABEL_TRANSFER.outputs,
    one_of=CROSS_SPECIES_LABEL_TRANSFER.one_of,
    reference_outputs=CROSS_SPECIES_LABEL_TRANSFER.reference_outputs,
    metrics=CLASSIFIER_METRICS,
    measure=measure_labels_or_embedding,
    negative_control="czrun/majority-class:latest",
)
