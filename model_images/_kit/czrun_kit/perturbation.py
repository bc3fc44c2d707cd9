"""Perturbations: what they did to the training cells, and control cells moved by a predicted effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from czrun_kit.answers import Expression
from czrun_kit.cells import Cells
from czrun_kit.expression import group_means, log_normalize
from czrun_kit.failures import BadInput
from czrun_kit.job import Job

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Effects:
    """What each perturbation did to each context's mean expression, in the space that the job names.

    Attributes
    ----------
    genes
        Shape (n_vars,).
    perturbations, contexts
        One entry per pair that the training cells hold, shape (n_pairs,).
    n_cells
        Perturbed cells of the pair, shape (n_pairs,).
    deltas
        Mean of the perturbed cells less that of the control cells of the same context (of all control cells
        where the context has none), shape (n_pairs, n_vars).
    """

    genes: NDArray[np.str_]
    perturbations: NDArray[np.str_]
    contexts: NDArray[np.str_]
    n_cells: NDArray[np.int64]
    deltas: NDArray[np.float32]

    @classmethod
    def measure(cls, job: Job, cells: Cells) -> Effects:
        """Measure the effects in the cells of fit; raises BadInput where none is perturbed."""
        X = expression_of(job, cells)
        is_control = cells.column("is_control").astype(bool)
        if is_control.all() or not is_control.any():
            raise BadInput("effects need both control cells and perturbed cells")
        pairs = np.stack([cells.column("perturbation"), contexts_of(cells)])[:, ~is_control]
        (perturbations, contexts), codes = np.unique(pairs, axis=1, return_inverse=True)
        codes = codes.ravel()
        means = group_means(X[~is_control], codes, len(contexts))
        base = np.stack([X[rows].mean(axis=0, dtype=np.float64).A1 for rows in control_rows(cells, contexts)])
        n_cells = np.bincount(codes, minlength=len(contexts))
        return cls(cells.genes, perturbations, contexts, n_cells, (means - base).astype(np.float32))

    @classmethod
    def load(cls, model: Mapping[str, NDArray[Any]], cells: Cells) -> Effects:
        """Return what fit saved, its columns being the genes of `cells`; a gene new to it has no effect."""
        saved = cls(**{entry.name: model[entry.name] for entry in fields(cls)})
        column = {gene: at for at, gene in enumerate(saved.genes.tolist())}
        at = np.array([column.get(gene, len(column)) for gene in cells.genes.tolist()])
        deltas = np.pad(saved.deltas, ((0, 0), (0, 1)))[:, at]
        return cls(cells.genes, saved.perturbations, saved.contexts, saved.n_cells, deltas)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `load` takes."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def of(self, perturbation: str) -> NDArray[np.float32] | None:
        """Return its effect over all contexts, weighted by cells, shape (n_vars,); None where it is new."""
        rows = self.perturbations == perturbation
        return np.average(self.deltas[rows], axis=0, weights=self.n_cells[rows]) if rows.any() else None

    def mean(self) -> NDArray[np.float32]:
        """Return the mean effect of all perturbations, each counted once, shape (n_vars,)."""
        return np.mean([self.of(name) for name in np.unique(self.perturbations)], axis=0)


def expression_of(job: Job, cells: Cells) -> csr_matrix:
    """Return the cells in the space that predictions are to be in, shape (n_obs, n_vars)."""
    return log_normalize(cells.X, "counts") if job.dataset.expression == "log1p_cp10k" else cells.X


def contexts_of(cells: Cells) -> NDArray[np.str_]:
    """Return each cell's context, shape (n_obs,); empty where the task knows none."""
    return cells.obs["context"] if "context" in cells.obs else np.full(len(cells), "")


def control_rows(cells: Cells, contexts: NDArray[np.str_] | list[str]) -> list[NDArray[np.intp]]:
    """Return the rows of the control cells of each context; all control cells for one that has none."""
    is_control = cells.obs.get("is_control", np.ones(len(cells), dtype=bool)).astype(bool)
    of_cell = contexts_of(cells)
    everywhere = np.flatnonzero(is_control)
    rows = {name: np.flatnonzero(is_control & (of_cell == name)) for name in set(contexts)}
    return [rows[name] if len(rows[name]) else everywhere for name in contexts]


def shifted_controls(
    job: Job, cells: Cells, shifts: NDArray[np.floating[Any]], *, with_cells: bool = False
) -> Expression:
    """Move the control cells of each condition's context by a predicted effect.

    Parameters
    ----------
    job, cells
        The control cells of predict, with the conditions.
    shifts
        The effect of each condition, shape (n_conditions, n_vars).
    with_cells
        Whether to give cells as well: control cells drawn by the job's seed, each moved by the effect.

    Returns
    -------
    Expression
        Nothing falls below 0 where no value of X does.
    """
    X = expression_of(job, cells)
    floor = 0.0 if X.nnz == 0 or X.data.min() >= 0 else -np.inf
    rows = control_rows(cells, [condition.context for condition in cells.conditions])
    bases = np.stack([X[at].mean(axis=0, dtype=np.float64).A1 for at in rows])

    def draw() -> Iterator[NDArray[np.float32]]:
        rng = np.random.default_rng(job.seed)
        for condition, at, shift in zip(cells.conditions, rows, shifts, strict=True):
            drawn = rng.choice(at, condition.n_cells, replace=condition.n_cells > len(at))
            yield np.maximum(X[drawn].toarray() + shift, floor)

    return Expression(np.maximum(bases + shifts, floor), draw() if with_cells else None)
