"""What a model author may rely on in the kit beyond labels: views of several files, answers of all kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad  # noqa: TID251 - the kit reads with h5py what the real writer wrote
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

import czrun_kit as kit

COUNTS = np.array([[1, 0, 3], [0, 0, 0], [2, 2, 0], [0, 5, 0]], dtype=np.float32)
IDS = ["a", "b", "c", "d"]
PIXELS = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)


def write_cells(path: Path, X: np.ndarray = COUNTS, **obs: Any) -> Path:
    table = pd.DataFrame(obs, index=pd.Index(IDS[: len(X)], dtype=object))
    var = pd.DataFrame(index=pd.Index([f"g{i}" for i in range(X.shape[1])], dtype=object))
    ad.AnnData(csr_matrix(X), obs=table, var=var).write_h5ad(path)
    return path


def write_images(folder: Path, view: str, table: str = "cell_id,label\na,B\nb,T\nc,B\nd,T\n") -> None:
    np.save(folder / f"{view}.images.npy", PIXELS)
    (folder / f"{view}.cells.csv").write_text(table)


class Folder:
    """A container's /czrun."""

    def __init__(self, root: Path) -> None:
        self.root, self.input = root, root / "input"
        for name in ("input", "model", "output"):
            (root / name).mkdir()

    def job(
        self, verb: str, files: dict[str, tuple[str, ...]], outputs: list[Any], **changes: Any
    ) -> kit.Job:
        formats = {path: path.rpartition(".")[2] for paths in files.values() for path in paths}
        fields = {
            "contract": 1,
            "verb": verb,
            "task": "a-task",
            "seed": 7,
            "dataset": {"classes": ["B", "T"], "expression": "log1p_cp10k"},
            "inputs": [
                {"id": view, "path": str(self.input / path), "format": formats[path]}
                for view, paths in files.items()
                for path in paths
            ],
            "outputs": outputs,
            "limits": {"cpus": 1},
            **changes,
        }
        (self.root / "job.json").write_text(json.dumps(fields))
        return kit.read_job()

    def output(self, view: str, *names: str, required: bool = False, one_of: tuple[str, ...] = ()) -> Any:
        files = [{"name": name, "required": required} for name in names]
        return {"id": view, "dir": str(self.root / "output" / view), "files": files, "one_of": one_of}

    def written(self) -> set[str]:
        paths = (self.root / "output").glob("*/*")
        return {str(path.relative_to(self.root / "output")) for path in paths}

    def said(self) -> str:
        return json.loads((self.root / "output" / "result.json").read_text())["error"]["message"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("CZRUN_JOB", str(tmp_path / "job.json"))
    return Folder(tmp_path)


def view_of(job: kit.Job, name: str = "v0") -> Any:
    return kit.read_view(name, job.views[name])


# Views


def test_views_keep_the_jobs_order_and_all_their_files(folder: Folder) -> None:
    job = folder.job("predict", {"v1": ("v1.npy", "v1.csv"), "v0": ("v0.h5ad",)}, [])
    assert {name: [entry.format for entry in files] for name, files in job.views.items()} == {
        "v1": ["npy", "csv"],
        "v0": ["h5ad"],
    }


def test_images_are_mapped_not_read_and_labels_come_from_the_table(folder: Folder) -> None:
    write_images(folder.input, "train")
    job = folder.job("fit", {"train": ("train.images.npy", "train.cells.csv")}, [])
    images = view_of(job, "train")
    assert isinstance(images, kit.Images)
    assert isinstance(images.pixels, np.memmap)
    np.testing.assert_array_equal(images.pixels, PIXELS)
    assert (len(images), images.cell_ids.tolist(), images.labels.tolist()) == (4, IDS, ["B", "T", "B", "T"])
    assert images.view == "train"


def test_images_without_labels_say_so(folder: Folder) -> None:
    write_images(folder.input, "v0", "cell_id\na\nb\nc\nd\n")
    job = folder.job("predict", {"v0": ("v0.images.npy", "v0.cells.csv")}, [])
    with pytest.raises(kit.BadInput, match="no labels"):
        _ = view_of(job).labels


@pytest.mark.parametrize(
    ("table", "pixels", "complaint"),
    [
        ("cell_id\na\n", PIXELS, r"\(4, 5, 6, 3\) for 1 cells"),
        ("name\na\nb\nc\nd\n", PIXELS, "lacks the columns cell_id"),
        ("cell_id,label\na\nb\nc\nd\n", PIXELS, "as long as its header"),
        ("", PIXELS, "v0.cells.csv is not an input"),
        ("cell_id\na\nb\nc\nd\n", PIXELS.astype(np.float32), "holds float32"),
        ("cell_id\na\nb\nc\nd\n", PIXELS[..., 0], "uint8"),
        ("cell_id\na\nb\nc\nd\n", np.array([{}] * 4), "v0.images.npy is not an input"),
    ],
)
def test_images_that_break_the_contract_are_bad_input(
    folder: Folder, table: str, pixels: np.ndarray, complaint: str
) -> None:
    np.save(folder.input / "v0.images.npy", pixels, allow_pickle=True)
    (folder.input / "v0.cells.csv").write_text(table)
    job = folder.job("predict", {"v0": ("v0.images.npy", "v0.cells.csv")}, [])
    with pytest.raises(kit.BadInput, match=complaint):
        view_of(job)


CONDITIONS = 'condition,perturbation,context,n_cells\nc0,"A, or B",left,3\nc1,C,,10\n'


def test_conditions_come_with_the_cells(folder: Folder) -> None:
    write_cells(folder.input / "v0.h5ad", context=["left", "right", "left", "right"])
    (folder.input / "v0.conditions.csv").write_text(CONDITIONS)
    cells = view_of(folder.job("predict", {"v0": ("v0.conditions.csv", "v0.h5ad")}, []))
    assert cells.conditions == (
        kit.Condition("c0", "A, or B", "left", 3),
        kit.Condition("c1", "C", "", 10),
    )
    assert cells.column("context").tolist() == ["left", "right", "left", "right"]
    with pytest.raises(kit.BadInput, match=r"no obs\['batch'\]"):
        cells.column("batch")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("condition,perturbation\nc0,A\n", "lacks the columns context, n_cells"),
        (CONDITIONS.replace("10", "ten"), "n_cells"),
    ],
)
def test_conditions_that_break_the_contract_are_bad_input(folder: Folder, text: str, complaint: str) -> None:
    write_cells(folder.input / "v0.h5ad")
    (folder.input / "v0.conditions.csv").write_text(text)
    job = folder.job("predict", {"v0": ("v0.h5ad", "v0.conditions.csv")}, [])
    with pytest.raises(kit.BadInput, match=complaint):
        view_of(job)


