"""Reading answers: every problem told with its place, nothing trusted, nothing in a file breaks it."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.outputs import Answer, Findings, WantedFile, WantedView, read_view
from czrun.tasks.base import Content

IDS = ("a1", "b2", "c3", "d4")
CLASSES = ("B cell", "T cell", 'odd, "quoted"\nlabel')
GOOD = "cell_id,label\na1,B cell\nb2,T cell\nc3,__unassigned__\nd4,B cell\n"
PROBA = np.full((4, 3), 1 / 3, dtype=np.float32)


@pytest.fixture
def view(tmp_path: Path) -> Path:
    """The output folder of view v0, with a good answer in it."""
    folder = tmp_path / "output" / "v0"
    folder.mkdir(parents=True)
    (folder / "predictions.csv").write_text(GOOD)
    return folder


def wanted(view: str = "v0", n_obs: int = len(IDS)) -> WantedView:
    files = (
        WantedFile("predictions.csv", Content.LABELS, required=True),
        WantedFile("proba.npy", Content.PROBABILITIES, required=False, shape=(n_obs, len(CLASSES))),
    )
    return WantedView(view, CLASSES, files)


def read(view: Path) -> tuple[Answer | None, Findings]:
    findings = Findings()
    root = os.open(view.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return read_view(root, wanted(view.name), IDS, findings), findings
    finally:
        os.close(root)


def codes(view: Path) -> list[int]:
    found, findings = read(view)
    assert found is not None, findings.problems
    return found["predictions"].tolist()


def problems(view: Path, *, hostile: bool = False) -> list[str]:
    found, findings = read(view)
    assert found is None
    assert findings.problems
    assert findings.is_hostile is hostile, findings.problems
    return findings.problems


def write(view: Path, content: str | bytes) -> Path:
    (view / "predictions.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return view


def npy(view: Path, header: str | bytes, body: bytes = b"", version: bytes = b"\x01\x00") -> Path:
    """Write a .npy file with a header of one's own."""
    text = header.encode() if isinstance(header, str) else header
    width = 2 if version == b"\x01\x00" else 4
    size = len(text).to_bytes(width, "little")
    (view / "proba.npy").write_bytes(b"\x93NUMPY" + version + size + text + body)
    return view


