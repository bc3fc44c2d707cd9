"""The .h5 files of 10x, and the table of cells that joins them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from czrun.datasets.catalogue import find_dataset, open_cells
from czrun.datasets.locate import locate
from czrun.errors import DatasetError
from made_cells import dense, made_cells
from made_formats import known, matrix_of, write_old_tenx, write_tenx

KINDS = ["Gene Expression", "Antibody Capture", "Gene Expression", "Gene Expression"]
KINDS += ["CRISPR Guide Capture", "Antibody Capture"]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return write_tenx(made_cells(), tmp_path / "pbmc.h5")


def refused(path: Path, **spec: Any) -> DatasetError:
    """Read all of a file that must be refused; give the error."""
    with pytest.raises(DatasetError) as found:
        matrix_of(path, **spec)
    assert found.value.hint
    return found.value


class TestFeatures:
    def test_that_aren_t_genes_are_left_out_and_said(self, tmp_path: Path) -> None:
        cells = made_cells()
        path = write_tenx(cells, tmp_path / "pbmc.h5", KINDS)
        assert np.array_equal(matrix_of(path), dense(cells.X)[:, [0, 2, 3]])
        found = known(path)
        assert found.genes.ids.tolist() == ["GENE0", "GENE2", "GENE3"]
        assert found.genes.columns["gene_symbol"].tolist()[1] == "symbol GENE2"
        (note,) = found.notes
        assert note == (
            "features that aren't genes were left out: 2 of Antibody Capture, 1 of CRISPR Guide Capture"
        )

    def test_none_of_which_is_a_gene(self, tmp_path: Path) -> None:
        path = write_tenx(made_cells(), tmp_path / "atac.h5", ["Peaks"] * 6)
        assert "no features of type 'Gene Expression', but 6 of Peaks" in refused(path).message

    def test_with_ensembl_ids_have_both_names(self, tmp_path: Path) -> None:
        cells = made_cells(4, 2)
        cells.var_names = ["ENSG00000167286", "ENSG00000090382"]
        genes = known(write_tenx(cells, tmp_path / "pbmc.h5")).genes
        assert genes.kind == "ensembl"
        assert set(genes.columns) == {"gene_symbol", "ensembl_id"}

    def test_without_types_are_all_genes(self, path: Path) -> None:
        with h5py.File(path, "r+") as file:
            del file["matrix/features/feature_type"]
        assert len(known(path).genes.ids) == 6


class TestGenomes:
    def test_one_of_several_has_to_be_named(self, tmp_path: Path) -> None:
        human, mouse = made_cells(), made_cells(40, 9, seed=1)
        path = write_old_tenx({"hg19": human, "mm10": mouse}, tmp_path / "mix.h5")
        error = refused(path)
        assert "a matrix for each of 2 genomes: hg19, mm10" in error.message
        assert "--layer hg19" in error.hint
        assert np.array_equal(matrix_of(path, layer="mm10"), dense(mouse.X))

    def test_the_only_one_is_x(self, tmp_path: Path) -> None:
        cells = made_cells()
        path = write_old_tenx({"hg19": cells}, tmp_path / "one.h5")
        for layer in ("X", "hg19"):
            assert np.array_equal(matrix_of(path, layer=layer), dense(cells.X))
        assert "It has: X, hg19" in refused(path, layer="mm10").hint


class TestBadFiles:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda matrix: matrix["indices"].__setitem__(0, 6), "a value at position 6 of 6"),
            (lambda matrix: matrix["indices"].__setitem__(0, -1), "a value at position -1 of 6"),
            (lambda matrix: matrix["indptr"].__setitem__(1, 10_000), "don't fit together"),
            (lambda matrix: matrix["indptr"].__setitem__(0, 1), "don't fit together"),
            (lambda matrix: matrix["indptr"].__setitem__(-1, 10_000), "don't fit together"),
            (lambda matrix: matrix["shape"].__setitem__(1, 41), "of 41 barcodes, and 40 are listed"),
            (lambda matrix: matrix["shape"].__setitem__(0, 7), "of 7 features, and 6 are listed"),
            (lambda matrix: matrix["indices"].__setitem__(slice(0, 2), [1, 1]), "same gene twice"),
            (lambda matrix: matrix["barcodes"].__setitem__(1, b"cell_000"), "such as 'cell_000'"),
            (lambda matrix: matrix["data"].__setitem__(0, -3), "doesn't hold counts (it has -3)"),
            (lambda matrix: matrix["data"].__setitem__(0, 2**24 + 1), "holds 16777217"),
        ],
    )
    def test_damaged_ones(self, path: Path, change: Callable[[Any], None], said: str) -> None:
        with h5py.File(path, "r+") as file:
            if "same gene" in said:
                file["matrix/indptr"][:2] = [0, 2]
            change(file["matrix"])
        assert said in refused(path).message

    def test_other_hdf5(self, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "weights.h5", "w") as file:
            file["layer/kernel"] = [1.0]
        assert "neither AnnData nor of the layout of 10x" in refused(tmp_path / "weights.h5").message

    def test_truncated_ones(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-500])
        assert "is cut off" in refused(path).message

    def test_a_layer_that_isn_t_there(self, path: Path) -> None:
        assert "has no layer 'counts'" in refused(path, layer="counts").message


class TestTable:
    @pytest.mark.parametrize("name", ["pbmc.cells.csv", "pbmc.metadata.csv.gz", "pbmc.obs.tsv"])
    def test_beside_the_file_is_found(self, path: Path, name: str) -> None:
        cells = made_cells()
        (path.parent / "pbmc.cells.csv").unlink()
        cells.obs.to_csv(path.parent / name, index_label="Barcode", sep="\t" if "tsv" in name else ",")
        assert known(path).obs["cell_type"] == cells.obs["cell_type"].tolist()

    @pytest.mark.usefixtures("path")
    def test_named_in_a_yaml_lies_where_it_likes(self, tmp_path: Path) -> None:
        (tmp_path / "pbmc.cells.csv").rename(tmp_path / "clusters.txt")
        (tmp_path / "pbmc.yaml").write_text("path: pbmc.h5\nobs_table: clusters.txt\n")
        spec = find_dataset(str(tmp_path / "pbmc.yaml"))
        assert open_cells(spec).columns == ("cell_type", "donor_id")
        before = locate(spec).sha256
        with (tmp_path / "clusters.txt").open("a") as file:
            file.write("another,B cell,donor_0\n")
        assert locate(spec).sha256 != before

    def test_is_joined_by_id_not_by_order(self, path: Path) -> None:
        cells = made_cells()
        cells.obs[::-1].to_csv(path.parent / "pbmc.cells.csv")
        assert known(path).obs["donor_id"] == cells.obs["donor_id"].tolist()

    def test_keeps_texts_as_they_are(self, path: Path) -> None:
        table = path.parent / "pbmc.cells.csv"
        table.write_text("barcode,a,b\ncell_000,01,NA\ncell_001,1.0,\n")
        found = known(path).obs
        assert found["a"][:3] == ["01", "1.0", None]
        assert found["b"][:2] == ["NA", None]

    def test_says_which_cells_it_lacks_and_has_besides(self, path: Path) -> None:
        table = path.parent / "pbmc.cells.csv"
        table.write_text("barcode,label\ncell_001,B\nother_1,T\nother_2,T\n")
        assert known(path).notes == (
            "pbmc.cells.csv says nothing of 39 of 40 cells",
            "2 rows of pbmc.cells.csv are of cells that the matrix doesn't have",
        )

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"barcode,label\ncell_001,B\ncell_001,T\n", "stand there twice or more, such as 'cell_001'"),
            (b"barcode,label\nAAAC-1,B\n", "there 'AAAC-1', here 'cell_000'"),
            (b"barcode,label\ncell_001,B\n,T\n", "1 rows have no 'barcode'"),
            (b"barcode,label\n", "has no rows"),
            (b"", "can't be read as a table"),
            (b"barcode,label\ncell_001,\xe9\n", "can't be read as a table"),
            (b"barcode,label\ncell_001,B\ncell_002,B,C,D\n", "can't be read as a table"),
        ],
    )
    def test_that_can_t_be_joined(self, path: Path, content: bytes, said: str) -> None:
        (path.parent / "pbmc.cells.csv").write_bytes(content)
        assert said in refused(path).message

    def test_isn_t_chosen_among_several(self, path: Path) -> None:
        (path.parent / "pbmc.obs.csv").write_text("barcode,x\ncell_001,y\n")
        assert "2 tables of cells: pbmc.cells.csv, pbmc.obs.csv" in refused(path).message

    def test_that_isn_t_there(self, path: Path) -> None:
        assert "There is no table" in refused(path, obs_table=Path("none.csv")).message

    def test_of_another_file_isn_t_taken(self, path: Path) -> None:
        (path.parent / "pbmc.cells.csv").rename(path.parent / "other.cells.csv")
        assert known(path).obs == {}


def test_a_count_that_float32_just_has_is_kept(tmp_path: Path) -> None:
    cells = made_cells(2, 2)
    cells.X = sparse.csr_matrix(np.array([[2**24, 2**26], [1, 0]], dtype=np.float64))
    assert matrix_of(write_tenx(cells, tmp_path / "large.h5")).tolist() == [[2**24, 2**26], [1, 0]]
