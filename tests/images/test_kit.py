"""What a model author may rely on in the kit, checked on files that anndata wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad  # noqa: TID251 - the kit reads with h5py what the real writer wrote
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

import czrun_kit as kit

CLASSES = ("B cell", "T cell", "NK cell")
GENES = ["ENSG1", "ENSG2", "ENSG3", "ENSG4"]
COUNTS = np.array([[1, 0, 3, 0], [0, 0, 0, 0], [2, 2, 0, 4], [0, 5, 0, 0], [7, 0, 0, 1]], dtype=np.float32)
IDS = [f"cell{i}" for i in range(len(COUNTS))]


def write_h5ad(path: Path, X: Any = None, **obs: Any) -> Path:
    table = pd.DataFrame(obs, index=pd.Index(IDS, dtype=object))
    var = pd.DataFrame(index=pd.Index(GENES, dtype=object))
    path.parent.mkdir(parents=True, exist_ok=True)
    ad.AnnData(csr_matrix(COUNTS) if X is None else X, obs=table, var=var).write_h5ad(path)
    return path


def job_fields(root: Path, verb: str, views: tuple[str, ...] = ("v0",), **changes: Any) -> dict[str, Any]:
    files = [{"name": "predictions.csv", "required": True}, {"name": "proba.npy", "required": False}]
    return {
        "contract": 1,
        "job_id": "opaque",
        "verb": verb,
        "task": "cell-type-classification",
        "seed": 7,
        "dataset": {
            "organisms": ["homo_sapiens"],
            "n_obs": 5,
            "n_vars": 4,
            "x": "counts",
            "classes": CLASSES,
        },
        "inputs": [{"id": view, "path": str(root / "input" / f"{view}.h5ad"), "n_obs": 5} for view in views],
        "outputs": [{"id": view, "dir": str(root / "output" / view), "files": files} for view in views],
        "params": {},
        "limits": {"cpus": 1.5},
        **changes,
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A container's /czrun, with the training cells as v0."""
    folder = tmp_path / "czrun"
    for name in ("input", "model", "output"):
        (folder / name).mkdir(parents=True)
    write_h5ad(folder / "input" / "v0.h5ad", label=["B cell", "T cell", "B cell", "B cell", "T cell"])
    monkeypatch.setenv("CZRUN_JOB", str(folder / "job.json"))
    return folder


def give(root: Path, verb: str, **changes: Any) -> kit.Job:
    (root / "job.json").write_text(json.dumps(job_fields(root, verb, **changes)))
    return kit.read_job()


def result(root: Path) -> Any:
    return json.loads((root / "output" / "result.json").read_text())


def fit_counts(job: kit.Job, cells: kit.Cells) -> dict[str, np.ndarray]:
    return {"counts": np.array([np.count_nonzero(cells.labels == name) for name in job.dataset.classes])}


def predict_counts(job: kit.Job, cells: kit.Cells, model: dict[str, np.ndarray]) -> kit.Prediction:
    return kit.Prediction.from_proba(np.tile(model["counts"] / 5, (len(cells), 1)), job.dataset.classes)


# The job


def test_a_job_is_read_with_its_folders_beside_it_and_threads_rounded_up(root: Path) -> None:
    job = give(root, "predict")
    assert (job.verb, job.seed, job.threads, job.dataset.classes) == ("predict", 7, 2, CLASSES)
    assert job.inputs[0].id == "v0"
    assert job.outputs[0].files == ("predictions.csv", "proba.npy")
    assert (job.model_dir, job.output_dir, job.assets_dir) == (
        root / "model",
        root / "output",
        root / "assets",
    )


def test_unknown_fields_of_a_job_are_ignored(root: Path) -> None:
    fields = job_fields(root, "fit", later="more")
    fields["dataset"]["later"] = fields["inputs"][0]["later"] = ["more"]
    (root / "job.json").write_text(json.dumps(fields))
    assert kit.read_job().verb == "fit"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"contract": 1}', "null", '"job"'])
def test_what_is_no_job_is_bad_input(root: Path, text: str) -> None:
    (root / "job.json").write_text(text)
    with pytest.raises(kit.BadInput, match="is not a job"):
        kit.read_job()


def test_another_contract_is_unsupported(root: Path) -> None:
    with pytest.raises(kit.Unsupported, match="contract 2"):
        give(root, "fit", contract=2)