class TestGoodAnswers:
    @pytest.mark.parametrize(
        "spell",
        [
            lambda text: text,
            lambda text: text.replace("\n", "\r\n"),
            lambda text: "\ufeff" + text,
            lambda text: text.rstrip("\n"),
            lambda text: "\n".join(
                ",".join(f'"{cell}"' for cell in row.split(",")) for row in text.splitlines()
            ),
        ],
        ids=["plain", "crlf", "bom", "no-last-newline", "quoted"],
    )
    def test_spellings_of_csv(self, view: Path, spell: Callable[[str], str]) -> None:
        assert codes(write(view, spell(GOOD))) == [0, 1, -1, 0]

    def test_labels_with_commas_quotes_and_newlines(self, view: Path) -> None:
        quoted = '"odd, ""quoted""\nlabel"'
        assert codes(write(view, GOOD.replace("d4,B cell", f"d4,{quoted}"))) == [0, 1, -1, 2]

    @pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_any_float_array_is_taken(self, view: Path, dtype: str, order: Any) -> None:
        wanted = np.array([[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
        np.save(view / "proba.npy", np.asarray(wanted, dtype=dtype, order=order))
        found, findings = read(view)
        assert found is not None, findings.problems
        assert found.get("proba") is not None
        assert found.get("proba").dtype == np.float32
        assert np.array_equal(found.get("proba"), wanted)

    def test_probabilities_may_miss_one_by_a_rounding(self, view: Path) -> None:
        np.save(view / "proba.npy", PROBA.astype(np.float16))
        assert codes(view) == [0, 1, -1, 0]

    def test_a_version_2_header_is_read(self, view: Path) -> None:
        with (view / "proba.npy").open("wb") as file:
            np.lib.format.write_array(file, PROBA, version=(2, 0))
        assert codes(view) == [0, 1, -1, 0]

    def test_probabilities_are_optional(self, view: Path) -> None:
        found, _ = read(view)
        assert found is not None
        assert found.get("proba") is None

    def test_anything_else_in_the_folder_is_ignored(self, view: Path) -> None:
        (view / "model.pkl").write_bytes(b"\x80\x04")
        os.mkfifo(view / "pipe")
        assert codes(view) == [0, 1, -1, 0]


class TestPredictions:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "row 1: the header is ''"),
            ("\n", "row 1"),
            ("label,cell_id\n", "row 1: the header is 'label,cell_id'"),
            (GOOD.replace("cell_id,label", "cell_id;label"), "'cell_id,label'"),
            (GOOD.replace("d4,B cell\n", ""), "has 3 rows of cells; 4 are expected"),
            (GOOD + "e5,B cell\n", "has 5 rows of cells; 4 are expected"),
            (GOOD + "\n", "has 5 rows of cells"),
            (GOOD.replace("b2,T cell", "b2"), "row 3: 1 columns"),
            (GOOD.replace("b2,T cell", "b2,T cell,0.9"), "row 3: 3 columns"),
            (GOOD.replace("b2,", "x9,"), "row 3, column cell_id: 'x9' where 'b2' was expected"),
            (GOOD.replace("T cell", "t cell"), "row 3, column label: 't cell' is not one of the 3 classes"),
            (GOOD.replace("T cell", ""), "row 3, column label: ''"),
            (GOOD.replace("T cell", "T\x00cell"), "row 3, column label: 'T\\x00cell'"),
            (GOOD.replace("T cell", '"T cell'), "not UTF-8 CSV"),
            (GOOD.replace("T cell", "x" * 200_000), "make sense here"),
            (GOOD.encode() + b"\xff\xfe", "not UTF-8 CSV"),
            (GOOD.encode("utf-16"), "not UTF-8 CSV"),
        ],
    )
    def test_what_is_wrong_is_told_with_row_and_column(
        self, view: Path, content: str | bytes, said: str
    ) -> None:
        assert any(said in problem for problem in problems(write(view, content)))

    def test_every_problem_is_told_at_once(self, view: Path) -> None:
        np.save(view / "proba.npy", np.zeros((4, 2)))
        found = problems(write(view, "cell_id,label\na1,b cell\nx9,T cell\nc3\nd4,B cell\n"))
        assert len(found) == 4
        assert [problem.split(":")[0] for problem in found] == [
            "predictions.csv, row 3, column cell_id",
            "predictions.csv, row 2, column label",
            "predictions.csv, row 4",
            "proba.npy has shape (4, 2); (4, 3) is expected",
        ]

    def test_the_right_cells_in_another_order_are_told_apart_from_wrong_ones(self, view: Path) -> None:
        header, *rows = GOOD.splitlines()
        found = problems(write(view, "\n".join([header, *rows[::-1]])))
        assert "the right cells, but some not in the order of the input" in found[0]

    def test_a_wrong_label_says_nothing_of_the_order(self, view: Path) -> None:
        assert len(problems(write(view, GOOD.replace("T cell", "t cell")))) == 1

    def test_a_field_that_is_longer_than_csv_allows(self, view: Path) -> None:
        findings, ids = Findings(), tuple(f"c{i}" for i in range(200))
        root = os.open(view.parent, os.O_RDONLY | os.O_DIRECTORY)
        write(view, "cell_id,label\nc0," + "x" * 140_000)
        assert read_view(root, wanted(n_obs=len(ids)), ids, findings) is None
        assert "field larger than" in findings.problems[0]
        os.close(root)

    def test_a_missing_file_is_told_with_what_is_there_instead(self, view: Path) -> None:
        (view / "predictions.csv").rename(view / "predictions\x1b[2J.tsv")
        (found,) = problems(view)
        assert found == "predictions.csv is missing; the folder holds 'predictions\\x1b[2J.tsv'"

    def test_a_missing_folder_is_told(self, view: Path) -> None:
        (view / "predictions.csv").unlink()
        view.rmdir()
        assert problems(view) == ["the folder v0/ is missing"]

    def test_what_is_quoted_of_a_file_is_short(self, view: Path) -> None:
        found = problems(write(view, GOOD.replace("T cell", "x" * 5000)))
        assert all(len(problem) < 200 for problem in found)


