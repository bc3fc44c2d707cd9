"""Write a czrun model in Python: read the job and its cells, write what it asks for.

A model gives two functions and hands them to `main`::

    def fit(job: Job, cells: Cells) -> dict[str, np.ndarray]: ...
    def predict(job: Job, cells: Cells, model: dict[str, np.ndarray]) -> Prediction: ...

    if __name__ == "__main__":
        main(fit=fit, predict=predict)

The kit is a convenience. An image may ignore it: the contract is the files, not this code. It needs numpy
and h5py; SciPy is imported when a model first asks for `Cells.X`.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

CONTRACT = 1
JOB_PATH = "/czrun/job.json"
UNASSIGNED = "__unassigned__"
"""The label by which a model declines to name a cell."""

MAX_PROGRESS_BYTES = 4096
MAX_TEXT_CHARS = 500
COUNTS_PER_CELL = 1e4

M = TypeVar("M")
T = TypeVar("T")


# Failures ---------------------------------------------------------------------------------------------------


class KitError(Exception):
    """A failure with an exit code of its own; any other exception is a model error (70).

    Parameters
    ----------
    message
        What went wrong.
    hint
        What to do about it.
    """

    code = "model_error"
    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Unsupported(KitError):  # noqa: N818 - it is shown as n/a, which is no error
    """The model doesn't do this task, or this verb."""

    code = "unsupported"
    exit_code = 64


class BadInput(KitError):  # noqa: N818
    """The model refuses the input: unreadable, or not what it can work with."""

    code = "bad_input"
    exit_code = 65


class ResourceMissing(KitError):  # noqa: N818
    """Something that the model needs isn't there, for example a GPU."""

    code = "resource_missing"
    exit_code = 69


# The job ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dataset:
    """What a model may know of the data."""

    organisms: tuple[str, ...] = ()
    modality: str = "expression"
    n_obs: int = 0
    n_vars: int = 0
    gene_ids: str = "unknown"
    x: str = "counts"
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Input:
    """One file to read; `id` names the view."""

    id: str
    path: str
    format: str = "h5ad"
    n_obs: int = 0


@dataclass(frozen=True)
class Output:
    """Where the outputs of the view `id` go, and the names of the files that the host will look for."""

    id: str
    dir: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """``job.json``, the fields that a model needs; unknown ones are ignored."""

    verb: str
    task: str
    seed: int
    dataset: Dataset
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    root: Path = Path("/czrun")

    @property
    def model_dir(self) -> Path:
        """Where fit leaves what predict needs; read-only in predict."""
        return self.root / "model"

    @property
    def assets_dir(self) -> Path:
        """Pretrained weights that the image declared; read-only."""
        return self.root / "assets"

    @property
    def output_dir(self) -> Path:
        """The folder that holds every view's outputs."""
        return self.root / "output"

    def param(self, name: str, default: T) -> T:
        """Return a parameter in its default's type; raises BadInput where it doesn't fit."""
        value = self.params.get(name)
        if value is None:
            return default
        try:
            return type(default)(value)  # type: ignore[call-arg]
        except (TypeError, ValueError):
            problem = f"parameter {name}={value!r} is no {type(default).__name__}"
            raise BadInput(problem, f"The default is {default!r}.") from None


