"""OME-Zarr: images of single cells, and the cells of one segmented image."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from czrun.datasets.imaging import segmented
from czrun.datasets.imaging.kinds import ImageKind, image_kind
from made_images import images_of, ngff, opened, png, read_all, refusal, segmentation, table

RNG = np.random.default_rng(0)
FIELD = RNG.integers(1, 256, (2, 60, 50), dtype=np.uint8)

BOXES = {7: (0, 0, 4, 6), 9: (20, 10, 26, 13), 300: (40, 44, 45, 50), 12: (30, 14, 35, 19)}
"""Top, left, bottom, right of the cells; two of them touch the rim, one lies across the chunks' border."""


def field(path: Path, version: str = "0.5", pixels: np.ndarray = FIELD, axes: str = "cyx") -> Path:
    labels = np.zeros(pixels.shape[-2:], dtype=np.uint32)
    for value, (top, left, bottom, right) in BOXES.items():
        labels[top:bottom, left:right] = value
    ngff(path, pixels, axes, version)
    segmentation(path, labels, version=version)
    return path


def known(path: Path, **columns: Any) -> None:
    table(path.with_name("cells.csv"), cell_id=list(BOXES), **{"cell_type": list("BTBT"), **columns})


def crop(value: int, side: int, pixels: np.ndarray = FIELD) -> np.ndarray:
    """Cut a cell out, one pixel at a time."""
    top, left, bottom, right = BOXES[value]
    start_y, start_x = (top + bottom) // 2 - side // 2, (left + right) // 2 - side // 2
    out = np.zeros((side, side, len(pixels)), dtype=pixels.dtype)
    for y in range(side):
        for x in range(side):
            if 0 <= start_y + y < pixels.shape[1] and 0 <= start_x + x < pixels.shape[2]:
                out[y, x] = pixels[:, start_y + y, start_x + x]
    return out


