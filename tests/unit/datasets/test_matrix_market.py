"""Folders with a matrix as text: read in any order of its lines, refused when they lie."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from czrun.errors import DatasetError
from made_cells import dense, made_cells
from made_formats import known, matrix_of, write_folder

HEADER = "%%MatrixMarket matrix coordinate integer general\n"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Two genes, three cells, a matrix to be written."""
    (tmp_path / "features.tsv").write_text("ENSG01\tA\tGene Expression\nENSG02\tB\tGene Expression\n")
    (tmp_path / "barcodes.tsv").write_text("AAAC-1\nAAAG-1\nAAAT-1\n")
    return tmp_path


def with_matrix(folder: Path, text: str) -> Path:
    """Write the matrix of a folder."""
    (folder / "matrix.mtx").write_text(text)
    return folder


def refused(folder: Path, **spec: Any) -> DatasetError:
    """Read all of a folder that must be refused; give the error."""
    with pytest.raises(DatasetError) as found:
        matrix_of(folder, **spec)
    assert found.value.hint
    return found.value


class TestReading:
    def test_lines_come_in_any_order(self, folder: Path) -> None:
        lines = "2 3 4\n2 3 9\n1 1 5\n1 3 7\n2 1 6\n"
        assert matrix_of(with_matrix(folder, HEADER + lines)).tolist() == [[5, 6], [0, 0], [7, 9]]

    @pytest.mark.usefixtures("_few_lines")
    def test_pieces_of_any_length_give_the_same(self, folder: Path) -> None:
        lines = "2 3 4\n2 3 9\n1 1 5\n1 3 7\n2 1 6\n"
        assert matrix_of(with_matrix(folder, HEADER + lines)).tolist() == [[5, 6], [0, 0], [7, 9]]

    @pytest.fixture
    def _few_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("czrun.datasets.matrix_market._LINES", 3)
        monkeypatch.setattr("czrun.row_blocks.BLOCK_VALUES", 1)

    def test_comments_and_blank_lines_after_the_first_are_passed_over(self, folder: Path) -> None:
        text = f'{HEADER}%metadata_json: {{"software_version": "cellranger-7"}}\n%\n\n2 3 1\n1 2 8\n\n'
        assert matrix_of(with_matrix(folder, text)).tolist() == [[0, 0], [8, 0], [0, 0]]

    def test_a_matrix_without_any_value(self, folder: Path) -> None:
        assert not matrix_of(with_matrix(folder, HEADER + "2 3 0\n"), layer="X").any()

    def test_decimals_are_those_of_other_formats(self, folder: Path) -> None:
        text = "%%MatrixMarket matrix coordinate real general\n2 3 2\n1 1 0.1\n2 2 1.6777217e7\n"
        with pytest.raises(DatasetError, match="16777217"):
            matrix_of(with_matrix(folder, text), x="other")
        numbers = matrix_of(with_matrix(folder, text.replace("1.6777217e7", "2.7182818284590455")), x="other")
        assert numbers[0, 0] == np.float32(0.1)
        assert numbers[1, 1] == np.float32(2.7182818284590455)

    def test_cells_in_the_rows_are_said(self, folder: Path) -> None:
        with_matrix(folder, HEADER + "3 2 2\n3 1 5\n1 2 7\n")
        assert matrix_of(folder).tolist() == [[0, 7], [0, 0], [5, 0]]
        assert known(folder).notes == (
            "the matrix has cells in its rows, not in its columns as 10x has them",
        )

    def test_features_that_aren_t_genes_are_left_out(self, tmp_path: Path) -> None:
        cells = made_cells()
        kinds = ["Gene Expression"] * 4 + ["Antibody Capture"] * 2
        path = write_folder(cells, tmp_path / "outs", kinds=kinds)
        assert np.array_equal(matrix_of(path), dense(cells.X)[:, :4])
        assert known(path).notes == ("features that aren't genes were left out: 2 of Antibody Capture",)

    def test_a_table_of_cells_in_the_folder_is_joined(self, tmp_path: Path) -> None:
        cells = made_cells()
        path = write_folder(cells, tmp_path / "outs")
        (path / "cells.csv").rename(path / "metadata.csv")
        assert known(path).obs["cell_type"] == cells.obs["cell_type"].tolist()

    def test_features_of_one_column_are_ids(self, folder: Path) -> None:
        (folder / "features.tsv").write_text("CD3D\nLYZ\n")
        genes = known(with_matrix(folder, HEADER + "2 3 1\n1 1 1\n")).genes
        assert (genes.ids.tolist(), genes.columns) == (["CD3D", "LYZ"], {})


