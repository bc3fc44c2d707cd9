"""Zarr stores of AnnData."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import zarr

from czrun.errors import DatasetError
from czrun.h5ad import read_obsm
from made_cells import dense, made_cells
from made_formats import known, matrix_of, write_zarr

BOTH = pytest.mark.parametrize("version", [2, 3])


def refused(path: Path, **spec: Any) -> DatasetError:
    """Read all of a store that must be refused; give the error."""
    with pytest.raises(DatasetError) as found:
        matrix_of(path, **spec)
    assert found.value.hint
    return found.value


def _remove_piece(array: Path) -> None:
    """Remove the only piece of an array, as a copy that was cut short would lack it."""
    if (array / "c").is_dir():
        shutil.rmtree(array / "c")
        return
    (piece,) = (path for path in array.iterdir() if not path.name.startswith("."))
    piece.unlink()


class TestReading:
    @BOTH
    def test_raw_and_layers_are_read_by_name(self, tmp_path: Path, version: int) -> None:
        cells = made_cells()
        cells.layers["doubled"] = cells.X * 2
        cells.raw = cells.copy()
        cells = cells[:, :4].copy()
        path = write_zarr(cells, tmp_path / "cells.zarr", version)
        assert np.array_equal(matrix_of(path, layer="doubled"), 2 * dense(cells.X))
        assert np.array_equal(matrix_of(path, layer="raw"), dense(cells.raw.X))
        assert known(path, layer="raw").genes.ids.tolist() == list(cells.raw.var_names)

    @BOTH
    def test_dense_ones_read_the_same(self, tmp_path: Path, version: int) -> None:
        cells = made_cells()
        cells.X = dense(cells.X)
        assert np.array_equal(matrix_of(write_zarr(cells, tmp_path / "cells.zarr", version)), cells.X)

    @BOTH
    def test_columns_of_every_kind(self, tmp_path: Path, version: int) -> None:
        cells = made_cells(
            3,
            2,
            kind=pd.Categorical(["a", None, "b"]),
            number=[1, 2, 3],
            share=[0.5, np.nan, 1.0],
            flag=pd.array([True, None, False], dtype="boolean"),
        )
        found = known(write_zarr(cells, tmp_path / "cells.zarr", version)).obs
        assert found["kind"] == ["a", None, "b"]
        assert found["number"] == ["1", "2", "3"]
        assert found["share"] == ["0.5", None, "1.0"]
        assert found["flag"] == ["True", None, "False"]

    def test_a_folder_of_another_name_is_recognised_by_what_is_in_it(self, tmp_path: Path) -> None:
        cells = made_cells()
        for version in (2, 3):
            path = write_zarr(cells, tmp_path / f"store{version}.zarr", version).rename(
                tmp_path / f"store{version}"
            )
            assert np.array_equal(matrix_of(path), dense(cells.X))

    def test_embeddings_are_found(self, tmp_path: Path) -> None:
        cells = made_cells()
        cells.obsm["X_pca"] = np.arange(80.0).reshape(40, 2)
        path = write_zarr(cells, tmp_path / "cells.zarr")
        assert np.array_equal(read_obsm(path, "X_pca"), cells.obsm["X_pca"])
        with pytest.raises(DatasetError, match="no obsm 'X_umap'"):
            read_obsm(path, "X_umap")


class TestBadStores:
    @BOTH
    def test_a_piece_that_is_missing_isn_t_taken_for_zeros(self, tmp_path: Path, version: int) -> None:
        path = write_zarr(made_cells(), tmp_path / "cells.zarr", version)
        _remove_piece(path / "X" / "data")
        error = refused(path)
        assert "X is incomplete: 1 of 1 pieces of its values are missing" in error.message
        assert "Copy the store again" in error.hint

    @BOTH
    @pytest.mark.parametrize("part", ["indices", "indptr"])
    def test_nor_is_one_that_says_where_values_are(self, tmp_path: Path, version: int, part: str) -> None:
        path = write_zarr(made_cells(), tmp_path / "cells.zarr", version)
        _remove_piece(path / "X" / part)
        assert refused(path).message

    @BOTH
    def test_a_piece_of_a_dense_matrix_may_be_all_zeros_which_is_said(
        self, tmp_path: Path, version: int
    ) -> None:
        cells = made_cells()
        cells.X = dense(cells.X)
        path = write_zarr(cells, tmp_path / "cells.zarr", version)
        assert known(path).notes == ()
        _remove_piece(path / "X")
        assert known(path).notes == ("1 of 1 pieces of X aren't in the store, which stands for zeros",)

    def test_a_store_of_something_else(self, tmp_path: Path) -> None:
        zarr.create_group(tmp_path / "image.zarr").create_array("0", shape=(4, 4), dtype="u1")
        error = refused(tmp_path / "image.zarr")
        assert "is a zarr store but not AnnData: it has no obs and no var" in error.message

    def test_a_folder_that_is_called_zarr_and_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "cells.zarr").mkdir()
        assert "can't be read" in refused(tmp_path / "cells.zarr").message

    def test_a_zip_that_is_cut_off(self, tmp_path: Path) -> None:
        path = write_zarr(made_cells(), tmp_path / "cells.zarr.zip")
        path.write_bytes(path.read_bytes()[:-100])
        assert "can't be read" in refused(path).message

    def test_a_damaged_piece(self, tmp_path: Path) -> None:
        path = write_zarr(made_cells(), tmp_path / "cells.zarr", 2)
        (path / "X" / "data" / "0").write_bytes(b"\xff" * 40)
        assert "can't be read" in refused(path).message

    def test_a_missing_store(self, tmp_path: Path) -> None:
        assert "There is no file" in refused(tmp_path / "none.zarr").message
