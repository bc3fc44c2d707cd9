"""Public data sets that have a name: data, in `catalogue.yaml`, of which nothing is fetched unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from czrun.contract.base import ContractModel
from czrun.datasets.spec import DatasetSpec

_FILE = Path(__file__).with_name("catalogue.yaml")

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


class ListedDataset(ContractModel):
    """One data set of a collection, as the file lists it; see `CatalogueEntry`."""

    title: str
    citation: str = ""
    license: str = ""
    n_obs: int | None = Field(default=None, gt=0)
    found: str = ""
    verified: bool = False
    data: dict[str, Any]


class Collection(ContractModel):
    """Data sets that somebody publishes together."""

    prefix: _Name
    title: str
    found: str
    citation: str = ""
    license: str = ""
    shared: dict[str, Any] = Field(default_factory=dict)
    datasets: dict[_Name, ListedDataset]


class CatalogueFile(ContractModel):
    """`catalogue.yaml`."""

    schema_version: Literal[1]
    collections: tuple[Collection, ...]


@dataclass(frozen=True)
class CatalogueEntry:
    """A public data set.

    Attributes
    ----------
    spec
        The data set, under its whole name: ``prefix:name``.
    collection
        Who publishes it.
    title
        What it is, for people.
    citation
        DOI, paper or page of the study; empty where none was found.
    n_obs
        Cells, where its source says how many.
    found
        Where its address was read.
    verified
        Whether it has been fetched and read with czrun; otherwise its source is taken at its word.
    """

    spec: DatasetSpec
    collection: str
    title: str
    citation: str
    n_obs: int | None
    found: str
    verified: bool


@cache
def public_datasets() -> Mapping[str, CatalogueEntry]:
    """Return all public data sets by their whole name, in the order of the file."""
    return {
        f"{collection.prefix}:{name}": _entry(collection, name, listed)
        for collection in _read().collections
        for name, listed in collection.datasets.items()
    }


def _entry(collection: Collection, name: str, listed: ListedDataset) -> CatalogueEntry:
    citation = listed.citation or collection.citation
    spec = DatasetSpec.model_validate(
        {
            **collection.shared,
            **listed.data,
            "name": f"{collection.prefix}:{name}",
            "title": listed.title,
            "source": citation,
            "license": listed.license or collection.license,
        }
    )
    found = listed.found or collection.found
    return CatalogueEntry(
        spec, collection.title, listed.title, citation, listed.n_obs, found, listed.verified
    )


def _read() -> CatalogueFile:
    # Imported here: built-in names and files of one's own need no YAML. libyaml's loader takes a tenth.
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # Both are safe loaders, whatever the linter sees.
    return CatalogueFile.model_validate(yaml.load(_FILE.read_text(encoding="utf-8"), Loader=loader))  # noqa: S506
