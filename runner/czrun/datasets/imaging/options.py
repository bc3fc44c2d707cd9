"""How a set of images is to be read, as its YAML says it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from czrun.contract.base import ContractModel


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