@pytest.mark.parametrize("files", [("v0.npy",), ("v0.csv",), ("v0.h5ad", "v1.h5ad"), ("v0.h5ad", "v0.npy")])
def test_files_that_make_no_view_are_bad_input(folder: Folder, files: tuple[str, ...]) -> None:
    job = folder.job("predict", {"v0": files}, [])
    with pytest.raises(kit.BadInput, match="can't read together"):
        view_of(job)


def test_totals_are_the_row_sums_of_x(folder: Folder) -> None:
    cells = kit.read_cells(write_cells(folder.input / "v0.h5ad"))
    assert cells.totals.tolist() == COUNTS.sum(axis=1).tolist() == [4, 0, 4, 5]


# X


@given(st.integers(2, 30), st.integers(1, 12), st.integers(1, 15), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_axes_span_what_numpys_svd_finds(n_obs: int, n_vars: int, n_components: int, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(n_obs, n_vars)) * np.arange(1, n_vars + 1)
    axes = kit.principal_axes(csr_matrix(X.astype(np.float32)), n_components, seed)
    centred = X - X.mean(axis=0)
    rank = min(n_obs - 1, n_vars)
    assert axes.shape == (n_vars, min(n_components, rank))
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-4)
    singular = np.linalg.svd(centred, compute_uv=False)[: axes.shape[1]]
    np.testing.assert_allclose(np.linalg.norm(centred @ axes, axis=0), singular, rtol=1e-3, atol=1e-3)
    assert (axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] > 0).all()


