"""Archives of images: what a column is, what the cells are called, and an error for every bad file."""

from __future__ import annotations

import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from czrun.datasets.catalogue import open_obs
from czrun.datasets.images import ImageArchive
from czrun.datasets.spec import DatasetSpec
from czrun.errors import DatasetError
from made_cells import made_cells, written
from made_images import images_of

IMAGES = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)


def archive(tmp_path: Path, **arrays: Any) -> ImageArchive:
    path = tmp_path / "images.npz"
    np.savez(path, **{"images": IMAGES, **arrays})
    return ImageArchive(path)


def refused(tmp_path: Path, **arrays: Any) -> str:
    with pytest.raises(DatasetError) as found:
        archive(tmp_path, **arrays)
    assert found.value.hint
    return found.value.message


class TestContent:
    def test_images_are_what_was_written(self, tmp_path: Path) -> None:
        found = archive(tmp_path)
        assert found.n_obs == 4
        assert np.array_equal(images_of(found), IMAGES)

    def test_grey_images_get_their_one_channel(self, tmp_path: Path) -> None:
        found = archive(tmp_path, images=IMAGES[..., 0])
        assert found.image_shape == (5, 6, 1)
        assert np.array_equal(images_of(found)[..., 0], IMAGES[..., 0])

    def test_images_in_another_memory_order_are_the_same_images(self, tmp_path: Path) -> None:
        found = archive(tmp_path, images=np.asfortranarray(IMAGES))
        assert images_of(found).flags.c_contiguous
        assert np.array_equal(images_of(found), IMAGES)

    @pytest.mark.parametrize(
        ("values", "texts"),
        [
            (["a", "b", "a", "c"], ["a", "b", "a", "c"]),
            (np.array([b"a", b"b", "é".encode(), b"c"]), ["a", "b", "é", "c"]),
            ([3, 1, 2, 0], ["3", "1", "2", "0"]),
            ([True, False, True, True], ["True", "False", "True", "True"]),
            ([0.5, np.nan, 1, 2], ["0.5", "nan", "1.0", "2.0"]),
        ],
        ids=["text", "bytes", "integers", "flags", "numbers"],
    )
    def test_a_key_of_one_value_an_image_is_a_column(
        self, tmp_path: Path, values: Any, texts: list[str]
    ) -> None:
        found = archive(tmp_path, label=values, unrelated=np.zeros((4, 2)), threshold=0.5)
        assert found.columns == ("label",)
        assert found.column("label").tolist() == texts

    @pytest.mark.parametrize(("key", "names"), [("label", "label_names"), ("labels", "label_names")])
    def test_numbers_that_have_names_are_their_names(self, tmp_path: Path, key: str, names: str) -> None:
        found = archive(tmp_path, **{key: [1, 0, 1, 2], names: ["B cell", "T cell", "unseen"]})
        assert found.columns == (key,)
        assert found.column(key).tolist() == ["T cell", "B cell", "T cell", "unseen"]

    def test_a_column_that_only_sounds_like_names_is_a_column(self, tmp_path: Path) -> None:
        found = archive(tmp_path, file_names=list("wxyz"), image_names=list("abcd"))
        assert set(found.columns) == {"file_names", "image_names"}

    @pytest.mark.parametrize("key", ["cell_id", "image_id"])
    def test_cells_are_called_by_their_ids(self, tmp_path: Path, key: str) -> None:
        assert archive(tmp_path, **{key: list("wxyz")}).obs_names().tolist() == list("wxyz")

    def test_cells_without_ids_are_called_by_their_number(self, tmp_path: Path) -> None:
        assert archive(tmp_path).obs_names().tolist() == ["0", "1", "2", "3"]

    def test_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="has no column 'labels'") as found:
            archive(tmp_path, label=list("abab")).column("labels")
        assert found.value.hint == "It has: label."


