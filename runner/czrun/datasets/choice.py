"""Which cells of which data set take part, as flags and keywords say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from czrun.conditions import Clause, Operator
from czrun.datasets.catalogue import DEFAULT_DATASET, find_dataset
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.spec import DatasetSpec
from czrun.errors import UsageError

CENSUS = "census"
"""As a data set's name: the CELLxGENE Census."""

TERMS = ("tissue", "disease", "assay")
"""Columns with a flag of their own, which Census and most files have."""

Values = tuple[str, ...]


@dataclass(frozen=True)
class CellChoice:
    """What narrows a data set down; None and empty leave it as it is.

    Attributes
    ----------
    terms
        A column of `TERMS` to the values that are kept.
    where
        Any column to the values that are kept.
    organism
        The organism to ask Census for; of a file, what all its cells are of.
    max_cells, stratify, seed
        How many cells to draw at most, by which columns, and by which seed.
    obs_filter, version
        A further filter, and the release: of Census only.
    """

    terms: Mapping[str, Values] = field(default_factory=dict)
    where: Mapping[str, Values] = field(default_factory=dict)
    organism: str | None = None
    max_cells: int | None = None
    stratify: Values | None = None
    seed: int = 0
    obs_filter: str | None = None
    version: str | None = None

    @property
    def means_census(self) -> bool:
        """Whether it makes sense of Census only, or says what every file calls otherwise."""
        return bool(self.terms or self.organism or self.obs_filter or self.version)

    def narrow(self, spec: DatasetSpec) -> DatasetSpec:
        """Narrow a data set down; raises UsageError where it can't be."""
        if spec.census:
            return spec.model_copy(update={"census": self._query(spec.census)})
        if self.obs_filter or self.version:
            raise UsageError(
                f"--obs-filter and --census-version are Census's; {spec.name} is another data set.",
                "Filter a file with --where COLUMN=VALUE, or choose --dataset census.",
            )
        if spec.join:
            sides = {side: self.narrow(getattr(spec.join, side)) for side in ("train", "test")}
            return spec.model_copy(update={"join": spec.join.model_copy(update=sides)})
        changes: dict[str, Any] = {"where": {**spec.where, **self.terms, **self.where}}
        if self.organism:
            changes["organism"] = self.organism
        if self.max_cells:
            changes.update(max_cells=self.max_cells, sample_seed=self.seed)
        if self.stratify:
            changes["stratify"] = self.stratify
        return DatasetSpec.model_validate({**spec.model_dump(), **changes})

    def _query(self, query: CensusQuery) -> CensusQuery:
        changes: dict[str, Any] = {**self.terms}
        for name in ("organism", "max_cells", "stratify", "obs_filter", "version"):
            if (value := getattr(self, name)) is not None:
                changes[name] = value
        if self.max_cells:
            changes["seed"] = self.seed
        for column, values in self.where.items():
            if column not in CensusQuery.model_fields:
                raise UsageError(
                    f"--where {column}=…: Census isn't asked for {column!r} in this way.",
                    f"Write it as --obs-filter \"{column} == '{values[0]}'\".",
                )
            changes[column] = values
        return CensusQuery.model_validate({**query.model_dump(), **changes})


def choose(
    dataset: str | DatasetSpec | None, choice: CellChoice, domains: tuple[Clause, ...] = ()
) -> DatasetSpec:
    """Find a data set and narrow it down.

    Parameters
    ----------
    dataset
        A data set, or its name, file, URL or YAML, or ``census``; None is Census where the choice makes sense
        of that only, else the bundled cells.
    choice
        What narrows it down.
    domains
        Conditions on either side of a split: Census is asked for the cells of both, in like shares.

    Raises
    ------
    UsageError, DatasetError
        When there is no such data set, or it can't be narrowed down so.
    """
    if isinstance(dataset, DatasetSpec):
        return choice.narrow(dataset)
    wanted = _terms_of(domains)
    name = dataset or (CENSUS if choice.means_census or wanted else DEFAULT_DATASET)
    if name != CENSUS:
        return choice.narrow(find_dataset(name))
    strata = tuple(dict.fromkeys((*CensusQuery().stratify, *wanted)))
    choice = replace(choice, terms={**wanted, **choice.terms}, stratify=choice.stratify or strata)
    return choice.narrow(DatasetSpec(name=CENSUS, census=CensusQuery()))


def _terms_of(domains: tuple[Clause, ...]) -> dict[str, Values]:
    """Return the values of Census's columns that conditions ask for on either side."""
    terms: dict[str, Values] = {}
    for clause in domains:
        if clause.column in TERMS and clause.operator is Operator.ANY_OF:
            terms[clause.column] = tuple(dict.fromkeys((*terms.get(clause.column, ()), *clause.values)))
    return terms
