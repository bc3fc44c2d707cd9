"""Inputs that cz-benchmarks and czrun both score: made from a seed, or from the sample that czrun bundles.

NumPy only, so that cz-benchmarks' own environment can import it. Numbers are rounded to three decimals: where
BLAS, LAPACK and libm differ between machines they differ by far less, so the digests are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Texts = NDArray[np.str_]

BUNDLED = Path(__file__).parents[2] / "runner/czrun/datasets/bundled/pbmc68k_reduced.npz"

N_DIMS = 50
N_TYPES = 15
N_BATCHES = 6
N_DONORS = 60
N_TIMES = 8
_DECIMALS = 3


@dataclass(frozen=True)
class Cells:
    """An embedding and what is known of its cells.

    Attributes
    ----------
    embedding
        float32, shape (n, d).
    labels, batches, donors, organisms, diseases
        Texts, shape (n,). A donor has one disease, and in made cells one batch and one organism.
    times
        Whole numbers as float64, shape (n,).
    """

    embedding: NDArray[np.float32]
    labels: Texts
    batches: Texts
    donors: Texts
    organisms: Texts
    diseases: Texts
    times: FloatArray


@dataclass(frozen=True)
class Perturbed:
    """Predicted expression of treated and control cells, and the fold changes that it is compared with.

    Attributes
    ----------
    predicted
        float32, shape (cells, genes).
    cells, genes
        Their ids.
    cell_conditions
        What each cell was treated with, shape (cells,).
    conditions, changed_genes, fold_changes
        One line for each pair of condition and gene, shape (lines,); some fold changes are NaN.
    target_conditions, target_genes
        The genes that each condition is scored on, shape (targets,).
    paired_conditions, treated_cells, control_cells
        Each treated cell with its control, shape (treated cells,).
    """

    predicted: NDArray[np.float32]
    cells: Texts
    genes: Texts
    cell_conditions: Texts
    conditions: Texts
    changed_genes: Texts
    fold_changes: FloatArray
    target_conditions: Texts
    target_genes: Texts
    paired_conditions: Texts
    treated_cells: Texts
    control_cells: Texts

    def targets(self) -> dict[str, list[str]]:
        """Return the genes of each condition, as cz-benchmarks keeps them."""
        found: dict[str, list[str]] = {}
        for condition, gene in zip(self.target_conditions.tolist(), self.target_genes.tolist(), strict=True):
            found.setdefault(condition, []).append(gene)
        return found

    def control_of(self) -> dict[str, dict[str, str]]:
        """Return each condition's treated cells with their controls, as cz-benchmarks keeps them."""
        found: dict[str, dict[str, str]] = {}
        columns = (self.paired_conditions, self.treated_cells, self.control_cells)
        for condition, treated, control in zip(*(each.tolist() for each in columns), strict=True):
            found.setdefault(condition, {})[treated] = control
        return found


def digest(cells: Cells | Perturbed) -> str:
    """Hash all arrays with their names, dtypes and shapes."""
    summed = sha256()
    for field in fields(cells):
        array: NDArray[Any] = getattr(cells, field.name)
        is_text = array.dtype.kind == "U"
        kind = "text" if is_text else array.dtype.str
        summed.update(f"{field.name} {kind} {array.shape}\n".encode())
        summed.update("\n".join(array.tolist()).encode() if is_text else array.tobytes())
    return summed.hexdigest()


def synthetic(n: int, seed: int = 0) -> Cells:
    """Make `n` cells of 15 types of unequal size, moved by batch, donor, organism, disease and time."""
    rng = _generator(seed)
    shares = 1 / np.arange(1, N_TYPES + 1) ** 0.9
    label = rng.choice(N_TYPES, n, p=shares / shares.sum())
    donor = rng.randint(N_DONORS, size=n)
    batch, organism, disease = donor % N_BATCHES, donor // N_BATCHES % 2, donor // (2 * N_BATCHES) % 2
    time = rng.randint(N_TIMES, size=n)
    # The spread of dimensions falls as that of principal components does.
    spread = np.linspace(3.0, 0.4, N_DIMS)
    embedding = rng.normal(size=(n, N_DIMS)) * spread
    for codes, size in ((label, 0.75), (batch, 0.2), (donor, 0.15), (organism, 0.25), (disease, 0.15)):
        shifts = rng.normal(size=(int(codes.max()) + 1, N_DIMS)) * spread * size
        embedding += shifts[codes]
    along = rng.normal(size=N_DIMS) * spread
    along /= np.sqrt(np.square(along).sum())
    embedding += (time - (N_TIMES - 1) / 2)[:, None] * 1.2 * along
    return Cells(
        embedding=embedding.round(_DECIMALS).astype(np.float32),
        labels=_named("type", label),
        batches=_named("batch", batch),
        donors=_named("donor", donor),
        organisms=np.array(["human", "mouse"])[organism],
        diseases=np.array(["healthy", "ill"])[disease],
        times=time.astype(np.float64),
    )


