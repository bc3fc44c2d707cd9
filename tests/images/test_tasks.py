"""What each model does with each of its tasks: model.py run as the entry point that it is; no engine."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import adjusted_rand_score, roc_auc_score

from answer_checks import problems
from made_jobs import BATCH_GENES, CLASSES, GENES, TaskBench, make_cells, make_task, write_h5ad

pytestmark = pytest.mark.slow

MODEL_IMAGES = Path(__file__).resolve().parents[2] / "model_images"
SPECS = [yaml.safe_load(path.read_text()) for path in sorted(MODEL_IMAGES.glob("[!_]*/model.yaml"))]
PAIRS = [(spec["name"], task) for spec in SPECS for task in spec["tasks"]]
VERBS = {spec["name"]: spec["verbs"] for spec in SPECS}


class Trial:
    """A model on a task, in a folder laid out as /czrun is."""

    def __init__(self, root: Path, task: str) -> None:
        self.root = root
        self.bench: TaskBench = make_task(root / "made", task)
        for name in ("model", "output"):
            (root / name).mkdir()

    def phase(self, model: str, verb: str, **params: Any) -> int:
        """Run one phase of a model, and return its exit code."""
        return self.phase_of(MODEL_IMAGES / model / "model.py", verb, **params)

    def phase_of(self, path: Path, verb: str, **params: Any) -> int:
        inputs = self.root / "input"
        inputs.unlink(missing_ok=True)
        inputs.symlink_to(self.bench.fit if verb == "fit" else self.bench.predict)
        self.write_job(verb, **params)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
        return int(str(ended.value.code))

    def write_job(self, verb: str, **params: Any) -> None:
        (self.root / "job.json").write_text(self.bench.job(verb, str(self.root), **params).model_dump_json())

    def run(self, model: str, **params: Any) -> Trial:
        """Run all phases of a model to a good end."""
        for verb in VERBS[model]:
            assert self.phase(model, verb, **params) == 0
        assert problems(self.bench, self.root / "output") == []
        return self

    def array(self, name: str, view: str = "v0") -> np.ndarray:
        return np.load(self.root / "output" / view / name, allow_pickle=False)

    def table(self, name: str) -> pd.Series:
        return pd.read_csv(self.root / "output" / "v0" / name).iloc[:, 1]

    def truth(self, column: str, view: str = "v0") -> np.ndarray:
        return self.bench.truth[view][column].to_numpy()

    def outputs(self) -> dict[str, bytes]:
        files = [path for path in self.root.glob("output/*/*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Trial]:
    def make(task: str) -> Trial:
        root = tmp_path / f"trial{len(list(tmp_path.iterdir()))}"
        root.mkdir()
        monkeypatch.setenv("CZRUN_JOB", str(root / "job.json"))
        return Trial(root, task)

    return make


def neighbour_agreement(places: np.ndarray, labels: np.ndarray, k: int = 10) -> float:
    """Return the share of each cell's k nearest that carry its label."""
    distances = ((places[:, None].astype(np.float64) - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :k]
    return float((labels[nearest] == labels[:, None]).mean())


@pytest.mark.parametrize(("model", "task"), PAIRS)
def test_an_answer_is_valid_and_an_equal_seed_gives_it_again(
    trial: Callable[[str], Trial], model: str, task: str
) -> None:
    once = trial(task).run(model)
    first = once.outputs()
    assert once.run(model).outputs() == first


@pytest.mark.parametrize("model", VERBS)
def test_a_task_that_is_not_the_models_is_not_for_it(trial: Callable[[str], Trial], model: str) -> None:
    assert (model, "embedding") in PAIRS or trial("embedding").phase(model, "predict") == 64
    assert (model, "anomaly-detection") in PAIRS or trial("anomaly-detection").phase(model, "predict") == 64


# Embeddings


def test_pca_keeps_the_kinds_apart(trial: Callable[[str], Trial]) -> None:
    ran = trial("embedding").run("pca", n_components=5)
    assert ran.array("embedding.npy").shape == (240, 5)
    assert neighbour_agreement(ran.array("embedding.npy"), ran.truth("label")) > 0.95


@pytest.mark.parametrize(
    ("task", "column"), [("batch-integration", "batch"), ("cross-species-integration", "organism")]
)
@pytest.mark.parametrize("scale", [False, True])
def test_centring_mixes_what_pca_leaves_apart_and_keeps_the_kinds(
    trial: Callable[[str], Trial], task: str, column: str, scale: bool
) -> None:
    plain = trial(task).run("pca", n_components=5)
    centred = trial(task).run("pca-centred", n_components=5, scale=scale)
    assert neighbour_agreement(plain.array("embedding.npy"), plain.truth(column)) > 0.95
    assert neighbour_agreement(centred.array("embedding.npy"), centred.truth(column)) < 0.6
    assert neighbour_agreement(centred.array("embedding.npy"), centred.truth("label")) > 0.95


def test_a_batch_that_only_predict_sees_is_centred_on_its_own_cells(trial: Callable[[str], Trial]) -> None:
    ran = trial("batch-integration")
    made = make_cells(240, seed=1)
    made.counts[:, BATCH_GENES] += 20
    made.truth["batch"] = "new"
    write_h5ad(ran.bench.predict / "v0.h5ad", made, ("batch",))
    ran.run("pca-centred", n_components=5, scale=True)
    np.testing.assert_allclose(ran.array("embedding.npy").mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("model", ["random-embedding", "shuffled-embedding"])
def test_a_negative_control_says_nothing_of_the_cells(trial: Callable[[str], Trial], model: str) -> None:
    ran = trial("embedding").run(model)
    assert abs(neighbour_agreement(ran.array("embedding.npy"), ran.truth("label")) - 0.5) < 0.07


def test_shuffling_keeps_the_rows_and_gives_each_view_another_order(trial: Callable[[str], Trial]) -> None:
    task = "cross-species-label-transfer"
    plain, shuffled = (trial(task).run(model) for model in ("pca", "shuffled-embedding"))
    for view in ("v0", "reference"):
        before, after = (ran.array("embedding.npy", view) for ran in (plain, shuffled))
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(after, axis=0))


def test_noise_differs_from_view_to_view_and_from_seed_to_seed(trial: Callable[[str], Trial]) -> None:
    ran = trial("cross-species-label-transfer").run("random-embedding")
    first, reference = ran.array("embedding.npy")[0], ran.array("embedding.npy", "reference")[0]
    other = ran.run("random-embedding", seed=8).array("embedding.npy")[0]
    assert len({tuple(row) for row in (first, reference, other)}) == 3


def test_k_means_finds_the_groups(trial: Callable[[str], Trial]) -> None:
    ran = trial("clustering").run("kmeans", n_clusters=4, n_components=3)
    groups = ran.truth("label") + ran.truth("batch")
    assert adjusted_rand_score(groups, ran.table("clusters.csv")) > 0.9


def test_more_clusters_than_cells_are_as_many_as_cells(trial: Callable[[str], Trial]) -> None:
    ran = trial("clustering").run("kmeans", n_clusters=300, n_init=1)
    assert ran.table("clusters.csv").nunique() == 240


# Time


def test_ridge_time_orders_the_cells(trial: Callable[[str], Trial]) -> None:
    ran = trial("sequential-ordering").run("ridge-time")
    assert np.corrcoef(ran.array("pseudotime.npy"), ran.truth("time"))[0, 1] > 0.85
    plain = trial("sequential-ordering").run("pca")
    by_time = neighbour_agreement(ran.array("embedding.npy"), ran.truth("time"))
    assert by_time > neighbour_agreement(plain.array("embedding.npy"), plain.truth("time")) + 0.1


def test_ridge_time_goes_by_the_times_that_are_known(trial: Callable[[str], Trial]) -> None:
    ran = trial("sequential-ordering")
    made = make_cells(240, seed=1)
    made.truth.loc[::2, "time"] = np.nan
    write_h5ad(ran.bench.fit / "train.h5ad", made, ("time",))
    ran.run("ridge-time")
    assert np.corrcoef(ran.array("pseudotime.npy"), ran.truth("time"))[0, 1] > 0.75


@pytest.mark.parametrize("time", [3.0, np.nan])
def test_ridge_time_refuses_times_without_an_order(trial: Callable[[str], Trial], time: float) -> None:
    ran = trial("sequential-ordering")
    made = make_cells(60, seed=1)
    made.truth["time"] = time
    write_h5ad(ran.bench.fit / "train.h5ad", made, ("time",))
    assert ran.phase("ridge-time", "fit") == 65


# Labels


@pytest.mark.parametrize("model", ["knn", "logistic-regression", "random-forest"])
def test_labels_go_over_to_another_organism_and_the_reference_is_not_read(
    trial: Callable[[str], Trial], model: str
) -> None:
    ran = trial("cross-species-label-transfer")
    (ran.bench.predict / "reference.h5ad").write_bytes(b"not to be read")
    ran.run(model)
    assert (ran.table("predictions.csv") == ran.truth("label")).mean() > 0.95
    assert not (ran.root / "output" / "reference").exists()


def test_colours_tell_images_apart(trial: Callable[[str], Trial]) -> None:
    ran = trial("image-classification").run("pixel-logistic-regression")
    assert (ran.table("predictions.csv") == ran.truth("label")).mean() > 0.95


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_without_any_contrast_is_named_as_well(trial: Callable[[str], Trial], value: int) -> None:
    ran = trial("image-classification")
    pixels = np.full((30, 24, 20, 3), value, dtype=np.uint8)
    np.save(ran.bench.predict / "v0.images.npy", pixels)
    ran.run("pixel-logistic-regression")


# Perturbations


def log1p_cp10k(counts: np.ndarray) -> np.ndarray:
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


class Perturbed:
    """The made perturbation task, its means taken in the plainest way."""

    def __init__(self) -> None:
        made = make_cells(600, seed=1)
        self.values = log1p_cp10k(made.counts.astype(np.float64))
        self.truth = made.truth

    def mean(self, perturbation: str, context: str) -> np.ndarray:
        chosen = (self.truth["perturbation"] == perturbation) & (self.truth["context"] == context)
        return self.values[chosen.to_numpy()].mean(axis=0)

    def delta(self, perturbation: str, context: str) -> np.ndarray:
        return self.mean(perturbation, context) - self.mean("control", context)

    def n_cells(self, perturbation: str, context: str) -> int:
        return int(((self.truth["perturbation"] == perturbation) & (self.truth["context"] == context)).sum())

    def effects(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the effects of gene50, seen in both contexts, and gene51, seen in the left one."""
        weights = [self.n_cells("gene50", context) for context in ("left", "right")]
        deltas = [self.delta("gene50", context) for context in ("left", "right")]
        return np.average(deltas, axis=0, weights=weights), self.delta("gene51", "left")


def test_no_change_is_the_control_mean_of_the_context(trial: Callable[[str], Trial]) -> None:
    expression = trial("perturbation-prediction").run("no-change").array("expression.npy")
    known = Perturbed()
    expected = [known.mean("control", context) for context in ("right", "left", "right")]
    np.testing.assert_allclose(expression, expected, rtol=1e-4, atol=1e-5)


def test_the_mean_effect_counts_each_perturbation_once(trial: Callable[[str], Trial]) -> None:
    expression = trial("perturbation-prediction").run("mean-effect").array("expression.npy")
    known = Perturbed()
    effect = np.mean(known.effects(), axis=0)
    expected = [known.mean("control", context) + effect for context in ("right", "left", "right")]
    np.testing.assert_allclose(expression, np.maximum(expected, 0), rtol=1e-4, atol=1e-4)


def test_effects_add_up(trial: Callable[[str], Trial]) -> None:
    ran = trial("perturbation-prediction").run("additive-perturbation")
    known = Perturbed()
    one, two = known.effects()
    left, right = (known.mean("control", context) for context in ("left", "right"))
    expected = [right + two, left + np.mean([one, two], axis=0), right + one + two]
    np.testing.assert_allclose(ran.array("expression.npy"), np.maximum(expected, 0), rtol=1e-4, atol=1e-4)


def test_cells_are_controls_of_the_context_moved_by_the_effect(trial: Callable[[str], Trial]) -> None:
    ran = trial("perturbation-prediction").run("additive-perturbation")
    cells = ran.array("cells.npy")
    known = Perturbed()
    controls = {
        context: known.values[((known.truth["context"] == context) & known.truth["is_control"]).to_numpy()]
        for context in ("left", "right")
    }
    moved = np.maximum(controls["right"] + known.effects()[1], 0)
    assert len(moved) >= 60
    for cell in cells[:60]:  # the first condition: gene51 in the right context, each control once at most
        assert np.abs(moved - cell).max(axis=1).min() < 1e-3
    assert len(np.unique(cells[:60], axis=0)) == 60
    assert cells.min() >= 0
    # The second asks for more cells than there are controls. What falls below 0 is cut cell by cell, so that
    # their mean is that of the cut cells, not the prediction of the mean; 400 draws leave 0.1 of chance.
    moved = np.maximum(controls["left"] + np.mean(known.effects(), axis=0), 0)
    assert len(moved) < 400
    np.testing.assert_allclose(cells[60:460].mean(axis=0), moved.mean(axis=0), atol=0.5)


def test_cells_can_be_left_out(trial: Callable[[str], Trial]) -> None:
    ran = trial("perturbation-prediction").run("additive-perturbation", cells=False)
    assert not (ran.root / "output" / "v0" / "cells.npy").exists()


def test_ridge_says_of_an_unseen_gene_more_than_the_mean_effect_and_owns_up_to_what_is_no_gene(
    trial: Callable[[str], Trial], capsys: pytest.CaptureFixture[str]
) -> None:
    plain = trial("perturbation-prediction").run("mean-effect").array("expression.npy")
    ridge = trial("perturbation-prediction").run("ridge-perturbation").array("expression.npy")
    assert "gene50+gene51" in capsys.readouterr().out
    additive = trial("perturbation-prediction").run("additive-perturbation").array("expression.npy")
    np.testing.assert_allclose(ridge[0], additive[0], rtol=1e-5)  # it was seen
    assert np.abs(ridge[1] - plain[1]).max() > 1e-3
    np.testing.assert_allclose(ridge[2], plain[2], rtol=1e-5)


def test_a_heavy_penalty_leaves_ridge_with_the_mean_effect(trial: Callable[[str], Trial]) -> None:
    plain = trial("perturbation-prediction").run("mean-effect").array("expression.npy")
    ridge = trial("perturbation-prediction").run("ridge-perturbation", alpha=1e9).array("expression.npy")
    np.testing.assert_allclose(ridge[1], plain[1], rtol=1e-4)


def test_a_context_without_control_cells_goes_by_all_of_them(trial: Callable[[str], Trial]) -> None:
    ran = trial("perturbation-prediction")
    made = make_cells(600, seed=1)
    is_left = (made.truth["context"] == "left") & made.truth["is_control"]
    left = made.part(np.flatnonzero(is_left))
    write_h5ad(ran.bench.predict / "v0.h5ad", left, ("context",))
    expression = ran.run("no-change").array("expression.npy")
    np.testing.assert_allclose(expression[0], log1p_cp10k(left.counts).mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(expression[0], expression[1])


def test_effects_need_controls(trial: Callable[[str], Trial]) -> None:
    ran = trial("perturbation-prediction")
    made = make_cells(60, seed=1)
    for is_control in (True, False):
        made.truth["is_control"] = is_control
        write_h5ad(ran.bench.fit / "train.h5ad", made, ("perturbation", "is_control", "context"))
        assert ran.phase("mean-effect", "fit") == 65


def test_a_gene_that_fit_did_not_see_is_not_changed(trial: Callable[[str], Trial]) -> None:
    ran = trial("perturbation-prediction")
    assert ran.phase("mean-effect", "fit") == 0
    made = make_cells(600, seed=1)
    controls = made.part(np.flatnonzero(made.truth["is_control"]))
    renamed = ("new", *GENES[1:])
    write_h5ad(ran.bench.predict / "v0.h5ad", controls, ("context",), renamed)
    assert ran.phase("mean-effect", "predict") == 0
    expression = ran.array("expression.npy")
    assert ran.phase("no-change", "predict") == 0
    changed = np.abs(expression - ran.array("expression.npy")).max(axis=0)
    assert changed[0] == 0
    assert changed[1:].min() > 0


# Anomalies


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [("library-size", 0.9, 1.0), ("isolation-forest", 0.75, 1.0), ("random-scores", 0.3, 0.7)],
)
def test_doublets_are_ranked(trial: Callable[[str], Trial], model: str, low: float, high: float) -> None:
    ran = trial("anomaly-detection").run(model)
    assert low <= roc_auc_score(ran.truth("is_anomaly"), ran.array("scores.npy")) <= high


def test_library_size_is_the_log_of_the_row_sums(trial: Callable[[str], Trial]) -> None:
    ran = trial("anomaly-detection")
    made = make_cells(80, seed=4)
    made.counts[5] = 0
    write_h5ad(ran.bench.predict / "v0.h5ad", made, ())
    ran.run("library-size")
    np.testing.assert_allclose(ran.array("scores.npy"), np.log1p(made.counts.sum(axis=1)), rtol=1e-6)


def test_classes_are_the_jobs(trial: Callable[[str], Trial]) -> None:
    ran = trial("image-classification").run("majority-class")
    frequencies = ran.array("proba.npy")
    assert frequencies[:, CLASSES.index("Platelet")].tolist() == [0] * 30


# The guide


@pytest.mark.parametrize(("block", "task"), [(0, "cell-type-classification"), (1, "perturbation-prediction")])
def test_the_models_in_the_guide_work(
    trial: Callable[[str], Trial], tmp_path: Path, block: int, task: str
) -> None:
    guide = (MODEL_IMAGES.parent / "docs" / "guides" / "bring-a-model.md").read_text(encoding="utf-8")
    path = tmp_path / "model.py"
    path.write_text(guide.split("```python\n")[block + 1].partition("```")[0])
    ran = trial(task)
    for verb in ("fit", "predict"):
        assert ran.phase_of(path, verb) == 0
    assert problems(ran.bench, ran.root / "output") == []
