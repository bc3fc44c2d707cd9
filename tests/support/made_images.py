"""Tiny sets of images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from PIL import Image

from czrun.cells import ImageSource
from czrun.datasets.catalogue import open_obs
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError


def made_images(path: Path, n_obs: int = 30, **columns: Any) -> Path:
    """Write images, no two of them alike, with a `cell_type` column and whatever `columns` add or replace."""
    images = np.random.default_rng(0).integers(0, 256, size=(n_obs, 4, 5, 3), dtype=np.uint8)
    np.savez(path, **{"images": images, "cell_type": [f"type {i % 3}" for i in range(n_obs)], **columns})
    return path


def png(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Write a PNG, or what else the suffix says, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(path, **options)
    return path


def class_folders(
    root: Path, n_each: int = 4, size: tuple[int, int, int] = (4, 5, 3)
) -> dict[str, np.ndarray]:
    """Write class folders of PNG images, no two of them alike; return each cell's image by its id."""
    rng = np.random.default_rng(0)
    written = {}
    for name in ("B cell", "T cell"):
        for number in range(n_each):
            pixels = rng.integers(0, 256, size=size, dtype=np.uint8)
            png(root / name / f"{number}.png", pixels)
            written[f"{name}/{number}"] = pixels
    return written


def ngff(path: Path, pixels: np.ndarray, axes: str, version: str = "0.5", chunks: int = 16) -> Path:
    """Write an OME-Zarr image with two levels, of which the first is whole."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    sizes = tuple(chunks if axis in "yx" else 1 for axis in axes)
    for level, array in enumerate((pixels, pixels[..., ::2, ::2])):
        own = tuple(min(pair) for pair in zip(sizes, array.shape, strict=True))
        made = group.create_array(str(level), shape=array.shape, chunks=own, dtype=array.dtype)
        made[...] = array
    multiscale = {
        "axes": [{"name": axis, "type": {"c": "channel", "t": "time"}.get(axis, "space")} for axis in axes],
        "datasets": [{"path": "0"}, {"path": "1"}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{**multiscale, "version": version}]
    return path


def segmentation(image: Path, labels: np.ndarray, name: str = "cells", version: str = "0.5") -> Path:
    """Write a segmentation of an OME-Zarr image, and list it."""
    group = zarr.open_group(image / "labels", mode="a", zarr_format=3 if version == "0.5" else 2)
    attributes = group.attrs.get("ome", {}) if version == "0.5" else dict(group.attrs)
    names = {"labels": [*attributes.get("labels", []), name]}
    group.attrs.update({"ome": {"version": version, **names}} if version == "0.5" else names)
    return ngff(image / "labels" / name, labels, "yx", version)


def table(path: Path, /, **columns: Any) -> Path:
    """Write a table of columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def opened(path: Path, **fields: Any) -> ImageSource:
    """Open a set of images as the road would."""
    spec = DatasetSpec.model_validate({"name": "images", "path": path, **fields})
    return open_obs(spec, "image")  # type: ignore[return-value]


def refusal(path: Path, **fields: Any) -> DatasetError:
    """Open a set of images that can't serve, reading all of it, and return the error: it has a hint."""
    with pytest.raises(DatasetError) as found:
        read_all(path, **fields)
    assert found.value.hint
    return found.value


def read_all(path: Path, **fields: Any) -> np.ndarray:
    """Open and read a set of images."""
    source = opened(path, **fields)
    try:
        assert isinstance(source.notes, tuple)
        return images_of(source)
    finally:
        source.close()


def images_of(source: ImageSource) -> np.ndarray:
    """Gather all images of a source, shape (n_obs, height, width, channels); each comes exactly once."""
    images = np.zeros((source.n_obs, *source.image_shape), dtype=np.uint8)
    seen = np.zeros(source.n_obs, dtype=int)
    for block in source.image_blocks():
        assert block.images.dtype == np.uint8
        images[block.rows] = block.images
        seen[block.rows] += 1
    assert (seen == 1).all()
    return images