def test_axes_within_groups_do_not_see_what_parts_the_groups() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 3, 200)
    X = rng.normal(size=(200, 6))
    X[:, 0] += 100 * groups
    X[:, 1] *= 5
    plain, within = (
        kit.principal_axes(csr_matrix(X.astype(np.float32)), 1, 0, given)[:, 0] for given in (None, groups)
    )
    assert (np.abs(plain).argmax(), np.abs(within).argmax()) == (0, 1)


def test_pca_places_the_training_cells_around_zero_and_aligns_genes(folder: Folder) -> None:
    X = np.random.default_rng(1).poisson(3, (4, 5)).astype(np.float32)
    cells = kit.read_cells(write_cells(folder.input / "a.h5ad", X))
    job = folder.job("fit", {"a": ("a.h5ad",)}, [])
    model = kit.fit_pca(job, cells, n_genes=4, n_components=2)
    places = kit.apply_pca(job, cells, model)
    assert (places.shape, places.dtype, len(model["genes"])) == ((4, 2), np.float32, 4)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-4)


def test_cells_that_are_all_alike_have_no_axes(folder: Folder) -> None:
    cells = kit.read_cells(write_cells(folder.input / "a.h5ad", np.ones((4, 3), dtype=np.float32)))
    with pytest.raises(kit.BadInput, match="no gene varies"):
        kit.fit_pca(folder.job("fit", {"a": ("a.h5ad",)}, []), cells, 3, 2)


@pytest.mark.parametrize("make", [csr_matrix, np.asarray])
def test_means_of_groups_are_numpys_and_zero_where_a_group_is_empty(make: Any) -> None:
    means = kit.group_means(make(COUNTS), np.array([2, 0, 2, 0]), 3)
    np.testing.assert_array_equal(
        means, [COUNTS[[1, 3]].mean(axis=0), np.zeros(3), COUNTS[[0, 2]].mean(axis=0)]
    )


def test_expression_as_x_may_fall_below_zero_only_where_x_does(folder: Folder) -> None:
    (folder.input / "v0.conditions.csv").write_text(CONDITIONS)
    for lowest, expected in ((0.0, 0.0), (-1.0, -9.0)):
        X = np.array([[lowest, 2.0, 1.0]] * 4, dtype=np.float32)
        write_cells(folder.input / "v0.h5ad", X)
        job = folder.job(
            "predict", {"v0": ("v0.h5ad", "v0.conditions.csv")}, [], dataset={"expression": "as_x"}
        )
        answer = kit.shifted_controls(job, view_of(job), np.array([[-8.0, 0, 1]] * 2), with_cells=True)
        np.testing.assert_allclose(answer.mean, [[expected, 2, 2]] * 2)
        assert answer.cells is not None
        first, second = answer.cells
        assert (first.shape, second.shape) == ((3, 3), (10, 3))
        np.testing.assert_allclose(first[0], [expected, 2, 2])


# Answers


@pytest.fixture
def cells(folder: Folder) -> kit.Cells:
    write_cells(folder.input / "v0.h5ad")
    (folder.input / "v0.conditions.csv").write_text(CONDITIONS)
    return view_of(folder.job("predict", {"v0": ("v0.h5ad", "v0.conditions.csv")}, []))


