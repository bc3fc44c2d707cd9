"""The same cells in every file format that is read, written as the tools that made the formats write them."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from anndata import AnnData  # noqa: TID251 - the tests hold czrun.h5ad against it
from scipy import io, sparse

from czrun.cells import CellSource, Genes, RowBlock
from czrun.datasets.catalogue import open_cells
from czrun.datasets.spec import DatasetSpec
from made_cells import dense, made_cells, written

GENE_EXPRESSION = "Gene Expression"


def write_table(cells: AnnData, path: Path) -> Path:
    """Write obs as a table of cells."""
    cells.obs.to_csv(path, index_label="barcode", sep="\t" if ".tsv" in path.name else ",")
    return path


def _write_matrix(group: h5py.Group, cells: AnnData, index_dtype: Any = np.int64) -> None:
    matrix = sparse.csr_matrix(cells.X)
    group["data"] = matrix.data.astype(np.int32)
    group["indices"] = matrix.indices.astype(index_dtype)
    group["indptr"] = matrix.indptr.astype(index_dtype)
    group["shape"] = np.array(matrix.shape[::-1], dtype=np.int32)
    group["barcodes"] = np.array(cells.obs_names, dtype="S")


def write_tenx(
    cells: AnnData, path: Path, kinds: list[str] | None = None, index_dtype: Any = np.int64
) -> Path:
    """Write the .h5 file of Cell Ranger 3 and later, and a table of the cells beside it."""
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        _write_matrix(group, cells, index_dtype)
        features = group.create_group("features")
        features["id"] = np.array(cells.var_names, dtype="S")
        features["name"] = np.array([f"symbol {name}" for name in cells.var_names], dtype="S")
        features["feature_type"] = np.array(kinds or [GENE_EXPRESSION] * cells.n_vars, dtype="S")
        features["genome"] = np.array(["GRCh38"] * cells.n_vars, dtype="S")
    write_table(cells, path.with_name(f"{path.stem}.cells.csv"))
    return path


def write_old_tenx(genomes: Mapping[str, AnnData], path: Path) -> Path:
    """Write the .h5 file of Cell Ranger 2: one group a genome."""
    with h5py.File(path, "w") as file:
        for genome, cells in genomes.items():
            group = file.create_group(genome)
            _write_matrix(group, cells)
            group["genes"] = np.array(cells.var_names, dtype="S")
            group["gene_names"] = np.array([f"symbol {name}" for name in cells.var_names], dtype="S")
    for cells in genomes.values():
        write_table(cells, path.with_name(f"{path.stem}.obs.tsv"))
    return path


def write_folder(
    cells: AnnData, folder: Path, *, prefix: str = "", old: bool = False, kinds: list[str] | None = None
) -> Path:
    """Write matrix.mtx, features.tsv and barcodes.tsv: gzipped, or with `old` as Cell Ranger 2 did."""
    folder.mkdir()
    end = "" if old else ".gz"
    matrix = folder / f"{prefix}matrix.mtx"
    io.mmwrite(matrix, sparse.coo_matrix(cells.X.T.astype(np.int32)))
    rows = [
        [name, f"symbol {name}", kind]
        for name, kind in zip(cells.var_names, kinds or [GENE_EXPRESSION] * cells.n_vars, strict=True)
    ]
    features = "".join("\t".join(row[:2] if old else row) + "\n" for row in rows)
    (folder / f"{prefix}{'genes' if old else 'features'}.tsv").write_text(features)
    (folder / f"{prefix}barcodes.tsv").write_text("".join(f"{name}\n" for name in cells.obs_names))
    for path in list(folder.iterdir()):
        if end:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    write_table(cells, folder / "cells.csv")
    return folder


def write_loom(
    cells: AnnData,
    path: Path,
    chunks: tuple[int, int] | None = None,
    layers: Mapping[str, npt.NDArray[Any]] | None = None,
) -> Path:
    """Write a loom file, genes by cells."""
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=dense(cells.X).T, chunks=chunks, compression="gzip")
        for name, values in (layers or {}).items():
            file[f"layers/{name}"] = values.T
        file["row_attrs/Gene"] = np.array(cells.var_names, dtype="S")
        file["col_attrs/CellID"] = np.array(cells.obs_names, dtype="S")
        for name in cells.obs:
            values = cells.obs[name].to_numpy()
            file[f"col_attrs/{name}"] = values.astype("S") if values.dtype == object else values
        file["col_attrs/umap"] = np.zeros((cells.n_obs, 2))
    return path


def write_zarr(cells: AnnData, path: Path, version: int = 2) -> Path:
    """Write a zarr store, or with a name that ends so, one in a zip."""
    import anndata  # noqa: TID251
    import zarr

    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=version):
        warnings.simplefilter("ignore")  # of anndata and zarr about each other
        if path.name.endswith(".zip"):
            with zarr.storage.ZipStore(path, mode="w") as store:
                cells.write_zarr(store)
        else:
            cells.write_zarr(path)
    return path


def _by_column(cells: AnnData) -> AnnData:
    turned = cells.copy()
    turned.X = sparse.csc_matrix(cells.X)
    return turned


FORMATS: Mapping[str, Callable[[AnnData, Path], Path]] = {
    "h5ad": lambda cells, folder: written(cells, folder / "cells.h5ad"),
    "h5ad-csc": lambda cells, folder: written(_by_column(cells), folder / "cells.h5ad"),
    "h5ad-as-h5": lambda cells, folder: written(cells, folder / "cells.h5"),
    "tenx": lambda cells, folder: write_tenx(cells, folder / "cells.h5"),
    "tenx-uint64": lambda cells, folder: write_tenx(cells, folder / "cells.h5", index_dtype=np.uint64),
    "tenx-old": lambda cells, folder: write_old_tenx({"GRCh38": cells}, folder / "cells.h5"),
    "folder": lambda cells, folder: write_folder(cells, folder / "outs"),
    "folder-old": lambda cells, folder: write_folder(cells, folder / "hg19", old=True),
    "folder-geo": lambda cells, folder: write_folder(cells, folder / "GSE1", prefix="GSM1_"),
    "loom": lambda cells, folder: write_loom(cells, folder / "cells.loom"),
    "zarr2": lambda cells, folder: write_zarr(cells, folder / "cells.zarr", 2),
    "zarr3": lambda cells, folder: write_zarr(cells, folder / "cells.zarr", 3),
    "zarr-csc": lambda cells, folder: write_zarr(_by_column(cells), folder / "cells.zarr", 3),
    "zarr-zip": lambda cells, folder: write_zarr(cells, folder / "cells.zarr.zip"),
}
"""Each writes cells into a folder and gives the path that a user would name."""


@contextmanager
def opened(path: Path, **spec: Any) -> Iterator[CellSource]:
    """Open a file as czrun would."""
    with closing(open_cells(DatasetSpec(name="cells", path=path, **spec))) as source:
        yield source


@dataclass(frozen=True)
class Known:
    """What a source says besides its numbers."""

    cells: list[str]
    obs: dict[str, list[str | None]]
    genes: Genes
    x: str
    notes: tuple[str, ...]


def known(path: Path, **spec: Any) -> Known:
    """Read all that a file says of its cells and genes."""
    with opened(path, **spec) as source:
        obs = {key: source.column(key).tolist() for key in source.columns}
        return Known(source.obs_names().tolist(), obs, source.genes(), source.x, source.notes)


def blocks_of(path: Path, **spec: Any) -> list[RowBlock]:
    """Read all blocks of a file, checking that they say of themselves what is true."""
    with opened(path, **spec) as source:
        blocks = list(source.blocks())
        nnz = np.concatenate([np.diff(block.indptr) for block in blocks])
        assert np.array_equal(nnz, source.row_nnz())
        assert [block.start for block in blocks] == [0, *np.cumsum([len(b.indptr) - 1 for b in blocks])[:-1]]
    return blocks


def matrix_of(path: Path, **spec: Any) -> npt.NDArray[np.float32]:
    """Read a file's matrix, spread out."""
    blocks = blocks_of(path, **spec)
    with opened(path, **spec) as source:
        shape = (source.n_obs, source.n_vars)
    data = np.concatenate([block.data for block in blocks])
    indices = np.concatenate([block.indices for block in blocks])
    nnz = np.concatenate([np.diff(block.indptr) for block in blocks])
    return dense(sparse.csr_matrix((data, indices, [0, *np.cumsum(nnz)]), shape=shape))


def cells_with_an_empty_one(n_obs: int = 40, n_vars: int = 6) -> AnnData:
    """Make cells one of which has no counts at all."""
    cells = made_cells(n_obs, n_vars)
    X = dense(cells.X).copy()
    X[3] = 0
    cells.X = sparse.csr_matrix(X)
    return cells
