"""Sequential ordering: cells along a course of time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from czrun.tasks.base import Content, OutputSlot, Task
from czrun.tasks.embeddings import EMBEDDING, SEED

if TYPE_CHECKING:
    from czrun.tasks.evidence import Evidence, Measured

PSEUDOTIME = OutputSlot(
    "pseudotime.npy",
    Content.NUMBERS,
    required=False,
    axes=("n_obs",),
    summary="one number per cell in input order, higher = later",
)
OF_EMBEDDING = ("sequential_alignment", "time_silhouette")
OF_PSEUDOTIME = ("pseudotime_spearman", "pseudotime_kendall")


def measure(evidence: Evidence) -> Measured:
    """Look at whether neighbours are of one time, and whether pseudotime rises with time."""
    import numpy as np

    from czrun.metrics.embedded import Embedded
    from czrun.metrics.families import undefined
    from czrun.metrics.ordering import ALIGNMENT_K, alignment_family, pseudotime_families
    from czrun.metrics.silhouettes import silhouette_family
    from czrun.tasks.evidence import Measured

    times = evidence.truth.numbers("time")
    rows = {"time": times}
    if "embedding" in evidence.answers:
        embedded = Embedded(evidence.answers["embedding"], seed=SEED)
        stages = np.unique(times, return_inverse=True)[1]
        of_embedding = (
            alignment_family(embedded.neighbours(ALIGNMENT_K + 1), times),
            silhouette_family(embedded, stages, "time_silhouette"),
        )
    else:
        of_embedding = tuple(undefined((name,), "the model gave no embedding") for name in OF_EMBEDDING)
    if "pseudotime" in evidence.answers:
        rows["pseudotime"] = evidence.answers["pseudotime"]
        of_pseudotime = pseudotime_families(rows["pseudotime"], times)
    else:
        of_pseudotime = tuple(undefined((name,), "the model gave no pseudotime") for name in OF_PSEUDOTIME)
    return Measured(families=(*of_embedding, *of_pseudotime), n_items=len(times), rows=rows)


SEQUENTIAL_ORDERING = Task(
    id="sequential-ordering",
    title="Sequential ordering",
    summary="Learn the course of time from cells whose time is known, then order cells never seen.",
    fit_obs=("time",),
    truth=("time",),
    stratify="time",
    outputs=(replace(EMBEDDING, required=False), PSEUDOTIME),
    one_of=("embedding.npy", "pseudotime.npy"),
    metrics=(*OF_EMBEDDING, *OF_PSEUDOTIME),
    measure=measure,
    negative_control="czrun/random-embedding:latest",
)