def read_job(path: str | Path | None = None) -> Job:
    """Read the job.

    Parameters
    ----------
    path
        Where it is; by default what CZRUN_JOB says, else ``/czrun/job.json``. Model, assets and output
        folders lie beside it, so that a model can be tried without a container.

    Raises
    ------
    BadInput
        When the file can't be read, or lacks a field.
    Unsupported
        When it speaks another version of the contract.
    """
    path = Path(path or os.environ.get("CZRUN_JOB") or JOB_PATH)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["contract"] != CONTRACT:
            raise Unsupported(f"the job follows contract {raw['contract']}, this model {CONTRACT}")
        return Job(
            verb=raw["verb"],
            task=raw["task"],
            seed=int(raw["seed"]),
            dataset=_known(Dataset, raw["dataset"]),
            inputs=tuple(_known(Input, entry) for entry in raw["inputs"]),
            outputs=tuple(
                Output(entry["id"], entry["dir"], tuple(file["name"] for file in entry["files"]))
                for entry in raw.get("outputs", ())
            ),
            params=raw.get("params", {}),
            threads=max(1, math.ceil(raw["limits"]["cpus"])),
            root=path.parent,
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is not a job: {type(error).__name__}: {error}") from error


def _known(kind: type[T], raw: Mapping[str, Any]) -> T:
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    return kind(**{key: value for key, value in frozen.items() if key in names})


# Reading cells ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cells:
    """The cells of one input file; `X` is read when first asked for.

    Attributes
    ----------
    path
        The h5ad file.
    cell_ids
        One id per row of X, in the order that the outputs must keep.
    genes
        One gene id per column of X.
    obs
        Columns of the obs table by name, for example ``batch`` or, in fit, ``label``.
    """

    path: Path
    cell_ids: NDArray[np.str_]
    genes: NDArray[np.str_]
    obs: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cell_ids)

    @property
    def labels(self) -> NDArray[np.str_]:
        """The training labels, shape (n_obs,); raises BadInput where there are none."""
        if "label" not in self.obs:
            raise BadInput(f"{self.path.name} has no labels", "Only the input of fit carries obs['label'].")
        return self.obs["label"]

    @cached_property
    def X(self) -> csr_matrix:
        """The matrix, shape (n_obs, n_vars), float32; `job.dataset.x` says what the numbers are."""
        from scipy.sparse import csr_matrix

        with _reading(self.path) as file:
            group = file["X"]
            if not isinstance(group, h5py.Group) or group.attrs.get("encoding-type") != "csr_matrix":
                raise BadInput(f"X of {self.path.name} is not a CSR matrix")
            data = group["data"][:].astype(np.float32, copy=False)
            shape = tuple(int(size) for size in group.attrs["shape"])
            return csr_matrix((data, group["indices"][:], group["indptr"][:]), shape=shape)


def read_cells(path: str | Path) -> Cells:
    """Read an h5ad file that follows the contract, all but its matrix.

    Raises
    ------
    BadInput
        When the file can't be read, or isn't what the contract says.
    """
    path = Path(path)
    with _reading(path) as file:
        obs = {str(name): _column(file["obs"][name]) for name in file["obs"].attrs["column-order"]}
        return Cells(path, _index(file["obs"]), _index(file["var"]), obs)


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, LookupError, ValueError) as error:
        raise BadInput(f"{path.name} is not an input of the contract: {error}") from error


def _index(table: h5py.Group) -> NDArray[np.str_]:
    return _column(table[table.attrs["_index"]]).astype(np.str_, copy=False)


def _column(node: h5py.Dataset | h5py.Group) -> NDArray[Any]:
    if isinstance(node, h5py.Dataset):
        if h5py.check_string_dtype(node.dtype) is None:
            return np.asarray(node[:])
        return np.array(node.asstr()[:], dtype=np.str_)
    if "categories" in node:
        categories, codes = _column(node["categories"]), node["codes"][:]
        missing = "" if categories.dtype.kind == "U" else np.nan
        return np.asarray(np.append(categories, missing)[codes])  # code -1, missing, takes the last entry
    values, missing_at = _column(node["values"]), node["mask"][:]
    if values.dtype.kind == "U":
        return np.where(missing_at, "", values)
    return np.where(missing_at, np.nan, values) if missing_at.any() else values


# Preparing X ------------------------------------------------------------------------------------------------


def log_normalize(X: csr_matrix, x_kind: str) -> csr_matrix:
    """Bring X to log1p of counts per 10,000.

    Parameters
    ----------
    X
        Shape (n_obs, n_vars); not changed.
    x_kind
        What X holds, `job.dataset.x`: ``counts`` are scaled per cell and logged, ``normalized`` values are
        logged, ``log1p`` and ``other`` are returned as they are.
    """
    if x_kind not in ("counts", "normalized"):
        return X
    X = X.astype(np.float32, copy=True)
    if x_kind == "counts":
        totals = np.asarray(X.sum(axis=1, dtype=np.float64)).ravel()
        factors = np.divide(COUNTS_PER_CELL, totals, out=np.zeros_like(totals), where=totals > 0)
        X.data *= np.repeat(factors, np.diff(X.indptr)).astype(np.float32)
    np.log1p(X.data, out=X.data)
    return X


