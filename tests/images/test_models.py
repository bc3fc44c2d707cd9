"""What each model does with cells, its model.py run as the entry point that it is; no engine."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import anndata as ad  # noqa: TID251 - the models get what the real writer writes
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

MODEL_IMAGES = Path(__file__).resolve().parents[2] / "model_images"
CLASSES = ["B cell", "Platelet", "T cell", "NK cell"]  # no Platelet among the training cells
N_GENES = 60

learners = pytest.mark.parametrize("name", ["knn", "logistic-regression", "random-forest"])
each_model = pytest.mark.parametrize(
    "name", ["knn", "logistic-regression", "majority-class", "random-forest"]
)


def cells(seed: int, n_obs: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of cells whose class shows in ten genes of its own, and the classes."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([0, 2, 3], n_obs, p=[0.5, 0.3, 0.2])
    rates = np.full((n_obs, N_GENES), 1.0)
    for row, kind in enumerate(kinds):
        rates[row, 10 * kind : 10 * kind + 10] = 6.0
    return rng.poisson(rates).astype(np.float32), np.array(CLASSES)[kinds]


def write(path: Path, X: np.ndarray, genes: list[str], labels: np.ndarray | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    obs = pd.DataFrame(index=pd.Index([f"{path.stem}-{i}" for i in range(len(X))], dtype=object))
    if labels is not None:
        obs["label"] = pd.Categorical(labels)
    var = pd.DataFrame(index=pd.Index(genes, dtype=object))
    ad.AnnData(csr_matrix(X), obs=obs, var=var).write_h5ad(path)


class Bench:
    """A /czrun folder with training cells, test cells, and test cells with other genes in another order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "model").mkdir()
        genes = [f"gene{i}" for i in range(N_GENES)]
        train, labels = cells(1, 200)
        test, self.truth = cells(2, 80)
        write(root / "input" / "train.h5ad", train, genes, labels)
        write(root / "input" / "plain.h5ad", test, genes, None)
        extra = np.full((len(test), 1), 1, dtype=np.float32)
        write(root / "input" / "shuffled.h5ad", np.c_[extra, test[:, ::-1]], ["new", *genes[::-1]], None)

    def run(self, name: str, verb: str, *views: str, **params: Any) -> None:
        self.run_file(MODEL_IMAGES / name / "model.py", verb, *views, **params)

    def run_file(self, path: Path, verb: str, *views: str, **params: Any) -> None:
        files = [{"name": "predictions.csv"}, {"name": "proba.npy"}]
        job = {
            "contract": 1,
            "verb": verb,
            "task": "cell-type-classification",
            "seed": 7,
            "dataset": {"x": "counts", "classes": CLASSES},
            "inputs": [{"id": view, "path": str(self.root / "input" / f"{view}.h5ad")} for view in views],
            "outputs": [{"id": v, "dir": str(self.root / "output" / v), "files": files} for v in views],
            "params": params,
            "limits": {"cpus": 2},
        }
        (self.root / "job.json").write_text(json.dumps(job))
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
        assert ended.value.code == 0

    def labels(self, view: str) -> np.ndarray:
        table = pd.read_csv(self.root / "output" / view / "predictions.csv")
        assert table["cell_id"].tolist() == [f"{view}-{i}" for i in range(len(self.truth))]
        return table["label"].to_numpy()

    def proba(self, view: str) -> np.ndarray:
        return np.load(self.root / "output" / view / "proba.npy", allow_pickle=False)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("CZRUN_JOB", str(tmp_path / "job.json"))
    return Bench(tmp_path)


@learners
def test_a_learner_names_the_cells_whatever_the_order_of_the_genes(bench: Bench, name: str) -> None:
    bench.run(name, "fit", "train")
    bench.run(name, "predict", "plain", "shuffled")
    for view in ("plain", "shuffled"):
        assert np.mean(bench.labels(view) == bench.truth) > 0.95


@each_model
def test_probabilities_sum_to_one_and_an_unseen_class_has_none(bench: Bench, name: str) -> None:
    bench.run(name, "fit", "train")
    bench.run(name, "predict", "plain")
    proba = bench.proba("plain")
    assert (proba.dtype, proba.shape) == (np.float32, (80, 4))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert not proba[:, CLASSES.index("Platelet")].any()
    assert np.array(CLASSES)[proba.argmax(axis=1)].tolist() == bench.labels("plain").tolist()


@learners
def test_an_equal_seed_gives_equal_bytes(bench: Bench, name: str) -> None:
    outputs = []
    for _ in range(2):
        bench.run(name, "fit", "train")
        bench.run(name, "predict", "plain")
        outputs.append((bench.root / "output" / "plain" / "proba.npy").read_bytes())
    assert outputs[0] == outputs[1]


@learners
def test_few_genes_are_enough_to_run(bench: Bench, name: str) -> None:
    bench.run(name, "fit", "train", n_genes=5)
    bench.run(name, "predict", "plain")


def test_the_floor_names_every_cell_by_the_commonest_class(bench: Bench) -> None:
    bench.run("majority-class", "fit", "train")
    bench.run("majority-class", "predict", "plain")
    assert set(bench.labels("plain")) == {"B cell"}


def test_the_model_in_the_readme_works(bench: Bench, tmp_path: Path) -> None:
    readme = (MODEL_IMAGES / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "model.py"
    path.write_text(readme.partition("```python\n")[2].partition("```")[0])
    bench.run_file(path, "fit", "train")
    bench.run_file(path, "predict", "plain", "shuffled")
    for view in ("plain", "shuffled"):
        assert np.mean(bench.labels(view) == bench.truth) > 0.95


class TestTuning:
    @pytest.fixture
    def folded(self, bench: Bench) -> Bench:
        path = bench.root / "input" / "train.h5ad"
        train = ad.read_h5ad(path)
        train.obs["fold"] = (np.arange(train.n_obs) % 4).astype(np.int32)
        train.write_h5ad(path)
        return bench

    def test_the_strength_is_chosen_by_the_inner_folds(
        self, folded: Bench, capfd: pytest.CaptureFixture[str]
    ) -> None:
        folded.run("logistic-regression", "fit", "train", tune=True, n_genes=20)
        said = capfd.readouterr().out
        assert "by 4 inner folds" in said
        folded.run("logistic-regression", "predict", "plain")
        assert np.mean(folded.labels("plain") == folded.truth) > 0.9

    def test_it_is_the_one_that_scikit_learn_s_search_finds(
        self, folded: Bench, capfd: pytest.CaptureFixture[str]
    ) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, PredefinedSplit

        train = ad.read_h5ad(folded.root / "input" / "train.h5ad")
        X = train.X.toarray()
        X = np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4)
        search = GridSearchCV(
            LogisticRegression(max_iter=200, random_state=7),
            {"C": [0.01, 0.1, 1.0, 10.0]},
            cv=PredefinedSplit(train.obs["fold"]),
        ).fit(X, train.obs["label"])
        folded.run("logistic-regression", "fit", "train", tune=True, n_genes=N_GENES)
        assert f"C={search.best_params_['C']:g}, by" in capfd.readouterr().out
