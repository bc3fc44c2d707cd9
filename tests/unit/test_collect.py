"""The reading process: it answers, it can't be led astray, and its own end is told apart from a model's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from czrun.collect import Collected, OutputReader
from czrun.errors import EngineError
from czrun.outputs import WantedFile, WantedView
from czrun.tasks.base import Content

CLASSES = ("B cell", "T cell")
STRANGER = 61_000

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give its rights up")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output folder with a good answer, and beside it the ids of its cells."""
    np.save(tmp_path / "ids.npy", np.array(["a1", "b2", "c3"], dtype="S16"))
    view = tmp_path / "output" / "v0"
    view.mkdir(parents=True)
    (view / "predictions.csv").write_text("cell_id,label\na1,T cell\nb2,__unassigned__\nc3,B cell\n")
    np.save(view / "proba.npy", np.array([[0.25, 0.75], [0.5, 0.5], [1, 0]]))
    return view.parent


class Reader(OutputReader):
    """Asks for one view of label predictions."""

    def answer(self, n_obs: int = 3) -> Collected:
        files = (
            WantedFile("predictions.csv", Content.LABELS, required=True),
            WantedFile("proba.npy", Content.PROBABILITIES, required=False, shape=(n_obs, 2)),
        )
        return self.read([WantedView("v0", CLASSES, files)], n_obs, 0)


def reader(output: Path, user: int | None = None) -> Reader:
    return Reader(output, {"v0": output.parent / "ids.npy"}, user)


class TestReading:
    def test_a_good_answer_comes_back_as_arrays(self, output: Path) -> None:
        with reader(output) as process:
            found = process.answer()
        assert found.problems == ()
        assert found.answers is not None
        assert found.answers["v0"]["predictions"].tolist() == [1, -1, 0]
        assert found.answers["v0"]["proba"].tolist() == [[0.25, 0.75], [0.5, 0.5], [1, 0]]

    def test_what_is_written_after_it_started_is_read(self, output: Path) -> None:
        file = output / "v0" / "predictions.csv"
        content = file.read_text()
        file.unlink()
        with reader(output) as process:
            file.write_text(content)
            assert process.answer().answers is not None

    def test_problems_come_back_with_their_place(self, output: Path) -> None:
        (output / "v0" / "predictions.csv").write_text("cell_id,label\na1,t cell\nb2,T cell\nc3,T cell\n")
        with reader(output) as process:
            found = process.answer()
        assert found.answers is None
        assert found.problems == (
            "predictions.csv, row 2, column label: 't cell' is not one of the 2 classes",
        )
        assert not found.is_hostile

    def test_thousands_of_problems_are_counted_not_sent(self, tmp_path: Path, output: Path) -> None:
        n_obs = 5000
        np.save(tmp_path / "ids.npy", np.array([f"c{i}" for i in range(n_obs)], dtype="S16"))
        (output / "v0" / "proba.npy").unlink()
        rows = "".join(f"c{i},\U0001f9a0\U0001f9a0\n" for i in range(n_obs))
        (output / "v0" / "predictions.csv").write_text(f"cell_id,label\n{rows}")
        with reader(output) as process:
            found = process.answer(n_obs)
        assert len(found.problems) == 201
        assert found.problems[-1] == "and 4,800 more problems"

    def test_a_hostile_file_is_told_as_such(self, output: Path) -> None:
        (output / "v0" / "proba.npy").unlink()
        (output / "v0" / "proba.npy").symlink_to("/etc/passwd")
        with reader(output) as process:
            assert process.answer().is_hostile

    @pytest.mark.parametrize("header", [b"(" * 5000, b"{[]: 1}", b"{'descr': '''", b"-" * 9000])
    def test_a_hostile_header_is_a_problem_of_the_model(self, output: Path, header: bytes) -> None:
        file = output / "v0" / "proba.npy"
        file.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        with reader(output) as process:
            (found,) = process.answer().problems
        assert found.startswith("proba.npy is not a NumPy .npy file")