class TestBadArchives:
    @pytest.mark.parametrize(
        ("images", "said"),
        [
            (IMAGES.astype(np.float32), "`images` is float32 of shape (4, 5, 6, 3)"),
            (IMAGES[0, 0], "`images` is uint8 of shape (6, 3)"),
            (IMAGES[:0], "of shape (0, 5, 6, 3)"),
            (IMAGES[..., :0], "of shape (4, 5, 6, 0)"),
        ],
    )
    def test_images_of_another_kind(self, tmp_path: Path, images: Any, said: str) -> None:
        assert said in refused(tmp_path, images=images)

    def test_an_archive_without_images(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "other.npz", counts=np.zeros(3))
        with pytest.raises(DatasetError, match="has no `images`; it has counts"):
            ImageArchive(tmp_path / "other.npz")

    def test_an_empty_archive(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "empty.npz")
        with pytest.raises(DatasetError, match="has no `images`; it has nothing"):
            ImageArchive(tmp_path / "empty.npz")

    @pytest.mark.parametrize("codes", [[0, 1, 2, 0], [-1, 0, 1, 0], [0.0, 1, 0, 1], ["0", "1", "0", "1"]])
    def test_numbers_without_a_name(self, tmp_path: Path, codes: Any) -> None:
        said = refused(tmp_path, label=codes, label_names=["a", "b"])
        assert "'label' isn't made of numbers 0..1, of which there are names" in said

    def test_every_bad_column_is_told_at_once(self, tmp_path: Path) -> None:
        bad = {"label": [9] * 4, "label_names": ["a"], "batch": [-1] * 4, "batch_names": ["b"]}
        assert refused(tmp_path, **bad).count("\n  - ") == 2

    def test_two_cells_of_one_name(self, tmp_path: Path) -> None:
        assert "1 cell ids appear twice or more, such as 'a'" in refused(tmp_path, cell_id=list("abca"))

    def test_pickled_objects_are_not_loaded(self, tmp_path: Path) -> None:
        assert "can't be read as .npz" in refused(
            tmp_path, label=np.array(["a", None, "b", "c"], dtype=object)
        )

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="There is no file") as found:
            ImageArchive(tmp_path / "images.npz")
        assert "datasets list" in found.value.hint

    def test_a_bare_array_by_the_name_of_an_archive(self, tmp_path: Path) -> None:
        with (tmp_path / "images.npz").open("wb") as file:
            np.save(file, IMAGES)
        with pytest.raises(DatasetError, match=r"can't be read as \.npz"):
            ImageArchive(tmp_path / "images.npz")

    @pytest.mark.parametrize(
        "content", [b"", b"PK\x03\x04", bytes(500), pickle.dumps({"images": 1}), b"\x89HDF\r\n\x1a\n"]
    )
    def test_what_is_no_archive(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "images.npz").write_bytes(content)
        with pytest.raises(DatasetError, match=r"can't be read as \.npz"):
            ImageArchive(tmp_path / "images.npz")

    def test_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "images.npz").mkdir()
        with pytest.raises(DatasetError, match=r"can't be read as \.npz"):
            ImageArchive(tmp_path / "images.npz")

    def test_an_archive_of_other_files(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "images.npz", "w") as members:
            members.writestr("images", b"not an array")
        with pytest.raises(DatasetError, match="`images` is"):
            ImageArchive(tmp_path / "images.npz")

    @pytest.mark.parametrize("packed", [False, True], ids=["stored", "deflated"])
    def test_any_scratch_or_cut_is_an_error_of_ours_or_harmless(self, tmp_path: Path, packed: bool) -> None:
        path = tmp_path / "images.npz"
        (np.savez_compressed if packed else np.savez)(path, images=IMAGES, label=list("abab"))
        content = path.read_bytes()
        rng = np.random.default_rng(0)
        for at in rng.choice(len(content), 80, replace=False).tolist():
            scratched = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
            for damaged in (scratched, content[:at]):
                path.write_bytes(damaged)
                with suppress(DatasetError):
                    ImageArchive(path)


class TestWhichFileForWhichTask:
    def test_cells_where_images_are_needed(self, tmp_path: Path) -> None:
        path = written(made_cells(), tmp_path / "cells.h5ad")
        with pytest.raises(DatasetError, match="cells by genes, and this task needs images") as found:
            open_obs(DatasetSpec(name="cells", path=path), "image")
        assert ".npz" in found.value.hint

    def test_images_where_cells_are_needed(self, tmp_path: Path) -> None:
        archive(tmp_path)
        with pytest.raises(DatasetError, match="holds images, and this task needs cells by genes"):
            open_obs(DatasetSpec(name="images", path=tmp_path / "images.npz"), "expression")

    def test_images_where_images_are_needed(self, tmp_path: Path) -> None:
        archive(tmp_path)
        source = open_obs(DatasetSpec(name="images", path=tmp_path / "images.npz"), "image")
        assert source.n_obs == 4
        source.close()
