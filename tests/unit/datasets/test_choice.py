"""A name and a few words make a data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from czrun.datasets.census_query import CensusQuery
from czrun.datasets.choice import CellChoice, choose
from czrun.datasets.spec import DatasetSpec, Join
from czrun.errors import UsageError
from made_cells import made_cells, written


def test_nothing_said_is_the_bundled_cells() -> None:
    assert choose(None, CellChoice()).name == "pbmc68k_reduced"


def test_a_tissue_alone_is_asked_of_census() -> None:
    spec = choose(None, CellChoice(terms={"tissue": ("blood",)}, max_cells=50, seed=3))
    assert spec.census == CensusQuery(tissue=("blood",), max_cells=50, seed=3)


def test_the_same_words_narrow_a_file(tmp_path: Path) -> None:
    path = written(made_cells(), tmp_path / "cells.h5ad")
    spec = choose(
        str(path), CellChoice(terms={"tissue": ("blood",)}, where={"sex": ("f",)}, max_cells=50, seed=3)
    )
    assert spec.where == {"tissue": ("blood",), "sex": ("f",)}
    assert (spec.max_cells, spec.sample_seed) == (50, 3)


def test_both_sides_of_a_joined_data_set_are_narrowed() -> None:
    side = DatasetSpec(path=Path("a.h5ad"))
    spec = choose(DatasetSpec(join=Join(train=side, test=side)), CellChoice(max_cells=7))
    assert spec.join is not None
    assert (spec.join.train.max_cells, spec.join.test.max_cells) == (7, 7)


@pytest.mark.parametrize("choice", [CellChoice(obs_filter="sex == 'f'"), CellChoice(version="2025-01-30")])
def test_what_only_census_knows_is_refused_for_a_file(choice: CellChoice) -> None:
    with pytest.raises(UsageError, match="is another data set") as refused:
        choose("pbmc68k_reduced", choice)
    assert "--where" in refused.value.hint


def test_a_census_column_without_a_field_becomes_a_filter_to_write() -> None:
    with pytest.raises(UsageError) as refused:
        choose("census", CellChoice(where={"sex": ("female",)}))
    assert "--obs-filter \"sex == 'female'\"" in refused.value.hint


def test_a_url_is_a_data_set() -> None:
    spec = choose("https://example.org/some/pbmc.h5ad?version=2", CellChoice())
    assert (spec.name, spec.url) == ("pbmc", "https://example.org/some/pbmc.h5ad?version=2")
