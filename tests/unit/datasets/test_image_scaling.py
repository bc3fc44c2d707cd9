"""Deep pixels as uint8: one rule for the whole set, exact percentiles, all of it told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from czrun.datasets.imaging.intensities import measured_scale
from czrun.datasets.imaging.stacks import open_array
from made_images import images_of, opened, png, read_all, refusal, table

RNG = np.random.default_rng(0)


def saved(path: Path, images: np.ndarray) -> Path:
    np.save(path, images)
    return path


def by_hand(images: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.rint(np.clip((images.astype(float) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


DEEP = {
    "uint16": RNG.gamma(2, 500, (7, 6, 5, 2)).astype(np.uint16),
    "int16": RNG.normal(0, 3000, (7, 6, 5, 2)).astype(np.int16),
    "int8": RNG.integers(-128, 128, (7, 6, 5, 2)).astype(np.int8),
    "uint32": RNG.integers(0, 1 << 24, (7, 6, 5, 2)).astype(np.uint32),
    "int32": RNG.integers(-(1 << 23), 1 << 23, (7, 6, 5, 2)).astype(np.int32),
    "float16": RNG.normal(0, 10, (7, 6, 5, 2)).astype(np.float16),
    "float32": (1000 + RNG.normal(0, 0.5, (7, 6, 5, 2))).astype(np.float32),
    "float64": RNG.normal(0, 1e-6, (7, 6, 5, 2)).astype(np.float32).astype(np.float64),
}


class TestPercentiles:
    @pytest.mark.parametrize("kind", DEEP)
    @pytest.mark.parametrize("percentiles", [(0.1, 99.9), (0, 100), (25, 75)])
    def test_they_are_numpy_s_to_the_last_bit(
        self, tmp_path: Path, kind: str, percentiles: tuple[float, float]
    ) -> None:
        images = DEEP[kind]
        scale = measured_scale(open_array(saved(tmp_path / "a.npy", images)), percentiles)
        flat = images.reshape(-1, 2)
        for found, percentile in zip((scale.low, scale.high), percentiles, strict=True):
            expected = np.percentile(flat, percentile, axis=0, method="inverted_cdf").astype(np.float64)
            assert np.array_equal(found, expected)

    def test_they_are_the_whole_set_s_and_each_channel_s_own(self, tmp_path: Path) -> None:
        images = DEEP["uint16"]
        flat = images.reshape(-1, 2)
        low, high = (np.percentile(flat, p, axis=0, method="inverted_cdf") for p in (0.1, 99.9))
        found = read_all(saved(tmp_path / "a.npy", images))
        assert np.array_equal(found, by_hand(images, low, high))
        assert (found[..., 0].min(), found[..., 0].max()) == (0, 255)

    def test_padding_has_no_part_in_them(self, tmp_path: Path) -> None:
        png(tmp_path / "B" / "a.png", np.array([[1000, 1100], [1200, 2000]], dtype=np.uint16))
        png(tmp_path / "B" / "b.png", np.array([[1500]], dtype=np.uint16))
        found = read_all(tmp_path, images={"percentiles": [0, 100]})[..., 0]
        assert found[0].tolist() == [[0, 26], [51, 255]]
        assert found[1].tolist() == [[128, 0], [0, 0]]

    def test_what_was_done_is_told_with_its_numbers(self, tmp_path: Path) -> None:
        images = np.arange(40, dtype=np.uint16).reshape(2, 4, 5) * 10
        found = opened(saved(tmp_path / "a.npy", images), images={"percentiles": [0, 100]})
        assert found.notes == (
            "pixels are uint16: each channel was scaled to 0–255 and clipped, from 0 – 390 "
            "(percentiles 0 and 100 of all images together)",
        )

    def test_a_channel_of_one_value_is_0_and_told(self, tmp_path: Path) -> None:
        images = np.full((3, 4, 5, 2), 700, dtype=np.uint16)
        images[..., 1] = np.arange(60).reshape(3, 4, 5)
        found = opened(saved(tmp_path / "a.npy", images))
        assert not images_of(found)[..., 0].any()
        assert "channel 0 holds next to one value only, and became 0" in found.notes

    def test_uint8_stays_as_it_is(self, tmp_path: Path) -> None:
        images = RNG.integers(10, 20, (3, 4, 5, 1)).astype(np.uint8)
        found = opened(saved(tmp_path / "a.npy", images))
        assert np.array_equal(images_of(found), images)
        assert found.notes == ()


class TestGivenRanges:
    def test_one_for_all_channels(self, tmp_path: Path) -> None:
        images = DEEP["uint16"]
        found = opened(saved(tmp_path / "a.npy", images), images={"intensity": [[100, 1600]]})
        assert np.array_equal(images_of(found), by_hand(images, np.array(100), np.array(1600)))
        assert "from 100 – 1600, 100 – 1600 (as given)" in found.notes[0]

    def test_one_for_each(self, tmp_path: Path) -> None:
        images = DEEP["float32"]
        found = read_all(saved(tmp_path / "a.npy", images), images={"intensity": [[999, 1001], [990, 1010]]})
        assert np.array_equal(found, by_hand(images, np.array([999, 990]), np.array([1001, 1010])))

    def test_even_uint8_where_somebody_says_so(self, tmp_path: Path) -> None:
        images = RNG.integers(0, 100, (3, 4, 5, 1)).astype(np.uint8)
        found = read_all(saved(tmp_path / "a.npy", images), images={"intensity": [[0, 51]]})
        assert np.array_equal(found, np.minimum(images, 51) * 5)

    def test_another_number_than_there_are_channels(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.npy", np.zeros((3, 4, 5, 3), dtype=np.uint16))
        error = refusal(path, images={"intensity": [[0, 1], [0, 2]]})
        assert "images.intensity has 2 ranges, and the images have 3 channels" in error.message

    @pytest.mark.parametrize(
        "options",
        [
            {"intensity": [[5, 5]]},
            {"intensity": []},
            {"percentiles": [99, 1]},
            {"percentiles": [-1, 99]},
            {"percentiles": [1, 101]},
            {"intensity": [[0, float("inf")]]},
            {"crop": 0},
            {"depth": 16},
        ],
    )
    def test_ranges_that_are_none(self, tmp_path: Path, options: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="images"):
            opened(saved(tmp_path / "a.npy", DEEP["uint16"]), images=options)


class TestNoNumbers:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_in_an_array_every_such_image_is_told(self, tmp_path: Path, bad: float) -> None:
        images = DEEP["float32"].copy()
        images[[2, 5], 0, 0, 0] = bad
        message = refusal(saved(tmp_path / "a.npy", images)).message
        assert "image 2 holds NaN or infinite pixels" in message
        assert "image 5 holds NaN or infinite pixels" in message

    def test_in_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "B").mkdir()
        tifffile.imwrite(tmp_path / "B" / "a.tif", np.full((4, 5), np.nan, dtype=np.float32))
        assert "B/a.tif holds NaN or infinite pixels" in refusal(tmp_path).message

    def test_with_a_given_range_too(self, tmp_path: Path) -> None:
        images = DEEP["float32"].copy()
        images[2] = np.nan
        path = saved(tmp_path / "a.npy", images)
        table(tmp_path / "a.csv", cell_type=list("abababa"))
        assert "image 2 holds NaN" in refusal(path, images={"intensity": [[0, 1]]}).message
