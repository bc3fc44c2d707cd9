"""Counts are found where they are, it is said when that isn't X, and what somebody names is what is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anndata import AnnData  # noqa: TID251 - to write what a user has
from scipy import sparse

from czrun.errors import DatasetError
from made_cells import dense, made_cells, prepared, request_for, written
from made_formats import known, matrix_of, write_loom, write_zarr


def logged(cells: AnnData) -> AnnData:
    """Take logarithms of X, and nothing else."""
    found = cells.copy()
    found.X = cells.X.log1p()
    return found


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "cells.h5ad"


def refused(path: Path, **spec: Any) -> DatasetError:
    """Read all of a file that must be refused; give the error."""
    with pytest.raises(DatasetError) as found:
        matrix_of(path, **spec)
    assert found.value.hint
    return found.value


class TestFinding:
    def test_counts_in_x_are_taken_without_a_word(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X * 2
        written(cells, path)
        assert np.array_equal(matrix_of(path), dense(cells.X))
        assert known(path).notes == ()

    @pytest.mark.parametrize("name", ["counts", "raw_counts", "Raw Counts", "UMI"])
    def test_a_layer_that_is_called_so(self, path: Path, name: str) -> None:
        cells = made_cells()
        cells.layers[name] = cells.X.copy()
        written(logged(cells), path)
        assert np.array_equal(matrix_of(path), dense(cells.X))
        found = known(path)
        assert found.x == "counts"
        assert found.notes == (
            f"counts were found in layers['{name}']; X has other numbers, such as 0.693147",
        )

    def test_raw_with_genes_of_its_own(self, path: Path) -> None:
        cells = made_cells()
        shown = logged(cells)[:, :4].copy()
        shown.raw = cells
        written(shown, path)
        assert np.array_equal(matrix_of(path), dense(cells.X))
        found = known(path)
        assert found.genes.ids.tolist() == list(cells.var_names)
        (note,) = found.notes
        assert note.startswith("counts were found in raw; X has other numbers")
        assert note.endswith("and 4 genes instead of 6")

    def test_raw_that_holds_logarithms_is_passed_over(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        shown = logged(cells)
        shown.raw = shown.copy()
        written(shown, path)
        assert "layers['counts']" in known(path).notes[0]

    @pytest.mark.parametrize("name", ["spliced", "unspliced", "binarized", "rank", "corrected_counts"])
    def test_whole_numbers_by_another_name_aren_t_guessed_to_be_counts(self, path: Path, name: str) -> None:
        cells = made_cells()
        cells.layers[name] = cells.X.copy()
        error = refused(written(logged(cells), path))
        assert "X doesn't hold counts (it has 0.693147)" in error.message
        assert f"--layer: X, {name}" in error.hint

    def test_all_that_was_looked_at_is_told(self, path: Path) -> None:
        cells = logged(made_cells())
        cells.layers["counts"] = cells.X * 0.5
        cells.raw = cells.copy()
        message = refused(written(cells, path)).message
        assert "X doesn't hold counts (it has 0.693147)" in message
        assert "nor does raw (it has 0.693147)" in message
        assert "nor does layers['counts'] (it has 0.346574)" in message

    def test_a_file_without_x(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        cells.X = None
        written(cells, path)
        assert known(path).notes == ("there is no X: layers['counts'] was taken",)

    def test_loom_and_zarr_are_searched_too(self, tmp_path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        shown = logged(cells)
        loom = write_loom(shown, tmp_path / "cells.loom", layers={"counts": dense(cells.X)})
        for path in (loom, write_zarr(shown, tmp_path / "cells.zarr")):
            assert np.array_equal(matrix_of(path), dense(cells.X))
            assert "counts were found in layers['counts']" in known(path).notes[0]

    def test_a_layer_called_raw_is_no_raw(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["raw"] = cells.X.copy()
        written(logged(cells), path)
        assert np.array_equal(matrix_of(path), dense(cells.X))

    def test_it_is_said_in_the_manifest(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        _, manifest = prepared(request_for(written(logged(cells), path)))
        assert "counts were found in layers['counts']" in manifest.notes[0]
        assert manifest.facts.x == "counts"


class TestLooking:
    @pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, dense])
    @pytest.mark.parametrize("row", [0, 18_000, 36_000])
    def test_is_done_in_many_places(self, path: Path, layout: Any, row: int) -> None:
        X = np.ones((40_000, 30), dtype=np.float32)
        X[row : row + 4000] = 0.5
        cells = AnnData(X=layout(sparse.csr_matrix(X)))
        assert "doesn't hold counts (it has 0.5)" in refused(written(cells, path)).message

    def test_what_it_misses_is_found_while_reading(self, path: Path) -> None:
        X = np.ones((40_000, 30), dtype=np.float32)
        X[1200, 3] = 0.5
        message = refused(written(AnnData(X=sparse.csr_matrix(X)), path)).message
        assert "X is taken for counts, but\n  - 1 values aren't whole numbers, the first 0.5" in message


class TestNaming:
    def test_x_gives_x(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        written(logged(cells), path)
        assert "X doesn't hold counts" in refused(path, layer="X").message
        assert np.array_equal(matrix_of(path, layer="X", x="log1p"), dense(cells.X.log1p()))

    def test_what_x_holds_gives_x(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        written(logged(cells), path)
        found = known(path, x="log1p")
        assert (found.x, found.notes) == ("log1p", ())
        assert np.array_equal(matrix_of(path, x="log1p"), dense(cells.X.log1p()))

    def test_counts_are_looked_for_when_they_are_said_to_be_there(self, path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X.copy()
        written(logged(cells), path)
        assert np.array_equal(matrix_of(path, x="counts"), dense(cells.X))

    def test_counts_that_are_said_to_be_there_are_checked_to_the_last(self, path: Path) -> None:
        cells = made_cells()
        cells.X.data[-1] = 0.5
        message = refused(written(cells, path), x="counts").message
        assert "1 values aren't whole numbers, the first 0.5 in cell" in message
