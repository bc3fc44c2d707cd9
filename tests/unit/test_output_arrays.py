"""Answers that are embeddings, clusters, scores or expression: their shapes, numbers, and names."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.outputs import Answer, Findings, WantedFile, WantedView, read_view
from czrun.tasks.base import Content

IDS = ("a1", "b2", "c3", "d4")
EMBEDDING = np.linspace(-1, 1, 8).reshape(4, 2)
CLUSTERS = "cell_id,cluster\na1,7\nb2,seven\nc3,7\nd4,08\n"


def wanted(*, one_of: bool = True) -> WantedView:
    """Ask for an embedding or clusters, and take scores and mean expression of three conditions as well."""
    files = (
        WantedFile("embedding.npy", Content.NUMBERS, required=False, shape=(4, None)),
        WantedFile("clusters.csv", Content.GROUPS, required=False),
        WantedFile("scores.npy", Content.NUMBERS, required=False, shape=(4,)),
        WantedFile("expression.npy", Content.NUMBERS, required=False, shape=(3, 5)),
    )
    return WantedView("v0", (), files, ("embedding.npy", "clusters.csv") if one_of else ())


@pytest.fixture
def view(tmp_path: Path) -> Path:
    """The output folder of view v0, with good clusters in it."""
    folder = tmp_path / "output" / "v0"
    folder.mkdir(parents=True)
    (folder / "clusters.csv").write_text(CLUSTERS)
    return folder


def read(view: Path, asked: WantedView | None = None) -> tuple[Answer | None, Findings]:
    findings, root = Findings(), os.open(view.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_view(root, asked or wanted(), IDS, findings), findings
    finally:
        os.close(root)


def answer(view: Path) -> Answer:
    found, findings = read(view)
    assert found is not None, findings.problems
    return found


def problems(view: Path, *, hostile: bool = False) -> list[str]:
    found, findings = read(view)
    assert found is None
    assert findings.is_hostile is hostile, findings.problems
    return findings.problems


class TestEmbeddings:
    @pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f8"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_any_floats_in_any_order_go_on_as_float32(self, view: Path, dtype: str, order: Any) -> None:
        np.save(view / "embedding.npy", np.asarray(EMBEDDING, dtype=dtype, order=order))
        found = answer(view)["embedding"]
        assert found.dtype == np.float32
        assert np.allclose(found, EMBEDDING, atol=1e-3)

    @pytest.mark.parametrize("width", [1, 2, 4096])
    def test_the_model_chooses_the_width(self, view: Path, width: int) -> None:
        np.save(view / "embedding.npy", np.ones((4, width), dtype=np.float16))
        assert answer(view)["embedding"].shape == (4, width)

    @pytest.mark.parametrize("width", [0, 4097])
    def test_no_column_and_too_many_are_refused(self, view: Path, width: int) -> None:
        np.save(view / "embedding.npy", np.ones((4, width), dtype=np.float16))
        assert problems(view) == [f"embedding.npy has shape (4, {width}); (4, 1..4096) is expected"]

    @pytest.mark.parametrize(
        "shape", [(4,), (3, 2), (5, 2), (4, 2, 1), (2, 4), (), (0, 2)], ids=lambda shape: str(shape)
    )
    def test_another_shape_is_told(self, view: Path, shape: tuple[int, ...]) -> None:
        np.save(view / "embedding.npy", np.ones(shape))
        (found,) = problems(view)
        assert "(4, 1..4096) is expected" in found

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39, -1e300])
    def test_numbers_that_no_float32_can_hold_are_told_with_their_place(
        self, view: Path, value: float
    ) -> None:
        array = EMBEDDING.copy()
        array[2, 1] = value
        array[3, 0] = value
        np.save(view / "embedding.npy", array)
        assert problems(view) == [
            "embedding.npy: 2 values: each is not a finite float32, the first in row 2, column 1"
        ]

    def test_the_largest_float32_is_taken(self, view: Path) -> None:
        array = np.full((4, 1), float(np.finfo(np.float32).max))
        np.save(view / "embedding.npy", array)
        assert answer(view)["embedding"].tolist() == array.tolist()

    @pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.complex128, "S4", "U4", "M8[s]"])
    def test_what_is_not_floats_is_told(self, view: Path, dtype: Any) -> None:
        np.save(view / "embedding.npy", np.zeros((4, 2), dtype=dtype))
        assert "float16, float32 or float64 is expected" in problems(view)[0]


class TestVectors:
    def test_a_vector_s_numbers_keep_their_width_so_that_no_ties_arise(self, view: Path) -> None:
        scores = 1 + np.arange(4) * 1e-12
        np.save(view / "scores.npy", scores)
        found = answer(view)["scores"]
        assert found.dtype == np.float64
        assert found.tolist() == scores.tolist()

    def test_a_number_beyond_float32_is_a_score(self, view: Path) -> None:
        np.save(view / "scores.npy", np.array([0, 1e300, -1e300, 1]))
        assert answer(view)["scores"][1] == 1e300

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_finite_is_told_with_its_row(self, view: Path, value: float) -> None:
        np.save(view / "scores.npy", np.array([0, 1, value, 3]))
        assert problems(view) == ["scores.npy: 1 values: each is not a finite float64, the first in row 2"]

    @pytest.mark.parametrize("shape", [(4, 1), (3,), (5,)])
    def test_another_shape_is_told(self, view: Path, shape: tuple[int, ...]) -> None:
        np.save(view / "scores.npy", np.zeros(shape))
        assert "(4,) is expected" in problems(view)[0]


class TestExpression:
    def test_its_rows_are_conditions_not_cells(self, view: Path) -> None:
        np.save(view / "expression.npy", np.ones((3, 5)))
        assert answer(view)["expression"].shape == (3, 5)

    @pytest.mark.parametrize("shape", [(4, 5), (3, 4), (3, 6), (5, 3)])
    def test_another_shape_is_told(self, view: Path, shape: tuple[int, ...]) -> None:
        np.save(view / "expression.npy", np.ones(shape))
        assert "(3, 5) is expected" in problems(view)[0]


class TestClusters:
    def test_names_are_the_model_s_own(self, view: Path) -> None:
        found = answer(view)["clusters"]
        assert found.dtype == np.int32
        assert found[0] == found[2]
        assert len(set(found.tolist())) == 3
        assert sorted(set(found.tolist())) == [0, 1, 2]

    @pytest.mark.parametrize("names", ["αβγ", "a,b", 'say "x"', "two\nlines", " ", "__unassigned__", "nan"])
    def test_any_name_will_do(self, view: Path, names: str) -> None:
        quoted = '"' + names.replace('"', '""') + '"'
        (view / "clusters.csv").write_text(CLUSTERS.replace("seven", quoted))
        assert len(set(answer(view)["clusters"].tolist())) == 3

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "row 1: the header is '', it must be 'cell_id,cluster'"),
            (CLUSTERS.replace("cluster", "label"), "it must be 'cell_id,cluster'"),
            (CLUSTERS.replace("seven", ""), "row 3, column cluster: '' is not a name"),
            (CLUSTERS.replace("b2,seven", "b2"), "row 3: 1 columns; 2 are expected"),
            (CLUSTERS.replace("b2,", "x9,"), "row 3, column cell_id: 'x9' where 'b2' was expected"),
            (CLUSTERS.replace("d4,08\n", ""), "has 3 rows of cells; 4 are expected"),
            (CLUSTERS + "e5,1\n", "has 5 rows of cells; 4 are expected"),
            ("cell_id,cluster\nd4,1\nc3,1\nb2,1\na1,1\n", "the right cells, but some not in the order"),
            (CLUSTERS.encode("utf-16"), "clusters.csv is not UTF-8 CSV"),
        ],
    )
    def test_what_is_wrong_is_told_with_row_and_column(
        self, view: Path, content: str | bytes, said: str
    ) -> None:
        (view / "clusters.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        assert any(said in problem for problem in problems(view))


class TestOneOf:
    def test_one_is_enough_and_several_are_taken(self, view: Path) -> None:
        assert set(answer(view)) == {"clusters"}
        np.save(view / "embedding.npy", EMBEDDING)
        assert set(answer(view)) == {"clusters", "embedding"}

    def test_none_of_them_is_told_with_what_is_there_instead(self, view: Path) -> None:
        (view / "clusters.csv").rename(view / "cluster.csv")
        assert problems(view) == [
            "one of embedding.npy, clusters.csv is needed; the folder holds 'cluster.csv'"
        ]

    def test_what_else_may_be_there_does_not_stand_in(self, view: Path) -> None:
        (view / "clusters.csv").unlink()
        np.save(view / "scores.npy", np.zeros(4))
        assert "one of embedding.npy, clusters.csv is needed" in problems(view)[0]

    def test_one_that_is_bad_is_told_for_what_it_is(self, view: Path) -> None:
        (view / "clusters.csv").unlink()
        np.save(view / "embedding.npy", np.ones((3, 2)))
        assert problems(view) == ["embedding.npy has shape (3, 2); (4, 1..4096) is expected"]

    def test_a_bad_one_is_not_saved_by_a_good_one(self, view: Path) -> None:
        np.save(view / "embedding.npy", np.full((4, 2), np.nan))
        assert len(problems(view)) == 1

    def test_a_view_that_asks_for_nothing_may_stay_empty(self, view: Path) -> None:
        (view / "clusters.csv").unlink()
        found, findings = read(view, wanted(one_of=False))
        assert found == {}
        assert findings.problems == []


class TestOddFiles:
    @pytest.fixture(params=["embedding.npy", "clusters.csv"])
    def place(self, request: pytest.FixtureRequest, view: Path) -> Path:
        place: Path = view / request.param
        (view / "clusters.csv").unlink()
        return place

    def test_a_link_is_not_followed(self, place: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text(CLUSTERS)
        place.symlink_to(tmp_path / "secret")
        assert f"{place.name} is a symbolic link" in problems(place.parent, hostile=True)

    def test_a_second_name_is_refused(self, place: Path, tmp_path: Path) -> None:
        (tmp_path / "other").write_text(CLUSTERS)
        place.hardlink_to(tmp_path / "other")
        assert f"{place.name} has a second name (hard link)" in problems(place.parent, hostile=True)

    @pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
    def test_no_plain_file(self, place: Path, make: Any) -> None:
        make(place)
        assert f"{place.name} is not a regular file" in problems(place.parent, hostile=True)

    def test_a_sparse_terabyte_is_not_read(self, place: Path) -> None:
        with place.open("wb") as file:
            file.truncate(1 << 40)
        assert any("1,099,511,627,776 bytes" in each for each in problems(place.parent))

    def test_objects_are_never_unpickled(self, view: Path, tmp_path: Path) -> None:
        sentinel = tmp_path / "ran"
        bomb = type("Bomb", (), {"__reduce__": lambda _: (Path.touch, (sentinel,))})()
        np.save(view / "embedding.npy", np.array([[bomb] * 2] * 4, dtype=object), allow_pickle=True)
        assert "holds object" in problems(view, hostile=True)[0]
        (view / "embedding.npy").write_bytes(pickle.dumps(bomb))
        assert "not a NumPy .npy file" in problems(view)[0]
        assert not sentinel.exists()

    @pytest.mark.parametrize("short", [-1, 1])
    def test_a_header_that_lies_about_the_size(self, view: Path, short: int) -> None:
        np.save(view / "embedding.npy", EMBEDDING)
        content = (view / "embedding.npy").read_bytes()
        (view / "embedding.npy").write_bytes(content[:-1] if short > 0 else content + b"x")
        assert "promises 64 bytes of numbers" in problems(view)[0]

    def test_a_free_axis_is_no_way_to_a_giant(self, view: Path) -> None:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1000000000000)}"
        (view / "embedding.npy").write_bytes(
            b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        )
        assert problems(view) == ["embedding.npy has shape (4, 1000000000000); (4, 1..4096) is expected"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for many examples, each of which overwrites what it reads."""
    folder = tmp_path_factory.mktemp("output") / "v0"
    folder.mkdir()
    return folder


