"""A canary in every label: no container that predicts can find it, wherever it looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
import pytest

from czrun.datasets.sample import SampleCells

if TYPE_CHECKING:
    from .conftest import Czrun

CANARY = b"CANARY"
N_CLASSES = 10


def write_cells(path: Path, *, shuffle_labels: bool = False) -> Path:
    """Write real cells, sorted by label, with the label in every place that the format has for one."""
    from anndata import AnnData  # noqa: TID251 - a user's file
    from scipy.sparse import csr_matrix

    from czrun.datasets.catalogue import PBMC68K

    cells = SampleCells(PBMC68K.path)
    shape = (cells.n_obs, cells.n_vars)
    (block,) = cells.blocks()
    X = csr_matrix((block.data, block.indices, block.indptr), shape=shape)
    labels = np.array([f"CANARY-{label}" for label in cells.column("bulk_labels")])
    # The same cells are on the same sides, whatever they are called.
    side = np.where(np.random.default_rng(3).random(cells.n_obs) < 0.8, "train", "test")
    order = np.argsort(labels, kind="stable")
    X, labels, side = X[order], labels[order], side[order]
    if shuffle_labels:
        labels = np.random.default_rng(4).permutation(labels)
    names = sorted(set(labels))
    codes = np.array([names.index(label) for label in labels])
    index = [f"cell-{number}-{label}" for number, label in enumerate(labels)]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(labels, categories=[*names, "CANARY-unused"]),
            "cell_type_copy": labels,
            "CANARY-column": codes,
            "side": side,
        },
        index=index,
    )
    var = pd.DataFrame({"CANARY-var": "CANARY"}, index=cells.genes().ids.astype(str))
    adata = AnnData(X, obs=obs, var=var)
    adata.raw = adata.copy()
    adata.layers["CANARY-layer"] = X.copy()
    adata.uns["cell_type_colors"] = [f"CANARY-{number:06x}" for number in range(len(names))]
    adata.uns["CANARY-uns"] = {"classes": np.array(names)}
    adata.obsm["X_CANARY"] = np.eye(len(names), dtype=np.float32)[codes]
    adata.varm["CANARY"] = np.ones((cells.n_vars, 1), dtype=np.float32)
    adata.obsp["CANARY"] = csr_matrix((shape[0], shape[0]), dtype=np.float32)
    adata.write_h5ad(path)
    return path


def flags(path: Path) -> tuple[str, ...]:
    return ("--dataset", str(path), "--x", "log1p", "--split", "predefined", "--split-key", "side")


@pytest.fixture(scope="module")
def probe(build: Callable[..., str]) -> str:
    """An image that looks for the canary in everything it sees."""
    files = {"probe.py": (Path(__file__).parent / "probe.py").read_text()}
    return build("probe", files=files, entrypoint=("python3", "-I", "/probe.py"))


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A data set whose very name is a canary."""
    return write_cells(tmp_path / "CANARY-cells.h5ad")


def report(czrun: Czrun, phase: str) -> dict[str, Any]:
    (log,) = czrun.runs.glob(f"*/logs/model-{phase}.log")
    line = next(line for line in log.read_text().splitlines() if line.startswith("REPORT "))
    return json.loads(line.removeprefix("REPORT "))


def prepared(czrun: Czrun) -> Path:
    (folder,) = czrun.home.glob("prepared/*")
    return folder


def test_a_container_that_predicts_sees_no_label_in_any_mount_name_or_byte(
    fresh: Czrun, probe: str, planted: Path
) -> None:
    # The probe ends as a model error: it has no answer to give, and its log is all we want.
    fresh.evaluate(probe, *flags(planted)).failed(6, "exit code 70")
    seen = report(fresh, "predict")
    assert {"/czrun/input/v0.h5ad", "/czrun/job.json"} == set(seen["seen"])
    assert seen["unread"] == []
    # The vocabulary is the model's to know: once in the job, one per class, and nowhere else.
    assert seen["found"] == {"/czrun/job.json": N_CLASSES}
    assert seen["in_classes"] == N_CLASSES
    assert seen["in_the_rest_of_the_job"] == 0


