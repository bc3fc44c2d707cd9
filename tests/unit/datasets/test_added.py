"""Names that a user gives to data sets: kept whole, read back as they were said."""

from __future__ import annotations

from pathlib import Path

import pytest

from czrun.datasets.added import add, added_datasets, added_names, remove
from czrun.datasets.catalogue import BUILT_IN, find_dataset
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.spec import DatasetSpec, Join
from czrun.errors import UsageError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CZRUN_DATASETS", str(tmp_path / "names"))


SPECS = {
    "file": DatasetSpec(
        path=Path("/data/a.h5ad"), obs={"label": "type"}, max_cells=10, where={"sex": ("f",)}
    ),
    "url": DatasetSpec(url="https://example.org/a.h5ad", sha256="0" * 64),
    "census": DatasetSpec(census=CensusQuery(tissue=("blood",), max_cells=5)),
    "join": DatasetSpec(
        join=Join(
            train=DatasetSpec(name="a", path=Path("/data/a.h5ad"), obs={"label": "type"}),
            test=DatasetSpec(name="b", url="https://example.org/b.h5ad"),
            orthologs=Path("/data/pairs.csv"),
        )
    ),
}


class TestAdd:
    @pytest.mark.parametrize("kind", SPECS)
    def test_what_was_said_is_found_again(self, kind: str) -> None:
        add("mine", SPECS[kind], BUILT_IN)
        assert find_dataset("mine") == SPECS[kind].model_copy(update={"name": "mine"})

    def test_a_relative_path_is_kept_absolute(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        add("mine", DatasetSpec(path=Path("cells.h5ad")), BUILT_IN)
        assert find_dataset("mine").path == tmp_path / "cells.h5ad"

    @pytest.mark.parametrize("name", ["", "a/b", "../a", ".a", "a b", "census", "x.h5ad", "x.yaml", "a" * 65])
    def test_names_that_could_be_something_else_are_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match="can't be called"):
            add(name, SPECS["url"], BUILT_IN)
        assert added_names() == []

    def test_names_that_come_with_czrun_stay_theirs(self) -> None:
        with pytest.raises(UsageError, match="comes with czrun"):
            add("pbmc68k_reduced", SPECS["url"], BUILT_IN)

    def test_a_name_is_replaced_only_when_asked(self) -> None:
        add("mine", SPECS["url"], BUILT_IN)
        with pytest.raises(UsageError, match="already") as refused:
            add("mine", SPECS["file"], BUILT_IN)
        assert "--replace" in refused.value.hint
        assert find_dataset("mine").url
        add("mine", SPECS["file"], BUILT_IN, replace=True)
        assert find_dataset("mine").path


class TestTheRest:
    def test_a_removed_name_is_gone(self) -> None:
        add("mine", SPECS["url"], BUILT_IN)
        remove("mine")
        with pytest.raises(UsageError, match="no data set or file 'mine'"):
            find_dataset("mine")

    def test_removing_an_unknown_name_lists_those_there_are(self) -> None:
        add("mine", SPECS["url"], BUILT_IN)
        with pytest.raises(UsageError) as refused:
            remove("min")
        assert "Did you mean 'mine'?" in refused.value.hint

    def test_a_broken_yaml_breaks_nothing_else(self, tmp_path: Path) -> None:
        add("mine", SPECS["url"], BUILT_IN)
        (tmp_path / "names" / "bad.yaml").write_text("paht: x")
        found, broken = added_datasets()
        assert list(found) == ["mine"]
        assert "paht" in broken["bad"]

    def test_without_the_folder_there_are_none(self) -> None:
        assert added_names() == []
        assert added_datasets() == ({}, {})
