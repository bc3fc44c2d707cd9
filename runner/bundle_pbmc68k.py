"""Make the bundled sample from the file that ships inside the scanpy wheel.

    pip download --no-deps scanpy==1.11.5 && unzip scanpy-1.11.5-*.whl 'scanpy/datasets/*'
    uv run python runner/bundle_pbmc68k.py scanpy/datasets/10x_pbmc68k_reduced.h5ad

Only raw.X (log1p-normalised), its genes, and the obs columns that can serve as labels come along; scanpy's X
is scaled and left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from czrun.h5ad import H5adReader

TARGET = Path(__file__).parent / "czrun/datasets/bundled/pbmc68k_reduced.npz"
COLUMNS = ("bulk_labels", "phase", "louvain")


def bundle(source: Path) -> None:
    """Write the sample's arrays, compressed, without pickles."""
    cells = H5adReader(source, layer="raw")
    blocks = list(cells.blocks())
    columns = {f"obs_{key}": cells.column(key).astype(str) for key in COLUMNS}
    np.savez_compressed(
        TARGET,
        data=np.concatenate([block.data for block in blocks]),
        indices=np.concatenate([block.indices for block in blocks]).astype(np.uint16),
        indptr=np.concatenate([[0], np.cumsum(cells.row_nnz())]).astype(np.int32),
        genes=cells.genes().ids.astype(str),
        obs_names=cells.obs_names().astype(str),
        **columns,
    )


if __name__ == "__main__":
    bundle(Path(sys.argv[1]))
