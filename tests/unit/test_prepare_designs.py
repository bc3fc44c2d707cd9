"""Prepared data of every kind of task: what each phase gets, what it can't find out, and that it stays so."""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from czrun.contract.job import Verb
from czrun.manifest import PreparedManifest, PrepareRequest
from czrun.options import DataOptions, settle
from czrun.split_plan import SplitKind, SplitPlan
from czrun.storage import cache_home, file_sha256
from czrun.tasks.base import Design, Task
from czrun.tasks.labels import REFERENCE_EMBEDDING
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from czrun.tasks.registry import all_tasks
from czrun.truth import TREATED, read_truth
from made_cells import cell_numbers, numbered_cells, prepared, read, request_for, written
from made_images import made_images
from made_tasks import BATCHES, IMAGES, LABELS_OR_EMBEDDING, NOVELTY, ORGANISMS, PLAIN, TIMES

WHOLE = SplitPlan(SplitKind.WHOLE)
HOLDOUT = SplitPlan(test_size=0.3)
CANARY = rb"CANARY_(?:label_\d|donor_\d|cell_\d+|file|column|value|[abc])"
DRUGS = ["DMSO", "CANARY_a", "CANARY_b", "CANARY_c"] * 12


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Forty-eight cells of which each has a number of its own in its second gene."""
    cells = numbered_cells(
        48,
        cell_type=["CANARY_label_1", "CANARY_label_2"] * 24,
        donor_id=[f"CANARY_donor_{i % 4}" for i in range(48)],
        batch=["plate x", "plate y"] * 24,
        organism=["mouse"] * 24 + ["human"] * 24,
        tissue=["blood"] * 24 + ["lung"] * 24,
        time=[1234.5678 + i % 6 for i in range(48)],
        perturbation=DRUGS,
        CANARY_column=["CANARY_value", None] * 24,
    )
    cells.obs_names = [f"CANARY_cell_{i:03d}" for i in range(48)]
    return written(cells, tmp_path / "CANARY_file.h5ad")


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def canaries(folder: Path, *parts: str) -> set[str]:
    """Find every word that only the source had, in the files' names and bytes."""
    return {word.decode() for word in re.findall(CANARY, contents(folder, *parts))}


def files(folder: Path, *parts: str) -> Iterator[Path]:
    for part in parts:
        yield from sorted(path for path in (folder / part).rglob("*") if path.is_file())


def contents(folder: Path, *parts: str) -> bytes:
    return b"\n".join(path.name.encode() + path.read_bytes() for path in files(folder, *parts))


def hashes(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file_sha256(file) for file in files(folder, ".")}


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"task": PLAIN, "plan": WHOLE},
    "batches": {"task": BATCHES, "plan": WHOLE},
    "organisms": {"task": ORGANISMS, "plan": SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="organism")},
    "times": {"task": TIMES, "plan": HOLDOUT},
    "novelty": {
        "task": NOVELTY,
        "plan": HOLDOUT,
        "obs": {"anomaly": "donor_id"},
        "anomalous": ("CANARY_donor_1",),
    },
    "reference": {"task": LABELS_OR_EMBEDDING, "plan": HOLDOUT},
    "perturbations": {"task": PERTURBATION_PREDICTION, "plan": HOLDOUT, "obs": {"context": "tissue"}},
}


def make(path: Path, kind: str, **changes: Any) -> tuple[Path, PreparedManifest]:
    return prepared(request_for(path, **{**REQUESTS[kind], **changes}))


