"""Prepared data: exact copies of the cells, no trace of their labels or order, written once and whole."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from czrun.conditions import parse_clauses
from czrun.contract.job import XKind
from czrun.datasets.census_query import CensusQuery
from czrun.datasets.imaging.options import ImageOptions
from czrun.datasets.spec import DatasetSpec, Join
from czrun.errors import CzrunError, DatasetError, StorageError
from czrun.leases import acquire
from czrun.manifest import PrepareRequest, read_manifest, verify_inputs
from czrun.prepare import prepare
from czrun.split_plan import SplitKind, SplitPlan
from czrun.storage import cache_home, file_sha256
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.truth import read_truth
from made_cells import dense, made_cells, prepared, read, request_for, written


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Forty cells with all that a careless copy would take along."""
    cells = made_cells(40, 6)
    cells.obs["secret"] = cells.obs["cell_type"].astype("category")
    cells.uns["cell_type_colors"] = ["#ff0000", "#00ff00"]
    cells.obsm["X_umap"] = np.zeros((40, 2))
    cells.varm["loadings"] = np.zeros((6, 2))
    cells.layers["scaled"] = cells.X * 2
    cells.raw = cells.copy()
    return written(cells, tmp_path / "cells.h5ad")


@contextmanager
def _small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    folder.mkdir()
    size = f"size={mebibytes}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets root mount nothing")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def _file_limit(n_bytes: int) -> Iterator[None]:
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def truth(folder: Path) -> dict[str, str]:
    """Say which of the source's cells each opaque test id is."""
    ids = np.load(folder / "ids" / "v0.npy").astype(str)
    names = json.loads((folder / "truth" / "v0.json").read_text())["obs_names"]
    return dict(zip(ids, names, strict=True))


class TestContent:
    def test_what_predict_reads_is_the_source_up_to_order(self, source: Path) -> None:
        folder, _ = prepared(request_for(source))
        test, original, names = read(folder / "predict" / "v0.h5ad"), read(source), truth(folder)
        wanted = original[[names[cell] for cell in test.obs_names]]
        assert np.array_equal(dense(test.X), dense(wanted.X))
        assert test.X.dtype == np.float32
        assert test.X.has_sorted_indices
        assert list(test.var_names) == list(original.var_names)

    def test_what_fit_reads_is_the_rest_of_the_source_with_its_labels(self, source: Path) -> None:
        folder, _ = prepared(request_for(source))
        train, original = read(folder / "fit" / "train.h5ad"), read(source)
        rest = original[~original.obs_names.isin(list(truth(folder).values()))]

        def rows(cells: Any, labels: Any) -> list[tuple[float | str, ...]]:
            return sorted(
                (str(label), *row) for label, row in zip(labels, dense(cells.X).tolist(), strict=True)
            )

        assert rows(train, train.obs["label"]) == rows(rest, rest.obs["cell_type"])

    def test_the_truth_is_the_labels_of_the_test_cells(self, source: Path) -> None:
        folder, manifest = prepared(request_for(source))
        known, _, names = read_truth(folder, "v0")
        assert known.categories["label"] == manifest.facts.classes
        assert known.texts("label") == read(source).obs.loc[names, "cell_type"].tolist()

    def test_donors_are_kept_for_the_intervals(self, source: Path) -> None:
        folder, _ = prepared(request_for(source))
        clusters = read_truth(folder, "v0")[1]
        assert clusters is not None
        donors = read(source).obs.loc[list(truth(folder).values()), "donor_id"].tolist()
        assert [f"donor_{code}" for code in clusters] == donors

    def test_the_manifest_says_what_is_there(self, source: Path) -> None:
        folder, manifest = prepared(request_for(source))
        assert (manifest.n_fit, manifest.n_predict) == (32, 8)
        assert manifest.facts.n_vars == 6
        assert manifest.facts.classes == ("B cell", "T cell")
        assert manifest.facts.x == "counts"
        for verb, (file,) in (("fit", manifest.fit_inputs), ("predict", manifest.predict_inputs)):
            path = folder / verb / Path(file.path).name
            assert (file_sha256(path), path.stat().st_size) == (file.sha256, file.bytes)

    def test_every_fold_tests_other_cells_and_all_are_tested(self, source: Path) -> None:
        request = request_for(source, SplitPlan(SplitKind.KFOLD, folds=4))
        tested = [name for fold in range(4) for name in truth(prepared(request, fold)[0]).values()]
        assert sorted(tested) == list(read(source).obs_names)

    def test_a_dense_source_gives_the_same_cells(self, tmp_path: Path) -> None:
        cells = made_cells()
        sparse_folder, _ = prepared(request_for(written(cells, tmp_path / "sparse.h5ad")))
        cells.X = dense(cells.X)
        dense_folder, _ = prepared(request_for(written(cells, tmp_path / "dense.h5ad")))
        both = [read(folder / "predict" / "v0.h5ad") for folder in (sparse_folder, dense_folder)]
        as_rows = [sorted(map(tuple, dense(each.X).tolist())) for each in both]
        assert as_rows[0] == as_rows[1]