def pbmc() -> Cells:
    """Return the bundled sample's first 50 principal components; donors and organisms are made up."""
    with np.load(BUNDLED, allow_pickle=False) as arrays:
        indptr = arrays["indptr"].astype(np.int64)
        n = len(indptr) - 1
        expression = np.zeros((n, len(arrays["genes"])))
        expression[np.repeat(np.arange(n), np.diff(indptr)), arrays["indices"]] = arrays["data"]
        labels, phases = arrays["obs_bulk_labels"], arrays["obs_phase"]
    donor = _generator(0).randint(6, size=n)
    return Cells(
        embedding=principal_components(expression, N_DIMS).round(_DECIMALS).astype(np.float32),
        labels=labels,
        batches=phases,
        donors=_named("donor", donor),
        organisms=np.array(["human", "mouse"])[np.arange(n) % 2],
        diseases=np.array(["healthy", "ill"])[donor % 2],
        times=np.select([phases == "G1", phases == "S"], [0.0, 1.0], 2.0),
    )


def principal_components(expression: FloatArray, n_components: int) -> FloatArray:
    """Project cells on their first components, each of which has its largest loading above 0."""
    centred = expression - expression.mean(axis=0)
    left, sizes, loadings = np.linalg.svd(centred, full_matrices=False)
    largest = np.abs(loadings).argmax(axis=1)
    signs = np.sign(loadings[np.arange(len(loadings)), largest])
    return np.asarray((left * sizes * signs)[:, :n_components])


def perturbed(n: int = 1200, n_genes: int = 400, n_conditions: int = 8, seed: int = 0) -> Perturbed:
    """Make predictions that know part of each condition's effect.

    A gene that is predicted to be silent in all cells, targets that were never measured or predicted, and
    fold changes that are missing are among them.
    """
    rng = _generator(seed)
    genes = np.array([f"gene_{i:04d}" for i in range(n_genes)])
    cells = np.array([f"cell_{i:05d}" for i in range(n)])
    names = np.array(["control", *(f"condition_{i}" for i in range(n_conditions))])
    code = np.where(np.arange(n) < n // 2, 0, 1 + rng.randint(n_conditions, size=n))
    touched = rng.random_sample((n_conditions, n_genes)) < 0.15
    effects = np.where(touched, rng.normal(size=touched.shape), 0.0)
    known = np.concatenate([np.zeros((1, n_genes)), 0.5 * effects + 0.4 * rng.normal(size=touched.shape)])
    base = rng.gamma(2.0, 1.0, n_genes)
    predicted = base * np.exp(known[code] + rng.normal(scale=0.4, size=(n, n_genes)))
    predicted[:, np.flatnonzero(touched[0])[0]] = 0.0
    measured = (effects + rng.normal(scale=0.2, size=effects.shape)).round(_DECIMALS)
    measured[rng.random_sample(measured.shape) < 0.05] = np.nan
    condition, gene = np.nonzero(touched)
    treated = np.flatnonzero(code)
    return Perturbed(
        predicted=predicted.round(_DECIMALS).astype(np.float32),
        cells=cells,
        genes=genes,
        cell_conditions=names[code],
        conditions=np.repeat(names[1:], n_genes + 1),
        changed_genes=np.tile(np.append(genes, "not_predicted"), n_conditions),
        fold_changes=np.concatenate([measured, np.ones((n_conditions, 1))], axis=1).ravel(),
        target_conditions=np.concatenate([names[1 + condition], names[1:], names[1:]]),
        target_genes=np.concatenate(
            [genes[gene], np.repeat(np.array(["not_measured", "not_predicted"]), n_conditions)]
        ),
        paired_conditions=names[code[treated]],
        treated_cells=cells[treated],
        control_cells=cells[rng.randint(n // 2, size=len(treated))],
    )


def _generator(seed: int) -> np.random.RandomState:
    """Return NumPy's old generator: its stream never changes, that of the new one may."""
    return np.random.RandomState(seed)


def _named(what: str, codes: NDArray[np.int64]) -> Texts:
    return np.array([f"{what}_{code:02d}" for code in codes.tolist()])


INPUTS: Mapping[str, Callable[[], Cells | Perturbed]] = {
    "pbmc": pbmc,
    "synthetic_2000": lambda: synthetic(2000),
    "synthetic_5000": lambda: synthetic(5000),
    "perturbed": perturbed,
}
"""All inputs of ``reference.json`` by name."""
