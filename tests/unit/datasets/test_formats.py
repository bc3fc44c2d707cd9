"""The same cells give the same blocks and the same prepared data, whatever format they come in."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asked import asked
from czrun.datasets.catalogue import find_dataset
from czrun.datasets.locate import locate
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError, StorageError
from czrun.evaluation import run_evaluation
from czrun.manifest import PrepareRequest
from czrun.split_plan import SplitPlan
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from fake_engine import FakeEngine
from made_cells import dense, made_cells, prepared, read
from made_formats import FORMATS, blocks_of, cells_with_an_empty_one, known, matrix_of, opened

BY_NAME = pytest.mark.parametrize("name", FORMATS)


@pytest.fixture(name="small_blocks")
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("czrun.row_blocks.BLOCK_VALUES", 12)


def _request(path: Path) -> PrepareRequest:
    located = locate(DatasetSpec(name="cells", path=path))
    return PrepareRequest(located.spec, located.sha256, CELL_TYPE_CLASSIFICATION, SplitPlan())


def _rows(folder: Path, file: str) -> Iterator[tuple[Any, ...]]:
    cells = read(folder / file)
    labels = cells.obs.get("label", [""] * cells.n_obs)
    for label, row in zip(labels, dense(cells.X).tolist(), strict=True):
        yield (str(label), *row)


class TestEveryFormat:
    @BY_NAME
    def test_gives_the_same_bytes(self, tmp_path: Path, name: str) -> None:
        cells = cells_with_an_empty_one()
        (block,) = blocks_of(FORMATS[name](cells, tmp_path))
        for mine, theirs, dtype in (
            (block.data, cells.X.data, np.float32),
            (block.indices, cells.X.indices, np.int32),
            (block.indptr, cells.X.indptr, np.int64),
        ):
            assert mine.dtype == dtype
            assert mine.tobytes() == theirs.astype(dtype).tobytes()

    @BY_NAME
    @pytest.mark.usefixtures("small_blocks")
    def test_is_read_in_bounded_blocks(self, tmp_path: Path, name: str) -> None:
        cells = cells_with_an_empty_one()
        path = FORMATS[name](cells, tmp_path)
        assert len(blocks_of(path)) > 5
        assert np.array_equal(matrix_of(path), dense(cells.X))

    @BY_NAME
    def test_gives_the_same_cells_genes_and_columns(self, tmp_path: Path, name: str) -> None:
        cells = cells_with_an_empty_one()
        found = known(FORMATS[name](cells, tmp_path))
        assert found.cells == list(cells.obs_names)
        assert found.genes.ids.tolist() == list(cells.var_names)
        assert found.obs == {key: cells.obs[key].tolist() for key in cells.obs}
        assert found.x == "counts"

    @BY_NAME
    def test_is_prepared_to_the_same_cells(self, tmp_path: Path, name: str) -> None:
        cells = cells_with_an_empty_one()
        folder, manifest = prepared(_request(FORMATS[name](cells, tmp_path)))
        names = json.loads((folder / "truth" / "v0.json").read_text())["obs_names"]
        test = cells[names]
        assert (manifest.n_fit, manifest.n_predict, manifest.facts.n_vars) == (32, 8, 6)
        assert np.array_equal(dense(read(folder / "predict" / "v0.h5ad").X), dense(test.X))
        rest = cells[~cells.obs_names.isin(names)]
        expected = [
            (label, *row) for label, row in zip(rest.obs["cell_type"], dense(rest.X).tolist(), strict=True)
        ]
        assert sorted(_rows(folder, "fit/train.h5ad")) == sorted(expected)

    @BY_NAME
    def test_is_evaluated_on_by_its_path_alone(self, tmp_path: Path, name: str) -> None:
        path = FORMATS[name](cells_with_an_empty_one(), tmp_path)
        result = run_evaluation(asked("model:1", path, tmp_path / "runs"), connect=FakeEngine)
        assert (result.record.dataset.n_fit, result.record.dataset.n_predict) == ((32,), (8,))

    @BY_NAME
    def test_leaves_no_temporary_file(self, tmp_path: Path, home: Path, name: str) -> None:
        with opened(FORMATS[name](cells_with_an_empty_one(), tmp_path)) as source:
            next(iter(source.blocks()))
            assert [path for path in home.rglob("*") if path.is_file()] == []


class TestHashes:
    @pytest.mark.parametrize("name", ["folder", "zarr3"])
    def test_of_a_folder_don_t_hang_on_its_place(self, tmp_path: Path, name: str) -> None:
        path = FORMATS[name](cells_with_an_empty_one(), tmp_path)
        before = locate(find_dataset(str(path))).sha256
        moved = path.rename(tmp_path / f"moved{path.suffix}")
        assert locate(find_dataset(str(moved))).sha256 == before

    @pytest.mark.parametrize("name", ["folder", "zarr3"])
    def test_of_a_folder_change_with_every_file_in_it(self, tmp_path: Path, name: str) -> None:
        path = FORMATS[name](cells_with_an_empty_one(), tmp_path)
        hashes = [locate(find_dataset(str(path))).sha256]
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            file.write_bytes(file.read_bytes() + b"\n")
            hashes.append(locate(find_dataset(str(path))).sha256)
        assert len(set(hashes)) == len(hashes)

    def test_change_with_the_table_beside_a_file(self, tmp_path: Path) -> None:
        path = FORMATS["tenx"](cells_with_an_empty_one(), tmp_path)
        before = locate(find_dataset(str(path))).sha256
        table = tmp_path / "cells.cells.csv"
        table.write_text(table.read_text().replace("B cell", "Plasma cell"))
        assert locate(find_dataset(str(path))).sha256 != before


class TestDisk:
    @pytest.fixture
    def _small_files_only(self) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    @pytest.fixture(name="path", params=["folder", "h5ad-csc", "zarr-csc"])
    def _path(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        return FORMATS[request.param](made_cells(400), tmp_path)

    @pytest.mark.usefixtures("path", "_small_files_only")
    def test_a_full_one_is_told(self, path: Path) -> None:
        with pytest.raises(StorageError, match="No space is left") as refused:
            blocks_of(path)
        assert refused.value.hint


class TestUnknown:
    def test_files_of_another_format(self, tmp_path: Path) -> None:
        (tmp_path / "cells.rds").write_bytes(b"x")
        with pytest.raises(DatasetError, match="no format that is read") as refused:
            find_dataset(str(tmp_path / "cells.rds"))
        assert all(known in refused.value.hint for known in (".h5ad", "10x", "matrix.mtx", ".loom", ".zarr"))

    def test_a_matrix_alone_says_nothing_of_genes(self, tmp_path: Path) -> None:
        (tmp_path / "matrix.mtx.gz").write_bytes(b"x")
        with pytest.raises(DatasetError, match="no format") as refused:
            find_dataset(str(tmp_path / "matrix.mtx.gz"))
        assert "Name its folder" in refused.value.hint

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="is a folder without matrix") as refused:
            locate(find_dataset(str(tmp_path)))
        assert refused.value.hint
