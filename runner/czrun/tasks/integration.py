"""Integration: cells of several batches or organisms in one space, their types still told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from czrun.split_plan import SplitKind
from czrun.tasks.base import Task
from czrun.tasks.embeddings import EMBEDDING, SEED
from czrun.tasks.transfer import TRANSFER_METRICS

if TYPE_CHECKING:
    from czrun.tasks.evidence import Evidence, Measured


def measure_batches(evidence: Evidence) -> Measured:
    """Look at how well batches mix, and what is kept of the cell types."""
    from czrun.metrics.embedded import Embedded
    from czrun.metrics.integration_families import integration_families
    from czrun.tasks.evidence import Measured

    embedded = Embedded(evidence.answers["embedding"], seed=SEED)
    labels, batches = evidence.truth.codes("label"), evidence.truth.codes("batch")
    before = None if evidence.expression is None else Embedded(evidence.expression(), seed=SEED)
    return Measured(
        families=integration_families(embedded, labels, batches, before),
        n_items=len(labels),
        rows={"label": evidence.truth.texts("label"), "batch": evidence.truth.texts("batch")},
    )


def measure_organisms(evidence: Evidence) -> Measured:
    """Look at how well organisms mix, and whether one's labels can be read off the other's cells."""
    from czrun.metrics.embedded import Embedded
    from czrun.metrics.mixing import mixing_family
    from czrun.metrics.silhouettes import batch_silhouette_family, silhouette_family
    from czrun.metrics.transfer import across_families, within_families
    from czrun.tasks.evidence import Measured

    embedded = Embedded(evidence.answers["embedding"], seed=SEED)
    labels, organisms = evidence.truth.codes("label"), evidence.truth.codes("organism")
    donors = evidence.truth.codes("donor") if "donor" in evidence.truth else None
    # A label that donors have (a disease) is asked of donors, one that cells have (a type) of cells.
    is_donors_own = donors is not None and evidence.truth.is_function_of("label", "donor")
    aggregate: Literal["mean", "none"] = "mean" if is_donors_own else "none"
    return Measured(
        families=(
            mixing_family(embedded, organisms),
            batch_silhouette_family(embedded, labels, organisms),
            silhouette_family(embedded, labels),
            *across_families(embedded, labels, organisms, donors, aggregate=aggregate),
            *within_families(embedded, labels, organisms, donors, aggregate=aggregate),
        ),
        n_items=len(labels),
        rows={"label": evidence.truth.texts("label"), "organism": evidence.truth.texts("organism")},
    )


BATCH_INTEGRATION = Task(
    id="batch-integration",
    title="Batch integration",
    summary="Embed cells of several batches so that batches mix and cell types don't.",
    fit_obs=("batch",),
    predict_obs=("batch",),
    truth=("label", "batch"),
    outputs=(EMBEDDING,),
    metrics=(
        "scib_overall",
        "mixing_entropy",
        "bras",
        "cilisi",
        "ilisi",
        "kbet",
        "graph_connectivity",
        "pcr",
        "pcr_comparison",
        "batch_silhouette",
        "silhouette",
        "isolated_labels",
        "clisi",
        "ari",
        "nmi",
    ),
    measure=measure_batches,
    negative_control="czrun/random-embedding:latest",
    default_split=SplitKind.WHOLE,
)

CROSS_SPECIES_INTEGRATION = Task(
    id="cross-species-integration",
    title="Cross-species integration",
    summary="Embed cells of several organisms, orthologs mapped, so that cells of one type lie together.",
    fit_obs=("organism",),
    predict_obs=("organism",),
    truth=("label", "organism"),
    optional_truth=("donor",),
    outputs=(EMBEDDING,),
    metrics=(
        "mixing_entropy",
        "kbet",
        "bras",
        "batch_silhouette",
        "silhouette",
        *TRANSFER_METRICS,
        "within_accuracy",
        "within_f1",
    ),
    measure=measure_organisms,
    negative_control="czrun/random-embedding:latest",
    default_split=SplitKind.WHOLE,
)