class TestSides:
    def test_the_whole_is_all_cells_in_both_phases_under_other_ids_in_another_order(self, path: Path) -> None:
        folder, manifest = make(path, "plain")
        fit, predict = folder / "fit" / "train.h5ad", folder / "predict" / "v0.h5ad"
        assert sorted(cell_numbers(fit)) == sorted(cell_numbers(predict)) == list(range(48))
        assert cell_numbers(fit) != cell_numbers(predict)
        assert not set(read(fit).obs_names) & set(read(predict).obs_names)
        assert (manifest.n_fit, manifest.n_predict) == (48, 48)

    def test_a_test_organism_is_not_in_fit(self, path: Path) -> None:
        folder, _ = make(path, "organisms")
        assert len(set(read(folder / "fit" / "train.h5ad").obs["organism"])) == 1
        assert len(set(read(folder / "predict" / "v0.h5ad").obs["organism"])) == 1
        assert not set(cell_numbers(folder / "fit" / "train.h5ad")) & set(
            cell_numbers(folder / "predict" / "v0.h5ad")
        )

    def test_anomalies_are_in_predict_only_and_all_of_them(self, path: Path) -> None:
        folder, _ = make(path, "novelty")
        anomalous = {row for row in range(48) if row % 4 == 1}
        assert not anomalous & set(cell_numbers(folder / "fit" / "train.h5ad"))
        assert anomalous < set(cell_numbers(folder / "predict" / "v0.h5ad"))
        truth = read_truth(folder, "v0")[0]
        told = np.array(cell_numbers(folder / "predict" / "v0.h5ad"))[truth.columns["anomaly"]]
        assert set(told) == anomalous

    def test_the_reference_is_fit_s_cells_without_labels_ids_or_order(self, path: Path) -> None:
        folder, manifest = make(path, "reference")
        fit, again = folder / "fit" / "train.h5ad", folder / "predict" / "reference.h5ad"
        assert sorted(cell_numbers(fit)) == sorted(cell_numbers(again))
        assert cell_numbers(fit) != cell_numbers(again)
        assert not set(read(fit).obs_names) & set(read(again).obs_names)
        assert list(read(again).obs.columns) == []
        assert manifest.views == {"v0": manifest.n_predict, "reference": manifest.n_fit}
        truth, _, names = read_truth(folder, "reference")
        assert names == [f"CANARY_cell_{number:03d}" for number in cell_numbers(again)]
        assert truth.texts("label") == [f"CANARY_label_{number % 2 + 1}" for number in cell_numbers(again)]
        assert np.load(folder / "ids" / "reference.npy").astype(str).tolist() == list(read(again).obs_names)

    def test_cells_that_are_asked_for_are_in_the_host_s_folder_only(self, path: Path) -> None:
        folder, manifest = make(path, "perturbations")
        treated = cell_numbers(folder / "truth" / f"{TREATED}.h5ad")
        fit, predict = (
            cell_numbers(folder / "fit" / "train.h5ad"),
            cell_numbers(folder / "predict" / "v0.h5ad"),
        )
        assert treated
        assert not set(treated) & {*fit, *predict}
        assert sorted({*treated, *fit}) == list(range(48))
        assert sorted(predict) == list(range(0, 48, 4))
        assert manifest.n_treated == len(treated)

    def test_conditions_are_named_with_their_cells(self, path: Path) -> None:
        folder, manifest = make(path, "perturbations")
        table = rows_of(folder / "predict" / "v0.conditions.csv")
        treated = read(folder / "truth" / f"{TREATED}.h5ad")
        rows = cell_numbers(folder / "truth" / f"{TREATED}.h5ad")
        assert list(treated.obs["condition"].cat.categories) == [row["condition"] for row in table]
        assert len(table) == manifest.n_conditions == 2
        for row in table:
            own = [
                number
                for number, condition in zip(rows, treated.obs["condition"], strict=True)
                if condition == row["condition"]
            ]
            assert len(own) == int(row["n_cells"])
            assert {DRUGS[number] for number in own} == {row["perturbation"]}
            assert {"blood" if number < 24 else "lung" for number in own} == {row["context"]}
            assert row["condition"] == f"{row['perturbation']} in {row['context']}"

    def test_what_is_left_out_is_noted(self, path: Path) -> None:
        cells = read(path)
        cells.obs["tissue"] = ["blood"] * 46 + ["lung"] * 2
        folder, manifest = make(written(cells, path.with_name("few.h5ad")), "perturbations", plan=WHOLE)
        assert any("were left out" in note for note in manifest.notes)
        assert manifest.n_conditions == 3
        assert sorted(cell_numbers(folder / "fit" / "train.h5ad")) == list(range(0, 48, 4))


