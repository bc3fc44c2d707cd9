"""Data sets by name, by file and by YAML."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import czrun.datasets
from asked import asked
from czrun.contract.job import XKind
from czrun.datasets.catalogue import DEFAULT_DATASET, find_dataset, named_datasets, open_cells
from czrun.datasets.spec import read_spec
from czrun.datasets.summary import summarise
from czrun.errors import DatasetError, UsageError
from czrun.evaluation import run_evaluation
from czrun.split_plan import SplitKind, SplitPlan
from fake_engine import FakeEngine
from made_cells import made_cells, written


class TestSample:
    def test_it_is_what_its_readme_says(self) -> None:
        readme = (Path(czrun.datasets.__file__).parent / "bundled" / "README.md").read_text()
        cells = open_cells(find_dataset(DEFAULT_DATASET))
        sizes = re.search(r"(\d+) peripheral blood mononuclear cells × (\d+) genes", readme)
        assert sizes is not None
        assert (cells.n_obs, cells.n_vars) == (700, 765) == tuple(int(size) for size in sizes.groups())
        assert all(f"`{column}`" in readme for column in cells.columns)
        assert cells.x is XKind.LOG1P
        assert "log1p" in readme

    def test_its_numbers_are_log1p_of_normalised_counts(self) -> None:
        (block,) = open_cells(find_dataset(DEFAULT_DATASET)).blocks()
        assert block.data.dtype == np.float32
        assert np.all(block.data > 0)
        assert block.data.max() < 10
        assert not np.all(block.data == np.floor(block.data))
        assert len(block.indptr) == 701
        assert block.indices.max() == 764

    def test_its_columns_and_ids_are_whole(self) -> None:
        cells = open_cells(find_dataset(DEFAULT_DATASET))
        assert len(set(cells.obs_names())) == 700
        assert len(set(cells.genes().ids)) == 765
        assert cells.genes().kind == "symbol"
        assert len(set(cells.column("bulk_labels"))) == 10
        assert np.array_equal(cells.row_nnz(), np.diff(next(iter(cells.blocks())).indptr))

    def test_an_unknown_column(self) -> None:
        with pytest.raises(DatasetError, match="no obs column 'cell_type'") as refused:
            open_cells(find_dataset(DEFAULT_DATASET)).column("cell_type")
        assert "bulk_labels" in refused.value.hint

    def test_it_ships_with_its_label_and_papers(self) -> None:
        spec = named_datasets()[DEFAULT_DATASET]
        assert spec.key_for("label") == "bulk_labels"
        assert spec.source
        assert spec.license


class TestFinding:
    def test_a_mistyped_name_gets_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="no data set or file 'pbmc68k'") as refused:
            find_dataset("pbmc68k")
        assert "Did you mean 'pbmc68k_reduced'" in refused.value.hint

    def test_a_file_is_known_by_its_own_name(self, tmp_path: Path) -> None:
        path = written(made_cells(), tmp_path / "kang.h5ad")
        assert find_dataset(str(path)).name == "kang"

    def test_the_user_s_home_is_understood(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert find_dataset("~/kang.h5ad").path == tmp_path / "kang.h5ad"


class TestYaml:
    def test_its_path_is_relative_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "kang.yaml").write_text("path: data/cells.h5ad\nobs: {label: cell}\nx: counts\n")
        spec = find_dataset(str(tmp_path / "kang.yaml"))
        assert spec.path == tmp_path / "data" / "cells.h5ad"
        assert spec.name == "kang"
        assert spec.key_for("label") == "cell"
        assert spec.key_for("donor") == "donor_id"

    def test_an_absolute_path_stays(self, tmp_path: Path) -> None:
        (tmp_path / "kang.yml").write_text("path: /data/cells.h5ad\nname: other\n")
        spec = read_spec(tmp_path / "kang.yml")
        assert (str(spec.path), spec.name) == ("/data/cells.h5ad", "other")

    def test_every_problem_is_told_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("paht: x\nobs: {cell_type: y}\nx: umi\ndrop_unlabelled: perhaps\n")
        with pytest.raises(DatasetError) as refused:
            read_spec(tmp_path / "bad.yaml")
        for place in ("paht", "obs.cell_type", "x", "drop_unlabelled"):
            assert f"- {place}" in refused.value.message
        assert "czrun schema dataset" in refused.value.hint

    @pytest.mark.parametrize("content", ["x: counts\n", "path: a.h5ad\nurl: https://example.org/a.h5ad\n"])
    def test_cells_come_from_one_place(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(DatasetError, match="it comes from one of path, url, census, join"):
            read_spec(tmp_path / "bad.yaml")

    def test_paths_are_taken_from_the_folder_of_the_yaml(self, tmp_path: Path) -> None:
        (tmp_path / "both.yaml").write_text(
            "join:\n  train: {path: a.h5ad}\n  test: {path: /b.h5ad}\n  orthologs: pairs.csv\n"
        )
        join = read_spec(tmp_path / "both.yaml").join
        assert join is not None
        assert (join.train.path, join.test.path) == (tmp_path / "a.h5ad", Path("/b.h5ad"))
        assert join.orthologs == tmp_path / "pairs.csv"

    @pytest.mark.parametrize(
        "content", ["", "- a\n", "just text", "path: [", "a: b: c", "!!python/name:os.system"]
    )
    def test_what_is_no_mapping_or_no_yaml(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(DatasetError, match=re.escape("bad.yaml")) as refused:
            read_spec(tmp_path / "bad.yaml")
        assert refused.value.hint

    def test_a_missing_one(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="can't be read"):
            find_dataset(str(tmp_path / "none.yaml"))

    def test_its_split_column_serves_a_predefined_split(self, tmp_path: Path) -> None:
        written(made_cells(part=["train"] * 30 + ["test"] * 10), tmp_path / "cells.h5ad")
        (tmp_path / "kang.yaml").write_text("path: cells.h5ad\nsplit_key: part\n")
        result = run_evaluation(
            asked(
                "model:1", tmp_path / "kang.yaml", tmp_path / "runs", split=SplitPlan(SplitKind.PREDEFINED)
            ),
            connect=FakeEngine,
        )
        assert result.record.dataset.split == {"kind": "predefined", "split_key": "part"}
        assert result.record.dataset.n_fit == (30,)


class TestSummary:
    def test_it_tells_roles_values_and_gaps(self, tmp_path: Path) -> None:
        path = written(made_cells(odd=["x", None] * 20), tmp_path / "cells.h5ad")
        found = summarise(find_dataset(str(path)))
        columns = {column.name: column for column in found.columns}
        assert found.n_obs == 40
        assert columns["cell_type"].role == "label"
        assert columns["donor_id"].role == "donor"
        assert columns["odd"].role == ""
        assert (columns["odd"].n_values, columns["odd"].n_missing) == (1, 20)
        assert columns["cell_type"].common == (("B cell", 20), ("T cell", 20))

    def test_real_data(self, real_data: Callable[[str], Path]) -> None:
        found = summarise(find_dataset(str(real_data("zheng2017_pbmc_facs"))))
        assert found.n_obs == 3874
        assert found.content[0] == "16,791 genes by Ensembl ids, with gene_symbol and ensembl_id"
        assert found.content[1].startswith("X holds counts")
