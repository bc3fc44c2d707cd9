"""What users say of data, in flags or keywords, becomes options: one reading of every word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from czrun.datasets.spec import DatasetSpec
from czrun.errors import CzrunError, UsageError
from czrun.keywords import data_options
from czrun.split_plan import SplitKind
from made_cells import made_cells, written


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tuple(written(made_cells(seed=seed), tmp_path / f"{seed}.h5ad") for seed in (1, 2))  # type: ignore[return-value]


class TestTwoDataSets:
    @pytest.mark.parametrize(
        "wrap", [str, Path, lambda path: [str(path)], lambda path: DatasetSpec(path=path)]
    )
    def test_each_side_may_be_named_in_every_way(self, files: tuple[Path, Path], wrap: Any) -> None:
        train, test = files
        spec = data_options(train_on=wrap(train), test_on=wrap(test), orthologs="pairs.csv").dataset
        assert isinstance(spec, DatasetSpec)
        assert spec.join is not None
        assert (spec.join.train.path, spec.join.test.path) == files
        assert spec.join.orthologs == Path("pairs.csv")

    def test_they_are_called_by_both_names(self, files: tuple[Path, Path]) -> None:
        spec = data_options(train_on=files[0], test_on=files[1]).dataset
        assert isinstance(spec, DatasetSpec)
        assert spec.name == "1 → 2"

    @pytest.mark.parametrize(
        "said", [{"train_on": "{}"}, {"test_on": "{}"}, {"train_on": "{}", "test_on": "a=b"}]
    )
    def test_one_alone_is_refused(self, files: tuple[Path, Path], said: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="name both"):
            data_options(**{side: text.format(files[0]) for side, text in said.items()})  # type: ignore[arg-type]

    def test_a_third_is_refused(self, files: tuple[Path, Path]) -> None:
        with pytest.raises(UsageError, match="no third"):
            data_options(files[0], train_on=files[0], test_on=files[1])

    @pytest.mark.parametrize("table", ["orthologs", "label_map"])
    def test_tables_are_for_two_data_sets(self, files: tuple[Path, Path], table: str) -> None:
        with pytest.raises(UsageError, match="are for two data sets"):
            data_options(files[0], **{table: "table.csv"})  # type: ignore[arg-type]

    def test_an_unknown_name_is_told(self) -> None:
        with pytest.raises(CzrunError, match="no data set or file 'kang'"):
            data_options(train_on="kang", test_on="pbmc68k_reduced")


class TestConditions:
    @pytest.mark.parametrize("said", ["phase=G1", ["phase=G1"], {"phase": "G1"}, {"phase": ["G1"]}])
    def test_they_may_be_said_in_every_way(self, said: Any) -> None:
        split = data_options(train_on=said).split
        assert [str(clause) for clause in split.train_on] == ["phase=G1"]
        assert split.settle(SplitKind.HOLDOUT, 5, None, None).kind is SplitKind.DOMAIN

    def test_those_on_tissue_alone_are_asked_of_census_in_like_shares(self) -> None:
        spec = data_options(train_on="tissue=blood", test_on="tissue=lung", max_cells=100).dataset
        assert isinstance(spec, DatasetSpec)
        assert spec.census is not None
        assert set(spec.census.tissue) == {"blood", "lung"}
        assert spec.census.stratify == ("cell_type", "tissue")

    def test_where_names_values(self) -> None:
        spec = data_options("pbmc68k_reduced", where=["phase=G1,S", 'louvain="a,b"']).dataset
        assert isinstance(spec, DatasetSpec)
        assert spec.where == {"phase": ("G1", "S"), "louvain": ("a,b",)}

    @pytest.mark.parametrize("said", ["time<=4", "phase!=G1"])
    def test_where_compares_nothing(self, said: str) -> None:
        with pytest.raises(UsageError, match="names the values that are kept"):
            data_options("pbmc68k_reduced", where=said)

    @pytest.mark.parametrize("said", ["phase", "=G1", "phase="])
    def test_where_without_a_value_is_told(self, said: str) -> None:
        with pytest.raises(UsageError, match="--where can't be read"):
            data_options("pbmc68k_reduced", where=said)
