"""Folders of class folders: which image is whose, one size, one depth, and an error for all that is odd."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from made_images import class_folders, images_of, ngff, opened, png, read_all, refusal, table

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)
RGB = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


class TestContent:
    def test_each_image_is_a_cell_named_by_its_path_and_labelled_by_its_folder(self, tmp_path: Path) -> None:
        written = class_folders(tmp_path / "set")
        found = opened(tmp_path / "set")
        assert found.obs_names().tolist() == list(written)
        assert found.columns == ("cell_type",)
        assert found.column("cell_type").tolist() == [name.split("/")[0] for name in written]
        assert np.array_equal(images_of(found), np.stack(list(written.values())))

    def test_folders_within_a_class_belong_to_it(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "plate1" / "a.png", GREY)
        png(tmp_path / "T" / "a.png", GREY)
        found = opened(tmp_path)
        assert found.obs_names().tolist() == ["B/plate1/a", "T/a"]
        assert found.column("cell_type").tolist() == ["B", "T"]

    def test_one_set_may_have_several_formats(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", GREY)
        png(tmp_path / "B" / "b.BMP", GREY, format="BMP")
        tifffile.imwrite(tmp_path / "B" / "c.ome.tif", GREY, metadata={"axes": "YX"})
        ngff(tmp_path / "B" / "d.ome.zarr", GREY, "yx")
        ngff(tmp_path / "B" / "e.zarr", GREY, "yx", version="0.4")
        found = opened(tmp_path)
        assert found.obs_names().tolist() == [f"B/{name}" for name in "abcde"]
        assert np.array_equal(images_of(found), np.stack([GREY[..., None]] * 5))

    def test_jpeg_is_what_its_decoder_says(self, tmp_path: Path) -> None:
        path = png(tmp_path / "B" / "a.jpg", RGB, quality=95)
        assert np.array_equal(read_all(tmp_path)[0], np.asarray(Image.open(path)))

    @pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "packbits"])
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_tiff_of_any_common_kind(self, tmp_path: Path, compression: str, planar: str) -> None:
        (tmp_path / "B").mkdir()
        stored = RGB if planar == "contig" else np.moveaxis(RGB, -1, 0)
        tifffile.imwrite(
            tmp_path / "B" / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=compression
        )
        assert np.array_equal(read_all(tmp_path)[0], RGB)

    @pytest.mark.parametrize("options", [{"ome": True, "metadata": {"axes": "CYX"}}, {"imagej": True}, {}])
    def test_pages_of_a_tiff_are_channels(self, tmp_path: Path, options: dict[str, object]) -> None:
        (tmp_path / "B").mkdir()
        channels = np.arange(100, dtype=np.uint8).reshape(5, 4, 5)
        tifffile.imwrite(tmp_path / "B" / "a.tif", channels, photometric="minisblack", **options)
        assert np.array_equal(read_all(tmp_path)[0], np.moveaxis(channels, 0, -1))

    def test_a_table_adds_columns_by_path(self, tmp_path: Path) -> None:
        names = list(class_folders(tmp_path, n_each=2))
        table(tmp_path / "cells.csv", path=[f"./{n}.png" for n in reversed(names)], donor_id=list("dcba"))
        found = opened(tmp_path)
        assert found.columns == ("cell_type", "donor_id")
        assert found.column("donor_id").tolist() == ["a", "b", "c", "d"]

    def test_a_flat_folder_takes_its_columns_from_its_table(self, tmp_path: Path) -> None:
        for name in "ab":
            png(tmp_path / f"{name}.png", GREY)
        table(tmp_path / "cells.csv", cell_id=["b", "a"], state=["late", "early"])
        found = opened(tmp_path)
        assert found.columns == ("state",)
        assert found.column("state").tolist() == ["early", "late"]

    def test_a_comma_in_a_name_is_part_of_it(self, tmp_path: Path) -> None:
        png(tmp_path / 'B, "naive"' / "a,b.png", GREY)
        found = opened(tmp_path)
        assert found.obs_names().tolist() == ['B, "naive"/a,b']

    def test_what_a_desktop_leaves_is_not_looked_at_and_other_files_are_told(self, tmp_path: Path) -> None:
        class_folders(tmp_path, n_each=1)
        for name in (".DS_Store", "B cell/Thumbs.db", "B cell/.hidden.png", "T cell/notes.txt", "README.md"):
            (tmp_path / name).write_bytes(b"x")
        found = opened(tmp_path)
        assert found.n_obs == 2
        assert "2 files that are no images were ignored, such as README.md" in found.notes

    def test_the_column_of_the_class_folders_is_told(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        assert opened(tmp_path).notes == ("the class folders were taken for 'cell_type'",)


class TestOneSize:
    def test_smaller_images_lie_in_the_middle_of_zeros(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", np.full((4, 8), 7, dtype=np.uint8))
        png(tmp_path / "B" / "b.png", np.full((2, 5), 9, dtype=np.uint8))
        found = opened(tmp_path)
        assert found.image_shape == (4, 8, 1)
        expected = np.zeros((4, 8), dtype=np.uint8)
        expected[1:3, 1:6] = 9
        assert np.array_equal(images_of(found)[1, ..., 0], expected)
        assert "1 images smaller than 4 × 8 pixels were put in the middle of zeros" in found.notes

    def test_sizes_that_can_t_all_be_single_cells(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", np.zeros((90, 10), dtype=np.uint8))
        png(tmp_path / "B" / "b.png", np.zeros((10, 10), dtype=np.uint8))
        assert "images are 10 to 90 pixels high (B/b.png, B/a.png)" in refusal(tmp_path).message

    def test_eight_times_is_still_fine(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", np.zeros((80, 10), dtype=np.uint8))
        png(tmp_path / "B" / "b.png", np.zeros((10, 10), dtype=np.uint8))
        assert opened(tmp_path).image_shape == (80, 10, 1)


class TestColours:
    def test_grey_beside_rgb_gets_three_equal_channels(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", GREY)
        png(tmp_path / "B" / "b.png", RGB)
        found = opened(tmp_path)
        assert np.array_equal(images_of(found)[0], np.repeat(GREY[..., None], 3, axis=2))
        assert "1 grey images got the same values in all 3 channels" in found.notes

    def test_alpha_and_palettes_are_resolved_and_told(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", np.dstack([RGB, np.full((4, 5), 128, np.uint8)]))
        Image.fromarray(RGB).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "B" / "b.png")
        tifffile.imwrite(
            tmp_path / "B" / "c.tif",
            np.dstack([RGB, np.full((4, 5), 9, np.uint8)]),
            photometric="rgb",
            extrasamples=["unassalpha"],
        )
        found = opened(tmp_path)
        images = images_of(found)
        assert np.array_equal(images[0], RGB)
        assert np.array_equal(images[1], RGB)
        assert np.array_equal(images[2], RGB)
        assert "in 2 images the alpha channel was left out" in found.notes
        assert "in 1 images colours of a palette became red, green and blue" in found.notes

    def test_black_and_white_is_0_and_255(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", np.array([[True, False], [False, False]]))
        assert read_all(tmp_path)[0, ..., 0].tolist() == [[255, 0], [0, 0]]

    def test_channels_that_differ_otherwise(self, tmp_path: Path) -> None:
        (tmp_path / "B").mkdir()
        for name, channels in (("a", 3), ("b", 5)):
            pixels = np.zeros((channels, 4, 5), dtype=np.uint8)
            tifffile.imwrite(tmp_path / "B" / f"{name}.tif", pixels, ome=True, metadata={"axes": "CYX"})
        assert "channels differ: 1 of 3, 1 of 5" in refusal(tmp_path).message

    def test_depths_that_differ(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", GREY)
        png(tmp_path / "B" / "b.png", GREY.astype(np.uint16))
        assert "pixels are 1 uint8, 1 uint16" in refusal(tmp_path).message

    def test_a_png_that_would_lose_half_its_bits(self, tmp_path: Path) -> None:
        header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
        rows = zlib.compress(b"".join(b"\0" + bytes(12) for _ in range(2)))
        pieces = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
        content = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in pieces
        )
        (tmp_path / "B").mkdir()
        (tmp_path / "B" / "a.png").write_bytes(content)
        assert (
            "B/a.png is a PNG of 16 bits in several channels: write it as TIFF" in refusal(tmp_path).message
        )


class TestTable:
    def test_all_that_doesn_t_fit_is_told_at_once(self, tmp_path: Path) -> None:
        names = list(class_folders(tmp_path, n_each=2))
        table(tmp_path / "cells.csv", path=[names[0], names[0], "B cell/7"], batch=list("xyz"))
        message = refusal(tmp_path).message
        for line in (
            f"{names[0]!r} is named 2 times",
            "there is no image 'B cell/7'",
            *(f"image {name!r} has no row" for name in names[1:]),
        ):
            assert line in message
        assert "(5 problems)" in message

    def test_an_image_without_a_row_keeps_its_class_where_that_is_allowed(self, tmp_path: Path) -> None:
        names = list(class_folders(tmp_path, n_each=2))
        table(tmp_path / "cells.csv", path=names[:3], donor_id=list("xyz"))
        found = opened(tmp_path, drop_unlabelled=True)
        assert found.column("donor_id").tolist() == ["x", "y", "z", None]
        assert "1 images have no row in cells.csv" in found.notes

    def test_a_class_that_is_said_twice_is_said_alike(self, tmp_path: Path) -> None:
        names = list(class_folders(tmp_path, n_each=1))
        table(tmp_path / "cells.csv", path=names, cell_type=["B cell", "T cell"])
        assert opened(tmp_path).columns == ("cell_type",)
        table(tmp_path / "cells.csv", path=names, cell_type=["B cell", "NK cell"])
        assert "that 1 images' class folders contradict" in refusal(tmp_path).message

    def test_it_names_images_in_one_of_some_columns(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        table(tmp_path / "cells.csv", name=["a"], batch=["x"])
        error = refusal(tmp_path)
        assert "no column that names its images: name, batch" in error.message
        assert "Call it 'path'; cell_id, file" in error.hint


class TestBadFolders:
    def test_an_empty_one(self, tmp_path: Path) -> None:
        assert f"There are no images in {tmp_path}" in refusal(tmp_path).message

    def test_one_of_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "matrix.mtx").write_text("%%MatrixMarket")
        assert "There are no images in" in refusal(tmp_path).message

    def test_loose_images_without_a_table(self, tmp_path: Path) -> None:
        png(tmp_path / "a.png", GREY)
        assert "neither class folders nor a table" in refusal(tmp_path).message

    def test_loose_images_beside_class_folders(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        png(tmp_path / "loose.png", GREY)
        assert "1 images lie beside the class folders" in refusal(tmp_path).message

    @pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_links_are_not_followed(self, tmp_path: Path, inside: bool, what: str) -> None:
        class_folders(tmp_path / "set")
        elsewhere = class_folders(tmp_path / "elsewhere")
        assert elsewhere
        target = tmp_path / ("set" if inside else "elsewhere") / "B cell"
        link = tmp_path / "set" / "T cell" / ("9.png" if what == "file" else "more")
        link.symlink_to(target / "0.png" if what == "file" else target)
        error = refusal(tmp_path / "set")
        assert f"T cell/{link.name} is a link" in error.message
        assert "cp -rL" in error.hint

    def test_links_in_a_zarr_image(self, tmp_path: Path) -> None:
        image = ngff(tmp_path / "B" / "a.zarr", GREY, "yx")
        (tmp_path / "secret").write_bytes(b"x")
        (image / "0" / "c" / "0" / "9").symlink_to(tmp_path / "secret")
        assert "B/a.zarr holds a link, '9'" in refusal(tmp_path).message

    def test_the_folder_itself_may_be_a_link(self, tmp_path: Path) -> None:
        class_folders(tmp_path / "set")
        (tmp_path / "link").symlink_to(tmp_path / "set")
        assert opened(tmp_path / "link").n_obs == 8

    def test_what_is_no_plain_file(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        os.mkfifo(tmp_path / "B cell" / "pipe.png")
        assert "B cell/pipe.png is no plain file" in refusal(tmp_path).message

    def test_two_images_of_one_id(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", GREY)
        png(tmp_path / "B" / "a.bmp", GREY)
        assert "2 images have the id 'B/a'" in refusal(tmp_path).message

    @pytest.mark.parametrize("name", [b"a\nb.png", b"a\xff.png", b"a\x1b[31m.png", "a\u2028b.png".encode()])
    def test_names_that_are_no_line_of_text(self, tmp_path: Path, name: bytes) -> None:
        class_folders(tmp_path)
        image = (tmp_path / "B cell" / "0.png").read_bytes()
        (Path(os.fsdecode(os.fsencode(tmp_path / "B cell") + b"/" + name))).write_bytes(image)
        message = refusal(tmp_path).message
        assert "has a name that can't be written in one line of UTF-8" in message
        assert all(line.isprintable() for line in message.splitlines())

    def test_a_class_folder_of_such_a_name(self, tmp_path: Path) -> None:
        png(tmp_path / "B\ncell" / "a.png", GREY)
        assert "can't be written in one line" in refusal(tmp_path).message

    def test_all_of_it_is_told_at_once(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        png(tmp_path / "loose.png", GREY)
        png(tmp_path / "B cell" / "0.bmp", GREY)
        (tmp_path / "B cell" / "link.png").symlink_to("0.png")
        assert refusal(tmp_path).message.count("\n  - ") == 3


class TestDamagedImages:
    def test_headers_that_are_none_are_all_told(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        for name in ("0.png", "1.png"):
            (tmp_path / "B cell" / name).write_bytes(b"no image")
        (tmp_path / "T cell" / "x.tif").write_bytes(b"II*\0")
        message = refusal(tmp_path).message
        for name in ("B cell/0.png", "B cell/1.png", "T cell/x.tif"):
            assert f"{name} can't be read" in message

    def test_pixels_that_are_cut_off_are_all_told(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        for name in ("a.png", "b.jpg", "c.bmp", "whole.png"):
            png(tmp_path / "B" / name, pixels)
        tifffile.imwrite(tmp_path / "B" / "d.tif", pixels, photometric="rgb", compression="zlib")
        tifffile.imwrite(tmp_path / "B" / "e.tif", pixels, photometric="rgb")
        for name in ("a.png", "b.jpg", "c.bmp"):
            content = (tmp_path / "B" / name).read_bytes()
            (tmp_path / "B" / name).write_bytes(content[: len(content) * 2 // 3])
        for name in ("d.tif", "e.tif"):
            content = bytearray((tmp_path / "B" / name).read_bytes())
            (tmp_path / "B" / name).write_bytes(content[: len(content) - 2000])
        message = refusal(tmp_path).message
        assert message.count("\n  - ") == 5
        assert "whole.png" not in message

    @pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
    def test_another_format_by_the_name_of_one_that_is_read(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / "B").mkdir()
        Image.fromarray(GREY).save(tmp_path / "B" / f"a.{suffix}", format="GIF")
        assert f"B/a.{suffix} can't be read: cannot identify image file" in refusal(tmp_path).message

    def test_a_moving_image(self, tmp_path: Path) -> None:
        frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
        (tmp_path / "B").mkdir()
        frames[0].save(tmp_path / "B" / "a.png", save_all=True, append_images=frames[1:])
        assert "B/a.png has 2 frames; one is expected" in refusal(tmp_path).message

    def test_ink_on_paper(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", GREY)
        Image.fromarray(RGB).convert("CMYK").save(tmp_path / "B" / "b.jpg")
        assert "B/b.jpg has colour mode CMYK; grey or RGB is read" in refusal(tmp_path).message

    def test_tiff_whose_numbers_aren_t_brightness(self, tmp_path: Path) -> None:
        (tmp_path / "B").mkdir()
        tifffile.imwrite(tmp_path / "B" / "a.tif", GREY, photometric="miniswhite")
        colours = np.zeros((3, 256), dtype=np.uint16)
        tifffile.imwrite(tmp_path / "B" / "b.tif", GREY, photometric="palette", colormap=colours)
        message = refusal(tmp_path).message
        assert "B/a.tif is a TIFF of kind MINISWHITE" in message
        assert "B/b.tif is a TIFF of kind PALETTE" in message

    def test_what_decompresses_without_end(self, tmp_path: Path) -> None:
        class_folders(tmp_path)
        path = png(tmp_path / "B cell" / "bomb.png", np.zeros((1, 1), dtype=np.uint8))
        content = bytearray(path.read_bytes())
        content[16:24] = struct.pack(">II", 60_000, 60_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        path.write_bytes(content)
        assert "B cell/bomb.png can't be read" in refusal(tmp_path).message

    @pytest.mark.parametrize("suffix", ["tif", "png"])
    def test_an_image_of_a_whole_slide(self, tmp_path: Path, suffix: str) -> None:
        pixels = np.zeros((4097, 4096), dtype=np.uint8)
        (tmp_path / "B").mkdir()
        if suffix == "tif":
            tifffile.imwrite(tmp_path / "B" / "a.tif", pixels, compression="zlib")
        else:
            png(tmp_path / "B" / "a.png", pixels)
        message = refusal(tmp_path).message
        assert f"B/a.{suffix} has 4,097 × 4,096 pixels; one cell has 16,777,216 at most" in message

    @pytest.mark.parametrize(
        ("axes", "shape", "said"),
        [
            ("ZYX", (7, 4, 5), "has axes Z 7 × Y 4 × X 5: one plane"),
            ("TCYX", (2, 3, 4, 5), "has axes T 2 × C 3 × Y 4 × X 5: one plane"),
            ("CYX", (65, 4, 5), "has 65 channels; 64 is the most"),
        ],
    )
    def test_a_tiff_of_more_than_a_cell(
        self, tmp_path: Path, axes: str, shape: tuple[int, ...], said: str
    ) -> None:
        (tmp_path / "B").mkdir()
        pixels = np.zeros(shape, dtype=np.uint8)
        tifffile.imwrite(
            tmp_path / "B" / "a.ome.tif", pixels, metadata={"axes": axes}, photometric="minisblack"
        )
        assert said in refusal(tmp_path).message

    def test_a_tiff_that_names_other_files_doesn_t_bring_them(self, tmp_path: Path) -> None:
        root = tmp_path / "set"
        secret, first = root.parent / "secret.ome.tif", root / "B" / "a.ome.tif"
        first.parent.mkdir(parents=True)
        tifffile.imwrite(secret, GREY + 100, metadata={"axes": "YX"})
        uuid = "urn:uuid:12345678-1234-1234-1234-123456789abc"
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
            'SizeX="5" SizeY="4" SizeC="2" SizeZ="1" SizeT="1">'
            f'<TiffData IFD="0" FirstC="0" PlaneCount="1"><UUID FileName="a.ome.tif">{uuid}</UUID></TiffData>'
            '<TiffData IFD="0" FirstC="1" PlaneCount="1">'
            f'<UUID FileName="../../secret.ome.tif">{uuid[:-1]}d</UUID></TiffData></Pixels></Image></OME>'
        )
        tifffile.imwrite(first, GREY, description=xml, metadata=None)
        with tifffile.TiffFile(first) as file:
            assert file.series[0].asarray().max() >= 100, "tifffile follows it unless told otherwise"
        assert np.array_equal(read_all(root)[0], GREY[..., None])

    def test_any_scratch_is_an_error_of_ours_or_harmless(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        png(tmp_path / "B" / "a.png", pixels)
        tifffile.imwrite(tmp_path / "B" / "b.tif", pixels, photometric="rgb", compression="zlib")
        rng = np.random.default_rng(0)
        for name in ("a.png", "b.tif"):
            path = tmp_path / "B" / name
            content = path.read_bytes()
            for at in rng.choice(len(content), 60, replace=False).tolist():
                path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
                try:
                    read_all(tmp_path)
                except Exception as error:  # noqa: BLE001
                    assert type(error).__name__ == "DatasetError", (name, at, error)  # noqa: PT017
            path.write_bytes(content)