class TestSecrecy:
    def test_predict_gets_no_column_at_all(self, source: Path) -> None:
        folder, _ = prepared(request_for(source))
        assert list(read(folder / "predict" / "v0.h5ad").obs.columns) == []

    def test_fit_gets_the_label_under_its_contract_name_only(self, source: Path) -> None:
        folder, _ = prepared(request_for(source))
        assert list(read(folder / "fit" / "train.h5ad").obs.columns) == ["label"]

    @pytest.mark.parametrize("file", ["fit/train.h5ad", "predict/v0.h5ad"])
    def test_nothing_else_comes_along(self, source: Path, file: str) -> None:
        folder, _ = prepared(request_for(source))
        cells = read(folder / file)
        assert not any(
            len(getattr(cells, slot)) for slot in ("uns", "obsm", "obsp", "varm", "varp", "layers")
        )
        assert cells.raw is None
        assert cells.obs_names.is_unique
        assert not set(cells.obs_names) & set(read(source).obs_names)

    def test_no_byte_of_a_label_is_in_what_predict_sees(self, tmp_path: Path) -> None:
        labels = ["CANARY_ONE", "CANARY_TWO"] * 20
        path = written(made_cells(cell_type=labels, canary_column=labels), tmp_path / "canary.h5ad")
        folder, _ = prepared(request_for(path))
        for file in [*(folder / "predict").iterdir(), folder / "ids" / "v0.npy"]:
            content = file.read_bytes().lower()
            assert b"canary" not in content
            assert b"cell_0" not in content
        assert b"canary_one" in (folder / "fit" / "train.h5ad").read_bytes().lower()

    def test_no_byte_of_the_source_s_hidden_columns_is_in_what_fit_sees(self, tmp_path: Path) -> None:
        path = written(made_cells(hidden=["CANARY"] * 40), tmp_path / "canary.h5ad")
        folder, _ = prepared(request_for(path))
        assert b"CANARY" not in (folder / "fit" / "train.h5ad").read_bytes()

    def test_the_order_says_nothing_of_the_source(self, tmp_path: Path) -> None:
        labels = ["a"] * 100 + ["b"] * 100
        path = written(made_cells(200, cell_type=labels), tmp_path / "sorted.h5ad")
        folder, _ = prepared(request_for(path))
        names = list(truth(folder).values())
        assert names != sorted(names)
        train = read(folder / "fit" / "train.h5ad").obs["label"].tolist()
        assert train != sorted(train)

    def test_ids_are_fresh_in_every_split(self, source: Path) -> None:
        one, _ = prepared(request_for(source))
        other, _ = prepared(request_for(source, SplitPlan(seed=1)))
        assert not set(truth(one)) & set(truth(other))

    @pytest.mark.parametrize("umask", [0o022, 0o077])
    def test_times_and_modes_say_nothing_and_keep_the_truth_to_the_host(
        self, source: Path, umask: int, request: pytest.FixtureRequest
    ) -> None:
        request.addfinalizer(partial(os.umask, os.umask(umask)))
        folder, _ = prepared(request_for(source))
        modes = {}
        for path in folder.rglob("*"):
            assert path.stat().st_mtime == 0, path
            modes[str(path.relative_to(folder))] = stat.S_IMODE(path.stat().st_mode)
        assert modes.pop("truth") == 0o700
        assert {mode for name, mode in modes.items() if name.startswith("truth/")} == {0o600}
        assert modes["fit/train.h5ad"] == modes["predict/v0.h5ad"] == 0o644
        assert modes["fit"] == modes["predict"] == 0o755


