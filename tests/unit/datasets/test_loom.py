""".loom files, with the attributes of whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from czrun.errors import DatasetError
from made_cells import dense, made_cells
from made_formats import blocks_of, known, matrix_of, write_loom


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return write_loom(made_cells(), tmp_path / "cells.loom")


def changed(path: Path, **datasets: Any) -> Path:
    """Put other arrays into a file; None takes one out. Slashes are written as two underscores."""
    with h5py.File(path, "r+") as file:
        for name, values in datasets.items():
            place = name.replace("__", "/")
            if place in file:
                del file[place]
            if values is not None:
                file[place] = values
    return path


def refused(path: Path, **spec: Any) -> DatasetError:
    """Read all of a file that must be refused; give the error."""
    with pytest.raises(DatasetError) as found:
        matrix_of(path, **spec)
    assert found.value.hint
    return found.value


class TestMatrices:
    @pytest.mark.parametrize("chunks", [None, (6, 40), (2, 7), (1, 40), (6, 1)])
    def test_however_they_are_cut_they_read_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, int] | None
    ) -> None:
        cells = made_cells()
        path = write_loom(cells, tmp_path / "cells.loom", chunks)
        assert np.array_equal(matrix_of(path), dense(cells.X))
        monkeypatch.setattr("czrun.row_blocks.BLOCK_VALUES", 12)
        monkeypatch.setattr("czrun.datasets.loom.BLOCK_VALUES", 12)
        assert np.array_equal(matrix_of(path), dense(cells.X))

    def test_cut_along_the_genes_are_turned_round_in_bounded_pieces(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_loom(made_cells(), tmp_path / "cells.loom", (1, 40))
        monkeypatch.setattr("czrun.row_blocks.BLOCK_VALUES", 12)
        monkeypatch.setattr("czrun.datasets.loom.BLOCK_VALUES", 12)
        blocks = blocks_of(path)
        assert len(blocks) > 5
        assert all(len(block.data) <= 12 for block in blocks)

    def test_layers_are_read_by_name(self, tmp_path: Path) -> None:
        cells = made_cells()
        layers = {"spliced": dense(cells.X) // 2}
        path = write_loom(cells, tmp_path / "cells.loom", layers=layers)
        assert np.array_equal(matrix_of(path, layer="spliced"), layers["spliced"])
        assert "It has: X, spliced" in refused(path, layer="counts").hint


class TestAttributes:
    def test_with_several_values_a_cell_are_left_out_and_said(self, path: Path) -> None:
        found = known(path)
        assert "umap" not in found.obs
        assert found.notes == ("col_attrs with more than one value a cell were left out: umap",)

    def test_numbers_and_texts_read_as_text(self, path: Path) -> None:
        changed(
            path,
            col_attrs__n=np.arange(40),
            col_attrs__share=np.r_[np.nan, np.full(39, 0.5)],
            col_attrs__text=np.array(["ü"] * 40, dtype=object),
            col_attrs__entity=np.array([b"M&#252;ller &amp; co"] * 40),
        )
        found = known(path).obs
        assert found["n"][:2] == ["0", "1"]
        assert found["share"][:2] == [None, "0.5"]
        assert found["text"][0] == "ü"
        assert found["entity"][0] == "Müller & co"

    @pytest.mark.parametrize("name", ["obs_names", "barcode", "cell_id"])
    def test_cells_are_called_by_whichever_there_is(self, path: Path, name: str) -> None:
        ids = np.array([f"AAAC-{i}" for i in range(40)], dtype="S")
        changed(path, col_attrs__CellID=None, **{f"col_attrs__{name}": ids})
        assert known(path).cells[1] == "AAAC-1"

    def test_cells_without_ids_get_numbers(self, path: Path) -> None:
        found = known(changed(path, col_attrs__CellID=None))
        assert found.cells[:2] == ["0", "1"]
        assert "called by their numbers" in found.notes[1]

    def test_genes_are_known_by_their_accession(self, path: Path) -> None:
        ids = np.array([f"ENSG0000000000{i}" for i in range(6)], dtype="S")
        genes = known(changed(path, row_attrs__Accession=ids)).genes
        assert genes.kind == "ensembl"
        assert genes.columns["gene_symbol"].tolist()[0] == "GENE0"

    def test_accessions_that_aren_t_unique_name_no_genes(self, path: Path) -> None:
        ids = np.array([""] * 6, dtype="S1")
        assert known(changed(path, row_attrs__Accession=ids)).genes.ids.tolist()[0] == "GENE0"


class TestBadFiles:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda path: changed(path, matrix=None), "not loom: it has no matrix"),
            (lambda path: changed(path, col_attrs=None, row_attrs=None), "no row_attrs and no col_attrs"),
            (lambda path: changed(path, matrix=np.zeros(4)), "X is of shape (4,)"),
            (lambda path: changed(path, row_attrs__Gene=np.array([b"A"])), "row_attrs Gene don't have 6"),
            (lambda path: changed(path, row_attrs__Gene=None), "doesn't say which genes its rows are"),
            (lambda path: changed(path, layers__counts=np.zeros((2, 2))), "counts is of shape (2, 2)"),
            (lambda path: changed(path, matrix=np.array([[b"a"] * 40] * 6)), "doesn't hold plain numbers"),
            (lambda path: changed(path, matrix=np.full((6, 40), np.nan)), "doesn't hold counts (it has nan)"),
            (lambda path: changed(path, matrix=np.full((6, 40), 2**24 + 1)), "holds 16777217"),
        ],
    )
    def test_are_data_set_errors(self, path: Path, change: Callable[[Path], Path], said: str) -> None:
        layer = "counts" if "counts is" in said else "auto"
        message = refused(change(path), layer=layer).message
        assert said in message

    def test_a_truncated_one(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-500])
        assert "is cut off" in refused(path).message