class TestOddFiles:
    @pytest.fixture(params=["predictions.csv", "proba.npy"])
    def place(self, request: pytest.FixtureRequest, view: Path) -> Path:
        place: Path = view / request.param
        place.unlink(missing_ok=True)
        return place

    def test_a_symbolic_link_is_not_followed(self, place: Path, tmp_path: Path) -> None:
        secret = tmp_path / "labels.npy"
        secret.write_text(GOOD)
        place.symlink_to(secret)
        assert f"{place.name} is a symbolic link" in problems(place.parent, hostile=True)

    def test_a_dangling_link_is_no_missing_file(self, place: Path) -> None:
        place.symlink_to("/nonexistent")
        assert f"{place.name} is a symbolic link" in problems(place.parent, hostile=True)

    def test_a_hard_link_is_refused(self, place: Path, tmp_path: Path) -> None:
        (tmp_path / "other").write_text(GOOD)
        place.hardlink_to(tmp_path / "other")
        assert f"{place.name} has a second name (hard link)" in problems(place.parent, hostile=True)

    def test_a_pipe_does_not_hang_it(self, place: Path) -> None:
        os.mkfifo(place)
        assert f"{place.name} is not a regular file" in problems(place.parent, hostile=True)

    def test_a_folder_in_its_place(self, place: Path) -> None:
        place.mkdir()
        assert f"{place.name} is not a regular file" in problems(place.parent, hostile=True)

    def test_a_socket_in_its_place(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(place.parent)  # a socket's path may have a hundred characters
        with socket.socket(socket.AF_UNIX) as plug:
            plug.bind(place.name)
            assert any(each.startswith(place.name) for each in problems(place.parent, hostile=True))

    def test_a_sparse_terabyte_is_not_read(self, place: Path) -> None:
        with place.open("wb") as file:
            file.truncate(1 << 40)
        assert any("1,099,511,627,776 bytes" in each for each in problems(place.parent))

    def test_a_link_in_place_of_the_folder(self, view: Path) -> None:
        view.rename(view.with_name("elsewhere"))
        view.symlink_to("elsewhere")
        assert "not a readable folder" in problems(view, hostile=True)[0]


class _Bomb:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sentinel,))