def write(folder: Folder, cells: kit.Cells, answer: kit.Answer, *names: str, **needs: Any) -> None:
    job = folder.job("predict", {}, [folder.output("v0", *names, **needs)])
    kit.write_answer(job, job.outputs[0], cells, answer)


def load(folder: Folder, name: str) -> np.ndarray:
    return np.load(folder.root / "output" / "v0" / name, allow_pickle=False)


def test_an_embedding_comes_with_what_the_model_has_and_the_job_lists(
    folder: Folder, cells: kit.Cells
) -> None:
    answer = kit.Embedding(np.eye(4), clusters=[0, 1, 1, "x"], pseudotime=np.arange(4))
    write(folder, cells, answer, "embedding.npy", "clusters.csv")
    assert folder.written() == {"v0/embedding.npy", "v0/clusters.csv"}
    assert load(folder, "embedding.npy").dtype == np.float32
    table = (folder.root / "output" / "v0" / "clusters.csv").read_text()
    assert table == "cell_id,cluster\na,0\nb,1\nc,1\nd,x\n"
    write(folder, cells, answer, "pseudotime.npy")
    assert load(folder, "pseudotime.npy").tolist() == [0, 1, 2, 3]


def test_half_precision_stays_half(folder: Folder, cells: kit.Cells) -> None:
    write(folder, cells, kit.Embedding(np.eye(4, dtype=np.float16)), "embedding.npy")
    assert load(folder, "embedding.npy").dtype == np.float16


def test_scores_and_expression_are_written(folder: Folder, cells: kit.Cells) -> None:
    write(folder, cells, kit.Scores(np.arange(4)), "scores.npy", required=True)
    assert load(folder, "scores.npy").tolist() == [0, 1, 2, 3]

    def blocks() -> Iterator[np.ndarray]:
        yield np.zeros((3, 3))
        yield np.ones((10, 3))

    write(folder, cells, kit.Expression(np.eye(2, 3), blocks()), "expression.npy", "cells.npy")
    np.testing.assert_array_equal(load(folder, "expression.npy"), np.eye(2, 3))
    np.testing.assert_array_equal(
        load(folder, "cells.npy"), np.repeat([[0.0] * 3, [1.0] * 3], [3, 10], axis=0)
    )


def test_cells_that_the_job_does_not_want_are_never_made(folder: Folder, cells: kit.Cells) -> None:
    def blocks() -> Iterator[np.ndarray]:
        raise AssertionError("asked for")
        yield

    write(folder, cells, kit.Expression(np.eye(2, 3), blocks()), "expression.npy")
    assert folder.written() == {"v0/expression.npy"}


