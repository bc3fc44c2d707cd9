"""Data that can't serve: each a clear error with a next step, and nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from asked import asked, changed
from czrun.errors import CzrunError, DatasetError, UsageError
from czrun.evaluation import run_evaluation
from czrun.split_plan import SplitKind, SplitPlan
from czrun.storage import cache_home
from fake_engine import FakeEngine
from made_cells import dense, made_cells, written


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., CzrunError]:
    """Evaluate on a file that must be refused; give the error."""

    def evaluate(path: Path, error: type[CzrunError] = DatasetError, **options: Any) -> CzrunError:
        options_ = asked("model:1", path, tmp_path / "runs")
        engine = FakeEngine()
        with pytest.raises(error) as found:
            run_evaluation(changed(options_, **options), connect=lambda: engine)
        assert engine.launches == []
        assert found.value.hint
        assert not options_.output.exists()
        assert [path for path in cache_home().rglob("*") if path.is_file()] == []
        return found.value

    return evaluate


Refused = Callable[..., CzrunError]


class TestLabels:
    def test_a_missing_column_is_told_with_those_there_are(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        error = refused(path, obs={"label": "celltype"})
        assert "has no obs column 'celltype'" in error.message
        assert "cell_type, donor_id" in error.hint
        assert "--label-key" in error.hint

    def test_all_missing_columns_are_told_at_once(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        plan = SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="patient")
        error = refused(path, obs={"label": "celltype", "batch": "plate"}, split=plan)
        assert "'celltype', 'patient', 'plate'" in error.message

    @pytest.mark.parametrize("missing", [None, np.nan, "nan", "NaN", "", " ", "NA", "<NA>", "None"])
    def test_cells_without_a_label_are_counted_and_can_be_dropped(
        self, tmp_path: Path, refused: Refused, missing: Any
    ) -> None:
        labels = np.array(["a", "b"] * 20, dtype=object)
        labels[[3, 5, 8]] = missing
        error = refused(written(made_cells(cell_type=labels), tmp_path / "cells.h5ad"))
        assert "3 of 40 cells have no 'cell_type': --drop-unlabelled leaves them out" in error.message

    def test_no_cell_with_a_label(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(cell_type=np.full(40, np.nan)), tmp_path / "cells.h5ad")
        for drop in (True, False):
            error = refused(path, drop_unlabelled=drop)
            assert "no cell has a 'cell_type'" in error.message
            assert "one class" not in error.message

    def test_one_class(self, tmp_path: Path, refused: Refused) -> None:
        error = refused(written(made_cells(cell_type=["T cell"] * 40), tmp_path / "cells.h5ad"))
        assert "one class only ('T cell')" in error.message

    def test_a_column_of_numbers_that_is_no_label(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(200, cell_type=np.linspace(0, 1, 200)), tmp_path / "cells.h5ad")
        assert "200 different values in 200 cells: is it a label?" in refused(path).message

    def test_the_word_by_which_models_decline(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(cell_type=["a", "__unassigned__"] * 20), tmp_path / "cells.h5ad")
        assert "rename it" in refused(path).message

    def test_cells_without_a_group(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(batch=["a", "b", None, "c"] * 10), tmp_path / "cells.h5ad")
        error = refused(path, split=SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="batch"))
        assert "10 cells have no 'batch'" in error.message

    def test_every_problem_is_told_at_once(self, tmp_path: Path, refused: Refused) -> None:
        labels, batch = ["a", None] * 20, [None, "x"] * 20
        path = written(made_cells(cell_type=labels, batch=batch), tmp_path / "cells.h5ad")
        error = refused(path, split=SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="batch"))
        assert error.message.count("\n  - ") == 3


class TestSplits:
    def test_fewer_cells_than_folds(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(6), tmp_path / "cells.h5ad")
        error = refused(path, split=SplitPlan(SplitKind.KFOLD, folds=10))
        assert "6 cells can't be divided into 10 folds" in error.message
        assert "--folds 6" in error.hint

    def test_fewer_groups_than_folds(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        error = refused(path, split=SplitPlan(SplitKind.GROUP_KFOLD, folds=6, group_key="donor_id"))
        assert "'donor_id' has 5 group(s); a group-kfold split needs 6" in error.message

    def test_a_predefined_column_without_the_words(self, tmp_path: Path, refused: Refused) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        error = refused(path, split=SplitPlan(SplitKind.PREDEFINED, split_key="donor_id"))
        assert "'donor_0'" in error.message


class TestNumbers:
    @pytest.mark.parametrize("layout", [lambda x: x, dense], ids=["sparse", "dense"])
    @pytest.mark.parametrize(
        ("value", "odd"), [(-1.0, "-1"), (0.5, "0.5"), (np.nan, "nan")], ids=["negative", "fraction", "nan"]
    )
    def test_what_is_no_count_suggests_another_layer_or_kind(
        self, tmp_path: Path, refused: Refused, value: float, odd: str, layout: Callable[[Any], Any]
    ) -> None:
        cells = made_cells()
        cells.layers["spliced"] = cells.X.copy()
        cells.X.data[5] = value
        cells.X = layout(cells.X)
        error = refused(written(cells, tmp_path / "cells.h5ad"))
        assert f"X doesn't hold counts (it has {odd})" in error.message
        assert "--layer: X, spliced" in error.hint
        assert "--x log1p" in error.hint

    @pytest.mark.parametrize(
        ("kind", "value", "said"),
        [
            ("counts", -1.0, "1 values are negative, the first -1 in cell 'cell_0"),
            ("counts", 0.5, "1 values aren't whole numbers"),
            ("counts", np.nan, "1 values are NaN or infinite"),
            ("log1p", -1.0, "1 values are negative"),
            ("log1p", np.inf, "1 values are NaN or infinite"),
            ("other", np.nan, "1 values are NaN or infinite"),
        ],
    )
    def test_what_was_said_of_x_is_held_against_all_of_it(
        self, tmp_path: Path, refused: Refused, kind: Any, value: float, said: str
    ) -> None:
        cells = made_cells()
        cells.X.data[-1] = value
        error = refused(written(cells, tmp_path / "cells.h5ad"), x=kind)
        assert said in error.message
        assert "gene 'GENE" in error.message

    def test_an_infinite_count(self, tmp_path: Path, refused: Refused) -> None:
        cells = made_cells()
        cells.X.data[5] = np.inf
        assert "NaN or infinite" in refused(written(cells, tmp_path / "cells.h5ad")).message

    def test_an_unknown_layer(self, tmp_path: Path, refused: Refused) -> None:
        error = refused(written(made_cells(), tmp_path / "cells.h5ad"), layer="counts")
        assert "has no layer 'counts'" in error.message
        assert error.hint == "It has: X."


class TestIds:
    @pytest.mark.filterwarnings("ignore:Observation names are not unique")
    def test_duplicated_cells(self, tmp_path: Path, refused: Refused) -> None:
        cells = made_cells()
        cells.obs_names = ["a", "a", *cells.obs_names[2:]]
        error = refused(written(cells, tmp_path / "cells.h5ad"))
        assert "1 cell ids (obs_names) appear twice or more, such as 'a'" in error.message
        assert "obs_names_make_unique" in error.hint

    @pytest.mark.parametrize(("n_obs", "n_vars"), [(0, 6), (40, 0)])
    def test_no_cells_or_no_genes(self, tmp_path: Path, refused: Refused, n_obs: int, n_vars: int) -> None:
        path = written(made_cells()[:n_obs, :n_vars].copy(), tmp_path / "cells.h5ad")
        assert f"holds {n_obs} cells and {n_vars} genes" in refused(path).message


class TestFiles:
    def test_a_missing_file(self, tmp_path: Path, refused: Refused) -> None:
        error = refused(tmp_path / "cells.h5ad")
        assert "There is no file" in error.message
        assert "czrun datasets list" in error.hint

    def test_an_empty_file(self, tmp_path: Path, refused: Refused) -> None:
        (tmp_path / "cells.h5ad").touch()
        assert "is empty (0 bytes)" in refused(tmp_path / "cells.h5ad").message

    @pytest.mark.parametrize("share", [0.99, 0.5, 0.05])
    def test_a_truncated_file(self, tmp_path: Path, refused: Refused, share: float) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        error = refused(path)
        assert "is cut off: truncated file" in error.message
        assert "Copy it again" in error.hint

    @pytest.mark.parametrize("name", ["cells.h5ad", "cells"])
    def test_a_folder(self, tmp_path: Path, refused: Refused, name: str) -> None:
        (tmp_path / name).mkdir()
        assert "is a folder" in refused(tmp_path / name).message

    @pytest.mark.parametrize("content", [b"cell,gene\n", b"PK\x03\x04" + bytes(100), bytes(4096)])
    def test_what_is_not_hdf5(self, tmp_path: Path, refused: Refused, content: bytes) -> None:
        (tmp_path / "cells.h5ad").write_bytes(content)
        error = refused(tmp_path / "cells.h5ad")
        assert "is not an HDF5 file" in error.message
        assert "write_h5ad" in error.hint

    def test_hdf5_that_is_not_anndata(self, tmp_path: Path, refused: Refused) -> None:
        with h5py.File(tmp_path / "cells.h5ad", "w") as file:
            file["matrix/data"] = [1]
        error = refused(tmp_path / "cells.h5ad")
        assert "is HDF5 but not AnnData: it has no obs and no var" in error.message

    def test_a_file_of_another_kind(self, tmp_path: Path, refused: Refused) -> None:
        (tmp_path / "cells.rds").write_bytes(b"x")
        assert "no format that is read" in refused(tmp_path / "cells.rds").message

    def test_a_name_that_is_neither_file_nor_data_set(self, refused: Refused) -> None:
        error = refused(Path("pbmc68k_reducd"), UsageError)
        assert "'pbmc68k_reduced'" in error.hint
