"""Small tasks, one for each way in which tasks differ, scored by the mean of a number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from czrun.metrics.families import Family, mean_tally
from czrun.split_plan import SplitKind
from czrun.tasks.base import Content, Design, OutputSlot, Task
from czrun.tasks.evidence import Evidence, Measured
from czrun.tasks.labels import EMBEDDING, PREDICTIONS, PROBA, REFERENCE_EMBEDDING

SCORES = OutputSlot("scores.npy", Content.NUMBERS, required=True, axes=("n_obs",), summary="a number a cell")
CLUSTERS = OutputSlot("clusters.csv", Content.GROUPS, required=False, axes=(), summary="a cluster a cell")


def mean_family(name: str, values: np.ndarray) -> Family:
    """Average one number over the items."""
    columns = values.astype(np.float64)[:, None]
    return Family((name,), lambda unit, share: mean_tally(columns, unit, share))


def mean_score(evidence: Evidence) -> Measured:
    """Average the first output that there is."""
    first = next(iter(evidence.answers.values()))
    values = first if first.ndim == 1 else first[:, 0]
    rows = {name: evidence.truth.columns[name] for name in evidence.truth.columns}
    return Measured((mean_family("mean_score", values),), len(values), rows={**rows, "score": values})


PLAIN = Task(
    id="made-plain",
    title="Plain",
    summary="Cells, and nothing asked of them but a number.",
    outputs=(SCORES,),
    metrics=("mean_score",),
    measure=mean_score,
    negative_control="czrun/none:latest",
    stratify="",
    default_split=SplitKind.WHOLE,
)
BATCHES = replace(
    PLAIN, id="made-batches", fit_obs=("batch",), predict_obs=("batch",), truth=("label", "batch")
)
ORGANISMS = replace(
    PLAIN, id="made-organisms", fit_obs=("label", "organism"), predict_obs=("organism",), truth=("label",)
)
TIMES = replace(PLAIN, id="made-times", fit_obs=("time",), truth=("time",), stratify="time")
NOVELTY = replace(PLAIN, id="made-novelty", design=Design.NOVELTY, truth=("anomaly",))
CLUSTERED = replace(
    PLAIN,
    id="made-clustered",
    truth=("label",),
    outputs=(EMBEDDING, CLUSTERS),
    one_of=("embedding.npy", "clusters.csv"),
)
LABELS_OR_EMBEDDING = replace(
    PLAIN,
    id="made-labels-or-embedding",
    fit_obs=("label",),
    truth=("label",),
    stratify="label",
    outputs=(replace(PREDICTIONS, required=False), PROBA, EMBEDDING),
    one_of=("predictions.csv", "embedding.npy"),
    reference_outputs=(REFERENCE_EMBEDDING,),
    default_split=SplitKind.HOLDOUT,
)
IMAGES = replace(LABELS_OR_EMBEDDING, id="made-images", modality="image")
