"""Sequential ordering: cells along a course of time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from czrun.tasks.base import Content, OutputSlot, Task
from czrun.tasks.embeddings import EMBEDDING, SEED

if TYPE_CHECKING:
    from czrun.metrics.families import Family
    from czrun.tasks.evidence import AnyArray, Evidence, FloatArray, Measured

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
    from czrun.metrics.ordering import pseudotime_families
    from czrun.tasks.evidence import Measured

    times, answers = evidence.truth.numbers("time"), evidence.answers
    embedding, pseudotime = answers.get("embedding"), answers.get("pseudotime")
    families = (
        *(_missing(OF_EMBEDDING, "embedding") if embedding is None else _of_embedding(embedding, times)),
        *(
            _missing(OF_PSEUDOTIME, "pseudotime")
            if pseudotime is None
            else pseudotime_families(pseudotime, times)
        ),
    )
    rows = {"time": times} if pseudotime is None else {"time": times, "pseudotime": pseudotime}
    return Measured(families=families, n_items=len(times), rows=rows)


def _of_embedding(embedding: AnyArray, times: FloatArray) -> tuple[Family, ...]:
    import numpy as np

    from czrun.metrics.embedded import Embedded
    from czrun.metrics.ordering import alignment_family
    from czrun.metrics.silhouettes import silhouette_family

    embedded = Embedded(embedding, seed=SEED)
    stages = np.unique(times, return_inverse=True)[1]
    return alignment_family(embedded, times), silhouette_family(embedded, stages, "time_silhouette")


def _missing(names: tuple[str, ...], what: str) -> tuple[Family, ...]:
    from czrun.metrics.families import undefined

    return tuple(undefined((name,), f"the model gave no {what}") for name in names)


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
