"""What a data set is: where its file lies and what its columns mean. A small YAML, or flags, say so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from czrun.contract.base import ContractModel
from czrun.contract.image import describe
from czrun.contract.job import XKind
from czrun.datasets.imaging.kinds import image_kind
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

Key = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class ImageOptions(ContractModel):
    """How images become what models read: uint8, one size."""

    intensity: tuple[tuple[float, float], ...] | None = Field(
        default=None,
        description="Values that become 0 and 255: one pair, or one a channel; else percentiles.",
    )
    percentiles: tuple[float, float] = Field(
        default=(0.1, 99.9),
        description="Of the pixels of all images, for each channel; what lies beyond is clipped.",
    )
    segmentation: str | None = Field(
        default=None,
        description="Which of an OME-Zarr image's labels/ marks the cells, where there are several.",
    )
    crop: int | None = Field(
        default=None, ge=1, le=4096, description="Side of the square around each labelled cell, in pixels."
    )

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        ranges = {"intensity": self.intensity or (), "percentiles": (self.percentiles,)}
        for name, pairs in ranges.items():
            if any(low >= high for low, high in pairs):
                raise ValueError(f"{name} goes from low to high")
        if not 0 <= self.percentiles[0] <= self.percentiles[1] <= 100:
            raise ValueError("percentiles lie between 0 and 100")
        if self.intensity == ():
            raise ValueError("intensity holds at least one pair")
        return self


class DatasetSpec(ContractModel):
    """A data set, as its YAML says it. Flags of the command line change single fields."""

    schema_version: Literal[1] = 1
    name: str = Field(default="", description="A short name; the file's own by default.")
    path: Path = Field(
        description="The .h5ad file, or the file or folder of images; relative to the YAML that names it."
    )
    layer: str = Field(default="X", description="X, raw, or the name of a layer.")
    x: XKind | None = Field(default=None, description="What the numbers are; looked at when not given.")
    obs: dict[ObsName, Key] = Field(
        default_factory=dict, description="Contract name of an obs column: the file's own name for it."
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
    title: str = ""
    source: str = Field(default="", description="Where the data come from: DOI, accession, URL.")
    license: str = ""

    @property
    def holds_images(self) -> bool:
        """Whether images lie at its path, not cells by genes."""
        return image_kind(self.path) is not None

    def key_for(self, name: ObsName) -> str | None:
        """Return the file's own name for a contract column: as said, else as CELLxGENE would have it."""
        return self.obs.get(name) or CELLXGENE_KEYS.get(name)


def read_spec(path: Path) -> DatasetSpec:
    """Read a data set's YAML; raises DatasetError with every problem in it."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(
            f"{path} can't be read as YAML: {error}.", "See docs/guides/datasets.md."
        ) from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds no mapping.", "It starts like `path: pbmc.h5ad`.")
    try:
        spec = DatasetSpec.model_validate(content)
    except ValidationError as error:
        raise DatasetError(
            f"{path} doesn't describe a data set:\n{listing(describe(error))}",
            "`czrun schema dataset` prints what it may hold.",
        ) from error
    where = spec.path.expanduser()
    return spec.model_copy(update={"path": path.parent / where, "name": spec.name or path.stem})