class TestProbabilities:
    @pytest.mark.parametrize(
        ("array", "said"),
        [
            (np.full((4, 3), 0.5), "4 rows don't sum to 1, the first is row 0 with 1.5"),
            (np.array([[1, 0, 0]] * 3 + [[2, -1, 0]], dtype="f4"), "2 values: each is not between 0 and 1"),
            (np.array([[np.nan, 0, 0]] + [[1, 0, 0]] * 3), "1 values: each is not finite"),
            (np.array([[1, 0, 0]] * 3 + [[0, np.inf, 0]]), "not finite, the first in row 3, column 1"),
            (PROBA.T, "shape (3, 4); (4, 3) is expected"),
            (PROBA[0], "shape (3,)"),
            (PROBA.astype(int), "holds int64; float16, float32 or float64 is expected"),
            (PROBA.astype(complex), "holds complex128"),
            (PROBA.astype(np.longdouble), "float16, float32 or float64 is expected"),
            (PROBA.astype("S4"), "holds |S4"),
            (np.zeros((4, 3), dtype=[("a", "f4")]), "float16, float32 or float64 is expected"),
            (np.zeros((4, 3), dtype="M8[s]"), "datetime64"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )  # fmt: skip
    def test_what_is_wrong_is_told(self, view: Path, array: Any, said: str) -> None:
        np.save(view / "proba.npy", array)
        found = problems(view)
        assert any(said in problem for problem in found), found

    def test_objects_are_never_unpickled(self, view: Path, tmp_path: Path) -> None:
        sentinel = tmp_path / "ran"
        np.save(view / "proba.npy", np.array([[_Bomb(sentinel)] * 3] * 4, dtype=object))
        assert "holds object" in problems(view, hostile=True)[0]
        assert not sentinel.exists()

    def test_a_bare_pickle_is_no_array(self, view: Path, tmp_path: Path) -> None:
        sentinel = tmp_path / "ran"
        (view / "proba.npy").write_bytes(pickle.dumps(_Bomb(sentinel)))
        assert "not a NumPy .npy file" in problems(view)[0]
        assert not sentinel.exists()

    @pytest.mark.parametrize("bytes_", [0, 47, 49])
    def test_a_header_that_lies_about_the_size(self, view: Path, bytes_: int) -> None:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3)}"
        assert "promises 48 bytes of numbers" in problems(npy(view, header, bytes(bytes_)))[0]

    def test_a_header_that_promises_the_moon(self, view: Path) -> None:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000000)}"
        assert "has shape (1000000000000, 1000000)" in problems(npy(view, header))[0]

    @pytest.mark.parametrize(
        "header",
        [
            "",
            "\n",
            "[]",
            "5",
            "{}",
            "{[]: 1}",
            "{1: 2, 'descr': 3}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 12}",
            "{'descr': '<f4', 'fortran_order': 'no', 'shape': (4, 3)}",
            "{'descr': ('<f4',), 'fortran_order': False, 'shape': (4, 3)}",
            "{'descr': 'nonsense', 'fortran_order': False, 'shape': (4, 3)}",
            "{'descr': {}, 'fortran_order': False, 'shape': (4, 3)}",
            "{'descr': [('a',)], 'fortran_order': False, 'shape': (4, 3)}",
            "{'descr': [(5, '<f4')], 'fortran_order': False, 'shape': (4, 3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (0x" + "f" * 8000 + ",)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",)}",
            "{'shape': (4L, 3L), 'descr': '<f4', 'fortran_order': False",
            "{'descr': '''",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "4," * 2000 + ")}",
            "(" * 5000,
            "[" * 9000 + "]" * 900,
            "-" * 9000 + "1",
            "{'descr': " * 900 + "1" + "}" * 900,
            "__import__('os').mkdir('ran')",
            " " * 20_000,
            b"\xff" * 200,
            b"\x00" * 200,
        ],
        ids=lambda header: repr(header[:30]),
    )
    def test_a_header_of_garbage(self, view: Path, header: str | bytes) -> None:
        (found,) = problems(npy(view, header, bytes(48)))
        assert len(found) < 300

    def test_a_header_as_python_2_wrote_it_is_read(self, view: Path) -> None:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4L, 3L)}\n"
        assert read(npy(view, header, PROBA.tobytes()))[0] is not None

    def test_a_version_3_header_is_refused(self, view: Path) -> None:
        with (view / "proba.npy").open("wb") as file:
            np.lib.format.write_array(file, PROBA, version=(3, 0))
        assert "not a NumPy .npy file" in problems(view)[0]

    @pytest.mark.parametrize("content", [b"", b"\x93NUM", b"PK\x03\x04", b"\x93NUMPY\x09\x09" + bytes(99)])
    def test_what_is_no_npy_at_all(self, view: Path, content: bytes) -> None:
        (view / "proba.npy").write_bytes(content)
        assert "not a NumPy .npy file" in problems(view)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for many examples, each of which overwrites what it reads."""
    folder = tmp_path_factory.mktemp("output") / "v0"
    folder.mkdir()
    return folder


class TestAnything:
    @given(content=st.binary(max_size=400))
    def test_any_bytes_as_predictions_are_an_answer_or_a_problem(self, folder: Path, content: bytes) -> None:
        (folder / "proba.npy").unlink(missing_ok=True)
        found, findings = read(write(folder, content))
        assert (found is None) == bool(findings.problems)

    @given(at=st.integers(0, len(GOOD) - 1), byte=st.binary(min_size=0, max_size=3))
    def test_any_scratch_in_good_predictions_is_an_answer_or_a_problem(
        self, folder: Path, at: int, byte: bytes
    ) -> None:
        (folder / "proba.npy").unlink(missing_ok=True)
        found, findings = read(write(folder, GOOD.encode()[:at] + byte + GOOD.encode()[at + 1 :]))
        assert (found is None) == bool(findings.problems)

    @given(at=st.integers(0, 130), byte=st.binary(min_size=0, max_size=3))
    def test_any_scratch_in_good_probabilities_is_an_answer_or_a_problem(
        self, folder: Path, at: int, byte: bytes
    ) -> None:
        write(folder, GOOD)
        np.save(folder / "proba.npy", PROBA)
        content = (folder / "proba.npy").read_bytes()
        (folder / "proba.npy").write_bytes(content[:at] + byte + content[at + len(byte) :])
        found, findings = read(folder)
        assert (found is None) == bool(findings.problems)

    @given(header=st.binary(max_size=200), body=st.binary(max_size=64))
    def test_any_header_is_an_answer_or_a_problem(self, folder: Path, header: bytes, body: bytes) -> None:
        write(folder, GOOD)
        found, findings = read(npy(folder, header, body))
        assert (found is None) == bool(findings.problems)
