"""The leak audit: each way in which a prepared folder could tell the answers, really made, is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from czrun import prepare as preparing
from czrun.audit import audit_prepared
from czrun.cells import Categorical
from czrun.errors import LeakError
from czrun.input_bytes import occurrences, stray_texts
from czrun.inputs import Part
from czrun.ledger import Ledger
from czrun.model_input import H5adWriter
from czrun.prepare import _settle
from czrun.split_plan import SplitKind, SplitPlan
from czrun.storage import cache_home
from czrun.tasks.labels import CELL_TYPE_CLASSIFICATION
from czrun.tasks.perturbation import PERTURBATION_PREDICTION
from made_cells import made_cells, prepared, request_for, written
from made_images import made_images
from made_tasks import BATCHES, IMAGES, LABELS_OR_EMBEDDING, NOVELTY, ORGANISMS, PLAIN, TIMES

N_OBS = 240
SHOWN = "predict/v0.h5ad"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Cells sorted by type and donor, as files from one plate after another are."""
    cells = made_cells(
        N_OBS,
        cell_type=["B cell", "T cell"] * 60 + ["Mast cell"] * 120,
        donor_id=[f"donor_{i // 60}" for i in range(N_OBS)],
        batch=[f"plate {i % 3}" for i in range(N_OBS)],
        organism=["Mus musculus"] * 120 + ["Homo sapiens"] * 120,
        tissue=["blood", "lung"] * 120,
        time=[i // 40 for i in range(N_OBS)],
        perturbation=["control", "drug one", "drug two", "drug three"] * 60,
    )
    cells.obs["cell_type"] = np.sort(cells.obs["cell_type"])
    return written(cells, tmp_path / "cells.h5ad")


@pytest.fixture(name="folder")
def _folder(path: Path) -> Path:
    return prepared(request_for(path))[0]


def findings(folder: Path) -> str:
    return "\n".join(map(str, audit_prepared(folder)))


def tampered(folder: Path, change: Callable[[h5py.File], None], file: str = SHOWN) -> str:
    """Change one file of a copy, put its mode and time back, and return what the audit says."""
    copy = folder.with_name("tampered")
    shutil.copytree(folder, copy)
    with h5py.File(copy / file, "r+") as content:
        change(content)
    _settle(copy)
    return findings(copy)


REQUESTS: dict[str, dict[str, Any]] = {
    "labels": {},
    "folds": {"plan": SplitPlan(SplitKind.KFOLD, folds=3)},
    "donors": {"plan": SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="donor_id")},
    "inner folds": {"plan": SplitPlan(inner_folds=3)},
    "plain": {"task": PLAIN, "plan": SplitPlan(SplitKind.WHOLE)},
    "batches": {"task": BATCHES, "plan": SplitPlan(SplitKind.WHOLE)},
    "organisms": {"task": ORGANISMS, "plan": SplitPlan(SplitKind.GROUP_HOLDOUT, group_key="organism")},
    "times": {"task": TIMES},
    "novelty": {"task": NOVELTY, "obs": {"anomaly": "donor_id"}, "anomalous": ("donor_1",)},
    "reference": {"task": LABELS_OR_EMBEDDING},
    "perturbations": {"task": PERTURBATION_PREDICTION, "obs": {"context": "tissue"}},
}


