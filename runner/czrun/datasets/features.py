"""What 10x calls features: genes, and whatever else was measured beside them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, Texts
from czrun.errors import DatasetError

_EXPRESSION = "Gene Expression"


@dataclass(frozen=True)
class Selection:
    """The features that are genes.

    Attributes
    ----------
    genes
        They.
    column
        Number of the gene that each feature is, -1 where it is none; int32, shape (n_features,).
    notes
        What was left out.
    """

    genes: Genes
    column: npt.NDArray[np.int32]
    notes: tuple[str, ...]

    @property
    def is_all(self) -> bool:
        """Whether nothing was left out."""
        return not self.notes

    @property
    def n_vars(self) -> int:
        """How many genes there are."""
        return len(self.genes.ids)


def select_genes(ids: Texts, names: Texts | None, kinds: Texts | None, place: str) -> Selection:
    """Keep what is gene expression.

    Parameters
    ----------
    ids, names, kinds
        Id, symbol and type of each feature, shape (n_features,); None where the file doesn't say.
    place
        What the file is called in messages.

    Raises
    ------
    DatasetError
        When none of the features is a gene.
    """
    kept = np.ones(len(ids), dtype=bool) if kinds is None else kinds == _EXPRESSION
    others = Counter(str(kind) for kind in kinds[~kept]) if kinds is not None else Counter[str]()
    said = ", ".join(f"{count:,} of {kind}" for kind, count in others.items())
    if len(ids) and not kept.any():
        raise DatasetError(
            f"{place} has no features of type {_EXPRESSION!r}, but {said}.",
            "Name a file that holds gene expression.",
        )
    column = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    genes = Genes(ids[kept], {} if names is None else {"gene_symbol": names[kept]})
    if names is not None and len(genes.ids) and genes.kind == "ensembl":
        genes.columns["ensembl_id"] = genes.ids
    return Selection(genes, column, (f"features that aren't genes were left out: {said}",) if said else ())