class TestSegmentedImage:
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    @pytest.mark.parametrize("side", [None, 5, 8, 40])
    def test_one_crop_a_label_centred_on_it_and_filled_with_zeros(
        self, tmp_path: Path, version: str, side: int | None
    ) -> None:
        path = field(tmp_path / "plate.ome.zarr", version)
        known(path)
        found = opened(path, images={"crop": side})
        assert found.obs_names().tolist() == ["7", "9", "12", "300"]
        assert found.image_shape == (side or 6, side or 6, 2)
        expected = np.stack([crop(value, side or 6) for value in sorted(BOXES)])
        assert np.array_equal(images_of(found), expected)

    def test_columns_are_joined_by_label_value(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr")
        known(path, donor_id=list("abcd"))
        found = opened(path)
        assert found.columns == ("cell_type", "donor_id")
        assert found.column("donor_id").tolist() == ["a", "b", "d", "c"]

    @pytest.mark.parametrize("key", ["cell_id", "label_value", "label_id", "instance_id", "label"])
    def test_the_column_of_label_values_has_one_of_its_usual_names(self, tmp_path: Path, key: str) -> None:
        path = field(tmp_path / "plate.zarr")
        table(tmp_path / "plate.csv", **{key: [f"{value}.0" for value in BOXES], "state": list("abcd")})
        found = opened(path)
        assert found.columns == ("state",)
        assert f"cells were found in plate.csv by its column {key!r}" in found.notes

    def test_what_was_cut_out_is_told(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr")
        known(path)
        assert (
            "cells were cut out of the image as squares of 6 pixels, as large as the largest cell, "
            "around labels/cells"
        ) in opened(path).notes
        notes = opened(path, images={"crop": 5}).notes
        assert "3 cells are larger than their crop, so their rim is missing" in notes

    def test_tiles_and_bands_of_any_size_give_the_same_crops(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = field(tmp_path / "plate.zarr")
        known(path)
        whole = read_all(path)
        for n_bytes in (1, 600, 5000):
            monkeypatch.setattr(segmented, "_READ_BYTES", n_bytes)
            monkeypatch.setattr(segmented, "_LABELS_SIDE", 16)
            assert np.array_equal(read_all(path), whole)

    def test_no_more_of_the_image_is_read_at_once_than_a_tile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = field(tmp_path / "plate.zarr")
        known(path)
        read, sizes = segmented._read, []

        def watched(*arguments: Any) -> np.ndarray:
            sizes.append((got := read(*arguments)).nbytes)
            return got

        monkeypatch.setattr(segmented, "_READ_BYTES", 600)
        monkeypatch.setattr(segmented, "_LABELS_SIDE", 16)
        monkeypatch.setattr(segmented, "_read", watched)
        read_all(path)
        assert max(sizes) <= 16 * 50 * 4
        assert max(sizes) < FIELD.nbytes

    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_axes_of_length_1_are_no_hindrance(self, tmp_path: Path, version: str) -> None:
        path = field(tmp_path / "plate.zarr", version, FIELD[None, :, None], "tczyx")
        known(path)
        assert np.array_equal(read_all(path)[0], crop(7, 6))

    def test_deep_pixels_are_scaled_by_all_crops_together(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr", pixels=FIELD.astype(np.uint16) * 100)
        known(path)
        found = opened(path)
        assert found.image_shape == (6, 6, 2)
        images = images_of(found)
        assert images.max() == 255
        assert any(note.startswith("pixels are uint16") for note in found.notes)
        assert not images[0, 0].any(), "what lies outside of the image is 0"

    def test_of_several_segmentations_one_is_named(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr")
        nuclei = np.zeros(FIELD.shape[1:], dtype=np.uint8)
        nuclei[5:8, 5:8] = 1
        segmentation(path, nuclei, "nuclei")
        table(tmp_path / "plate.csv", cell_id=[1], cell_type=["B"])
        error = refusal(path)
        assert "several segmentations (cells, nuclei)" in error.message
        assert "images: {segmentation: cells}" in error.hint
        assert opened(path, images={"segmentation": "nuclei"}).obs_names().tolist() == ["1"]
        error = refusal(path, images={"segmentation": "nucleus"})
        assert "There is no segmentation 'nucleus'" in error.message
        assert "Did you mean 'nuclei'?" in error.hint


class TestTheTable:
    def test_all_that_doesn_t_fit_is_told_at_once(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr")
        table(tmp_path / "plate.csv", cell_id=["7", "9", "9", "8", "x"], cell_type=list("BTBTB"))
        error = refusal(path)
        for line in (
            "'9' is named 2 times",
            "there is no image '8'",
            "there is no image 'x'",
            "image '12' has no row",
            "image '300' has no row",
        ):
            assert line in error.message
        assert "(5 problems)" in error.message

    def test_cells_without_a_row_may_be_left_out(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr")
        table(tmp_path / "plate.csv", cell_id=["7", "9"], cell_type=list("BT"))
        found = opened(path, drop_unlabelled=True)
        assert found.column("cell_type").tolist() == ["B", "T", None, None]
        assert "2 images have no row in plate.csv" in found.notes

    def test_none(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.ome.zarr")
        assert f"{tmp_path / 'plate.csv'} and {tmp_path / 'cells.csv'}" in refusal(path).message

    def test_none_that_names_cells(self, tmp_path: Path) -> None:
        path = field(tmp_path / "plate.zarr")
        table(tmp_path / "plate.csv", index=list(BOXES), cell_type=list("BTBT"))
        error = refusal(path)
        assert "no column that names its images: index, cell_type" in error.message
        assert "Call it 'cell_id'" in error.hint


class TestOddImages:
    def test_one_without_a_segmentation(self, tmp_path: Path) -> None:
        path = ngff(tmp_path / "a.zarr", FIELD, "cyx")
        assert "with no segmentation under labels/" in refusal(path).message

    def test_a_segmentation_of_nothing(self, tmp_path: Path) -> None:
        path = ngff(tmp_path / "a.zarr", FIELD, "cyx")
        segmentation(path, np.zeros((60, 50), dtype=np.uint16))
        assert "marks no cell" in refusal(path).message

    def test_a_segmentation_of_another_size(self, tmp_path: Path) -> None:
        path = ngff(tmp_path / "a.zarr", FIELD, "cyx")
        segmentation(path, np.ones((30, 25), dtype=np.uint16))
        assert "has 60 × 50 pixels, and labels/cells 30 × 25" in refusal(path).message

    def test_a_segmentation_that_is_none(self, tmp_path: Path) -> None:
        path = ngff(tmp_path / "a.zarr", FIELD, "cyx")
        segmentation(path, np.ones((60, 50), dtype=np.float32))
        assert "of 1 channels of float32, not of label values" in refusal(path).message

    def test_a_label_that_fills_the_field(self, tmp_path: Path) -> None:
        labels = np.full((60, 50), 9, dtype=np.uint16)
        labels[4:8, 4:8], labels[20:24, 4:8] = 1, 2
        path = ngff(tmp_path / "a.zarr", FIELD, "cyx")
        segmentation(path, labels)
        error = refusal(path)
        assert "4 pixels long at the median, and the largest 60" in error.message
        assert "images: {crop: 8}" in error.hint

    @pytest.mark.parametrize(("axes", "shape"), [("zyx", (3, 60, 50)), ("tcyx", (2, 2, 60, 50))])
    def test_more_than_one_plane(self, tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
        path = ngff(tmp_path / "a.zarr", np.zeros(shape, dtype=np.uint8), axes)
        segmentation(path, np.ones((60, 50), dtype=np.uint16))
        assert "one plane, or one plane a channel" in refusal(path).message

    @pytest.mark.parametrize(
        ("attributes", "said"),
        [
            ({"plate": {}}, "is a plate or a well; name one field of it"),
            ({"well": {}}, "is a plate or a well"),
            ({"bioformats2raw.layout": 3}, "is a collection of images; name one of them"),
            ({"multiscales": []}, "that say nothing"),
            ({"multiscales": [{"datasets": [{}]}]}, "that say nothing"),
            ({"multiscales": [{"datasets": [{"path": "../../x"}]}]}, "has its pixels elsewhere"),
            ({"multiscales": [{"datasets": [{"path": "/etc"}]}]}, "has its pixels elsewhere"),
            ({"multiscales": [{"datasets": [{"path": "9"}]}]}, "has no array '9' that can be read"),
            ({"multiscales": [{"datasets": [{"path": "0"}], "axes": ["y", "x"]}]}, "names axes YX"),
        ],
    )
    def test_groups_of_another_kind(self, tmp_path: Path, attributes: dict[str, Any], said: str) -> None:
        path = field(tmp_path / "a.zarr", "0.4")
        (path / ".zattrs").write_text(json.dumps(attributes))
        assert said in refusal(path).message

    @pytest.mark.parametrize("axes", [list("tczyx"), None], ids=["0.3", "0.2"])
    def test_axes_as_older_versions_have_them(self, tmp_path: Path, axes: list[str] | None) -> None:
        path = field(tmp_path / "a.zarr", "0.4", FIELD[None, :, None], "tczyx")
        attributes = json.loads((path / ".zattrs").read_text())
        del attributes["multiscales"][0]["axes"]
        if axes:
            attributes["multiscales"][0]["axes"] = axes
        (path / ".zattrs").write_text(json.dumps(attributes))
        known(path)
        assert np.array_equal(read_all(path)[0], crop(7, 6))

    def test_a_damaged_chunk(self, tmp_path: Path) -> None:
        path = field(tmp_path / "a.zarr")
        known(path)
        (path / "0" / "c" / "0" / "0" / "0").write_bytes(b"no chunk")
        message = refusal(path).message
        assert "tile can't be read" in message

    def test_chunks_too_large_to_hold(self, tmp_path: Path) -> None:
        path = field(tmp_path / "a.zarr", "0.4")
        array = json.loads((path / "0" / ".zarray").read_text())
        array["chunks"] = [1, 1 << 20, 1 << 20]
        (path / "0" / ".zarray").write_text(json.dumps(array))
        assert "has chunks of 1,048,576 MiB; 512 MiB is the most" in refusal(path).message


class TestPickles:
    def test_chunks_are_never_unpickled(self, tmp_path: Path) -> None:
        path = field(tmp_path / "a.zarr", "0.4")
        known(path)
        array = json.loads((path / "0" / ".zarray").read_text())
        array["compressor"], array["filters"] = {"id": "pickle", "protocol": 5}, None
        (path / "0" / ".zarray").write_text(json.dumps(array))
        trap = tmp_path / "sprung"
        for chunk in (path / "0").iterdir():
            if not chunk.name.startswith("."):
                chunk.write_bytes(pickle.dumps(_Trap(str(trap))))
        assert "pickle format, which isn't read" in refusal(path).message
        assert not trap.exists()


class _Trap:
    """What unpickles to a file on disk."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


class TestSingleCells:
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_channels_come_last(self, tmp_path: Path, version: str) -> None:
        for name, number in (("B", 0), ("T", 1)):
            ngff(tmp_path / name / "a.ome.zarr", FIELD[:, number:], "cyx", version)
        found = opened(tmp_path)
        assert found.obs_names().tolist() == ["B/a", "T/a"]
        assert found.column("cell_type").tolist() == ["B", "T"]
        images = images_of(found)
        assert images.shape == (2, 60, 50, 2)
        assert np.array_equal(images[0], np.moveaxis(FIELD, 0, -1))

    def test_several_planes(self, tmp_path: Path) -> None:
        ngff(tmp_path / "B" / "a.zarr", np.zeros((3, 4, 5), dtype=np.uint8), "zyx")
        assert "B/a.zarr has axes Z 3 × Y 4 × X 5: one plane" in refusal(tmp_path).message

    def test_a_store_of_something_else(self, tmp_path: Path) -> None:
        zarr.open_group(tmp_path / "B" / "a.zarr", mode="w").attrs["encoding-type"] = "anndata"
        assert "B/a.zarr is no OME-Zarr image" in refusal(tmp_path).message


class TestWhatLiesThere:
    def test_each_kind_is_told_from_its_name_and_its_content(self, tmp_path: Path) -> None:
        png(tmp_path / "set" / "B" / "a.png", np.zeros((2, 2), dtype=np.uint8))
        cells = zarr.open_group(tmp_path / "cells.zarr", mode="w", zarr_format=2)
        cells.attrs["encoding-type"] = "anndata"
        (tmp_path / "mtx").mkdir()
        (tmp_path / "mtx" / "matrix.mtx.gz").write_bytes(b"")
        (tmp_path / "odd.zarr").mkdir()
        (tmp_path / "odd.zarr" / "zarr.json").write_text("[1, {")
        found = {
            name: image_kind(tmp_path / name)
            for name in ("set", "cells.zarr", "mtx", "odd.zarr", "a.NPZ", "a.npy", "a.TIFF", "a.h5ad", "none")
        }
        assert found == {
            "set": ImageKind.FOLDER,
            "cells.zarr": None,
            "mtx": None,
            "odd.zarr": None,
            "a.NPZ": ImageKind.ARCHIVE,
            "a.npy": ImageKind.ARRAY,
            "a.TIFF": ImageKind.TIFF,
            "a.h5ad": None,
            "none": None,
        }
        assert image_kind(field(tmp_path / "a.zarr")) is ImageKind.NGFF
        assert image_kind(field(tmp_path / "b.zarr", "0.4")) is ImageKind.NGFF