def _changed_spec(name: str) -> Any:
    return {
        "layer": "scaled",
        "x": XKind.OTHER,
        "obs": {"label": "secret"},
        "organism": "homo_sapiens",
        "anomalous": ("Doublet",),
        "drop_unlabelled": True,
        "where": {"tissue": ("blood",)},
        "max_cells": 10,
        "stratify": ("batch",),
        "sample_seed": 1,
        "images": ImageOptions(crop=8),
        "name": "another",
        "path": Path("elsewhere.h5ad"),
        "url": "https://example.org/cells.h5ad",
        "sha256": "0" * 64,
        "census": CensusQuery(),
        "join": Join(train=DatasetSpec(path=Path("a")), test=DatasetSpec(path=Path("b"))),
        "title": "A title",
        "source": "doi:1",
        "license": "MIT",
        "split_key": "fold",
        "obs_table": Path("cells.csv"),
    }.get(name)


MEANINGLESS = {
    "name", "path", "url", "sha256", "census", "title", "source", "license", "split_key", "obs_table",
}  # fmt: skip
"""Fields of a data set's description that don't change its cells; any other field has to."""

PLAN_CHANGES: dict[str, Any] = {
    "kind": SplitKind.KFOLD, "folds": 7, "test_size": 0.3, "seed": 1, "group_key": "batch", "split_key": "x",
    "inner_folds": 3, "train_on": parse_clauses("", "time<=2"), "test_on": parse_clauses("", "time>2"),
}  # fmt: skip


