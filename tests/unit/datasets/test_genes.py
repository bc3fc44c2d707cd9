"""Gene ids of one kind, without versions, each once: whatever was changed is said, and sums are sums."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from czrun.cells import Genes, Texts
from czrun.contract.job import XKind
from czrun.datasets.catalogue import open_cells
from czrun.datasets.genes import TidyGenes, organism_of, tidy_genes, without_version
from czrun.datasets.local import LocalCells
from czrun.datasets.mapped_cells import KeptCells
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from made_cells import dense, made_cells, matrix, prepared, read, request_for, written


def texts(*values: str | None) -> Texts:
    return np.array(values, dtype=object)


def tidy(*ids: str | None, x: XKind = XKind.COUNTS, **columns: Texts) -> TidyGenes:
    return tidy_genes(Genes(texts(*ids), columns), x, "pbmc")


class TestIds:
    @pytest.mark.parametrize(
        ("gene", "without"),
        [
            ("ENSG00000000003.14", "ENSG00000000003"),
            ("ENSMUSG00000000001.4", "ENSMUSG00000000001"),
            ("ENSG00000002586.20_PAR_Y", "ENSG00000002586_PAR_Y"),
            ("AC012.1", "AC012.1"),
            ("Gm1992", "Gm1992"),
        ],
    )
    def test_versions_are_those_of_ensembl(self, gene: str, without: str) -> None:
        assert without_version(gene) == without

    def test_versions_taken_off_are_counted(self) -> None:
        found = tidy("ENSG00000000003.14", "ENSG00000000005")
        assert found.genes.ids.tolist() == ["ENSG00000000003", "ENSG00000000005"]
        assert found.notes == ("the versions of 1 Ensembl gene ids were taken off",)

    def test_a_copy_on_y_is_a_gene_of_its_own(self) -> None:
        found = tidy("ENSG00000002586.20", "ENSG00000002586.20_PAR_Y")
        assert found.targets.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("ids", "organism"),
        [
            (["ENSG00000000003"], "homo_sapiens"),
            (["ENSMUSG00000000001.4"], "mus_musculus"),
            (["ENSG00000000003", "ENSMUSG00000000001"], None),
            (["TP53"], None),
        ],
    )
    def test_ensembl_ids_say_the_organism(self, ids: list[str], organism: str | None) -> None:
        assert organism_of(ids) == organism

    def test_nothing_to_change_says_nothing(self) -> None:
        assert tidy("TP53", "CD3E").notes == ()


class TestTwoKinds:
    IDS = ("ENSG00000000003", "ENSG00000000005", "TP53", "CD3E")

    def test_they_are_refused_with_examples(self) -> None:
        with pytest.raises(DatasetError, match="such as 'ENSG00000000003', and 2 by symbols, such as 'TP53'"):
            tidy(*self.IDS)

    def test_a_column_that_names_all_is_taken_instead(self) -> None:
        found = tidy(*self.IDS, gene_symbol=texts("TSPAN6", "TNMD", "TP53", "CD3E"))
        assert found.genes.ids.tolist() == ["TSPAN6", "TNMD", "TP53", "CD3E"]
        assert "genes go by the symbols of a column of var" in found.notes[0]

    def test_a_few_symbols_without_a_name_are_no_second_kind(self) -> None:
        ids = [f"GENE{n}" for n in range(19)] + ["ENSG00000000003"]
        assert tidy(*ids).notes == ()


class TestRepeatedIds:
    def test_counts_of_the_same_id_are_summed(self) -> None:
        found = tidy("A", "B", "A")
        assert found.genes.ids.tolist() == ["A", "B"]
        assert found.targets.tolist() == [0, 1, 0]
        assert found.notes == ("1 gene ids appear twice or more, such as 'A': their counts were summed",)

    def test_of_logarithms_the_first_is_kept(self) -> None:
        found = tidy("A", "B", "A", x=XKind.LOG1P)
        assert found.targets.tolist() == [0, 1, -1]
        assert "the first of each was kept, X holds log1p, which can't be summed" in found.notes[0]

    def test_ensembl_ids_that_tell_them_apart_are_taken_instead(self) -> None:
        ensembl = texts("ENSG00000000003.1", "ENSG00000000005.1", "ENSG00000000419.1")
        found = tidy("A", "B", "A", ensembl_id=ensembl)
        assert found.genes.ids.tolist() == ["ENSG00000000003", "ENSG00000000005", "ENSG00000000419"]
        assert found.genes.columns["gene_symbol"].tolist() == ["A", "B", "A"]
        assert found.targets.tolist() == [0, 1, 2]

    def test_genes_without_an_id_are_left_out(self) -> None:
        found = tidy("A", None, "", "B")
        assert found.genes.ids.tolist() == ["A", "B"]
        assert found.notes == ("2 genes without an id were left out",)


class TestOnTheWay:
    def test_sums_are_those_of_the_columns_and_rows_have_room(self, tmp_path: Path) -> None:
        cells = made_cells(n_obs=30, n_vars=5)
        cells.var_names = ["C", "A", "C", "B", "A"]
        spec = DatasetSpec(name="cells", path=written(cells, tmp_path / "cells.h5ad"))
        source = open_cells(spec)
        X = dense(cells.X)
        wanted = np.stack([X[:, 0] + X[:, 2], X[:, 1] + X[:, 4], X[:, 3]], axis=1)
        assert source.genes().ids.tolist() == ["C", "A", "B"]
        assert np.array_equal(matrix(source), wanted)
        assert source.row_nnz().tolist() == (wanted > 0).sum(axis=1).tolist()
        assert all((np.diff(b.indices[s:e]) > 0).all() for b in source.blocks() for s, e in _rows(b.indptr))
        source.close()

    def test_a_file_with_nothing_to_change_is_read_as_before(self, tmp_path: Path) -> None:
        spec = DatasetSpec(name="cells", path=written(made_cells(), tmp_path / "cells.h5ad"))
        source = open_cells(spec)
        assert isinstance(source, LocalCells)
        source.close()

    def test_models_get_each_gene_once_and_the_manifest_says_why(self, tmp_path: Path) -> None:
        cells = made_cells(n_obs=40, n_vars=4)
        cells.var_names = ["A", "B", "A", "C"]
        request = request_for(written(cells, tmp_path / "cells.h5ad"))
        folder, manifest = prepared(request)
        seen = read(folder / "fit" / "train.h5ad")
        assert list(seen.var_names) == ["A", "B", "C"]
        total = dense(seen.X).sum() + dense(read(folder / "predict" / "v0.h5ad").X).sum()
        assert total == dense(cells.X).sum()
        assert any("their counts were summed" in note for note in manifest.notes)

    def test_some_cells_of_a_source_are_those_cells(self, tmp_path: Path) -> None:
        cells = made_cells(n_obs=30)
        source = LocalCells(DatasetSpec(name="cells", path=written(cells, tmp_path / "cells.h5ad")))
        rows = np.array([2, 3, 17, 29])
        kept = KeptCells(source, rows)
        assert np.array_equal(matrix(kept), dense(cells.X)[rows])
        assert kept.row_nnz().tolist() == (dense(cells.X)[rows] > 0).sum(axis=1).tolist()
        assert kept.obs_names().tolist() == cells.obs_names[rows].tolist()
        kept.close()


def test_a_real_file_with_symbols_and_ensembl_ids(real_data: Callable[[str], Path]) -> None:
    source = open_cells(DatasetSpec(name="tian", path=real_data("tian2019_scmixology_5batches")))
    assert source.genes().kind == "ensembl"
    assert source.notes == ()
    source.close()


def _rows(indptr: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True))
