"""What a data set is: where its cells are and what its columns mean. A small YAML, or flags, say so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, ValidationError, model_validator

from czrun.contract.base import ContractModel, Sha256
from czrun.contract.image import describe
from czrun.contract.job import XKind
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.imaging.kinds import image_kind
from czrun.datasets.imaging.options import ImageOptions
from czrun.datasets.yaml_file import read_mapping
from czrun.errors import DatasetError, listing

ObsName = Literal[
    "label",
    "donor",
    "batch",
    "tissue",
    "assay",
    "organism",
    "time",
    "perturbation",
    "is_control",
    "context",
    "anomaly",
]

CELLXGENE_KEYS: dict[ObsName, str] = {
    "label": "cell_type",
    "donor": "donor_id",
    "batch": "batch",
    "tissue": "tissue",
    "assay": "assay",
    "organism": "organism",
    "time": "time",
    "perturbation": "perturbation",
    "is_control": "is_control",
}
"""Where columns are looked for when nobody says: mostly the names of the CELLxGENE schema."""

PLACES = ("path", "url", "census", "join")
"""Where a data set's cells can be."""

AUTO = "auto"
"""In place of a layer's name: the one that holds counts."""

Key = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class Join(ContractModel):
    """Two data sets, brought to the same genes and labels: one to train on, one to test on."""

    train: DatasetSpec
    test: DatasetSpec
    orthologs: Path | None = Field(
        default=None, description="A table of orthologs, where the two are of different organisms."
    )
    label_map: Path | None = Field(
        default=None, description="A YAML: a data set's label to the one that both know, or to null."
    )


class DatasetSpec(ContractModel):
    """A data set, as its YAML says it. Flags of the command line change single fields."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [place]} for place in PLACES]})

    schema_version: Literal[1] = 1
    name: str = Field(default="", description="A short name; the file's own by default.")
    path: Path | None = Field(
        default=None, description="A local file, or a folder of images; relative to the YAML that names it."
    )
    url: str | None = Field(default=None, description="A file elsewhere: https://, s3://, gs:// …")
    sha256: Sha256 | None = Field(default=None, description="Hash that the file of `url` must have.")
    census: CensusQuery | None = Field(default=None, description="Cells of the CELLxGENE Census.")
    join: Join | None = Field(default=None, description="Two data sets, one to train on, one to test on.")
    layer: str = Field(
        default=AUTO,
        description="X, raw, or the name of a layer; auto: where counts are, of X, raw and layers called so.",
    )
    x: XKind | None = Field(default=None, description="What the numbers are; looked at when not given.")
    obs: dict[ObsName, Key] = Field(
        default_factory=dict, description="Contract name of an obs column: the file's own name for it."
    )
    obs_table: Path | None = Field(
        default=None, description="A CSV or TSV with more obs columns, joined by the cells' ids."
    )
    split_key: Key | None = Field(default=None, description="obs column that says train or test.")
    organism: str | None = Field(default=None, description="Organism of all cells, where no column says it.")
    anomalous: tuple[str, ...] = Field(
        default=("True", "true", "1", "yes"),
        description="Values of the column obs.anomaly that mark a cell as anomalous.",
    )
    drop_unlabelled: bool = Field(
        default=False, description="Leave out cells without a label, or whatever else the task needs."
    )
    images: ImageOptions | None = Field(default=None, description="How images are read; for images only.")
    where: dict[Key, tuple[str, ...]] = Field(
        default_factory=dict, description="Take only cells with one of these values in this column."
    )
    max_cells: int | None = Field(default=None, gt=0, description="How many cells, at most; drawn by strata.")
    stratify: tuple[Key, ...] = Field(
        default=("label", "donor"),
        description="Columns whose combinations are the strata of max_cells, those that there are.",
    )
    sample_seed: int = Field(default=0, ge=0, lt=2**31, description="Which cells max_cells draws.")
    title: str = ""
    source: str = Field(default="", description="Where the data come from: DOI, accession, URL.")
    license: str = ""

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        places = [place for place in PLACES if getattr(self, place) is not None]
        if len(places) != 1:
            msg = f"it comes from one of {', '.join(PLACES)}; {', '.join(places) or 'none'} is given"
            raise ValueError(msg)
        return self

    @property
    def file(self) -> Path:
        """The local file; there is one as soon as the data set is located."""
        assert self.path is not None  # noqa: S101 - see `czrun.datasets.locate`
        return self.path

    @property
    def holds_images(self) -> bool:
        """Whether images lie at its path, not cells by genes."""
        return self.path is not None and image_kind(self.path) is not None

    def meaning(self) -> dict[str, Any]:
        """Return what determines the cells that its files give: not its name, its place or its papers."""
        # The content of files, tables among them, is in their hash.
        papers = {"name", "title", "source", "license", "split_key"}
        elsewhere = papers | {"path", "url", "sha256", "census", "obs_table"}
        meaning = self.model_dump(mode="json", exclude={*elsewhere, "join"})
        meaning["where"] = {column: sorted(set(values)) for column, values in self.where.items()}
        if self.join:
            # Their names stand before their donors, and in label maps.
            sides = (self.join.train, self.join.test)
            meaning["join"] = [{**side.meaning(), "name": side.name} for side in sides]
        return meaning

    def key_for(self, name: ObsName) -> str | None:
        """Return the file's own name for a contract column: as said, else as CELLxGENE would have it."""
        return self.obs.get(name) or CELLXGENE_KEYS.get(name)


def read_spec(path: Path) -> DatasetSpec:
    """Read a data set's YAML; raises DatasetError with every problem in it."""
    content = read_mapping(path, "`path: pbmc.h5ad`")
    try:
        spec = DatasetSpec.model_validate(content)
    except ValidationError as error:
        raise DatasetError(
            f"{path} doesn't describe a data set:\n{listing(describe(error))}",
            "`czrun schema dataset` prints what it may hold.",
        ) from error
    return _beside(spec, path.parent).model_copy(update={"name": spec.name or path.stem})


def _beside(spec: DatasetSpec, folder: Path) -> DatasetSpec:
    """Take the paths in a YAML from the folder that it lies in."""
    changes: dict[str, Any] = {}
    if spec.path:
        changes["path"] = folder / spec.path.expanduser()
    if spec.census and spec.census.place and "://" not in spec.census.place:
        place = folder / Path(spec.census.place).expanduser()
        changes["census"] = spec.census.model_copy(update={"version": str(place)})
    if spec.obs_table:
        changes["obs_table"] = folder / spec.obs_table.expanduser()
    if spec.join:
        tables = {name: getattr(spec.join, name) for name in ("orthologs", "label_map")}
        changes["join"] = spec.join.model_copy(
            update={
                "train": _beside(spec.join.train, folder),
                "test": _beside(spec.join.test, folder),
                **{name: folder / table.expanduser() for name, table in tables.items() if table},
            }
        )
    return spec.model_copy(update=changes)