class TestKey:
    @pytest.fixture
    def request_(self) -> PrepareRequest:
        spec = DatasetSpec(name="cells", path=Path("cells.h5ad"))
        return PrepareRequest(spec, "0" * 64, CELL_TYPE_CLASSIFICATION, SplitPlan())

    # A new field of DatasetSpec fails here until somebody decides whether it changes what is prepared.
    @pytest.mark.parametrize("name", [each for each in DatasetSpec.model_fields if each != "schema_version"])
    def test_it_changes_with_every_field_that_means_something(
        self, request_: PrepareRequest, name: str
    ) -> None:
        value = _changed_spec(name)
        assert value is not None, f"decide whether {name} changes prepared data"
        other = replace(request_, spec=request_.spec.model_copy(update={name: value}))
        assert (other.key(0) == request_.key(0)) is (name in MEANINGLESS)

    @pytest.mark.parametrize("name", [each.name for each in fields(SplitPlan)])
    def test_it_changes_with_every_field_of_the_split(self, request_: PrepareRequest, name: str) -> None:
        kinds = {
            "folds": SplitKind.KFOLD,
            "group_key": SplitKind.GROUP_KFOLD,
            "split_key": SplitKind.PREDEFINED,
            "train_on": SplitKind.DOMAIN,
            "test_on": SplitKind.DOMAIN,
        }
        plan = SplitPlan(
            kinds.get(name, SplitKind.HOLDOUT),
            group_key="donor_id",
            split_key="original",
            test_on=parse_clauses("", "tissue=lung"),
        )
        other = replace(plan, **{name: PLAN_CHANGES[name]})
        assert replace(request_, plan=plan).key(0) != replace(request_, plan=other).key(0)

    @pytest.mark.parametrize("name", [each.name for each in fields(PrepareRequest) if each.name != "notes"])
    def test_it_changes_with_every_part_of_the_request(self, request_: PrepareRequest, name: str) -> None:
        other = {
            "spec": request_.spec.model_copy(update={"layer": "raw"}),
            "sha256": "1" * 64,
            "task": replace(CELL_TYPE_CLASSIFICATION, predict_obs=("batch",)),
            "plan": SplitPlan(seed=1),
        }[name]
        assert replace(request_, **{name: other}).key(0) != request_.key(0)

    def test_it_changes_with_what_a_joined_data_set_is_taken_for(self, request_: PrepareRequest) -> None:
        one, other = (DatasetSpec(path=Path("a"), layer=layer) for layer in ("X", "raw"))
        keys = {
            replace(request_, spec=DatasetSpec(join=Join(train=train, test=one))).key(0)
            for train in (one, other)
        }
        assert len(keys) == 2

    def test_it_changes_with_the_fold(self, request_: PrepareRequest) -> None:
        assert request_.key(0) != request_.key(1)

    def test_it_changes_with_the_contract_and_the_preparer(
        self, request_: PrepareRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = {request_.key(0)}
        for name in ("CONTRACT_VERSION", "PREPARER_VERSION"):
            with monkeypatch.context() as changed:
                changed.setattr(f"czrun.manifest.{name}", 99)
                keys.add(request_.key(0))
        assert len(keys) == 3

    def test_it_does_not_change_with_how_a_task_is_scored(self, request_: PrepareRequest) -> None:
        task = replace(CELL_TYPE_CLASSIFICATION, metrics=("accuracy",), title="Other")
        assert replace(request_, task=task).key(0) == request_.key(0)

    def test_the_same_request_gives_the_same_bytes(
        self, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, first = prepared(request_for(source))
        monkeypatch.setenv("CZRUN_HOME", str(source.parent / "another"))
        _, second = prepared(request_for(source))
        assert first == second

    @pytest.mark.parametrize("file", ["fit/train.h5ad", "predict/v0.h5ad"])
    def test_no_array_holds_the_hour_of_its_writing(self, source: Path, file: str) -> None:
        folder, _ = prepared(request_for(source))
        timed = []

        def look(name: str, item: Any) -> None:
            if h5py.h5g.get_objinfo(item.id).mtime:
                timed.append(name)

        with h5py.File(folder / file) as content:
            content.visititems(look)
        assert timed == []


class TestWholeness:
    def test_what_is_there_is_not_written_again(self, source: Path) -> None:
        folder, _ = prepared(request_for(source))
        before = (folder / "manifest.json").stat().st_ino
        prepared(request_for(source))
        assert (folder / "manifest.json").stat().st_ino == before

    def test_bad_numbers_leave_nothing_behind(self, tmp_path: Path) -> None:
        cells = made_cells()
        cells.X.data[-1] = np.nan
        path = written(cells, tmp_path / "nan.h5ad")
        with pytest.raises(DatasetError):
            prepared(request_for(path, x="counts"))
        assert list(cache_home().rglob("*.h5ad")) == []
        assert list((cache_home() / "prepared").glob("*")) == []
        assert list((cache_home() / "work").glob("*")) == []

    def test_a_full_disk_leaves_nothing_behind(self, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import shutil

        usage = shutil.disk_usage(source)._replace(free=1 << 20)
        monkeypatch.setattr("czrun.inputs.shutil.disk_usage", lambda _path: usage)
        with pytest.raises(StorageError, match="1 MiB are free") as refused:
            prepared(request_for(source))
        assert "CZRUN_HOME" in refused.value.hint
        assert list((cache_home() / "prepared").glob("*")) == []

    @pytest.mark.parametrize("mebibytes", [1, 4, 8])
    def test_a_disk_that_fills_up_on_the_way_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mebibytes: int
    ) -> None:
        """A real one, which takes root to mount; the room that was there in the beginning is gone."""
        path = written(made_cells(4000, 500), tmp_path / "cells.h5ad")
        monkeypatch.setattr("czrun.inputs._DISK_FLOOR_BYTES", -1 << 40)
        with _small_disk(cache_home(), mebibytes):
            with pytest.raises(StorageError, match="No space is left"):
                prepared(request_for(path))
            assert list(cache_home().rglob("*.h5ad")) == []
            assert list((cache_home() / "prepared").glob("*")) == []
            assert list((cache_home() / "work").glob("*")) == []

    @pytest.mark.parametrize("kibibytes", [400, 700])
    def test_a_file_that_may_not_grow_leaves_nothing_behind(self, tmp_path: Path, kibibytes: int) -> None:
        """What any user can bring about: the limit of ``ulimit -f``."""
        path = written(made_cells(1000, 200), tmp_path / "cells.h5ad")
        request = request_for(path)
        cache_home().mkdir()
        with _file_limit(kibibytes << 10), pytest.raises(StorageError, match="No space is left"):
            prepared(request)
        assert list((cache_home() / "prepared").glob("*")) == []
        assert list((cache_home() / "work").glob("*")) == []

    def test_two_processes_that_prepare_the_same_agree(self, source: Path) -> None:
        request, home = request_for(source), cache_home()
        one, other = acquire(home), acquire(home)
        prepare(request, home, one)
        published = request.manifest(home, 0)
        (home / "prepared" / request.key(0) / "manifest.json").rename(home / "away.json")
        prepare(request, home, other)
        (home / "away.json").rename(home / "prepared" / request.key(0) / "manifest.json")
        assert request.manifest(home, 0) == published
        one.release()
        other.release()

    @pytest.mark.parametrize("damage", ["changed", "shortened", "gone"])
    def test_damage_is_noticed_before_anything_is_mounted(self, source: Path, damage: str) -> None:
        folder, manifest = prepared(request_for(source))
        file = folder / "predict" / "v0.h5ad"
        if damage == "changed":
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)
        elif damage == "shortened":
            file.write_bytes(file.read_bytes()[:-1])
        else:
            file.unlink()
        with pytest.raises(StorageError, match="changed or damaged") as refused:
            verify_inputs(folder / "predict", manifest.predict_inputs)
        assert f"rm -r {folder}" in refused.value.hint

    def test_undamaged_data_pass(self, source: Path) -> None:
        folder, manifest = prepared(request_for(source))
        verify_inputs(folder / "fit", manifest.fit_inputs)
        verify_inputs(folder / "predict", manifest.predict_inputs)

    @pytest.mark.parametrize("content", ["", "{", "{}", '{"schema_version": 2}'])
    def test_a_damaged_manifest_is_a_storage_error(self, source: Path, content: str) -> None:
        folder, manifest = prepared(request_for(source))
        (folder / "manifest.json").write_text(content)
        with pytest.raises(StorageError, match="changed or damaged"):
            read_manifest(cache_home(), manifest.key)


class TestSplitsOfCells:
    def test_a_group_holdout_keeps_donors_apart(self, source: Path) -> None:
        folder, _manifest = prepared(
            request_for(source, SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="donor_id"))
        )
        original = read(source).obs
        tested = set(original.loc[list(truth(folder).values()), "donor_id"])
        learned = set(original[~original.index.isin(list(truth(folder).values()))]["donor_id"])
        assert not tested & learned

    def test_a_predefined_split_leaves_the_other_cells_out(self, tmp_path: Path) -> None:
        part = ["train"] * 20 + ["test"] * 10 + ["validation"] * 10
        path = written(made_cells(part=part), tmp_path / "cells.h5ad")
        folder, manifest = prepared(request_for(path, SplitPlan(SplitKind.PREDEFINED, split_key="part")))
        assert (manifest.n_fit, manifest.n_predict) == (20, 10)
        assert sorted(truth(folder).values()) == [f"cell_{i:03d}" for i in range(20, 30)]

    def test_a_class_on_one_side_only_is_noted(self, tmp_path: Path) -> None:
        part = ["train"] * 30 + ["test"] * 10
        labels = ["a", "b"] * 15 + ["a", "c"] * 5
        path = written(made_cells(part=part, cell_type=labels), tmp_path / "cells.h5ad")
        _, manifest = prepared(request_for(path, SplitPlan(SplitKind.PREDEFINED, split_key="part")))
        assert "no training cells of c" in manifest.notes
        assert "no test cells of b" in manifest.notes

    def test_dropped_cells_are_counted_and_stay_out(self, tmp_path: Path) -> None:
        labels = ["a", "b", None, "nan"] * 10
        path = written(made_cells(cell_type=labels), tmp_path / "cells.h5ad")
        folder, manifest = prepared(request_for(path, drop_unlabelled=True))
        assert manifest.n_fit + manifest.n_predict == 20
        assert "20 cells without 'cell_type' were left out" in manifest.notes
        assert all(int(name[-3:]) % 4 < 2 for name in truth(folder).values())

    def test_a_label_is_found_whatever_the_order_of_the_columns(self, tmp_path: Path) -> None:
        path = written(made_cells(kind=["x", "y"] * 20), tmp_path / "cells.h5ad")
        _, manifest = prepared(request_for(path, obs={"label": "kind"}))
        assert manifest.facts.classes == ("x", "y")
        assert manifest.label_key == "kind"

    def test_every_error_is_one_of_ours(self, tmp_path: Path) -> None:
        path = tmp_path / "cells.h5ad"
        with h5py.File(path, "w") as file:
            file["X"] = np.zeros((2, 2))
            file["obs"] = np.zeros(3)
            file["var"] = np.zeros(3)
        with pytest.raises(CzrunError):
            prepared(request_for(path))