class TestSeveralViews:
    @pytest.fixture
    def views(self, tmp_path: Path) -> Path:
        """Two views: three test cells with labels and an embedding, two training cells with an embedding."""
        np.save(tmp_path / "v0.npy", np.array(["a1", "b2", "c3"], dtype="S16"))
        np.save(tmp_path / "reference.npy", np.array(["r1", "r2"], dtype="S16"))
        for view, n_obs in (("v0", 3), ("reference", 2)):
            (tmp_path / "output" / view).mkdir(parents=True)
            embedding = np.arange(n_obs * 4, dtype=">f8").reshape(n_obs, 4)
            np.save(tmp_path / "output" / view / "embedding.npy", np.asfortranarray(embedding))
        (tmp_path / "output" / "v0" / "clusters.csv").write_text("cell_id,cluster\na1,x\nb2,y\nc3,x\n")
        return tmp_path / "output"

    @staticmethod
    def read(output: Path, *, required: bool = True) -> Collected:
        def wanted(view: str, n_obs: int) -> WantedView:
            files = (
                WantedFile("embedding.npy", Content.NUMBERS, required=required, shape=(n_obs, None)),
                WantedFile("clusters.csv", Content.GROUPS, required=False),
            )
            return WantedView(view, (), files, ("embedding.npy", "clusters.csv") if view == "v0" else ())

        ids = {view: output.parent / f"{view}.npy" for view in ("v0", "reference")}
        with OutputReader(output, ids, None) as process:
            return process.read([wanted("v0", 3), wanted("reference", 2)], 5, 0)

    def test_each_comes_back_with_its_own_arrays(self, views: Path) -> None:
        found = self.read(views)
        assert found.answers is not None, found.problems
        assert {view: set(answer) for view, answer in found.answers.items()} == {
            "v0": {"embedding", "clusters"},
            "reference": {"embedding"},
        }
        assert found.answers["v0"]["embedding"].tolist() == np.arange(12).reshape(3, 4).tolist()
        assert found.answers["reference"]["embedding"].tolist() == np.arange(8).reshape(2, 4).tolist()
        assert found.answers["v0"]["clusters"].tolist() == [0, 1, 0]

    def test_a_view_may_be_left_empty_where_nothing_in_it_is_needed(self, views: Path) -> None:
        (views / "reference" / "embedding.npy").unlink()
        found = self.read(views, required=False)
        assert found.answers is not None, found.problems
        assert found.answers["reference"] == {}

    def test_problems_say_in_which_view_they_are(self, views: Path) -> None:
        for view in ("v0", "reference"):
            np.save(views / view / "embedding.npy", np.zeros((7, 2)))
        found = self.read(views)
        assert found.answers is None
        assert found.problems == (
            "v0: embedding.npy has shape (7, 2); (3, 1..4096) is expected",
            "reference: embedding.npy has shape (7, 2); (2, 1..4096) is expected",
        )

    def test_a_hostile_file_in_any_of_them_is_told_as_such(self, views: Path) -> None:
        (views / "reference" / "embedding.npy").unlink()
        (views / "reference" / "embedding.npy").symlink_to("/etc/passwd")
        found = self.read(views)
        assert found.is_hostile
        assert found.problems == ("reference: embedding.npy is a symbolic link",)

    def test_memory_grows_with_what_the_container_could_have_left(
        self, views: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("czrun.collect._BASE_MEMORY_BYTES", 1 << 20)
        n_obs = 500
        np.save(views.parent / "v0.npy", np.array([f"c{i}" for i in range(n_obs)], dtype="S16"))
        np.save(views / "v0" / "embedding.npy", np.zeros((n_obs, 4096)))
        file = WantedFile("embedding.npy", Content.NUMBERS, required=True, shape=(n_obs, None))

        def read(most_bytes: int) -> Collected:
            with OutputReader(views, {"v0": views.parent / "v0.npy"}, None) as process:
                return process.read([WantedView("v0", (), (file,))], n_obs, most_bytes)

        assert read(0).problems == ("the outputs couldn't be read within 1 MiB",)
        assert read(1 << 30).answers is not None


class TestBounds:
    def test_what_does_not_fit_into_its_memory_is_a_problem(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("czrun.collect._BASE_MEMORY_BYTES", 1 << 20)
        n_obs = 400_000
        np.save(output.parent / "ids.npy", np.array([f"c{i}" for i in range(n_obs)], dtype="S16"))
        with reader(output) as process:
            (found,) = process.answer(1).problems
        assert "couldn't be read within" in found

    def test_a_reader_that_takes_too_long_is_ended(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("czrun.collect._SECONDS", 0.3)
        with reader(output) as process:
            os.kill(process._process.pid, signal.SIGSTOP)
            (found,) = process.answer().problems
        assert "within 0.3 s" in found

    def test_a_reader_that_dies_is_our_failure_not_the_model_s(self, output: Path) -> None:
        with reader(output) as process:
            process._process.kill()
            with pytest.raises(EngineError, match="ended with -9") as refused:
                process.answer()
        assert "--debug" in refused.value.hint

    def test_it_can_write_no_file(self, tmp_path: Path) -> None:
        script = (
            "from czrun.collect import _confine; _confine(1 << 33, -1)\n"
            f"import pathlib; pathlib.Path({str(tmp_path / 'written')!r}).write_text('x')"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        assert b"File too large" in done.stderr

    def test_a_reader_that_is_never_asked_ends_with_its_block(self, output: Path) -> None:
        with reader(output) as process:
            pass
        assert process._process.poll() is not None

    def test_nothing_of_the_caller_s_environment_reaches_it(
        self, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_TOKEN", "hunter2")
        with reader(output) as process:
            environment = Path(f"/proc/{process._process.pid}/environ")
            if environment.exists():
                assert b"hunter2" not in environment.read_bytes()
            assert process.answer().answers is not None


@needs_root
class TestRights:
    def test_it_reads_as_the_container_s_user(self, output: Path) -> None:
        with reader(output, STRANGER) as process:
            assert process.answer().answers is not None

    def test_it_can_not_read_what_only_root_may(self, output: Path) -> None:
        (output / "v0" / "predictions.csv").chmod(0o600)
        with reader(output, STRANGER) as process:
            found = process.answer()
        assert found.answers is None
        assert "predictions.csv can't be opened (Permission denied)" in found.problems

    def test_it_can_not_enter_a_folder_that_only_root_may(self, output: Path) -> None:
        (output / "v0").chmod(0o700)
        with reader(output, STRANGER) as process:
            assert "v0 is not a readable folder" in process.answer().problems[0]

    @pytest.mark.parametrize("spoil", ["latin", "python2"])
    def test_odd_files_need_no_module_that_it_can_not_import_any_more(self, output: Path, spoil: str) -> None:
        if spoil == "latin":
            (output / "v0" / "predictions.csv").write_bytes(b"cell_id,label\na1,\xff\n")
        else:
            header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3L, 2L)}\n"
            body = np.array([[0.25, 0.75], [0.5, 0.5], [1, 0]]).tobytes()
            content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body
            (output / "v0" / "proba.npy").write_bytes(content)
        with reader(output, STRANGER) as process:
            found = process.answer()
        assert (found.answers is None) == (spoil == "latin")
