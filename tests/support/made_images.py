"""Tiny sets of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from czrun.cells import ImageSource


def made_images(path: Path, n_obs: int = 30, **columns: Any) -> Path:
    """Write images, no two of them alike, with a `cell_type` column and whatever `columns` add or replace."""
    images = np.random.default_rng(0).integers(0, 256, size=(n_obs, 4, 5, 3), dtype=np.uint8)
    np.savez(path, **{"images": images, "cell_type": [f"type {i % 3}" for i in range(n_obs)], **columns})
    return path


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