class TestSoundData:
    @pytest.mark.parametrize("kind", REQUESTS)
    def test_every_design_passes_when_it_is_prepared_and_later(self, path: Path, kind: str) -> None:
        folder, _ = prepared(request_for(path, **REQUESTS[kind]))
        assert findings(folder) == ""

    def test_images_pass(self, tmp_path: Path) -> None:
        folder, _ = prepared(request_for(made_images(tmp_path / "i.npz", 60), SplitPlan(), IMAGES))
        assert findings(folder) == ""

    def test_a_class_may_be_called_like_a_gene_a_batch_or_a_word_of_the_format(self, tmp_path: Path) -> None:
        names = ["GENE1", "plate 1", "TREE", "categorical", "column-order", "B", "GCOL", "FALSE"] * 30
        plates = ["plate 1", "plate 2"] * 120
        path = written(made_cells(N_OBS, cell_type=names, batch=plates), tmp_path / "odd.h5ad")
        assert findings(prepared(request_for(path))[0]) == ""
        assert findings(prepared(request_for(path, SplitPlan(SplitKind.WHOLE), BATCHES))[0]) == ""

    @pytest.mark.parametrize("n_obs", [4, 5, 9])
    def test_a_handful_of_cells_pass(self, tmp_path: Path, n_obs: int) -> None:
        path = written(made_cells(n_obs), tmp_path / "few.h5ad")
        assert findings(prepared(request_for(path))[0]) == ""

    def test_nothing_is_left_of_the_file_that_it_writes(self, path: Path, tmp_path: Path) -> None:
        folder, _ = prepared(request_for(path))
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        before = sorted(folder.rglob("*"))
        assert audit_prepared(folder, scratch) == ()
        assert list(scratch.iterdir()) == []
        assert sorted(folder.rglob("*")) == before

    def test_numbers_that_opaque_ids_happen_to_hold_are_not_sought(self, folder: Path) -> None:
        ids = np.load(folder / "ids" / "v0.npy").astype(str).tolist()
        assert stray_texts(folder / SHOWN, {name[i : i + 6] for name in ids for i in range(11)}) == []

    @pytest.mark.slow
    def test_three_hundred_seeds_raise_no_false_alarm(self, tmp_path: Path) -> None:
        path = written(made_cells(48), tmp_path / "tiny.h5ad")
        for seed in range(300):
            assert audit_prepared(prepared(request_for(path, SplitPlan(seed=seed)))[0]) == ()


class _Unshuffled(np.random.Generator):
    """Leaves cells in the source's order."""

    def permutation(self, rows: Any) -> Any:  # type: ignore[override]
        return super().permutation(rows) if isinstance(rows, int) else np.array(rows)