class TestRefusals:
    @pytest.mark.parametrize(
        "kind",
        [
            "coordinate pattern general",
            "coordinate complex general",
            "coordinate integer symmetric",
            "coordinate real skew-symmetric",
            "array real general",
        ],
    )
    def test_kinds_of_matrices_that_no_counts_have(self, folder: Path, kind: str) -> None:
        error = refused(with_matrix(folder, f"%%MatrixMarket matrix {kind}\n2 3 1\n1 1\n"))
        assert f"of kind `{kind}`" in error.message
        assert "coordinate integer general" in error.hint

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("gene,cell\n", "doesn't begin like a Matrix Market file"),
            (HEADER + "2 3\n", "doesn't say of which size"),
            (HEADER, "doesn't say of which size"),
            (HEADER + "2 4 1\n1 1 1\n", "of 2 × 4; beside it lie 2 features and 3 barcodes"),
            (HEADER + "2 3 3\n1 1 1\n2 2 2\n", "says it has 3 values, and has 2"),
            (HEADER + "2 3 1\n1 1 1\n2 2 2\n", "says it has 1 values, and has more"),
            (HEADER + "2 3 2\n", "says it has 2 values, and has 0"),
            (HEADER + "2 3 1\n0 1 1\n", "a value in row 0; rows go from 1 to 2"),
            (HEADER + "2 3 1\n3 1 1\n", "a value in row 3; rows go from 1 to 2"),
            (HEADER + "2 3 1\n1 4 1\n", "a value in column 4; columns go from 1 to 3"),
            (HEADER + "2 3 1\n1.5 1 1\n", "a row that is no whole number"),
            (HEADER + "2 3 1\n1 x 1\n", "a column that is no whole number"),
            (HEADER + "2 3 1\n1 1 many\n", "doesn't hold plain numbers"),
            (HEADER + "2 3 1\n1 1\n", "lines that aren't three numbers"),
            (HEADER + "2 3 2\n1 1 5\n1 2 3 4\n", "can't be read"),
            (HEADER + "2 3 2\n1 1 5\n1 2\n", "doesn't hold counts (it has nan)"),
            (HEADER + "2 3 1\n1 1 nan\n", "doesn't hold counts (it has nan)"),
            (HEADER + "2 3 1\n1 1 16777217\n", "holds 16777217"),
            (HEADER + "2 3 1\n1 1 99999999999999999999999\n", "doesn't hold plain numbers"),
            (HEADER + "2 3 2\n1 1 1\n1 1 2\n", "same gene twice"),
        ],
    )
    def test_matrices_that_lie(self, folder: Path, text: str, said: str) -> None:
        assert said in refused(with_matrix(folder, text)).message

    @pytest.mark.parametrize("name", ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"])
    def test_gzipped_files_that_are_cut_off(self, tmp_path: Path, name: str) -> None:
        path = write_folder(made_cells(400), tmp_path / "outs")
        whole = (path / name).read_bytes()
        (path / name).write_bytes(whole[: len(whole) // 2])
        assert "Compressed file ended" in refused(path).message

    def test_a_gzipped_file_that_is_damaged(self, tmp_path: Path) -> None:
        path = write_folder(made_cells(400), tmp_path / "outs")
        content = bytearray((path / "matrix.mtx.gz").read_bytes())
        content[len(content) // 2] ^= 0xFF
        (path / "matrix.mtx.gz").write_bytes(content)
        assert "can't be read" in refused(path).message

    def test_a_name_that_promises_gzip(self, folder: Path) -> None:
        (folder / "matrix.mtx.gz").write_text(HEADER + "2 3 1\n1 1 1\n")
        assert "Not a gzipped file" in refused(folder).message

    def test_barcodes_that_appear_twice(self, folder: Path) -> None:
        (folder / "barcodes.tsv").write_text("AAAC-1\nAAAC-1\nAAAT-1\n")
        assert "such as 'AAAC-1'" in refused(with_matrix(folder, HEADER + "2 3 1\n1 1 1\n")).message

    @pytest.mark.parametrize("name", ["features.tsv", "barcodes.tsv"])
    def test_a_table_that_is_missing(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        assert f"needs one of {name}" in refused(with_matrix(folder, HEADER + "2 3 0\n")).message

    def test_both_spellings_of_a_table(self, folder: Path) -> None:
        (folder / "genes.tsv").write_text("A\nB\n")
        assert "has features.tsv, genes.tsv" in refused(with_matrix(folder, HEADER + "2 3 0\n")).message

    def test_several_matrices(self, folder: Path) -> None:
        (folder / "GSM1_matrix.mtx").write_text(HEADER)
        error = refused(with_matrix(folder, HEADER))
        assert "holds 2 matrices: GSM1_matrix.mtx, matrix.mtx" in error.message

    def test_an_empty_matrix_file(self, folder: Path) -> None:
        assert "is empty (0 bytes)" in refused(with_matrix(folder, "")).message

    def test_a_layer_that_isn_t_there(self, folder: Path) -> None:
        assert "no layer 'raw'" in refused(with_matrix(folder, HEADER + "2 3 0\n"), layer="raw").message


def test_a_folder_of_gzipped_and_plain_files_is_read(folder: Path) -> None:
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress((HEADER + "2 3 1\n1 1 1\n").encode()))
    assert matrix_of(folder).sum() == 1