class TestInnerFolds:
    def test_fit_s_cells_have_a_fold_each_with_donors_whole_and_predict_s_have_none(self, path: Path) -> None:
        folder, manifest = make(path, "reference", plan=replace(HOLDOUT, inner_folds=2))
        fit = read(folder / "fit" / "train.h5ad")
        assert fit.obs["fold"].dtype == np.int32
        assert sorted(set(fit.obs["fold"])) == [0, 1]
        donors = [number % 4 for number in cell_numbers(folder / "fit" / "train.h5ad")]
        assert len(set(zip(donors, fit.obs["fold"], strict=True))) == 4
        for view in ("v0", "reference"):
            assert "fold" not in read(folder / "predict" / f"{view}.h5ad").obs
        assert manifest.facts.inner_folds == 2

    def test_each_perturbation_is_in_one_fold_and_controls_are_in_none(self, path: Path) -> None:
        folder, _ = make(path, "perturbations", plan=replace(HOLDOUT, inner_folds=2))
        fit = read(folder / "fit" / "train.h5ad").obs
        folds = set(zip(fit["perturbation"].astype(str), fit["fold"], strict=True))
        assert {fold for name, fold in folds if name == "control"} == {-1}
        assert len({name for name, _ in folds}) == len(folds) == 3
        assert {fold for _, fold in folds} == {-1, 0, 1}

    def test_the_groups_of_the_split_are_whole_before_donors_are(self, path: Path) -> None:
        plan = SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="time", test_size=0.3, inner_folds=3)
        folder, _ = make(path, "reference", plan=plan)
        folds = read(folder / "fit" / "train.h5ad").obs["fold"]
        times = [number % 6 for number in cell_numbers(folder / "fit" / "train.h5ad")]
        assert len(set(zip(times, folds, strict=True))) == len(set(times))

    def test_donors_too_few_for_the_folds_are_parted_and_it_says_so(self, path: Path) -> None:
        _, manifest = make(path, "reference", plan=replace(HOLDOUT, inner_folds=5))
        assert "groups of 'donor_id' aren't whole in inner folds, of which there are more" in manifest.notes

    def test_without_them_there_is_no_such_column(self, path: Path) -> None:
        folder, manifest = make(path, "reference")
        assert "fold" not in read(folder / "fit" / "train.h5ad").obs
        assert manifest.facts.inner_folds == 0


class TestJob:
    def test_every_file_is_listed_with_its_rows_and_hash(self, path: Path, tmp_path: Path) -> None:
        images = prepared(request_for(made_images(tmp_path / "i.npz"), HOLDOUT, IMAGES))
        for folder, manifest in (make(path, "perturbations"), make(path, "reference"), images):
            for phase, listed in (("fit", manifest.fit_inputs), ("predict", manifest.predict_inputs)):
                assert {folder / phase / Path(file.path).name for file in listed} == set(files(folder, phase))
                for file in listed:
                    content = folder / phase / Path(file.path).name
                    assert (file.sha256, file.bytes) == (file_sha256(content), content.stat().st_size)
                    assert content.suffix == f".{file.format}"

    def test_a_perturbation_job_says_the_space_and_what_is_asked(self, path: Path) -> None:
        _, manifest = make(path, "perturbations")
        assert manifest.facts.expression == "log1p_cp10k"
        assert manifest.sizes["n_conditions"] == manifest.n_conditions
        assert manifest.sizes["n_cells"] == manifest.n_treated
        assert [(Path(file.path).name, file.n_obs) for file in manifest.predict_inputs] == [
            ("v0.h5ad", 12),
            ("v0.conditions.csv", manifest.n_conditions),
        ]
        _, manifest = make(path, "perturbations", x="normalized")
        assert manifest.facts.expression == "as_x"

    def test_an_image_job_says_the_shape(self, tmp_path: Path) -> None:
        _, manifest = prepared(request_for(made_images(tmp_path / "i.npz"), HOLDOUT, IMAGES))
        facts = manifest.facts_for(Verb.FIT)
        assert facts.modality == "image"
        assert facts.image_shape == (4, 5, 3)
        assert (facts.n_vars, facts.n_obs) == (0, manifest.n_fit)
        assert facts.classes == ("type 0", "type 1", "type 2")