def test_the_same_probe_finds_the_labels_where_they_are_meant_to_be(
    fresh: Czrun, probe: str, planted: Path
) -> None:
    fresh.evaluate(probe, *flags(planted)).failed(6)
    seen = report(fresh, "fit")
    assert set(seen["found"]) == {"/czrun/job.json", "/czrun/input/train.h5ad"}
    assert seen["found"]["/czrun/input/train.h5ad"] == N_CLASSES
    assert set(seen["seen"]) == {"/czrun/input/train.h5ad", "/czrun/job.json"}


def test_prepared_files_of_the_predict_phase_hold_no_byte_of_a_label(
    fresh: Czrun, oracle: str, planted: Path
) -> None:
    fresh.evaluate(oracle, *flags(planted)).succeeded()
    folder = prepared(fresh)
    assert CANARY in planted.read_bytes()
    assert CANARY in (folder / "fit" / "train.h5ad").read_bytes()
    assert [path.name for path in (folder / "predict").iterdir()] == ["v0.h5ad"]
    for path in (folder / "predict" / "v0.h5ad", folder / "ids" / "v0.npy"):
        assert CANARY not in path.read_bytes()
    with h5py.File(folder / "predict" / "v0.h5ad") as file:
        assert list(file["obs"]) == ["_index"]
        assert list(file["var"]) == ["_index"]
        assert [slot for slot in file if slot not in {"X", "obs", "var"} and len(file[slot])] == []


def test_prepared_files_carry_no_time(fresh: Czrun, oracle: str, planted: Path) -> None:
    fresh.evaluate(oracle, *flags(planted)).succeeded()
    # HDF5's modification-time message: its type, its size, its flags, and version 1.
    timed = re.compile(rb"\x12\0\x08\0.\0{3}\x01\0{3}", re.DOTALL)
    for path in prepared(fresh).glob("*/*.h5ad"):
        assert path.stat().st_mtime == 0
        assert not timed.findall(path.read_bytes())


def test_other_labels_on_the_same_cells_change_nothing_that_predict_sees(
    engine: Any, czrun_type: type[Czrun], oracle: str, tmp_path: Path
) -> None:
    sizes, rows, facts = [], [], []
    for shuffle in (False, True):
        czrun = czrun_type(engine, tmp_path / f"home{shuffle}", tmp_path / f"runs{shuffle}")
        path = write_cells(tmp_path / f"{shuffle}.h5ad", shuffle_labels=shuffle)
        czrun.evaluate(oracle, *flags(path)).succeeded()
        assert czrun.close() == []
        file = prepared(czrun) / "predict" / "v0.h5ad"
        sizes.append(file.stat().st_size)
        rows.append(sorted(matrix_rows(file)))
        facts.append(czrun.record()["dataset"]["facts"])
    assert sizes[0] == sizes[1]
    assert rows[0] == rows[1]
    assert facts[0] == facts[1]


def test_the_order_of_cells_says_nothing_of_their_labels(fresh: Czrun, oracle: str, planted: Path) -> None:
    fresh.evaluate(oracle, *flags(planted)).succeeded()
    labels = np.load(prepared(fresh) / "truth" / "v0.npz")["label"]
    # The source is sorted by label: nearly every neighbour there is of the same class.
    same = np.mean(labels[1:] == labels[:-1])
    expected = np.sum((np.bincount(labels) / len(labels)) ** 2)
    assert abs(same - expected) < 4 * np.sqrt(expected / len(labels))
    with h5py.File(prepared(fresh) / "predict" / "v0.h5ad") as file:
        ids = file["obs/_index"].asstr()[:]
    position_by_id = np.argsort(np.argsort(ids))
    for order in (np.arange(len(labels)), position_by_id):
        assert abs(np.corrcoef(order, labels)[0, 1]) < 4 / np.sqrt(len(labels))


def matrix_rows(path: Path) -> list[bytes]:
    """Return the bytes of each row of X."""
    with h5py.File(path) as file:
        indptr, data, indices = (file[f"X/{name}"][:] for name in ("indptr", "data", "indices"))
    bounds = pairwise(indptr)
    return [data[start:stop].tobytes() + indices[start:stop].tobytes() for start, stop in bounds]
