"""Which cells take part: conditions and draws, on obs alone, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from czrun.conditions import parse_clauses
from czrun.datasets.local import LocalCells
from czrun.datasets.matching import matching, require_known
from czrun.datasets.selection import drawn_rows, kept_rows
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from made_cells import cell_numbers, made_cells, numbered_cells, prepared, request_for, written

TISSUES = ["blood", "blood", "lung", None] * 10
TYPES = ["B cell"] * 20 + ["CD4-positive, alpha-beta T cell"] * 20
TIMES = [0, 1, 2.5, 10] * 10


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Iterator[LocalCells]:
    path = written(made_cells(tissue=TISSUES, cell_type=TYPES, time=TIMES), tmp_path / "cells.h5ad")
    source = LocalCells(spec(path=path))
    yield source
    source.close()


def spec(path: Path = Path("cells.h5ad"), **more: Any) -> DatasetSpec:
    return DatasetSpec(name="cells", path=path, **more)


def matched(source: LocalCells, *texts: str, **more: Any) -> list[int]:
    clauses, described = parse_clauses("--test-on", texts), spec(**more)
    require_known(source, described, clauses)
    return np.flatnonzero(matching(source, described, clauses, np.arange(40))).tolist()


def refused(source: LocalCells, *texts: str) -> DatasetError:
    with pytest.raises(DatasetError) as found:
        matched(source, *texts)
    assert found.value.hint
    return found.value


class TestConditions:
    @pytest.mark.parametrize(
        ("texts", "rows"),
        [
            (["tissue=lung"], range(2, 40, 4)),
            (["tissue!=lung"], sorted([*range(0, 40, 4), *range(1, 40, 4)])),
            (["time<1"], range(0, 40, 4)),
            (["time<=1", "tissue=blood", "time>0"], range(1, 40, 4)),
            (["time>=2.5"], sorted([*range(2, 40, 4), *range(3, 40, 4)])),
            (["time=10"], range(3, 40, 4)),
            (["time=1e1,2.50"], sorted([*range(2, 40, 4), *range(3, 40, 4)])),
            (['cell_type="CD4-positive, alpha-beta T cell"', "tissue=lung"], range(22, 40, 4)),
        ],
    )
    def test_all_of_them_hold(self, source: LocalCells, texts: list[str], rows: Any) -> None:
        assert matched(source, *texts) == list(rows)

    def test_columns_go_by_their_contract_names_too(self, source: LocalCells) -> None:
        assert matched(source, "label=B cell") == matched(source, "cell_type=B cell")
        assert matched(source, "batch=blood", obs={"batch": "tissue"}) == matched(source, "tissue=blood")

    def test_the_file_s_own_column_stands_before_a_contract_name(self, source: LocalCells) -> None:
        assert matched(source, "tissue=lung", obs={"tissue": "cell_type"}) == list(range(2, 40, 4))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("tisue=lung", "there is no obs column 'tisue' (did you mean 'tissue'?)"),
            ("assay=10x", "there is no obs column 'assay'"),
            (
                "tissue=Lungs",
                "no cell's 'tissue' is 'Lungs' (did you mean 'lung'?); it holds 'blood', 'lung'",
            ),
            ("tissue!=brain", "no cell's 'tissue' is 'brain'"),
            (
                "cell_type=CD4-positive",
                'stands in double quotes: "CD4-positive, alpha-beta T cell"',
            ),
            ("tissue<3", "'tissue' holds 'blood', which is no number"),
            ("time=3", "no cell's 'time' is '3'"),
        ],
    )
    def test_what_is_not_there(self, source: LocalCells, text: str, said: str) -> None:
        assert said in refused(source, text).message

    def test_all_that_is_not_there_is_told_at_once(self, source: LocalCells) -> None:
        error = refused(source, "tissue=brain,liver", "plate=1", "time<=2")
        assert error.message.count("\n  - ") == 3
        assert "Its columns: cell_type, donor_id, tissue, time" in error.hint

    def test_the_condition_that_left_no_cell_is_named(self, source: LocalCells) -> None:
        error = refused(source, "cell_type=B cell", "tissue=lung", "time=10")
        assert "tissue=lung leaves no cell: it holds for 10 cells" in error.message
        assert "none of the 5 cells with cell_type=B cell and time=10" in error.message
        assert "'tissue' holds there: nothing" in error.hint
        assert "time>10 leaves no cell: it holds for 0 cells" in refused(source, "time>10").message


class TestWhere:
    def test_it_keeps_what_meets_every_condition_and_says_how_many(self, source: LocalCells) -> None:
        rows, notes = kept_rows(source, spec(where={"tissue": ("lung", "blood"), "label": ("B cell",)}))
        assert rows.tolist() == [row for row in range(20) if row % 4 != 3]
        assert notes == ("15 of 40 cells are kept, by label=B cell and tissue=blood,lung",)

    def test_without_conditions_all_cells_take_part(self, source: LocalCells) -> None:
        rows, notes = kept_rows(source, spec())
        assert rows.tolist() == list(range(40))
        assert notes == ()

    def test_the_order_in_which_values_are_named_means_nothing(self) -> None:
        one, other = (spec(where={"tissue": values}) for values in (("a", "b"), ("b", "a", "b")))
        assert one.meaning() == other.meaning()


class TestDraws:
    def test_strata_keep_their_shares_and_it_says_by_what(self, source: LocalCells) -> None:
        described = spec(max_cells=20, stratify=("label", "tissue"), sample_seed=3)
        rows, notes = drawn_rows(source, described, np.arange(40))
        drawn = Counter((TYPES[row], TISSUES[row]) for row in rows)
        assert sorted(drawn.values()) == [2, 2, 3, 3, 5, 5]
        assert {tissue for (_, tissue), count in drawn.items() if count == 5} == {"blood"}
        assert len(rows) == 20
        assert notes == ("20 of 40 cells were drawn, by cell_type, tissue, seed 3",)

    def test_labels_and_donors_are_the_strata_by_default_where_there_are_any(
        self, source: LocalCells
    ) -> None:
        assert drawn_rows(source, spec(max_cells=10), np.arange(40))[1] == (
            "10 of 40 cells were drawn, by cell_type, donor_id, seed 0",
        )
        nameless = spec(max_cells=10, obs={"label": "none", "donor": "none"})
        assert drawn_rows(source, nameless, np.arange(40))[1] == ("10 of 40 cells were drawn, seed 0",)

    def test_another_seed_draws_other_cells_and_the_same_seed_the_same(self, source: LocalCells) -> None:
        draws = [
            drawn_rows(source, spec(max_cells=10, sample_seed=seed), np.arange(40))[0].tolist()
            for seed in (0, 0, 1)
        ]
        assert draws[0] == draws[1] != draws[2]

    def test_no_more_than_there_are(self, source: LocalCells) -> None:
        rows, notes = drawn_rows(source, spec(max_cells=40), np.arange(40))
        assert (len(rows), notes) == (40, ())

    def test_a_column_that_was_named_must_be_there(self, source: LocalCells) -> None:
        with pytest.raises(DatasetError, match="no obs column 'assay' to stratify by") as error:
            drawn_rows(source, spec(max_cells=4, stratify=("label", "assay")), np.arange(40))
        assert "--stratify" in error.value.hint


class TestOnTheRoad:
    def test_only_chosen_cells_are_prepared(self, tmp_path: Path) -> None:
        path = written(numbered_cells(tissue=TISSUES), tmp_path / "cells.h5ad")
        folder, manifest = prepared(request_for(path, where={"tissue": ("blood",)}, max_cells=12))
        found = cell_numbers(folder / "fit" / "train.h5ad") + cell_numbers(folder / "predict" / "v0.h5ad")
        assert len(found) == len(set(found)) == 12
        assert all(TISSUES[number] == "blood" for number in found)
        assert "20 of 40 cells are kept, by tissue=blood" in manifest.notes
        assert "12 of 20 cells were drawn, by cell_type, donor_id, seed 0" in manifest.notes

    def test_cells_without_a_label_are_not_among_the_drawn(self, tmp_path: Path) -> None:
        labels = [None, "a", "b", "b"] * 10
        path = written(made_cells(cell_type=labels), tmp_path / "cells.h5ad")
        _, manifest = prepared(request_for(path, drop_unlabelled=True, max_cells=20))
        assert manifest.n_fit + manifest.n_predict == 20
        assert manifest.facts.classes == ("a", "b")
        assert "20 of 30 cells were drawn, by cell_type, donor_id, seed 0" in manifest.notes

    def test_what_other_cells_lack_is_no_problem(self, tmp_path: Path) -> None:
        labels = ["a", "b", "a", None] * 10
        path = written(made_cells(cell_type=labels, tissue=TISSUES), tmp_path / "cells.h5ad")
        _, manifest = prepared(request_for(path, where={"tissue": ("blood", "lung")}))
        assert manifest.n_fit + manifest.n_predict == 30