class TestImages:
    def test_images_are_the_source_s_to_the_byte(self, tmp_path: Path) -> None:
        path = made_images(tmp_path / "images.npz")
        folder, manifest = prepared(request_for(path, HOLDOUT, IMAGES))
        with np.load(path) as archive:
            images, labels = archive["images"], archive["cell_type"]
        seen = []
        for view in ("v0", "reference"):
            rows = [int(name) for name in read_truth(folder, view)[2]]
            written_ = np.load(folder / "predict" / f"{view}.images.npy", mmap_mode="r")
            assert written_.dtype == np.uint8
            assert np.array_equal(written_, images[rows])
            assert read_truth(folder, view)[0].texts("label") == labels[rows].tolist()
            seen += rows
        assert sorted(seen) == list(range(30))
        fitted = np.load(folder / "fit" / "train.images.npy")
        assert len(fitted) == manifest.n_fit

    def test_fit_has_labels_beside_the_images_and_predict_has_ids_alone(self, tmp_path: Path) -> None:
        path = made_images(tmp_path / "images.npz")
        folder, _ = prepared(request_for(path, HOLDOUT, IMAGES))
        with np.load(path) as archive:
            images, labels = archive["images"], archive["cell_type"]
        label_of = {image.tobytes(): str(label) for image, label in zip(images, labels, strict=True)}
        train = rows_of(folder / "fit" / "train.cells.csv")
        fitted = np.load(folder / "fit" / "train.images.npy")
        assert [row["label"] for row in train] == [label_of[image.tobytes()] for image in fitted]
        for view in ("v0", "reference"):
            table = (folder / "predict" / f"{view}.cells.csv").read_text().split()
            assert table == ["cell_id", *np.load(folder / "ids" / f"{view}.npy").astype(str)]

    def test_no_byte_of_a_label_or_a_name_is_in_what_predict_reads(self, tmp_path: Path) -> None:
        columns = {"cell_type": ["CANARY_1", "CANARY_2"] * 15, "cell_id": [f"CANARY_{i}" for i in range(30)]}
        path = made_images(tmp_path / "CANARY.npz", hidden=["CANARY"] * 30, **columns)
        folder, _ = prepared(request_for(path, HOLDOUT, IMAGES))
        assert b"CANARY" not in contents(folder, "predict", "ids")
        assert set(re.findall(rb"CANARY\w*", contents(folder, "fit"))) == {b"CANARY_1", b"CANARY_2"}


class TestSecrecy:
    @pytest.mark.parametrize("kind", REQUESTS)
    def test_no_byte_of_what_is_hidden_is_in_what_predict_reads(self, path: Path, kind: str) -> None:
        folder, _ = make(path, kind)
        asked = (
            {row["perturbation"] for row in rows_of(folder / "predict" / "v0.conditions.csv")}
            if kind == "perturbations"
            else set()
        )
        assert canaries(folder, "predict", "ids") == asked
        for time in np.unique(1234.5678 + np.arange(6)):
            assert struct.pack("<d", time) not in contents(folder, "predict", "ids")

    @pytest.mark.parametrize("kind", REQUESTS)
    def test_fit_learns_nothing_but_what_its_task_shows(self, path: Path, kind: str) -> None:
        folder, _ = make(path, kind)
        labels = {"CANARY_label_1", "CANARY_label_2"}
        shown = {"organisms": labels, "reference": labels}
        if kind == "perturbations":
            shown[kind] = set(read(folder / "fit" / "train.h5ad").obs["perturbation"]) - {"control"}
        assert canaries(folder, "fit") == shown.get(kind, set())

    @pytest.mark.parametrize("kind", ["perturbations", "organisms"])
    def test_fit_s_file_does_not_name_what_predict_is_asked_for(self, path: Path, kind: str) -> None:
        folder, _ = make(path, kind)
        column = {"perturbations": "perturbation", "organisms": "organism"}[kind]
        values = read(folder / "fit" / "train.h5ad").obs[column]
        assert set(values.cat.categories) == set(values)
        assert len(values.cat.categories) < len(set(read(path).obs[column]))

    @pytest.mark.parametrize("kind", REQUESTS)
    def test_ids_say_nothing_and_no_two_cells_share_one(self, path: Path, kind: str) -> None:
        folder, _ = make(path, kind)
        ids = [
            id_
            for file in files(folder, "fit", "predict")
            if file.suffix == ".h5ad"
            for id_ in read(file).obs_names
        ]
        assert all(re.fullmatch(r"[0-9a-f]{16}", id_) for id_ in ids)
        assert len(set(ids)) == len(ids)


class TestColumns:
    def test_flags_and_times_are_read_back_as_what_they_are(self, path: Path) -> None:
        folder, _ = make(path, "perturbations")
        controls = read(folder / "fit" / "train.h5ad").obs["is_control"]
        assert controls.dtype == bool
        rows = cell_numbers(folder / "fit" / "train.h5ad")
        assert controls.tolist() == [number % 4 == 0 for number in rows]
        folder, _ = make(path, "times")
        times = read(folder / "fit" / "train.h5ad").obs["time"]
        assert times.dtype == np.float64
        assert times.tolist() == [
            1234.5678 + number % 6 for number in cell_numbers(folder / "fit" / "train.h5ad")
        ]

    def test_a_control_cell_is_called_control(self, path: Path) -> None:
        folder, _ = make(path, "perturbations")
        train = read(folder / "fit" / "train.h5ad").obs
        assert set(train["perturbation"][train["is_control"]]) == {"control"}

    @pytest.mark.parametrize("task", all_tasks().values(), ids=lambda task: task.id)
    def test_each_phase_holds_what_the_contract_says(self, path: Path, tmp_path: Path, task: Task) -> None:
        request = _request_for_any(task, path, tmp_path)
        folder, _ = prepared(request)
        documented = documented_columns()
        assert task.id in documented, "docs/contract.md has a row for every task"
        found = tuple(_columns(folder, phase, task) for phase in ("fit/train", "predict/v0"))
        assert found == documented[task.id]


