"""Anomaly detection: doublets, damaged cells, types that no one has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from czrun.tasks.base import Content, Design, OutputSlot, Task

if TYPE_CHECKING:
    from czrun.tasks.evidence import Evidence, Measured

SCORES = OutputSlot(
    "scores.npy",
    Content.NUMBERS,
    required=True,
    axes=("n_obs",),
    summary="one number per cell in input order, higher = more anomalous",
)


def measure(evidence: Evidence) -> Measured:
    """Look at how far up the anomalous cells rank."""
    from czrun.metrics.anomaly import anomaly_family
    from czrun.tasks.evidence import Measured

    scores, anomalous = evidence.answers["scores"], evidence.truth.columns["anomaly"].astype(bool)
    return Measured(
        families=(anomaly_family(scores, anomalous),),
        n_items=len(scores),
        rows={"anomaly": anomalous, "score": scores},
    )


ANOMALY_DETECTION = Task(
    id="anomaly-detection",
    title="Anomaly detection",
    summary="Learn what normal cells look like, then find the anomalous ones among others.",
    design=Design.NOVELTY,
    truth=("anomaly",),
    stratify="",
    outputs=(SCORES,),
    metrics=("anomaly_auroc", "anomaly_auprc", "precision_at_true_rate", "recall_at_true_rate"),
    measure=measure,
    negative_control="czrun/random-scores:latest",
)