class TestAnything:
    @given(content=st.binary(max_size=300))
    def test_any_bytes_as_clusters_are_an_answer_or_a_problem(self, folder: Path, content: bytes) -> None:
        (folder / "embedding.npy").unlink(missing_ok=True)
        (folder / "clusters.csv").write_bytes(content)
        found, findings = read(folder)
        assert (found is None) == bool(findings.problems)

    @given(rows=st.lists(st.tuples(st.sampled_from([*IDS, "x"]), st.text(max_size=5)), max_size=6))
    def test_any_table_as_clusters_is_an_answer_or_a_problem(
        self, folder: Path, rows: list[tuple[str, str]]
    ) -> None:
        (folder / "embedding.npy").unlink(missing_ok=True)
        content = "cell_id,cluster\n" + "".join(f"{cell},{name}\n" for cell, name in rows)
        (folder / "clusters.csv").write_bytes(content.encode("utf-8", "surrogatepass"))
        found, findings = read(folder)
        assert (found is None) == bool(findings.problems)
        if found is not None:
            assert found["clusters"].min() >= 0

    @given(at=st.integers(0, 190), byte=st.binary(max_size=3))
    def test_any_scratch_in_a_good_embedding_is_an_answer_or_a_problem(
        self, folder: Path, at: int, byte: bytes
    ) -> None:
        (folder / "clusters.csv").unlink(missing_ok=True)
        np.save(folder / "embedding.npy", EMBEDDING)
        content = (folder / "embedding.npy").read_bytes()
        (folder / "embedding.npy").write_bytes(content[:at] + byte + content[at + len(byte) :])
        found, findings = read(folder)
        assert (found is None) == bool(findings.problems)
        if found is not None:
            assert np.isfinite(found["embedding"]).all()

    @given(header=st.binary(max_size=200), body=st.binary(max_size=64))
    def test_any_header_is_an_answer_or_a_problem(self, folder: Path, header: bytes, body: bytes) -> None:
        (folder / "clusters.csv").unlink(missing_ok=True)
        size = len(header).to_bytes(2, "little")
        (folder / "embedding.npy").write_bytes(b"\x93NUMPY\x01\x00" + size + header + body)
        found, findings = read(folder)
        assert (found is None) == bool(findings.problems)
