"""``czrun datasets``: a data set gets a name once, and is then used by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Czrun
from made_cells import made_cells, written


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CZRUN_DATASETS", str(tmp_path / "names"))


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return written(made_cells(species=["Homo sapiens"] * 40), tmp_path / "cells.h5ad")


class TestAdd:
    def test_it_says_what_it_found_and_where_it_keeps_it(self, czrun: Czrun, cells: Path) -> None:
        done = czrun("datasets", "add", "mine", str(cells), "--obs", "organism=species")
        assert done.returncode == 0, done.stderr
        for said in ("40 cells", "6 genes by symbols", "label cell_type", "organism species", "mine.yaml"):
            assert said in done.stdout

    def test_a_column_that_is_not_there_is_told_and_nothing_is_kept(
        self, czrun: Czrun, cells: Path, tmp_path: Path
    ) -> None:
        done = czrun("datasets", "add", "mine", str(cells), "--label-key", "celltype", "--batch-key", "plate")
        assert done.returncode == 3
        assert "'celltype', said to hold the label, is no column (did you mean 'cell_type'?)" in done.stderr
        assert "'plate'" in done.stderr
        assert not (tmp_path / "names").exists()

    def test_nothing_is_fetched_to_name_a_url_or_a_census_query(self, czrun: Czrun) -> None:
        for source in (["https://example.org/a.h5ad"], ["census", "--tissue", "blood", "--max-cells", "50"]):
            done = czrun("datasets", "add", f"d{len(source)}", *source)
            assert done.returncode == 0, done.stderr
            assert "Nothing was fetched" in done.stdout

    def test_names_are_listed_the_unreadable_too(self, czrun: Czrun, cells: Path, tmp_path: Path) -> None:
        czrun("datasets", "add", "mine", str(cells), "--title", "My own")
        (tmp_path / "names" / "bad.yaml").write_text("nothing: here")
        listed = czrun("datasets", "list").stdout
        assert "My own" in listed
        assert "bad" in listed
        assert "can't be read" in listed

    def test_a_list_can_be_narrowed_by_a_word(self, czrun: Czrun, cells: Path) -> None:
        czrun("datasets", "add", "mine", str(cells), "--title", "My own")
        for word, others in (("OWN", "tsv2_blood"), ("tsv2_blood", "My own")):
            listed = czrun("datasets", "list", word).stdout
            assert word.lower() in listed.lower()
            assert others not in listed

    def test_what_isn_t_fetched_yet_is_shown_without_fetching_it(self, czrun: Czrun) -> None:
        czrun("datasets", "add", "blood", "census", "--tissue", "blood", "--max-cells", "50")
        done = czrun("datasets", "show", "blood")
        assert done.returncode == 0, done.stderr
        assert "blood: not fetched yet" in done.stdout
        assert "CELLxGENE Census, tissue blood, max_cells 50" in done.stdout

    def test_a_name_is_forgotten(self, czrun: Czrun, cells: Path) -> None:
        czrun("datasets", "add", "mine", str(cells))
        assert czrun("datasets", "rm", "mine").returncode == 0
        assert czrun("datasets", "show", "mine").returncode == 2


class TestPrepare:
    def test_each_fold_is_told_with_its_folder(self, czrun: Czrun, cells: Path) -> None:
        czrun("datasets", "add", "mine", str(cells))
        done = czrun("datasets", "prepare", "mine", "--split", "kfold", "--folds", "2")
        assert done.returncode == 0, done.stderr
        first, where, *_ = done.stdout.splitlines()
        assert first == "fold 0: 20 cells to fit, 20 to predict, 6 genes"
        assert (Path(where) / "manifest.json").is_file()

    def test_a_second_time_all_is_there(self, czrun: Czrun, cells: Path) -> None:
        for said in ("prepare: started", "prepare: cached"):
            done = czrun("datasets", "prepare", str(cells))
            assert said in done.stderr
