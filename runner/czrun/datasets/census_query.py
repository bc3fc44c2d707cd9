"""Which cells are asked of the CELLxGENE Census: what a data set's YAML, or the flags, say of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from czrun.contract.base import ContractModel

Term = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class CensusQuery(ContractModel):
    """A query to the CELLxGENE Census. Values of one field are alternatives; fields narrow one another."""

    organism: Term = Field(default="homo_sapiens", description="Organism, as Census calls it.")
    version: Term = Field(
        default="stable",
        description="stable, latest, a release such as 2025-01-30, or a URI or path of one's own.",
    )
    tissue: tuple[Term, ...] = Field(default=(), description="Values of tissue_general, or of tissue.")
    disease: tuple[Term, ...] = Field(default=(), description="Values of disease; normal is one.")
    assay: tuple[Term, ...] = Field(default=(), description="Values of assay.")
    cell_type: tuple[Term, ...] = Field(default=(), description="Values of cell_type.")
    obs_filter: str | None = Field(
        default=None, max_length=4000, description="A further SOMA value filter, for example sex == 'female'."
    )
    is_primary_data: bool = Field(default=True, description="Leave out cells that are in Census twice.")
    max_cells: int | None = Field(default=None, gt=0, description="How many cells, at most; drawn by strata.")
    stratify: tuple[Term, ...] = Field(
        default=("cell_type",), description="obs columns whose combinations are the strata of max_cells."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Which cells max_cells chooses.")

    @property
    def place(self) -> str | None:
        """URI or path of a Census of one's own; None where a release is asked for."""
        return self.version if "/" in self.version else None

    @property
    def experiment(self) -> str:
        """The organism in the spelling that Census keeps its cells under."""
        return "_".join(self.organism.lower().split())

    def meaning(self) -> dict[str, Any]:
        """Return what determines, of one release, which cells are meant: however it is spelt."""
        meaning = self.model_dump(mode="json", exclude={"version", "organism"})
        drawn = {} if self.max_cells else {"stratify": [], "seed": 0}
        sets = {name: sorted(set(value)) for name, value in meaning.items() if isinstance(value, list)}
        return {**meaning, **sets, **drawn, "organism": self.experiment}