@pytest.mark.parametrize(
    ("answer", "name", "complaint"),
    [
        (kit.Embedding(np.zeros(4)), "embedding.npy", r"shape \(4,\), not"),
        (kit.Embedding(np.zeros((4, 0))), "embedding.npy", "1 to 4096"),
        (kit.Embedding(np.zeros((4, 4097))), "embedding.npy", "1 to 4096"),
        (kit.Embedding(np.zeros((3, 2))), "embedding.npy", r"\(3, 2\) where \(4, 2\)"),
        (kit.Embedding(np.full((4, 2), np.inf)), "embedding.npy", "finite"),
        (kit.Embedding(np.full((4, 2), 1e300)), "embedding.npy", "finite"),
        (kit.Embedding(clusters=[1, 2]), "clusters.csv", "2 clusters for 4 cells"),
        (kit.Embedding(pseudotime=np.zeros((4, 1))), "pseudotime.npy", "pseudotime has shape"),
        (kit.Scores(np.full(4, np.nan)), "scores.npy", "finite"),
        (kit.Expression(np.zeros((1, 3))), "expression.npy", r"\(1, 3\) where \(2, 3\)"),
        (kit.Expression(np.zeros((2, 3)), [np.zeros((3, 3))]), "cells.npy", "one array per condition, 2"),
        (
            kit.Expression(np.zeros((2, 3)), [np.zeros((3, 3)), np.zeros((10, 3)), np.zeros((1, 3))]),
            "cells.npy",
            "one array per",
        ),
        (kit.Expression(np.zeros((2, 3)), [np.zeros((2, 3))] * 2), "cells.npy", r"\(2, 3\) where \(3, 3\)"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(
    folder: Folder, cells: kit.Cells, answer: kit.Answer, name: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write(folder, cells, answer, name)
    assert folder.written() == set()


@pytest.mark.parametrize(
    ("needs", "complaint"),
    [
        ({"required": True}, "v0 needs embedding.npy, clusters.csv, which this Scores does not give"),
        ({"one_of": ("embedding.npy", "clusters.csv")}, "v0 needs embedding.npy or clusters.csv"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_refused(
    folder: Folder, cells: kit.Cells, needs: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        write(folder, cells, kit.Scores(np.zeros(4)), "embedding.npy", "clusters.csv", **needs)


def test_one_of_several_files_is_enough(folder: Folder, cells: kit.Cells) -> None:
    either = ("embedding.npy", "clusters.csv")
    write(folder, cells, kit.Embedding(clusters=[1, 1, 2, 2]), *either, one_of=either)
    assert folder.written() == {"v0/clusters.csv"}


# The entry point


def transfer(folder: Folder) -> None:
    write_cells(folder.input / "v0.h5ad")
    either = ("predictions.csv", "embedding.npy")
    folder.job(
        "predict",
        {"reference": ("reference.h5ad",), "v0": ("v0.h5ad",)},
        [folder.output("reference", "embedding.npy"), folder.output("v0", *either, one_of=either)],
    )


def test_a_view_that_a_classifier_need_not_answer_is_not_even_opened(folder: Folder) -> None:
    transfer(folder)  # without a reference.h5ad
    seen = []

    def predict(job: kit.Job, cells: kit.Cells, model: object) -> kit.Prediction:
        seen.append(cells.view)
        return kit.Prediction(["B"] * len(cells))

    assert kit.run(predict=predict, tasks=["a-task"]) == 0
    assert seen == ["v0"]
    assert folder.written() == {"v0/predictions.csv"}


def test_an_embedding_model_answers_every_view(folder: Folder) -> None:
    transfer(folder)
    write_cells(folder.input / "reference.h5ad")
    answer = kit.Embedding(np.zeros((4, 2)))
    assert kit.run(predict=lambda _job, _cells, _model: answer, tasks=["a-task"]) == 0
    assert folder.written() == {"v0/embedding.npy", "reference/embedding.npy"}


def test_an_answer_that_is_not_what_the_task_needs_is_a_model_error(folder: Folder) -> None:
    transfer(folder)
    assert kit.run(predict=lambda _job, _cells, _model: kit.Scores(np.zeros(4)), tasks=["a-task"]) == 70
    assert "predictions.csv or embedding.npy" in folder.said()


def test_fit_takes_all_files_of_one_view_and_no_second_view(folder: Folder) -> None:
    write_images(folder.input, "train")
    files = {"train": ("train.images.npy", "train.cells.csv")}
    predict = pytest.fail

    def fit(job: kit.Job, images: kit.Images) -> dict[str, np.ndarray]:
        return {"mean": images.pixels.mean(axis=(0, 1, 2))}

    folder.job("fit", files, [])
    assert kit.run(fit=fit, predict=predict, tasks=["a-task"]) == 0
    folder.job("fit", {**files, "more": ("more.h5ad",)}, [])
    assert kit.run(fit=fit, predict=predict, tasks=["a-task"]) == 65


def test_a_view_without_a_place_for_its_outputs_is_bad_input(folder: Folder) -> None:
    folder.job("predict", {"v0": ("v0.h5ad",)}, [])
    assert kit.run(predict=pytest.fail, tasks=["a-task"]) == 65
    assert "v0" in folder.said()