def _counted(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.array([f"{number:016x}".encode() for number in rng.permutation(count)], dtype="S16")


def _readable(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.array([f"cell_{number}".encode() for number in rng.permutation(count)], dtype="S16")


def _reused(rng: np.random.Generator, count: int) -> np.ndarray:
    ids = preparing_ids(rng, count)
    ids[-1] = ids[0]
    return ids


def _ascending(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sort(preparing_ids(rng, count))


def _marked(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw ids whose last digit says which half of the cells theirs is in."""
    halves = [b"e", b"f"]
    ids = [halves[2 * row > count] for row in range(count)]
    return np.array([drawn[:15] + last for drawn, last in zip(preparing_ids(rng, count), ids, strict=True)])


def _taking_turns(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw ids of which every other one in ascending order is of a mast cell that fit gets."""
    ids, order = preparing_ids(rng, count), np.empty(192, dtype=np.int64)
    is_mast = np.repeat([False, True, False], [48, 96, 48])
    order[is_mast] = rng.permuted(np.arange(0, 192, 2))
    order[~is_mast] = rng.permuted(np.arange(1, 192, 2))
    return np.concatenate([np.sort(ids[:192])[order], ids[192:]])


preparing_ids = preparing.opaque_ids


class TestPreparing:
    """What a fault in the preparation itself would leave behind is refused before it is published."""

    def refused(self, path: Path, **request: Any) -> str:
        with pytest.raises(LeakError) as refused:
            prepared(request_for(path, **request))
        assert list((cache_home() / "prepared").glob("*")) == []
        assert list((cache_home() / "work").glob("*")) == []
        assert refused.value.exit_code == 3
        return refused.value.message

    def test_rows_in_the_order_of_the_source(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(np.random, "Generator", _Unshuffled)
        said = self.refused(path)
        for what in ("label", "clusters", "order in the source"):
            assert f"fit/train: the order of its cells tells their {what}" in said

    def test_rows_sorted_by_a_column_that_predict_does_not_see(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(np.random, "Generator", _Unshuffled)
        said = self.refused(path, task=PLAIN, plan=SplitPlan(SplitKind.WHOLE))
        assert "predict/v0: the order of its cells tells their clusters" in said

    @pytest.mark.parametrize(
        ("ids", "what"),
        [
            (_counted, "its ids look counted"),
            (_readable, "its ids aren't 16 hexadecimal digits"),
            (_reused, "some id stands for two cells"),
            (_ascending, "its ids tell the order of its cells"),
        ],
    )
    def test_ids_that_say_something(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, ids: Any, what: str
    ) -> None:
        monkeypatch.setattr(preparing, "opaque_ids", ids)
        assert what in self.refused(path)

    @pytest.mark.parametrize("ids", [_ascending, _marked, _taking_turns])
    def test_ids_that_tell_the_label(self, path: Path, monkeypatch: pytest.MonkeyPatch, ids: Any) -> None:
        monkeypatch.setattr(np.random, "Generator", _Unshuffled)
        monkeypatch.setattr(preparing, "opaque_ids", ids)
        assert "fit/train: the ids of its cells tell their label" in self.refused(path)

    def test_a_column_too_many(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def with_tissue(fold: Any, name: str, rows: Any, ids: Any) -> Part:
            part = own(fold, name, rows, ids)
            return replace(
                part, obs={**part.obs, "tissue": Categorical(np.zeros(len(rows), np.int32), ("x",))}
            )

        own = preparing._Fold._part
        monkeypatch.setattr(preparing._Fold, "_part", with_tissue)
        assert "predict/v0.h5ad: obs/tissue is there, and may not be" in self.refused(path)

    def test_categories_that_no_cell_of_the_file_has(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        obs = Ledger.obs
        monkeypatch.setattr(Categorical, "used", lambda column: column)
        monkeypatch.setattr(Ledger, "obs", lambda ledger, view: _used(obs(ledger, view)))
        said = self.refused(path, **REQUESTS["organisms"])
        assert "predict/v0.h5ad: obs/organism has categories that none of its cells is of" in said


def _used(columns: dict[str, Any]) -> dict[str, Any]:
    trimmed = {}
    for name, column in columns.items():
        present, codes = np.unique(column.codes, return_inverse=True)
        names = tuple(column.categories[code] for code in present)
        trimmed[name] = Categorical(codes.astype(np.int32), names)
    return trimmed


def _colours(file: h5py.File) -> None:
    file["uns"]["cell_type_colors"] = np.array([b"#ff0000", b"#00ff00"])


def _linked(file: h5py.File) -> None:
    del file["var/_index"]
    file["var/_index"] = h5py.ExternalLink("../../truth/v0.h5ad", "/label")


def _swapped(file: h5py.File) -> None:
    ids = file["obs/_index"]
    ids[:2] = ids[:2][::-1]


def _rechunked(file: h5py.File) -> None:
    data = file["X/data"][:]
    del file["X/data"]
    file["X"].create_dataset("data", data=data, chunks=(len(data),))


STORED: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "colours of the labels": (_colours, "uns/cell_type_colors is there, and may not be"),
    "obsm": (lambda file: file["obsm"].create_dataset("X_umap", data=[[0.0]]), "obsm/X_umap is there"),
    "layers": (lambda file: file["layers"].create_dataset("raw", data=np.zeros(3)), "layers/raw is there"),
    "raw": (lambda file: file.create_group("raw"), "raw is there"),
    "varm": (lambda file: file["varm"].create_dataset("PCs", data=np.zeros((6, 2))), "varm/PCs is there"),
    "obsp": (lambda file: file["obsp"].create_group("distances"), "obsp/distances is there"),
    "a var column": (lambda file: file["var"].create_dataset("mean", data=np.zeros(6)), "var/mean is there"),
    "a data set beside X": (lambda file: file["X"].create_dataset("label", data=[1]), "X/label is there"),
    "a slot gone": (lambda file: file.__delitem__("varp"), "varp is missing"),
    "an attribute": (lambda file: file["obs"].attrs.create("label", "Mast cell"), "attributes: label"),
    "an attribute of the file": (lambda file: file.attrs.create("made", 1), "attributes: made"),
    "a link out of the file": (_linked, "var/_index is a link to somewhere else"),
    "chunks": (_rechunked, "X/data isn't stored as one plain array"),
    "ids of other cells": (_swapped, "differs from a fresh file"),
    "a comment": (
        lambda file: h5py.h5g.open(file.id, b"/").set_comment(b"obs", b"Mast cell"),
        "from byte",
    ),
}  # fmt: skip


class TestFiles:
    @pytest.mark.parametrize("leak", STORED)
    def test_what_may_not_be_in_a_file(self, folder: Path, leak: str) -> None:
        change, what = STORED[leak]
        assert what in tampered(folder, change)

    def test_bytes_of_what_was_deleted(self, folder: Path) -> None:
        with h5py.File(folder / SHOWN, "r+") as file:
            file["uns"]["labels"] = np.array([b"Mast cell"] * 48)
            file["uns"]["after"] = np.zeros(9)
        for name in ("labels", "after"):
            with h5py.File(folder / SHOWN, "r+") as file:
                del file["uns"][name]
        _settle(folder)
        assert b"Mast cell" in (folder / SHOWN).read_bytes()
        said = findings(folder)
        assert f"{SHOWN}: it has" in said
        assert "'Mast cell', which it may not tell" in said

    def test_bytes_after_the_end(self, folder: Path) -> None:
        with (folder / SHOWN).open("ab") as file:
            file.write(b"\x00\x01\x00")
        _settle(folder)
        assert f"{SHOWN}: it has" in findings(folder)

    def test_a_single_byte_between_the_objects(self, folder: Path) -> None:
        """In the unused rest of a heap, where nothing that reads the file comes by."""
        content = bytearray((folder / SHOWN).read_bytes())
        with h5py.File(folder / SHOWN) as file:
            end = int(file["X/data"].id.get_offset())
        at = max(place for place in range(end - 4096, end) if content[place - 8 : place + 8] == bytes(16))
        content[at] = 1
        (folder / SHOWN).write_bytes(content)
        _settle(folder)
        assert f"from byte {at:,} on it differs" in findings(folder)

    def test_values_of_other_cells_in_a_column(self, folder: Path) -> None:
        def turn(file: h5py.File) -> None:
            codes = file["obs/label/codes"]
            codes[:] = np.roll(codes[:], 1)

        assert "obs/label isn't what these cells have" in tampered(folder, turn, "fit/train.h5ad")

    def test_a_category_of_no_cell(self, path: Path) -> None:
        folder, _ = prepared(request_for(path, **REQUESTS["organisms"]))

        def add(file: h5py.File) -> None:
            names = file["obs/organism/categories"]
            values, marks = [*names.asstr()[:], "Danio rerio"], dict(names.attrs)
            del file["obs/organism/categories"]
            again = file["obs/organism"].create_dataset("categories", data=values, dtype=h5py.string_dtype())
            again.attrs.update(marks)

        assert "obs/organism has categories that none of its cells is of" in tampered(folder, add)

    def test_a_file_that_is_none(self, folder: Path) -> None:
        (folder / SHOWN).write_bytes(b"no HDF5")
        _settle(folder)
        assert "predict/v0: it can't be read" in findings(folder)

    def test_what_a_folder_tells_around_its_files(self, folder: Path) -> None:
        (folder / "predict" / "labels.csv").write_text("T cell")
        os.link(folder / SHOWN, folder / "another")
        (folder / SHOWN).chmod(0o664)
        (folder / "truth" / "v0.npz").chmod(0o644)
        os.utime(folder / "fit" / "train.h5ad", (1, 1))
        said = findings(folder)
        for what in (
            "predict/labels.csv: the task has no such file",
            f"{SHOWN}: it is no plain file of one name",
            f"{SHOWN}: its mode is 664",
            "fit/train.h5ad: its time says when it was written",
            "truth/v0.npz: others than its owner may read it",
        ):
            assert what in said

    def test_a_folder_without_its_ledger_can_not_be_audited(self, folder: Path) -> None:
        (folder / "truth" / "ledger.json").unlink()
        assert "prepare the data anew" in findings(folder)


class TestTexts:
    def stray(self, folder: Path, content: bytes) -> list[str]:
        with (folder / SHOWN).open("ab") as file:
            file.write(content)
        return stray_texts(folder / SHOWN, ["Mast cell", "donor_1", "GENE1", "cell_001", "T c"])

    def test_a_sound_file_has_none(self, folder: Path) -> None:
        assert self.stray(folder, b"") == []

    @pytest.mark.parametrize("text", ["Mast cell", "donor_1", "cell_001"])
    def test_names_are_found_wherever_they_stand(self, folder: Path, text: str) -> None:
        assert self.stray(folder, b"x" + text.encode() + b"y") == [text]

    def test_a_gene_of_that_name_excuses_one_place_not_two(self, folder: Path) -> None:
        assert self.stray(folder, b"GENE1") == ["GENE1"]

    def test_the_audit_looks_for_labels_donors_and_cell_ids(self, folder: Path) -> None:
        with (folder / SHOWN).open("ab") as file:
            file.write(b"Mast cell, donor_2, cell_000")
        _settle(folder)
        said = findings(folder)
        for text in ("Mast cell", "donor_2", "cell_000"):
            assert f"{text!r}, which it may not tell" in said

    def test_occurrences_are_counted_as_python_counts_them(self) -> None:
        rng = np.random.default_rng(0)
        content = bytes(rng.integers(97, 100, 5000, dtype=np.uint8))
        texts = [b"abca", b"abcab", b"cccc", b"aabbcc", b"abcx"]
        found = occurrences(content, texts)
        for text in texts:
            overlapping = sum(content.startswith(text, place) for place in range(len(content)))
            assert found[text] == overlapping
        assert occurrences(b"abc", texts) == {}
        assert occurrences(b"abca", texts)[b"abca"] == 1


class TestImagesAndTables:
    @pytest.fixture
    def images(self, tmp_path: Path) -> Path:
        return prepared(request_for(made_images(tmp_path / "i.npz", 60), SplitPlan(), IMAGES))[0]

    def test_bytes_after_the_images(self, images: Path) -> None:
        with (images / "predict" / "v0.images.npy").open("ab") as file:
            file.write(b"0")
        _settle(images)
        assert "predict/v0.images.npy: it has" in findings(images)

    def test_words_in_the_header(self, images: Path) -> None:
        path = images / "predict" / "v0.images.npy"
        path.write_bytes(path.read_bytes().replace(b", }   ", b", }#12", 1))
        _settle(images)
        assert "its header isn't that of one uint8 image a cell" in findings(images)

    def test_a_column_too_many(self, images: Path) -> None:
        path = images / "predict" / "v0.cells.csv"
        path.write_text("\n".join(f"{line},1" for line in path.read_text().splitlines()) + "\n")
        _settle(images)
        assert "predict/v0.cells.csv: it isn't the table of cell_id" in findings(images)

    def test_what_the_conditions_may_not_tell(self, path: Path) -> None:
        folder, _ = prepared(request_for(path, **REQUESTS["perturbations"]))
        table = folder / "predict" / "v0.conditions.csv"
        table.write_text(table.read_text().replace("\n", "\n\n", 1))
        _settle(folder)
        assert "predict/v0.conditions.csv: it isn't the table of condition" in findings(folder)


def test_a_file_is_held_against_what_the_host_knows_not_against_itself(folder: Path) -> None:
    """A whole and clean file, freshly written, with the labels in it."""
    with h5py.File(folder / SHOWN) as file:
        n_obs, indptr = len(file["obs/_index"]), file["X/indptr"][:]
        genes = preparing_genes(file)
        ids = file["obs/_index"][:].astype("S16")
    (folder / SHOWN).unlink()
    label = Categorical(np.arange(n_obs, dtype=np.int32) % 2, ("B cell", "T cell"))
    H5adWriter(folder / SHOWN, ids, genes, {"label": label}, np.diff(indptr)).close()
    _settle(folder)
    assert f"{SHOWN}: obs/label is there, and may not be" in findings(folder)
    assert CELL_TYPE_CLASSIFICATION.predict_obs == ()


def preparing_genes(file: h5py.File) -> Any:
    from czrun.input_bytes import _genes

    return _genes(file)
