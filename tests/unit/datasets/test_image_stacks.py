"""One array of images and a table beside it: .npy, and OME-TIFF of which one axis counts cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from made_images import images_of, opened, read_all, refusal, table

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
TYPES = ["B", "T", "B", "T", "NK", "B"]


def array(path: Path, images: np.ndarray = IMAGES, **columns: Any) -> Path:
    np.save(path, images)
    if columns:
        table(path.with_suffix(".csv"), **columns)
    return path


def stack(path: Path, images: np.ndarray, axes: str, **columns: Any) -> Path:
    rgb = {"photometric": "rgb"} if axes.endswith("S") else {"photometric": "minisblack"}
    tifffile.imwrite(path, images, ome=True, metadata={"axes": axes}, **rgb)
    if columns:
        table(path.with_name("cells.csv"), **columns)
    return path


class TestNpy:
    def test_images_are_what_was_written_and_columns_are_the_table_s(self, tmp_path: Path) -> None:
        found = opened(array(tmp_path / "a.npy", cell_id=list("uvwxyz"), cell_type=TYPES))
        assert np.array_equal(images_of(found), IMAGES)
        assert found.obs_names().tolist() == list("uvwxyz")
        assert found.columns == ("cell_id", "cell_type")
        assert found.column("cell_type").tolist() == TYPES

    def test_grey_images_get_their_one_channel(self, tmp_path: Path) -> None:
        assert np.array_equal(read_all(array(tmp_path / "a.npy", IMAGES[..., 0])), IMAGES[..., :1])

    def test_any_memory_order(self, tmp_path: Path) -> None:
        assert np.array_equal(read_all(array(tmp_path / "a.npy", np.asfortranarray(IMAGES))), IMAGES)

    def test_cells_without_ids_are_called_by_their_number(self, tmp_path: Path) -> None:
        assert opened(array(tmp_path / "a.npy", cell_type=TYPES)).obs_names().tolist() == list("012345")

    def test_the_table_of_its_own_name_comes_before_cells_csv(self, tmp_path: Path) -> None:
        table(tmp_path / "cells.csv", cell_type=["X"] * 6)
        found = opened(array(tmp_path / "a.npy"))
        assert found.column("cell_type").tolist() == ["X"] * 6
        assert "columns were read from cells.csv" in found.notes
        table(tmp_path / "a.csv", cell_type=TYPES)
        assert opened(tmp_path / "a.npy").column("cell_type").tolist() == TYPES

    def test_empty_values_are_missing(self, tmp_path: Path) -> None:
        found = opened(array(tmp_path / "a.npy", donor_id=["d", "", "d", "e", "", "e"]))
        assert found.column("donor_id").tolist() == ["d", None, "d", "e", None, "e"]

    def test_a_column_that_is_not_there(self, tmp_path: Path) -> None:
        found = opened(array(tmp_path / "a.npy", cell_type=TYPES))
        with pytest.raises(Exception, match="has no column 'donor'") as error:
            found.column("donor")
        assert error.value.hint == "It has: cell_type."  # type: ignore[attr-defined]

    def test_flags_are_0_and_255(self, tmp_path: Path) -> None:
        found = opened(array(tmp_path / "a.npy", IMAGES > 100))
        assert np.array_equal(images_of(found), np.where(IMAGES > 100, 255, 0))
        assert "pixels are flags: false became 0, true 255" in found.notes

    @pytest.mark.parametrize(
        ("images", "said"),
        [
            (IMAGES[0, 0], "holds an array of shape (5, 3)"),
            (IMAGES[:0], "holds an array of shape (0, 4, 5, 3)"),
            (IMAGES[..., None], "holds an array of shape (6, 4, 5, 3, 1)"),
            (np.zeros((3, 4, 70, 80), dtype=np.uint8), "so its channels come first"),
            (np.zeros((3, 70, 70, 80), dtype=np.uint8), "has 80 channels; 64 is the most"),
            (IMAGES.astype(complex), "which is no kind of pixel"),
            (IMAGES.astype("U3"), "which is no kind of pixel"),
            (np.zeros((1, 4097, 4096), dtype=np.uint8), "one cell has 16,777,216 at most"),
        ],
    )
    def test_arrays_of_another_kind(self, tmp_path: Path, images: np.ndarray, said: str) -> None:
        assert said in refusal(array(tmp_path / "a.npy", images)).message

    def test_pickled_objects_are_not_loaded(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
        assert "can't be read as .npy" in refusal(tmp_path / "a.npy").message

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(80), b"no array"])
    def test_what_is_no_array(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.npy").write_bytes(content)
        assert "can't be read as .npy" in refusal(tmp_path / "a.npy").message

    def test_one_that_was_cut_off(self, tmp_path: Path) -> None:
        path = array(tmp_path / "a.npy")
        path.write_bytes(path.read_bytes()[:-9])
        assert "can't be read as .npy" in refusal(path).message

    def test_no_file(self, tmp_path: Path) -> None:
        error = refusal(tmp_path / "a.npy")
        assert "There is no file" in error.message
        assert "datasets list" in error.hint


class TestTable:
    def test_one_row_too_few(self, tmp_path: Path) -> None:
        message = refusal(array(tmp_path / "a.npy", cell_type=TYPES[:5])).message
        assert "a.csv has 5 rows, and" in message
        assert "6 images" in message

    def test_two_cells_of_one_id(self, tmp_path: Path) -> None:
        message = refusal(array(tmp_path / "a.npy", cell_id=list("uvwxyu"))).message
        assert "'u' 2 times" in message

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "it has no rows"),
            (b"cell_type\n", "it has no rows"),
            (b"a,a\n1,2\n", "column 'a' is there 2 times"),
            (b"a,\n1,2\n", "a column has no name"),
            (b"a,b\n1,2\n\n3\n1,2,3\n", "row 4 has 1 values, the header 2"),
            (b"a\n\xff\n", "can't be read as a table"),
            (b'a\n"open\n', "can't be read as a table"),
            (b"a\n" + b"x" * 200_000, "can't be read as a table"),
        ],
    )
    def test_what_is_no_table(self, tmp_path: Path, content: bytes, said: str) -> None:
        path = array(tmp_path / "a.npy")
        (tmp_path / "a.csv").write_bytes(content)
        assert said in refusal(path).message

    def test_everything_wrong_is_told_at_once(self, tmp_path: Path) -> None:
        path = array(tmp_path / "a.npy")
        (tmp_path / "a.csv").write_text("a,a,\n1\n")
        assert refusal(path).message.count("\n  - ") == 3

    def test_excel_s_mark_at_the_beginning_is_no_part_of_a_name(self, tmp_path: Path) -> None:
        path = array(tmp_path / "a.npy")
        (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfcell_type\r\n" + b"B\r\n" * 6)
        assert opened(path).columns == ("cell_type",)


class TestTiff:
    @pytest.mark.parametrize("axes", ["TYX", "ZYX", "CYX"])
    def test_the_axis_that_is_as_long_as_the_table_counts_cells(self, tmp_path: Path, axes: str) -> None:
        path = stack(tmp_path / "a.ome.tif", IMAGES[..., 0], axes, cell_type=TYPES)
        found = opened(path)
        assert np.array_equal(images_of(found), IMAGES[..., :1])
        assert f"axis {axes[0]} of {axes} was taken to count cells" in found.notes
        found.close()

    @pytest.mark.parametrize("axes", ["TCYX", "ZCYX", "CTYX", "CZYX"])
    def test_channels_beside_cells(self, tmp_path: Path, axes: str) -> None:
        order = (0, 3, 1, 2) if axes[1] == "C" else (3, 0, 1, 2)
        path = stack(tmp_path / "a.ome.tif", np.transpose(IMAGES, order), axes, cell_type=TYPES)
        assert np.array_equal(read_all(path), IMAGES)

    def test_rgb_beside_cells(self, tmp_path: Path) -> None:
        path = stack(tmp_path / "a.ome.tif", IMAGES, "TYXS", cell_type=TYPES)
        assert np.array_equal(read_all(path), IMAGES)

    def test_of_two_axes_as_long_as_the_table_time_counts_cells(self, tmp_path: Path) -> None:
        square = np.moveaxis(IMAGES[:3], -1, 1)
        path = stack(tmp_path / "a.ome.tif", square, "TCYX", cell_type=TYPES[:3])
        assert np.array_equal(read_all(path), IMAGES[:3])

    def test_a_plain_tiff_of_pages(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", IMAGES[..., 0], photometric="minisblack", metadata=None)
        table(tmp_path / "a.csv", cell_type=TYPES)
        assert np.array_equal(read_all(tmp_path / "a.tif"), IMAGES[..., :1])

    def test_one_cell(self, tmp_path: Path) -> None:
        path = stack(tmp_path / "a.ome.tif", IMAGES[:1, ..., 0], "TYX", cell_type=["B"])
        assert "none of which counts" in refusal(path).message or read_all(path).shape == (1, 4, 5, 1)

    def test_no_table(self, tmp_path: Path) -> None:
        path = stack(tmp_path / "a.ome.tif", IMAGES[..., 0], "TYX")
        message = refusal(path).message
        assert f"{tmp_path / 'a.csv'} and {tmp_path / 'cells.csv'} were looked for" in message

    def test_no_axis_of_the_table_s_length(self, tmp_path: Path) -> None:
        path = stack(tmp_path / "a.ome.tif", IMAGES[..., 0], "TYX", cell_type=TYPES[:4])
        assert "has axes T 6 × Y 4 × X 5, none of which counts the 4 cells" in refusal(path).message

    def test_more_axes_than_cells_and_channels(self, tmp_path: Path) -> None:
        deep = np.zeros((6, 2, 3, 4, 5), dtype=np.uint8)
        path = stack(tmp_path / "a.ome.tif", deep, "TZCYX", cell_type=TYPES)
        assert "has axes Z 2 × C 3 × Y 4 × X 5: one plane" in refusal(path).message

    def test_several_images_in_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as file:
            for image in IMAGES[:6, ..., 0]:
                file.write(image, metadata={"axes": "YX"})
        table(tmp_path / "cells.csv", cell_type=TYPES)
        assert "holds 6 images; one is expected" in refusal(path).message

    @pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG", bytes(300)])
    def test_what_is_no_tiff(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.tif").write_bytes(content)
        table(tmp_path / "a.csv", cell_type=TYPES)
        assert "can't be read as TIFF" in refusal(tmp_path / "a.tif").message

    def test_pages_that_were_cut_off_are_all_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        noise = np.random.default_rng(0).integers(0, 256, (6, 64, 64), dtype=np.uint8)
        tifffile.imwrite(path, noise, photometric="minisblack", compression="zlib", metadata=None)
        with tifffile.TiffFile(path) as file:
            starts = [page.dataoffsets[0] for page in file.pages]
        content = bytearray(path.read_bytes())
        for number in (2, 4):
            content[starts[number] : starts[number] + 50] = bytes(50)
        path.write_bytes(content)
        table(tmp_path / "a.csv", cell_type=TYPES)
        message = refusal(path).message
        assert "image 2 can't be read" in message
        assert "image 4 can't be read" in message
        assert message.count("\n  - ") == 2
