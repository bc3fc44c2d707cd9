"""Embedding and clustering: what a representation of cells keeps of their types, none of which it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from czrun.split_plan import SplitKind
from czrun.tasks.base import Content, OutputSlot, Task
from czrun.tasks.labels import EMBEDDING as OPTIONAL_EMBEDDING

if TYPE_CHECKING:
    from czrun.metrics.families import Family
    from czrun.tasks.evidence import Evidence, Measured

SEED = 42
"""cz-benchmarks' own, so that clusters and folds are the same."""

EMBEDDING = replace(OPTIONAL_EMBEDDING, required=True, summary="one row per cell in input order")
CLUSTERS = OutputSlot(
    "clusters.csv",
    Content.GROUPS,
    required=False,
    axes=(),
    summary="cell_id,cluster: a row per cell in input order, any names; else the embedding is clustered",
)

PROBE_METRICS = tuple(
    f"{prefix}_{score}"
    for prefix in ("probe", "lr", "knn", "rf")
    for score in ("accuracy", "f1", "precision", "recall", "auroc")
)
PARTITION_METRICS = ("ari", "nmi", "ami", "homogeneity", "completeness", "n_clusters")


def measure_embedding(evidence: Evidence) -> Measured:
    """Look at how cells of one type lie together, and how well simple classifiers find the type."""
    from czrun.metrics.cross_validation import N_FOLDS
    from czrun.metrics.embedded import Embedded
    from czrun.metrics.probes import probe_families
    from czrun.metrics.silhouettes import cell_silhouettes, silhouette_family
    from czrun.tasks.evidence import Measured

    embedded = Embedded(evidence.answers["embedding"], seed=SEED)
    codes = evidence.truth.codes("label")
    # Folds that part a donor's cells reward knowing the donor.
    donors = evidence.truth.codes("donor") if "donor" in evidence.truth else None
    n_donors = 0 if donors is None else int(donors.max()) + 1
    probes: tuple[Family, ...] = probe_families(embedded, codes, donors if n_donors >= N_FOLDS else None)
    if 1 < n_donors < N_FOLDS:
        leak = f"folds part the cells of a donor: {n_donors} donors are too few for {N_FOLDS} folds"
        probes = tuple(_noted(family, leak) for family in probes)
    return Measured(
        families=(silhouette_family(embedded, codes), *probes),
        n_items=len(codes),
        rows={"label": evidence.truth.texts("label"), "silhouette": cell_silhouettes(embedded, codes)},
    )


def _noted(family: Family, text: str) -> Family:
    notes = {name: "; ".join(filter(None, [family.notes.get(name), text])) for name in family.names}
    return replace(family, notes=notes)


def measure_clustering(evidence: Evidence) -> Measured:
    """Hold clusters, the model's own or those of its embedding, against the labels."""
    from czrun.metrics.embedded import Embedded
    from czrun.metrics.partitions import ami_family, partition_family
    from czrun.tasks.evidence import Measured

    codes, clusters = evidence.truth.codes("label"), evidence.answers.get("clusters")
    note = ""
    if clusters is None:
        embedded = Embedded(evidence.answers["embedding"], seed=SEED)
        clusters, note = embedded.clusters(), embedded.clusters_note()
    return Measured(
        families=(partition_family(codes, clusters, note), ami_family(codes, clusters, note)),
        n_items=len(codes),
        rows={"label": evidence.truth.texts("label"), "cluster": clusters},
    )


EMBEDDING_TASK = Task(
    id="embedding",
    title="Embedding",
    summary="Place cells in a space of few dimensions where cells of one type lie together.",
    truth=("label",),
    optional_truth=("donor",),
    outputs=(EMBEDDING,),
    metrics=("silhouette", *PROBE_METRICS),
    measure=measure_embedding,
    negative_control="czrun/random-embedding:latest",
    default_split=SplitKind.WHOLE,
)

CLUSTERING = Task(
    id="clustering",
    title="Clustering",
    summary="Divide cells into groups, or embed them so that Leiden does; hidden labels say how well.",
    truth=("label",),
    outputs=(replace(EMBEDDING, required=False), CLUSTERS),
    one_of=("embedding.npy", "clusters.csv"),
    metrics=PARTITION_METRICS,
    measure=measure_clustering,
    negative_control="czrun/random-embedding:latest",
    default_split=SplitKind.WHOLE,
)