def _request_for_any(task: Task, path: Path, tmp_path: Path) -> PrepareRequest:
    """Ask for any task as a user would, with a column for whatever it needs."""
    anomalous = {"obs": {"anomaly": "donor_id"}, "anomalous": ("CANARY_donor_1",)}
    if task.modality == "image":
        dataset, more = made_images(tmp_path / "images.npz"), {}
    else:
        dataset, more = path, {"obs": {"context": "tissue"}} if task.design is Design.PERTURBATION else {}
    if task.design is Design.NOVELTY:
        more = anomalous
    return settle(DataOptions(dataset=str(dataset), task=task.id, **more))


def _columns(folder: Path, file: str, task: Task) -> frozenset[str]:
    if task.modality == "image":
        header = (folder / f"{file}.cells.csv").read_text().splitlines()[0].split(",")
        assert header[0] == "cell_id"
        return frozenset(header[1:])
    return frozenset(read(folder / f"{file}.h5ad").obs.columns)


def documented_columns() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Read the contract's table of obs columns."""
    text = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
    table = text[text.index("| task | fit's `obs` | predict's `obs` |") :].split("\n\n")[0]
    found = {}
    for row in table.splitlines()[2:]:
        tasks, fit, predict = (re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|"))
        found.update(dict.fromkeys(tasks, (frozenset(fit), frozenset(predict))))
    return found


TASK_CHANGES: dict[str, Any] = {
    "fit_obs": ("batch",),
    "predict_obs": ("batch",),
    "truth": ("label", "batch"),
    "optional_obs": ("tissue",),
    "optional_truth": ("tissue",),
    "stratify": "batch",
    "design": Design.NOVELTY,
    "modality": "image",
    "reference_outputs": (REFERENCE_EMBEDDING,),
}

OTHERWISE_CHANGED: dict[str, Any] = {
    "id": "another",
    "title": "Another",
    "summary": "Another.",
    "outputs": (REFERENCE_EMBEDDING,),
    "one_of": ("embedding.npy",),
    "metrics": ("another",),
    "measure": print,
    "negative_control": "another:1",
    "default_split": SplitKind.KFOLD,
    "default_group": "donor",
    "default_folds": 3,
    "infos": ("another",),
    "packages": ("another 1.0",),
}
"""Fields of a task that don't change what is prepared for it."""


class TestKey:
    # A new field of Task fails here until somebody decides whether it changes what is prepared.
    @pytest.mark.parametrize("name", [each.name for each in fields(Task)])
    def test_it_changes_with_the_fields_of_a_task_that_change_its_files(self, path: Path, name: str) -> None:
        changes = {**TASK_CHANGES, **OTHERWISE_CHANGED}
        assert name in changes, f"decide whether {name} changes prepared data"
        request = request_for(path, WHOLE, PLAIN)
        other = replace(request, task=replace(PLAIN, **{name: changes[name]}))
        assert (other.key(0) != request.key(0)) is (name in TASK_CHANGES)

    @pytest.mark.parametrize("kind", REQUESTS)
    def test_the_same_request_gives_the_same_bytes(
        self, path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        folder, _ = make(path, kind)
        monkeypatch.setenv("CZRUN_HOME", str(tmp_path / "another"))
        again, _ = make(path, kind)
        assert again != folder
        hashes = [
            {str(file.relative_to(each)): file_sha256(file) for file in files(each, ".")}
            for each in (folder, again)
        ]
        assert hashes[0] == hashes[1]

    def test_images_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        request = request_for(made_images(tmp_path / "images.npz"), HOLDOUT, IMAGES)
        first, _ = prepared(request)
        monkeypatch.setenv("CZRUN_HOME", str(tmp_path / "another"))
        second, _ = prepared(request)
        assert hashes(first) == hashes(second)

    @pytest.mark.parametrize("kind", REQUESTS)
    def test_nothing_but_the_folder_stays_behind(self, path: Path, kind: str) -> None:
        folder, _ = make(path, kind)
        assert [each.name for each in (cache_home() / "prepared").iterdir()] == [folder.name]
        assert list((cache_home() / "work").glob("*")) == []
