"""Prepared images: the same bytes as ever, in bounded memory, from whatever they lay in."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from czrun.cells import ImageBlock
from czrun.datasets.imaging import image_set
from czrun.datasets.locate import locate
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError, StorageError
from czrun.inputs import Part, write_images
from czrun.manifest import PrepareRequest
from czrun.model_input import NpyWriter
from czrun.options import DataOptions, settle
from czrun.storage import cache_home
from czrun.truth import read_truth
from made_cells import prepared
from made_images import class_folders, made_images, ngff, opened, png, segmentation, table

IMAGE_TASK = "image-classification"


def request(path: Path) -> PrepareRequest:
    return settle(DataOptions(dataset=str(path), task=IMAGE_TASK))


def sha256(path: Path) -> str:
    return locate(DatasetSpec(name="images", path=path)).sha256


class TestBytes:
    def test_each_file_is_what_numpy_would_save(self, tmp_path: Path) -> None:
        source = opened(made_images(tmp_path / "images.npz"))
        rows = np.random.default_rng(0).permutation(30)
        parts = [
            Part(
                folder, name, own.astype(np.int64), np.array([f"{row:016x}" for row in own], dtype=object), {}
            )
            for folder, name, own in (
                ("fit", "train", rows[:20]),
                ("predict", "v0", rows[20:]),
                ("predict", "reference", rows[:20][::-1]),
            )
        ]
        (tmp_path / "stage").mkdir()
        write_images(tmp_path / "stage", parts, source)
        with np.load(tmp_path / "images.npz") as archive:
            images = archive["images"]
        for part in parts:
            np.save(tmp_path / "expected.npy", images[part.rows])
            found = (tmp_path / "stage" / part.image_files[0]).read_bytes()
            assert found == (tmp_path / "expected.npy").read_bytes()

    @pytest.mark.parametrize("n_rows", [1, 9, 12345])
    def test_the_header_is_numpy_s_for_any_number_of_images(self, tmp_path: Path, n_rows: int) -> None:
        with NpyWriter(tmp_path / "found.npy", (n_rows, 2, 1, 3)):
            pass
        np.save(tmp_path / "expected.npy", np.zeros((n_rows, 2, 1, 3), dtype=np.uint8))
        assert (tmp_path / "found.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()

    def test_no_file_is_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "a.npy").write_bytes(b"x")
        with pytest.raises(FileExistsError):
            NpyWriter(tmp_path / "a.npy", (1, 2, 2, 1))

    def test_a_folder_s_images_reach_the_model_with_their_labels(self, tmp_path: Path) -> None:
        written = class_folders(tmp_path / "set", n_each=10)
        folder, manifest = prepared(request(tmp_path / "set"))
        seen = []
        for view in ("v0", "reference"):
            columns, _, names = read_truth(folder, view)
            images = np.load(folder / "predict" / f"{view}.images.npy")
            assert np.array_equal(images, np.stack([written[name] for name in names]))
            assert columns.texts("label") == [name.split("/")[0] for name in names]
            seen += names
        assert sorted(seen) == sorted(written)
        assert manifest.facts.image_shape == (4, 5, 3)
        assert "the class folders were taken for 'cell_type'" in manifest.notes

    def test_a_segmented_image_s_cells_do_too(self, tmp_path: Path) -> None:
        field = np.zeros((1, 64, 64), dtype=np.uint8)
        labels = np.zeros((64, 64), dtype=np.uint16)
        for number in range(64):
            y, x = 8 * (number // 8), 8 * (number % 8)
            field[0, y : y + 4, x : x + 4] = number + 1
            labels[y : y + 4, x : x + 4] = 1000 - number
        path = ngff(tmp_path / "plate.zarr", field, "cyx")
        segmentation(path, labels)
        names = [1000 - number for number in range(64)]
        table(tmp_path / "cells.csv", cell_id=names, cell_type=[f"type {name % 2}" for name in names])
        folder, _ = prepared(request(path))
        _, _, found = read_truth(folder, "v0")
        images = np.load(folder / "predict" / "v0.images.npy")
        assert images.shape[1:] == (4, 4, 1)
        assert [int(image.max()) for image in images] == [1001 - int(name) for name in found]
        assert (images == images[:, :1, :1]).all()

    def test_one_class_only(self, tmp_path: Path) -> None:
        for number in range(9):
            png(tmp_path / "set" / "B" / f"{number}.png", np.full((4, 5), number, dtype=np.uint8))
        with pytest.raises(DatasetError, match=r"'cell_type' holds one class only \('B'\)"):
            prepared(request(tmp_path / "set"))


class TestMemory:
    def test_no_more_than_a_few_blocks_of_a_folder_are_held(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = (64, 64, 3)
        class_folders(tmp_path / "set", n_each=60, size=size)
        n_bytes = int(np.prod(size))
        monkeypatch.setattr(image_set, "_BLOCK_BYTES", 4 * n_bytes)
        source = opened(tmp_path / "set")
        (tmp_path / "stage").mkdir()
        rows = np.arange(120)
        part = Part("fit", "train", rows, np.array([str(row) for row in rows], dtype=object), {})
        tracemalloc.start()
        write_images(tmp_path / "stage", [part], source)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * n_bytes, f"{peak / n_bytes:.0f} images of 120 were in memory at once"


class TestNothingHalfWritten:
    def test_a_damaged_image_leaves_nothing_behind(self, tmp_path: Path) -> None:
        class_folders(tmp_path / "set", n_each=10, size=(40, 40, 3))
        image = tmp_path / "set" / "T cell" / "9.png"
        image.write_bytes(image.read_bytes()[:-300])
        with pytest.raises(DatasetError, match=r"T cell/9\.png can't be read"):
            prepared(request(tmp_path / "set"))
        assert not list(cache_home().glob("prepared/*"))
        assert not list(cache_home().glob("work/*/*"))

    def test_a_full_disk_is_told(self, tmp_path: Path) -> None:
        source = opened(made_images(tmp_path / "images.npz"))

        class Vast:
            """A set of images that no disk holds."""

            n_obs = source.n_obs
            image_shape = (1 << 20, 1 << 20, 64)

            def image_blocks(self) -> Iterator[ImageBlock]:
                raise AssertionError

        (tmp_path / "stage").mkdir()
        part = Part("fit", "train", np.arange(30), np.array(["x"] * 30, dtype=object), {})
        with pytest.raises(StorageError, match="Preparing needs"):
            write_images(tmp_path / "stage", [part], Vast())  # type: ignore[arg-type]


class TestHash:
    def test_it_changes_with_any_image_and_any_name(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        seen = {sha256(tmp_path)}
        png(tmp_path / "B cell" / "0.png", np.zeros((4, 5, 3), dtype=np.uint8))
        seen.add(sha256(tmp_path))
        (tmp_path / "B cell" / "0.png").rename(tmp_path / "T cell" / "9.png")
        seen.add(sha256(tmp_path))
        (tmp_path / "B cell").rename(tmp_path / "C cell")
        seen.add(sha256(tmp_path))
        assert len(seen) == 4

    def test_it_does_not_change_with_the_folder_s_place(self, tmp_path: Path) -> None:
        class_folders(tmp_path / "set")
        before = sha256(tmp_path / "set")
        (tmp_path / "set").rename(tmp_path / "moved")
        assert sha256(tmp_path / "moved") == before

    @pytest.mark.parametrize("name", ["a.csv", "cells.csv"])
    def test_the_table_beside_an_array_is_part_of_it(self, tmp_path: Path, name: str) -> None:
        np.save(tmp_path / "a.npy", np.zeros((4, 3, 3), dtype=np.uint8))
        seen = {sha256(tmp_path / "a.npy")}
        for types in ("BTBT", "BTBB"):
            table(tmp_path / name, cell_type=list(types))
            seen.add(sha256(tmp_path / "a.npy"))
        assert len(seen) == 3

    def test_how_images_are_read_is_part_of_the_key(self, tmp_path: Path) -> None:
        class_folders(tmp_path / "set")
        (tmp_path / "set.yaml").write_text("path: set\n")
        plain = request(tmp_path / "set.yaml").key(0)
        (tmp_path / "set.yaml").write_text("path: set\nimages: {intensity: [[0, 100]]}\n")
        assert request(tmp_path / "set.yaml").key(0) != plain


class TestWithoutTheExtra:
    @pytest.mark.parametrize(
        ("module", "path"),
        [
            ("PIL", "set/B/a.png"),
            ("tifffile", "set/B/a.tif"),
            ("zarr", "set/B/a.zarr"),
            ("zarr", "a.zarr"),
            ("zarr", "a.tif"),
            ("tifffile", "a.tif"),
        ],
    )
    def test_the_hint_says_how_to_install_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, path: str
    ) -> None:
        file = tmp_path / path
        if file.suffix == ".zarr":
            ngff(file, np.zeros((4, 5), dtype=np.uint8), "yx")
            segmentation(file, np.ones((4, 5), dtype=np.uint8))
        else:
            png(file, np.zeros((4, 5), dtype=np.uint8))
        table(tmp_path / "a.csv", cell_type=["B"])
        for name in (module, f"{module}.Image"):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(DatasetError, match=f"needs the package {module}") as found:
            opened(tmp_path / path.split("/")[0])
        assert found.value.hint == "pip install 'czrun[images]'"


class TestNoImages:
    def test_an_empty_folder_where_images_are_asked_for(self, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        with pytest.raises(DatasetError, match=r"is a folder without matrix\.mtx or images") as found:
            request(tmp_path / "set")
        assert "images as set/CLASS/NAME.png" in found.value.hint
