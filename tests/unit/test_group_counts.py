"""How many folds leave each group out once: counted once, then known without opening anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from czrun.errors import DatasetError
from czrun.options import DataOptions, settle
from czrun.split_plan import SplitChoice, SplitKind
from czrun.storage import cache_home
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from made_cells import made_cells, prepared, written

HEAVY = ("numpy", "h5py", "pandas", "anndata", "scipy")


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return written(made_cells(60, batch=["x", "x", "y", "z", "z", "z"] * 10), tmp_path / "cells.h5ad")


def options(path: Path, group_key: str = "donor_id", **more: Any) -> DataOptions:
    return DataOptions(
        str(path), split=SplitChoice(SplitKind.LEAVE_ONE_GROUP_OUT, group_key=group_key), **more
    )


@pytest.mark.parametrize(("group_key", "folds"), [("donor_id", 5), ("donor", 5), ("batch", 3)])
def test_there_is_a_fold_for_each_group(path: Path, group_key: str, folds: int) -> None:
    request = settle(options(path, group_key))
    assert request.plan.n_folds == folds
    assert request.plan.describe() == {
        "kind": "leave-one-group-out",
        "folds": folds,
        "group_key": group_key,
    }


def test_each_fold_tests_one_group_and_says_which(path: Path) -> None:
    request = settle(options(path, "batch"))
    manifests = [prepared(request, fold)[1] for fold in range(3)]
    assert [each.tested for each in manifests] == [("x",), ("y",), ("z",)]
    assert [each.n_predict for each in manifests] == [20, 10, 30]
    assert "fold 1 tests y" in manifests[1].notes


def test_groups_of_cells_that_take_no_part_are_not_counted(path: Path, tmp_path: Path) -> None:
    labels = [None, None, "a", "a", "b", "b"] * 10
    cells = written(made_cells(60, cell_type=labels, batch=["x", "x", "y", "z"] * 15), tmp_path / "some.h5ad")
    assert settle(options(cells, "batch", drop_unlabelled=True)).plan.folds == 3
    labelled = written(
        made_cells(60, cell_type=labels, batch=["x", "x", "y", "z", "y", "z"] * 10), tmp_path / "other.h5ad"
    )
    assert settle(options(labelled, "batch", drop_unlabelled=True)).plan.folds == 2


def test_each_perturbation_is_left_out_once_and_never_the_control(tmp_path: Path) -> None:
    path = written(made_cells(60, perturbation=["ctrl", "A", "B", "C", "D"] * 12), tmp_path / "drugs.h5ad")
    request = settle(options(path, "perturbation", task=PERTURBATION_PREDICTION.id))
    assert [prepared(request, fold)[1].tested for fold in range(request.plan.n_folds)] == [
        ("A",), ("B",), ("C",), ("D",),
    ]  # fmt: skip


def test_what_cannot_be_divided_so_is_refused_before_anything_is_kept(path: Path) -> None:
    with pytest.raises(DatasetError, match="has no obs column 'plate'"):
        settle(options(path, "plate"))
    assert not (cache_home() / "groups").exists()


def test_a_count_that_was_damaged_is_counted_again(path: Path) -> None:
    settle(options(path))
    (kept,) = (cache_home() / "groups").iterdir()
    kept.write_text("many")
    assert settle(options(path)).plan.folds == 5
    assert kept.read_text() == "5\n"


def test_a_remembered_count_needs_no_numpy_and_no_h5py(path: Path) -> None:
    settle(options(path))
    script = (
        "import sys\n"
        "from czrun.options import DataOptions, settle\n"
        "from czrun.split_plan import SplitChoice, SplitKind\n"
        "choice = SplitChoice(SplitKind.LEAVE_ONE_GROUP_OUT, group_key='donor_id')\n"
        f"print(settle(DataOptions({str(path)!r}, split=choice)).plan.n_folds)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "5\n[]\n"