def test_a_parameter_takes_its_defaults_type(root: Path) -> None:
    job = give(root, "fit", params={"C": 2, "k": "many", "unset": None})
    assert job.param("C", 1.0) == 2.0
    assert isinstance(job.param("C", 1.0), float)
    assert job.param("absent", 15) == job.param("unset", 15) == 15
    with pytest.raises(kit.BadInput, match="k='many' is no int"):
        job.param("k", 15)


# Cells


def test_cells_are_read_as_anndata_wrote_them(tmp_path: Path) -> None:
    path = write_h5ad(
        tmp_path / "a.h5ad",
        label=pd.Categorical(["T cell", "B cell", None, "B cell", "T cell"]),
        batch=["x", "y", "x", "y", "x"],
        is_control=[True, False, True, False, True],
        time=[0.0, 1.0, 2.0, 3.0, 4.0],
    )
    cells = kit.read_cells(path)
    assert cells.cell_ids.tolist() == IDS
    assert cells.genes.tolist() == GENES
    assert cells.labels.tolist() == ["T cell", "B cell", "", "B cell", "T cell"]
    assert cells.obs["batch"].tolist() == ["x", "y", "x", "y", "x"]
    assert cells.obs["is_control"].tolist() == [True, False, True, False, True]
    assert cells.obs["time"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert isinstance(cells.X, csr_matrix)
    assert cells.X.dtype == np.float32
    np.testing.assert_array_equal(cells.X.toarray(), COUNTS)


def test_nullable_columns_are_read(tmp_path: Path) -> None:
    path = write_h5ad(
        tmp_path / "a.h5ad",
        whole=pd.array([1, 2, 3, 4, 5], dtype="Int64"),
        holes=pd.array([1, None, 3, 4, 5], dtype="Int64"),
    )
    cells = kit.read_cells(path)
    assert cells.obs["whole"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(cells.obs["holes"], [1, np.nan, 3, 4, 5])


def test_cells_without_labels_say_so(tmp_path: Path) -> None:
    cells = kit.read_cells(write_h5ad(tmp_path / "a.h5ad"))
    assert dict(cells.obs) == {}
    with pytest.raises(kit.BadInput, match="no labels"):
        _ = cells.labels


def test_a_matrix_that_is_not_csr_is_bad_input(tmp_path: Path) -> None:
    for name, X in (("dense", COUNTS), ("csc", csc_matrix(COUNTS))):
        cells = kit.read_cells(write_h5ad(tmp_path / f"{name}.h5ad", X))
        with pytest.raises(kit.BadInput, match="not a CSR matrix"):
            _ = cells.X


def test_what_is_no_h5ad_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "junk.h5ad").write_bytes(b"junk")
    for name in ("junk.h5ad", "absent.h5ad"):
        with pytest.raises(kit.BadInput, match=name):
            kit.read_cells(tmp_path / name)


# X


def test_counts_become_log1p_of_ten_thousand_per_cell() -> None:
    X = csr_matrix(COUNTS)
    totals = COUNTS.sum(axis=1, keepdims=True)
    expected = np.log1p(np.divide(COUNTS * 1e4, totals, out=np.zeros_like(COUNTS), where=totals > 0))
    np.testing.assert_allclose(kit.log_normalize(X, "counts").toarray(), expected, rtol=1e-6)
    np.testing.assert_array_equal(X.toarray(), COUNTS)


def test_only_what_needs_it_is_logged() -> None:
    X = csr_matrix(COUNTS)
    np.testing.assert_allclose(kit.log_normalize(X, "normalized").toarray(), np.log1p(COUNTS), rtol=1e-6)
    for kind in ("log1p", "other"):
        assert kit.log_normalize(X, kind) is X


def test_genes_are_aligned_by_id_and_absent_ones_are_zero() -> None:
    aligned = kit.align_genes(csr_matrix(COUNTS), GENES, ["ENSG4", "ENSG9", "ENSG1"])
    np.testing.assert_array_equal(aligned.toarray(), np.c_[COUNTS[:, 3], np.zeros(5), COUNTS[:, 0]])


def test_of_a_gene_that_occurs_twice_the_first_column_counts() -> None:
    aligned = kit.align_genes(csr_matrix(COUNTS), ["a", "b", "a", "c"], ["a"])
    np.testing.assert_array_equal(aligned.toarray(), COUNTS[:, :1])


def test_aligning_to_no_shared_gene_gives_zeros() -> None:
    aligned = kit.align_genes(csr_matrix(COUNTS), GENES, ["other", "another"])
    np.testing.assert_array_equal(aligned.toarray(), np.zeros((5, 2)))


def test_variances_are_numpys_and_a_flat_gene_is_never_chosen() -> None:
    X = np.c_[COUNTS, np.zeros(5), np.full(5, 2.0)]
    variances = kit.gene_variances(csr_matrix(X))
    np.testing.assert_allclose(variances, X.var(axis=0), atol=1e-12)
    assert kit.top_genes(variances, 100).tolist() == [0, 1, 2, 3]
    assert kit.top_genes(variances, 1).tolist() == [int(np.argmax(variances))]


# Outputs


def test_a_class_without_training_cells_gets_probability_zero() -> None:
    prediction = kit.Prediction.from_proba(np.array([[0.25, 0.75]]), CLASSES, ["B cell", "NK cell"])
    assert list(prediction.labels) == ["NK cell"]
    assert prediction.proba is not None
    np.testing.assert_array_equal(prediction.proba, np.array([[0.25, 0, 0.75]], dtype=np.float32))


def test_predictions_are_what_the_host_reads(root: Path) -> None:
    job = give(root, "predict")
    cells = kit.read_cells(job.inputs[0].path)
    labels = ["B cell", kit.UNASSIGNED, "NK cell", "T cell", "B cell"]
    kit.write_prediction(job, job.outputs[0], cells, kit.Prediction(labels, np.full((5, 3), 1 / 3)))
    table = pd.read_csv(root / "output" / "v0" / "predictions.csv")
    assert table.to_dict("list") == {"cell_id": IDS, "label": labels}
    proba = np.load(root / "output" / "v0" / "proba.npy", allow_pickle=False)
    assert (proba.dtype, proba.shape) == (np.float32, (5, 3))


def test_only_files_that_the_job_lists_are_written(root: Path) -> None:
    job = give(root, "predict")
    cells = kit.read_cells(job.inputs[0].path)
    prediction = kit.Prediction(["B cell"] * 5, np.full((5, 3), 1 / 3))
    kit.write_prediction(job, replace(job.outputs[0], files=("predictions.csv",)), cells, prediction)
    assert [path.name for path in (root / "output" / "v0").iterdir()] == ["predictions.csv"]


@pytest.mark.parametrize(
    ("prediction", "complaint"),
    [
        (kit.Prediction(["B cell"] * 4), "4 labels for 5 cells"),
        (kit.Prediction(["B cell"] * 4 + ["Platelet"]), "doesn't list: Platelet"),
        (kit.Prediction(["B cell"] * 5, np.ones((5, 2))), "shape"),
        (kit.Prediction(["B cell"] * 5, np.full((5, 3), np.nan)), "finite"),
    ],
)
def test_a_prediction_that_does_not_fit_is_refused(
    root: Path, prediction: kit.Prediction, complaint: str
) -> None:
    job = give(root, "predict")
    with pytest.raises(ValueError, match=complaint):
        kit.write_prediction(job, job.outputs[0], kit.read_cells(job.inputs[0].path), prediction)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with kit.replacing(path) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f9ec", '"'])
def test_progress_stays_within_its_bound(root: Path, letter: str) -> None:
    kit.write_progress(give(root, "fit"), 7.0, letter * 5000, letter * 5000)
    text = (root / "output" / "progress.json").read_text()
    assert len(text.encode()) <= kit.MAX_PROGRESS_BYTES
    assert json.loads(text)["fraction"] == 1.0


def test_arrays_come_back_as_they_were_saved_and_objects_do_not_pass(tmp_path: Path) -> None:
    kit.save_arrays(tmp_path / "model", genes=np.array(GENES), weights=COUNTS)
    loaded = kit.load_arrays(tmp_path / "model")
    assert loaded["genes"].tolist() == GENES
    np.testing.assert_array_equal(loaded["weights"], COUNTS)
    with pytest.raises(ValueError, match="pickle"):
        kit.save_arrays(tmp_path / "model", thing=np.array([{}]))


# The entry point


def test_fit_and_then_predict_of_several_views(root: Path) -> None:
    give(root, "fit")
    assert kit.run(fit=fit_counts, predict=predict_counts) == 0
    for view in ("v1", "v2"):
        write_h5ad(root / "input" / f"{view}.h5ad")
    give(root, "predict", views=("v1", "v2"))
    assert kit.run(fit=fit_counts, predict=predict_counts) == 0
    for view in ("v1", "v2"):
        assert set(pd.read_csv(root / "output" / view / "predictions.csv")["label"]) == {"B cell"}
    assert result(root) == {"status": "ok"}
    assert json.loads((root / "output" / "progress.json").read_text())["fraction"] == 1.0


def test_main_exits_with_the_code(root: Path) -> None:
    give(root, "fit")
    with pytest.raises(SystemExit) as ended:
        kit.main(fit=fit_counts, predict=predict_counts)
    assert ended.value.code == 0


def test_a_model_may_bring_its_own_way_of_saving(root: Path) -> None:
    give(root, "fit")
    seen = []

    def predict(job: kit.Job, cells: kit.Cells, model: str) -> kit.Prediction:
        seen.append(model)
        return kit.Prediction([model] * len(cells))

    def run() -> int:
        return kit.run(
            fit=lambda _job, _cells: "T cell",
            predict=predict,
            save=lambda model, path: path.write_text(model),
            load=Path.read_text,
        )

    assert run() == 0
    give(root, "predict")
    assert run() == 0
    assert seen == ["T cell"]


def test_a_pretrained_model_needs_no_fit_and_reads_its_assets(root: Path) -> None:
    def predict(job: kit.Job, cells: kit.Cells, model: Path) -> kit.Prediction:
        assert model == root / "assets"
        return kit.Prediction(["NK cell"] * len(cells))

    give(root, "predict")
    assert kit.run(predict=predict, load=lambda path: path) == 0
    give(root, "fit")
    assert kit.run(predict=predict) == 64


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (kit.Unsupported("no"), 64, "unsupported"),
        (kit.BadInput("no", "mend it"), 65, "bad_input"),
        (kit.ResourceMissing("no GPU"), 69, "resource_missing"),
        (ZeroDivisionError("no"), 70, "model_error"),
        (MemoryError(), 70, "model_error"),
    ],
)
def test_failures_become_exit_codes_and_a_reason(
    root: Path, capsys: pytest.CaptureFixture[str], error: Exception, code: int, name: str
) -> None:
    def fit(job: kit.Job, cells: kit.Cells) -> Any:
        raise error

    give(root, "fit")
    assert kit.run(fit=fit, predict=predict_counts) == code
    assert "Traceback" in capsys.readouterr().err
    assert result(root)["status"] == "error"
    assert result(root)["error"]["code"] == name
    assert not (root / "model" / "model").exists()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"task": "perturbation-prediction"}, 64),
        ({"contract": 2}, 64),
        ({"inputs": []}, 65),
        ({"inputs": [{"id": "v0", "path": "/nowhere.h5ad"}]}, 65),
        ({"limits": {}}, 65),
    ],
)
def test_a_job_that_cannot_be_done_is_told_from_a_model_that_failed(
    root: Path, changes: dict[str, Any], code: int
) -> None:
    (root / "job.json").write_text(json.dumps(job_fields(root, "fit", **changes)))
    assert kit.run(fit=fit_counts, predict=predict_counts) == code


def test_an_unknown_verb_is_unsupported(root: Path) -> None:
    (root / "job.json").write_text(json.dumps(job_fields(root, "explain")))
    assert kit.run(fit=fit_counts, predict=predict_counts) == 64


def test_long_messages_are_cut_to_what_the_contract_allows(root: Path) -> None:
    from czrun.contract.outcome import ReportedResult

    kit.write_result(root / "output", kit.BadInput("m" * 9999, "h" * 9999))
    ReportedResult.model_validate(result(root))


def test_the_kit_reads_the_job_that_the_contract_writes(root: Path) -> None:
    from czrun.contract.job import Job

    fields = job_fields(root, "fit")
    fields["dataset"]["gene_ids"] = "ensembl"
    fields["inputs"][0].update(sha256="0" * 64, bytes=1)
    fields["limits"].update(wall_s=1, memory_bytes=2**30, output_bytes=1, output_files=1)
    (root / "job.json").write_text(Job.model_validate(fields).model_dump_json())
    assert kit.read_job().dataset.gene_ids == "ensembl"