def align_genes(X: csr_matrix, genes: Sequence[str] | NDArray[np.str_], wanted: Iterable[str]) -> csr_matrix:
    """Return X with exactly the columns `wanted`, by gene id; a gene that X lacks is zero throughout.

    Parameters
    ----------
    X
        Shape (n_obs, len(genes)).
    genes
        Gene ids of X's columns; where an id occurs twice, its first column counts.
    wanted
        Gene ids of the result's columns.

    Returns
    -------
    csr_matrix
        Shape (n_obs, len(wanted)).
    """
    from scipy.sparse import csr_matrix

    wanted = [str(gene) for gene in wanted]
    column = {str(gene): at for at, gene in reversed(list(enumerate(genes)))}
    pairs = [(column[gene], to) for to, gene in enumerate(wanted) if gene in column]
    rows, cols = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ones = np.ones(len(pairs), dtype=X.dtype)
    return (X @ csr_matrix((ones, (rows, cols)), shape=(X.shape[1], len(wanted)))).tocsr()


def gene_variances(X: csr_matrix) -> NDArray[np.float64]:
    """Return the variance of each column of X, shape (n_vars,)."""
    n_obs, n_vars = X.shape
    values = X.data.astype(np.float64)
    mean = np.bincount(X.indices, weights=values, minlength=n_vars) / n_obs
    square = np.bincount(X.indices, weights=values**2, minlength=n_vars) / n_obs
    return np.asarray(np.maximum(square - mean**2, 0.0), dtype=np.float64)


def top_genes(variances: NDArray[np.float64], n_genes: int) -> NDArray[np.intp]:
    """Return the columns, ascending, of the `n_genes` highest variances; never a column without variance."""
    order = np.argsort(-variances, kind="stable")[: max(1, n_genes)]
    return np.sort(order[variances[order] > 0])


