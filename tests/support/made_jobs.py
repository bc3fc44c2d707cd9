"""Jobs of every task made by hand, with the files that they list.

The cells are made: three kinds that show in genes of their own, in two batches (or organisms) that differ in
some genes, along a time that shows in others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData  # noqa: TID251 - models get what the real writer writes
from scipy.sparse import csr_matrix

from czrun.contract.job import Job, Limits

CLASSES = (
    "B cell",
    "Platelet",
    "T cell",
)  # in the vocabulary, though no Platelet is among the training cells
GENES = tuple(f"gene{number}" for number in range(60))
BATCH_GENES, TIME_GENES, EFFECT_GENES = slice(30, 40), slice(40, 50), slice(50, 60)
IMAGE_SHAPE = (24, 20, 3)

FILES: dict[str, tuple[str, ...]] = {
    "cell-type-classification": ("predictions.csv", "proba.npy"),
    "embedding": ("embedding.npy", "clusters.csv"),
    "clustering": ("embedding.npy", "clusters.csv"),
    "batch-integration": ("embedding.npy",),
    "cross-species-integration": ("embedding.npy",),
    "cross-species-label-transfer": ("predictions.csv", "proba.npy", "embedding.npy"),
    "image-classification": ("predictions.csv", "proba.npy", "embedding.npy"),
    "sequential-ordering": ("embedding.npy", "pseudotime.npy"),
    "perturbation-prediction": ("expression.npy", "cells.npy"),
    "anomaly-detection": ("scores.npy",),
}
ONE_OF: dict[str, tuple[str, ...]] = {
    "clustering": ("embedding.npy", "clusters.csv"),
    "cross-species-label-transfer": ("predictions.csv", "embedding.npy"),
    "image-classification": ("predictions.csv", "embedding.npy"),
}
TASKS = tuple(FILES)
OPTIONAL = {"proba.npy", "clusters.csv", "pseudotime.npy", "cells.npy"}
LIMITS = Limits(wall_s=120, cpus=1, memory_bytes=2**30, output_bytes=64 * 2**20, output_files=50)


@dataclass(frozen=True)
class Made:
    """Counts of made cells and what is true of each."""

    counts: np.ndarray
    truth: pd.DataFrame

    def part(self, rows: np.ndarray) -> Made:
        """Return some of the cells, in the order of `rows`."""
        return Made(self.counts[rows], self.truth.iloc[rows].reset_index(drop=True))


def make_cells(n_obs: int, seed: int) -> Made:
    """Make cells of two kinds in two batches along four times; a doublet has the counts of two."""
    rng = np.random.default_rng(seed)
    kind, batch, time = (rng.integers(0, n, n_obs) for n in (2, 2, 4))
    treated = rng.integers(0, 4, n_obs)
    rates = np.full((n_obs, len(GENES)), 1.0)
    for at in range(2):
        rates[kind == at, 10 * at : 10 * at + 10] = 6.0
    rates[batch == 1, BATCH_GENES] = 8.0
    rates[:, TIME_GENES] += 2.0 * time[:, None]
    for number in (1, 2, 3):  # gene50, gene51, gene52 were knocked out
        rates[treated == number, 50 + number - 1] = 0.0
        rates[treated == number, 54 + number] = 5.0
    truth = pd.DataFrame(
        {
            "label": np.array(CLASSES)[[0, 2]][kind],
            "batch": np.array(["one", "two"])[batch],
            "organism": np.array(["homo_sapiens", "mus_musculus"])[batch],
            "time": time.astype(np.float64),
            "perturbation": np.array(["control", "gene50", "gene51", "gene52"])[treated],
            "is_control": treated == 0,
            "context": np.array(["left", "right"])[kind],
        }
    )
    counts = rng.poisson(rates).astype(np.float32)
    return Made(counts, truth)


def make_images(n_obs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make noisy images, reddish or bluish with a dark middle, and say which; one edge is padding."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n_obs)
    pixels = rng.integers(100, 160, (n_obs, *IMAGE_SHAPE))
    pixels[np.arange(n_obs), :, :, 2 * kind] += 60
    pixels[:, 8:16, 6:14] //= 2
    pixels[:, -3:] = 0
    return pixels.astype(np.uint8), np.array(CLASSES)[[0, 2]][kind]


@dataclass(frozen=True)
class TaskBench:
    """The files of one task's two phases on the host, and the jobs that list them.

    Attributes
    ----------
    task
        Its id.
    fit, predict
        Folders with the input files of each phase.
    ids
        The cell ids of each view of predict.
    truth
        What is true of the cells of each view.
    conditions
        The rows of conditions.csv.
    """

    task: str
    fit: Path
    predict: Path
    ids: dict[str, list[str]] = field(default_factory=dict)
    truth: dict[str, pd.DataFrame] = field(default_factory=dict)
    conditions: list[tuple[str, str, str, int]] = field(default_factory=list)

    @property
    def views(self) -> tuple[str, ...]:
        """The views of predict."""
        return tuple(self.ids)

    def job(self, verb: str, root: str, seed: int = 7, **params: Any) -> Job:
        """Return a job whose files lie in `root`, for example ``/czrun``."""
        folder = self.fit if verb == "fit" else self.predict
        inputs = [self._input(path, root) for path in sorted(folder.iterdir())]
        views = self.views if verb == "predict" else ()
        is_image = self.task == "image-classification"
        return Job.model_validate(
            {
                "job_id": "opaque",
                "verb": verb,
                "task": self.task,
                "seed": seed,
                "dataset": {
                    "organisms": ["homo_sapiens"],
                    "modality": "image" if is_image else "expression",
                    "n_obs": 1,
                    "n_vars": 0 if is_image else len(GENES),
                    "gene_ids": "symbol",
                    "x": "other" if is_image else "counts",
                    "classes": CLASSES if "predictions.csv" in FILES[self.task] else (),
                    "image_shape": IMAGE_SHAPE if is_image else None,
                    "expression": "log1p_cp10k" if self.task == "perturbation-prediction" else None,
                },
                "inputs": inputs,
                "outputs": [self._output(view, f"{root}/output/{view}") for view in views],
                "params": params,
                "limits": LIMITS.model_dump(),
            }
        )

    def _input(self, path: Path, root: str) -> dict[str, Any]:
        return {
            "id": path.name.partition(".")[0],
            "path": f"{root}/input/{path.name}",
            "format": path.suffix[1:],
            "n_obs": 1,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }

    def _output(self, view: str, folder: str) -> dict[str, Any]:
        is_reference = view == "reference"
        one_of = () if is_reference else ONE_OF.get(self.task, ())
        files = [
            {"name": name, "required": name not in {*OPTIONAL, *one_of} and not is_reference}
            for name in (("embedding.npy",) if is_reference else FILES[self.task])
        ]
        return {"id": view, "dir": folder, "files": files, "one_of": one_of}


def make_task(root: Path, task: str) -> TaskBench:
    """Write the input files of a task into ``root/fit`` and ``root/predict``."""
    bench = TaskBench(task, root / "fit", root / "predict")
    bench.fit.mkdir(parents=True)
    bench.predict.mkdir()
    if task == "image-classification":
        _make_image_task(bench)
    elif task == "perturbation-prediction":
        _make_perturbation_task(bench)
    else:
        _make_cell_task(bench)
    return bench


SEEN_IN_FIT = {
    "cell-type-classification": ("label",),
    "batch-integration": ("batch",),
    "cross-species-integration": ("organism",),
    "cross-species-label-transfer": ("label", "organism"),
    "sequential-ordering": ("time",),
}
SEEN_IN_PREDICT = {
    "batch-integration": ("batch",),
    "cross-species-integration": ("organism",),
    "cross-species-label-transfer": ("organism",),
}


def _make_cell_task(bench: TaskBench) -> None:
    made = make_cells(240, seed=1)
    transfer = bench.task == "cross-species-label-transfer"
    of_first = (made.truth["batch"] == "one").to_numpy()
    is_train = of_first if transfer else np.arange(240) % 3 > 0
    # Where nothing is held out, predict gets the cells of fit again, in another order.
    holds_out = transfer or bench.task in {"cell-type-classification", "anomaly-detection"}
    everything = np.arange(240)
    train = made.part(everything[is_train] if holds_out else everything)
    rest = everything[~is_train] if holds_out else everything
    test = made.part(np.random.default_rng(2).permutation(rest))
    if bench.task == "anomaly-detection":
        test = _with_doublets(test)
    seen = SEEN_IN_FIT.get(bench.task, ())
    write_h5ad(bench.fit / "train.h5ad", train, seen)
    views = {"v0": test}
    if transfer:
        views["reference"] = train.part(np.random.default_rng(3).permutation(len(train.truth)))
    for view, cells in views.items():
        bench.truth[view] = cells.truth
        bench.ids[view] = write_h5ad(
            bench.predict / f"{view}.h5ad", cells, SEEN_IN_PREDICT.get(bench.task, ())
        )


def _with_doublets(made: Made) -> Made:
    counts = made.counts.copy()
    is_doublet = np.arange(len(counts)) % 4 == 0
    counts[is_doublet] += made.counts[::-1][is_doublet]
    return Made(counts, made.truth.assign(is_anomaly=is_doublet))


def _make_image_task(bench: TaskBench) -> None:
    train, labels = make_images(60, seed=1)
    test, truth = make_images(30, seed=2)
    _write_images(bench.fit / "train", train, labels)
    for view, pixels, kinds in (("v0", test, truth), ("reference", train[::-1], labels[::-1])):
        bench.ids[view] = _write_images(bench.predict / view, pixels, None)
        bench.truth[view] = pd.DataFrame({"label": kinds})


def _write_images(stem: Path, pixels: np.ndarray, labels: np.ndarray | None) -> list[str]:
    ids = _ids(stem.name, len(pixels))
    np.save(stem.with_suffix(".images.npy"), pixels)
    table = {"cell_id": ids} if labels is None else {"cell_id": ids, "label": labels}
    pd.DataFrame(table).to_csv(stem.with_suffix(".cells.csv"), index=False)
    return ids


def _make_perturbation_task(bench: TaskBench) -> None:
    made = make_cells(600, seed=1)
    truth = made.truth
    # gene52 is never seen; gene51 only in the left context.
    held_out = (truth["perturbation"] == "gene52") | (
        (truth["perturbation"] == "gene51") & (truth["context"] == "right")
    )
    columns = ("perturbation", "is_control", "context")
    write_h5ad(bench.fit / "train.h5ad", made.part(np.flatnonzero(~held_out)), columns)
    controls = made.part(np.flatnonzero(truth["is_control"])[::-1])
    bench.ids["v0"] = write_h5ad(bench.predict / "v0.h5ad", controls, ("context",))
    bench.truth["v0"] = controls.truth
    bench.conditions.extend(
        [("c0", "gene51", "right", 60), ("c1", "gene52", "left", 400), ("c2", "gene50+gene51", "right", 1)]
    )
    table = pd.DataFrame(bench.conditions, columns=["condition", "perturbation", "context", "n_cells"])
    table.to_csv(bench.predict / "v0.conditions.csv", index=False)


def write_h5ad(path: Path, made: Made, columns: tuple[str, ...], genes: tuple[str, ...] = GENES) -> list[str]:
    """Write cells with some of their columns as obs, and return their ids."""
    ids = _ids(path.stem, len(made.counts))
    obs = made.truth[list(columns)].set_axis(pd.Index(ids, dtype=object))
    for name in obs:
        if obs[name].dtype == object:
            obs[name] = obs[name].astype("category")
    var = pd.DataFrame(index=pd.Index(genes, dtype=object))
    AnnData(csr_matrix(made.counts), obs=obs, var=var).write_h5ad(path)
    return ids


def _ids(stem: str, count: int) -> list[str]:
    return [f"{stem}-{number:04d}" for number in range(count)]
