"""Reading a user's .h5ad in every spelling, and writing a model's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from czrun.cells import Genes, RowBlock
from czrun.errors import DatasetError
from czrun.h5ad import AnnDataReader
from czrun.model_input import Categorical, H5adWriter
from made_cells import dense, made_cells, read, written


def matrix_of(path: Path, layer: str = "X") -> Any:
    reader = AnnDataReader(path, layer)
    blocks = list(reader.blocks())
    data = np.concatenate([block.data for block in blocks])
    indices = np.concatenate([block.indices for block in blocks])
    nnz = np.concatenate([np.diff(block.indptr) for block in blocks])
    assert np.array_equal(nnz, reader.row_nnz())
    assert data.dtype == np.float32
    assert indices.dtype == np.int32
    assert [block.start for block in blocks] == [0, *np.cumsum([len(b.indptr) - 1 for b in blocks])[:-1]]
    found = sparse.csr_matrix((data, indices, [0, *np.cumsum(nnz)]), shape=(reader.n_obs, reader.n_vars))
    assert found.has_sorted_indices
    reader.close()
    return dense(found)


class TestMatrices:
    @pytest.mark.parametrize(
        "spell",
        [
            sparse.csr_matrix,
            sparse.csc_matrix,
            dense,
            lambda x: x.astype(np.float64),
            lambda x: x.astype(np.int64),
            lambda x: x.astype(np.uint16),
            lambda x: dense(x).astype(np.int32),
        ],
        ids=["csr", "csc", "dense", "float64", "int64", "uint16", "dense-int32"],
    )
    def test_every_spelling_reads_the_same(self, tmp_path: Path, spell: Callable[[Any], Any]) -> None:
        cells = made_cells()
        expected = dense(cells.X)
        cells.X = spell(cells.X)
        assert np.array_equal(matrix_of(written(cells, tmp_path / "cells.h5ad")), expected)

    def test_unsorted_columns_are_sorted(self, tmp_path: Path) -> None:
        cells = made_cells(3, 4)
        cells.X = sparse.csr_matrix((np.float32([1, 2, 3]), [3, 0, 1], [0, 2, 2, 3]), shape=(3, 4))
        assert matrix_of(written(cells, tmp_path / "cells.h5ad")).tolist() == [
            [2, 0, 0, 1],
            [0, 0, 0, 0],
            [0, 3, 0, 0],
        ]

    def test_a_gene_named_twice_in_a_cell_is_refused(self, tmp_path: Path) -> None:
        cells = made_cells(2, 4)
        cells.X = sparse.csr_matrix((np.float32([1, 2]), [1, 1], [0, 2, 2]), shape=(2, 4))
        with pytest.raises(DatasetError, match="same gene twice") as refused:
            matrix_of(written(cells, tmp_path / "cells.h5ad"))
        assert "sum_duplicates" in refused.value.hint

    def test_raw_and_layers_are_read_by_name(self, tmp_path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X * 2
        cells.raw = cells.copy()
        cells = cells[:, :4].copy()
        path = written(cells, tmp_path / "cells.h5ad")
        assert np.array_equal(matrix_of(path, "counts"), 2 * dense(cells.X))
        assert np.array_equal(matrix_of(path, "raw"), dense(cells.raw.X))
        assert AnnDataReader(path, "raw").genes().ids.tolist() == list(cells.raw.var_names)
        assert AnnDataReader(path).layers == ("X", "raw", "counts")

    def test_a_file_without_x_is_read_by_layer(self, tmp_path: Path) -> None:
        cells = made_cells()
        cells.layers["counts"] = cells.X
        cells.X = None
        path = written(cells, tmp_path / "cells.h5ad")
        assert np.array_equal(matrix_of(path, "counts"), dense(cells.layers["counts"]))
        with pytest.raises(DatasetError, match="no layer 'X'") as refused:
            AnnDataReader(path)
        assert "counts" in refused.value.hint

    def test_blocks_are_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("czrun.row_blocks.BLOCK_VALUES", 12)
        cells = made_cells(50, 6)
        for spelt in (cells.X, dense(cells.X)):
            expected = dense(cells.X)
            cells.X = spelt
            path = written(cells, tmp_path / "cells.h5ad")
            assert np.array_equal(matrix_of(path), expected)
            assert all(len(block.data) <= 12 for block in AnnDataReader(path).blocks())


class TestColumns:
    @pytest.mark.parametrize(
        ("values", "texts"),
        [
            ([1, 2, 3], ["1", "2", "3"]),
            ([True, False, True], ["True", "False", "True"]),
            ([1.0, np.nan, 2.5], ["1.0", None, "2.5"]),
            (["a", "b", "ü"], ["a", "b", "ü"]),
            (pd.Categorical(["a", None, "b"]), ["a", None, "b"]),
            (pd.Categorical([3, 1, None]), ["3", "1", None]),
            (pd.array([1, None, 3], dtype="Int64"), ["1", None, "3"]),
            (pd.array([True, None, False], dtype="boolean"), ["True", None, "False"]),
            (pd.Categorical(["", "nan", "a"]), ["", "nan", "a"]),
        ],
        ids=["int", "bool", "float", "text", "categorical", "int-categories", "Int64", "boolean", "empty"],
    )
    def test_every_kind_reads_as_text_with_none_where_missing(
        self, tmp_path: Path, values: Any, texts: list[str | None]
    ) -> None:
        path = written(made_cells(3, 2, odd=values), tmp_path / "cells.h5ad")
        assert AnnDataReader(path).column("odd").tolist() == texts

    def test_names_and_order_of_the_columns(self, tmp_path: Path) -> None:
        path = written(made_cells(tissue="blood"), tmp_path / "cells.h5ad")
        assert AnnDataReader(path).columns == ("cell_type", "donor_id", "tissue")

    def test_gene_symbols_and_ensembl_ids_are_found_under_their_usual_names(self, tmp_path: Path) -> None:
        cells = made_cells(4, 2)
        cells.var["feature_name"] = ["CD3D", "LYZ"]
        cells.var["gene_ids"] = ["ENSG00000167286", "ENSG00000090382"]
        genes = AnnDataReader(written(cells, tmp_path / "cells.h5ad")).genes()
        assert genes.columns["gene_symbol"].tolist() == ["CD3D", "LYZ"]
        assert genes.columns["ensembl_id"].tolist() == ["ENSG00000167286", "ENSG00000090382"]
        assert genes.kind == "symbol"

    def test_a_named_index_is_found(self, tmp_path: Path) -> None:
        cells = made_cells(3, 2)
        cells.obs.index.name = "barcode"
        path = written(cells, tmp_path / "cells.h5ad")
        assert AnnDataReader(path).obs_names().tolist() == ["cell_000", "cell_001", "cell_002"]

    @pytest.mark.parametrize(
        ("ids", "kind"),
        [
            (["ENSG00000167286", "ENSMUSG00000032093.7"], "ensembl"),
            (["CD3D", "LYZ"], "symbol"),
            (["ENSG00000167286", "LYZ"], "symbol"),
        ],
    )
    def test_ensembl_ids_are_recognised(self, ids: list[str], kind: str) -> None:
        assert Genes(np.array(ids, dtype=object), {}).kind == kind


def write_legacy(path: Path) -> None:
    """Write what anndata 0.6 wrote: compound frames, categories in uns, h5sparse matrices, raw.X."""
    index = [(f"cell_{i}".encode(), i % 2, 0.5 * i) for i in range(4)]
    obs = np.array(index, dtype=[("index", "S10"), ("cell_type", "i1"), ("score", "f4")])
    counts = sparse.csr_matrix(np.arange(12, dtype=np.float32).reshape(4, 3) % 5)

    def put(file: h5py.File, name: str, matrix: Any) -> None:
        group = file.create_group(name)
        group.attrs["h5sparse_format"] = "csr"
        group.attrs["h5sparse_shape"] = np.array(matrix.shape)
        for part in ("data", "indices", "indptr"):
            group.create_dataset(part, data=getattr(matrix, part), maxshape=(None,), chunks=True)

    with h5py.File(path, "w") as file:
        put(file, "X", counts[:, :2].tocsr())
        put(file, "raw.X", counts)
        file["obs"] = obs
        file["var"] = np.array([(b"A", 1), (b"B", 2)], dtype=[("index", "S5"), ("n", "i4")])
        file["raw.var"] = np.array([(b"A",), (b"B",), (b"C",)], dtype=[("index", "S5")])
        kinds = file.create_group("uns")
        kinds.create_dataset("cell_type_categories", data=np.array([b"B cell", b"T cell"]))


class TestOtherWriters:
    def test_a_file_of_anndata_0_6(self, tmp_path: Path) -> None:
        path = tmp_path / "old.h5ad"
        write_legacy(path)
        reader = AnnDataReader(path)
        assert (reader.n_obs, reader.n_vars) == (4, 2)
        assert reader.obs_names().tolist() == ["cell_0", "cell_1", "cell_2", "cell_3"]
        assert reader.column("cell_type").tolist() == ["B cell", "T cell"] * 2
        assert reader.columns == ("cell_type", "score")
        assert reader.genes().ids.tolist() == ["A", "B"]
        assert matrix_of(path).tolist() == [[0, 1], [3, 4], [1, 2], [4, 0]]

    def test_the_raw_part_of_a_file_of_anndata_0_6(self, tmp_path: Path) -> None:
        path = tmp_path / "old.h5ad"
        write_legacy(path)
        assert AnnDataReader(path, "raw").genes().ids.tolist() == ["A", "B", "C"]
        assert matrix_of(path, "raw").tolist() == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]]

    def test_real_files_read_as_anndata_reads_them(self, real_data: Callable[[str], Path]) -> None:
        path = real_data("puram2017_headneck_tumor_180cells")
        cells, reader = read(path), AnnDataReader(path)
        assert reader.columns == tuple(cells.obs.columns)
        assert reader.column("cell_type").tolist() == cells.obs["cell_type"].tolist()
        assert np.array_equal(matrix_of(path), dense(cells.X).astype(np.float32))


def _empty_rows(n_rows: int) -> RowBlock:
    return RowBlock(0, np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(n_rows + 1, np.int64))


class TestWriter:
    def test_a_file_that_anndata_reads_with_nothing_but_what_was_given(self, tmp_path: Path) -> None:
        path = tmp_path / "model.h5ad"
        genes = Genes(
            np.array(["g1", "g2", "g3"], dtype=object),
            {"gene_symbol": np.array(["A", None, "C"], dtype=object)},
        )
        label = Categorical(np.array([1, 0], dtype=np.int32), ("B cell", "T cell"))
        ids = np.array([b"c1", b"c2"], dtype="S16")
        block = RowBlock(0, np.float32([5, 7]), np.int32([0, 2]), np.array([0, 0, 2]))
        with H5adWriter(path, ids, genes, {"label": label}, np.array([2, 0])) as writer:
            writer.append(np.array([1, 0]), block, np.array([0, 1]))
        cells = read(path)
        assert dense(cells.X).tolist() == [[5, 0, 7], [0, 0, 0]]
        assert cells.obs_names.tolist() == ["c1", "c2"]
        assert cells.obs["label"].tolist() == ["T cell", "B cell"]
        assert cells.var["gene_symbol"].tolist() == ["A", "", "C"]
        assert not any(
            len(getattr(cells, slot)) for slot in ("uns", "obsm", "obsp", "varm", "varp", "layers")
        )
        assert cells.raw is None

    def test_cells_without_any_count_are_fine(self, tmp_path: Path) -> None:
        path = tmp_path / "model.h5ad"
        genes = Genes(np.array(["g1"], dtype=object), {})
        with H5adWriter(path, np.array([b"c1", b"c2"]), genes, {}, np.array([0, 0])) as writer:
            writer.append(np.arange(2), _empty_rows(2), np.arange(2))
        assert dense(read(path).X).tolist() == [[0], [0]]

    def test_many_classes_keep_their_codes(self, tmp_path: Path) -> None:
        path = tmp_path / "model.h5ad"
        names = tuple(f"type {i}" for i in range(200))
        label = Categorical(np.arange(200, dtype=np.int32), names)
        ids = np.array([f"c{i}" for i in range(200)], dtype=object)
        none = np.zeros(200, dtype=np.int64)
        with H5adWriter(path, ids.astype("S16"), Genes(ids[:1], {}), {"label": label}, none) as writer:
            writer.append(np.arange(200), _empty_rows(200), np.arange(200))
        assert tuple(read(path).obs["label"]) == names

    def test_a_file_is_never_overwritten(self, tmp_path: Path) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        with pytest.raises(FileExistsError):
            H5adWriter(
                path,
                np.array([b"c"]),
                Genes(np.array(["g"], dtype=object), {}),
                {},
                np.array([0]),
            )


class TestBadFiles:
    def test_a_damaged_piece_is_a_data_set_error(self, tmp_path: Path) -> None:
        path = tmp_path / "cells.h5ad"
        made_cells(400, 50).write_h5ad(path, compression="gzip")
        with h5py.File(path) as file:
            data = file["X/data"]
            chunk = data.id.get_chunk_info(0)
        with path.open("r+b") as raw:
            raw.seek(chunk.byte_offset)
            raw.write(b"\xff" * chunk.size)
        with pytest.raises(DatasetError, match="can't be read") as refused:
            matrix_of(path)
        assert refused.value.hint

    @pytest.mark.parametrize(
        "lay_out",
        [
            lambda file: file.update({"X": np.zeros(4), "obs/_index": [b"a"], "var/_index": [b"g"]}),
            lambda file: file.update({"X/data": np.zeros(4), "obs/_index": [b"a"], "var/_index": [b"g"]}),
            lambda file: file.update({"X": np.zeros((1, 1)), "obs/x": [1], "var/x": [1]}),
            lambda file: file.update({"X": np.zeros((1, 1)), "obs": 5, "var": 6}),
            lambda file: file.update({"X": [[b"text"]], "obs/_index": [b"a"], "var/_index": [b"g"]}),
        ],
        ids=["one-axis", "no-shape", "no-index", "scalars", "text"],
    )
    def test_odd_layouts_are_data_set_errors(self, tmp_path: Path, lay_out: Callable[[Any], None]) -> None:
        path = tmp_path / "odd.h5ad"
        with h5py.File(path, "w") as file:
            lay_out(file)
        with pytest.raises(DatasetError) as refused:
            matrix_of(path)
        assert str(path) in refused.value.message
        assert refused.value.hint

    def test_obs_of_another_length_than_x(self, tmp_path: Path) -> None:
        path = written(made_cells(4, 2), tmp_path / "cells.h5ad")
        with h5py.File(path, "r+") as file:
            del file["obs"]["_index"]
            file["obs"].create_dataset("_index", data=["a", "b", "c"], dtype=h5py.string_dtype())
            file["obs"]["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        with pytest.raises(DatasetError, match="X has 4 rows, obs has 3"):
            AnnDataReader(path)

    def test_a_file_that_failed_to_open_is_not_kept_open(self, tmp_path: Path) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        with pytest.raises(DatasetError):
            AnnDataReader(path, "counts")
        with h5py.File(path, "r+") as file:
            assert "X" in file