# Writing ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prediction:
    """What a model says of the cells of one view.

    Attributes
    ----------
    labels
        One of the job's classes, or `UNASSIGNED`, per cell.
    proba
        Shape (n_obs, n_classes), columns in the order of `job.dataset.classes`; or None.
    """

    labels: Sequence[str] | NDArray[np.str_]
    proba: NDArray[np.floating[Any]] | None = None

    @classmethod
    def from_proba(
        cls, proba: NDArray[np.floating[Any]], classes: Sequence[str], columns: Sequence[str] | None = None
    ) -> Prediction:
        """Name each cell by its likeliest class.

        Parameters
        ----------
        proba
            Shape (n_obs, len(columns)).
        classes
            The job's classes.
        columns
            The classes that `proba`'s columns stand for, where they aren't `classes`: a class that had no
            training cell gets probability 0.
        """
        names = list(classes if columns is None else columns)
        full = np.zeros((len(proba), len(classes)), dtype=np.float32)
        full[:, [list(classes).index(name) for name in names]] = proba
        labels = np.array(names, dtype=np.str_)[np.argmax(proba, axis=1)]
        return cls(labels, full)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when all went well; no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_prediction(job: Job, output: Output, cells: Cells, prediction: Prediction) -> None:
    """Write ``predictions.csv`` and, where the job lists it, ``proba.npy``.

    Raises
    ------
    ValueError
        When the prediction doesn't fit the cells or the job's classes.
    """
    labels = [str(label) for label in prediction.labels]
    if len(labels) != len(cells):
        raise ValueError(f"{len(labels)} labels for {len(cells)} cells")
    if strange := sorted(set(labels) - {*job.dataset.classes, UNASSIGNED}):
        raise ValueError(f"labels that the job doesn't list: {', '.join(strange[:5])}")
    folder = Path(output.dir)
    with replacing(folder / "predictions.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("cell_id", "label"))
        writer.writerows(zip(cells.cell_ids, labels, strict=True))
    if prediction.proba is not None and "proba.npy" in output.files:
        proba = np.ascontiguousarray(prediction.proba, dtype=np.float32)
        if proba.shape != (len(cells), len(job.dataset.classes)) or not np.isfinite(proba).all():
            raise ValueError(f"proba has shape {proba.shape}, or holds values that aren't finite")
        with replacing(folder / "proba.npy") as part, part.open("wb") as file:
            np.save(file, proba, allow_pickle=False)


def write_progress(job: Job, fraction: float, stage: str = "", message: str = "") -> None:
    """Say how far the work is, for the live display; a failure to say so is none of the model's."""
    report = {"fraction": min(1.0, max(0.0, fraction)), "stage": stage[:MAX_TEXT_CHARS]}
    line = json.dumps({**report, "message": message[:MAX_TEXT_CHARS]}, ensure_ascii=False)
    if len(line.encode()) > MAX_PROGRESS_BYTES:
        line = json.dumps(report, ensure_ascii=False)
    with suppress(OSError), replacing(job.output_dir / "progress.json") as part:
        part.write_text(line, encoding="utf-8")


def write_result(output_dir: Path, error: BaseException | None = None) -> None:
    """Write ``result.json``: how it ended, in the model's own words. Advisory, so a failure is ignored."""
    result: dict[str, Any] = {"status": "ok"}
    if error is not None:
        message = str(error) if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
        result = {
            "status": "error",
            "error": {
                "code": getattr(error, "code", "") if isinstance(error, KitError) else "model_error",
                "message": message[:MAX_TEXT_CHARS],
                "hint": getattr(error, "hint", "")[:MAX_TEXT_CHARS] if isinstance(error, KitError) else "",
            },
        }
    with suppress(OSError), replacing(output_dir / "result.json") as part:
        part.write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")


def save_arrays(path: str | Path, **arrays: NDArray[Any]) -> None:
    """Save plain arrays by name, without pickle; a missing ``.npz`` suffix is not added."""
    with replacing(Path(path)) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Load what `save_arrays` saved."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# The entry point --------------------------------------------------------------------------------------------


def main(
    *,
    predict: Callable[[Job, Cells, Any], Prediction],
    fit: Callable[[Job, Cells], Any] | None = None,
    tasks: Sequence[str] = ("cell-type-classification",),
    save: Callable[[Any, Path], object] | None = None,
    load: Callable[[Path], Any] | None = None,
) -> None:
    """Do what the job says, and exit.

    Parameters
    ----------
    predict
        Called once per view with what fit returned.
    fit
        Called with the training cells; returns a dict of arrays, or anything that `save` can write. Leave it
        out for a pretrained model.
    tasks
        Task ids that the model does; another one exits with 64.
    save, load
        How the model is written and read, ``save(model, path)`` and ``load(path)``, for example
        `joblib.dump` and `joblib.load`; by default `save_arrays` and `load_arrays`. Without fit, `load` gets
        the folder of the assets.
    """
    sys.exit(run(predict=predict, fit=fit, tasks=tasks, save=save, load=load))


def run(
    *,
    predict: Callable[[Job, Cells, Any], Prediction],
    fit: Callable[[Job, Cells], Any] | None = None,
    tasks: Sequence[str] = ("cell-type-classification",),
    save: Callable[[Any, Path], object] | None = None,
    load: Callable[[Path], Any] | None = None,
) -> int:
    """Do what `main` does, and return the exit code in place of exiting."""
    output_dir = Path(os.environ.get("CZRUN_JOB") or JOB_PATH).parent / "output"
    verbs = ("predict",) if fit is None else ("fit", "predict")
    try:
        job = _supported(read_job(), tasks, verbs)
        if fit is None:
            _predict(job, predict, load(job.assets_dir) if load else None)
        elif job.verb == "fit":
            _fit(job, fit, save or _save_dict)
        else:
            _predict(job, predict, (load or load_arrays)(job.model_dir / "model"))
    except Exception as error:  # noqa: BLE001 - whatever it was, the host gets a code and a reason
        traceback.print_exc()
        write_result(output_dir, error)
        return error.exit_code if isinstance(error, KitError) else KitError.exit_code
    write_result(output_dir)
    return 0


def _supported(job: Job, tasks: Sequence[str], verbs: Sequence[str]) -> Job:
    if job.task not in tasks:
        raise Unsupported(f"this model doesn't do {job.task}", f"It does {', '.join(tasks)}.")
    if job.verb not in verbs:
        raise Unsupported(f"this model has no verb {job.verb}", f"It has {', '.join(verbs)}.")
    return job


def _save_dict(model: Mapping[str, NDArray[Any]], path: Path) -> None:
    save_arrays(path, **model)


def _fit(job: Job, fit: Callable[[Job, Cells], M], save: Callable[[M, Path], object]) -> None:
    if len(job.inputs) != 1:
        raise BadInput(f"fit takes one input, the job lists {len(job.inputs)}")
    write_progress(job, 0.0, "fit")
    model = fit(job, read_cells(job.inputs[0].path))
    save(model, job.model_dir / "model")
    write_progress(job, 1.0, "fit")


def _predict(job: Job, predict: Callable[[Job, Cells, M], Prediction], model: M) -> None:
    outputs = {output.id: output for output in job.outputs}
    for done, view in enumerate(job.inputs):
        if view.id not in outputs:
            raise BadInput(f"the job says not where the outputs of {view.id} go")
        write_progress(job, done / len(job.inputs), "predict", view.id)
        cells = read_cells(view.path)
        write_prediction(job, outputs[view.id], cells, predict(job, cells, model))
    write_progress(job, 1.0, "predict")
