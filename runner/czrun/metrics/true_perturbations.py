"""What perturbations truly did: the cells that predictions are scored against, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics.compared_means import ComparedMeans
from czrun.metrics.differential import DifferentialExpression, differential_expression
from czrun.metrics.sparse_cells import SparseCells

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TruePerturbations:
    """Cells under each condition and the control cells, all in the space that expression is predicted in.

    What is asked of them (means, differential expression, halves) is computed when first asked for, once.

    Attributes
    ----------
    conditions
        Their names: a perturbation, in a context where there are several contexts.
    treated
        Cells under the conditions, sorted by condition.
    offsets
        Where each condition begins among them, shape (conditions + 1,); each has at least one cell.
    control
        Control cells.
    context
        The context of each condition, codes from 0, shape (conditions,).
    control_context
        The context of each control cell, shape (control cells,); each context that has conditions has some.
    target_gene
        The gene that each condition acts on, -1 where that is none of the genes, shape (conditions,).
        Whether it is found says nothing of a model, so discrimination leaves it out. None: all -1.
    is_log1p
        Whether the space is log1p of normalized counts.

    Raises
    ------
    ScoringError
        When these don't fit one another; every problem is listed.
    """

    conditions: tuple[str, ...]
    treated: SparseCells
    offsets: IntArray
    control: SparseCells
    context: IntArray
    control_context: IntArray
    target_gene: IntArray | None = None
    is_log1p: bool = True

    def __post_init__(self) -> None:
        """Check that everything fits."""
        if problems := list(self._problems()):
            raise ScoringError(
                f"These perturbed cells can't be scored against:\n{listing(problems)}",
                "Treated cells are sorted by condition; every condition has cells, and control cells in its "
                "context.",
            )

    @property
    def n_vars(self) -> int:
        """Genes."""
        return self.treated.n_vars

    @cached_property
    def means(self) -> FloatArray:
        """Mean expression of the cells under each condition, shape (conditions, genes)."""
        return np.stack([cells.mean() for cells in self._by_condition()])

    @cached_property
    def control_means(self) -> FloatArray:
        """Mean expression of the control cells in each condition's context, shape (conditions, genes)."""
        codes, place = np.unique(self.context, return_inverse=True)
        means = [self.control.rows(np.flatnonzero(self.control_context == code)).mean() for code in codes]
        return np.stack(means)[place]

    @cached_property
    def differential(self) -> DifferentialExpression:
        """How the genes differ between each condition's cells and the controls of its context."""
        return differential_expression(
            self.treated,
            self.offsets,
            self.context,
            self.control,
            self.control_context,
            is_log1p=self.is_log1p,
        )

    @cached_property
    def targets(self) -> IntArray:
        """`target_gene`, with -1 throughout where it isn't given."""
        if self.target_gene is None:
            return np.full(len(self.conditions), -1)
        return self.target_gene.astype(np.int64)

    def _by_condition(self) -> Iterator[SparseCells]:
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.treated.between(start, end)

    def _problems(self) -> Iterator[str]:
        yield from (f"treated: {problem}" for problem in self.treated.problems())
        yield from (f"control: {problem}" for problem in self.control.problems())
        n = len(self.conditions)
        if n == 0:
            yield "no conditions"
        if self.treated.n_vars != self.control.n_vars:
            yield f"{self.treated.n_vars} genes in treated cells, {self.control.n_vars} in control cells"
        offsets = self.offsets
        if offsets.shape != (n + 1,) or offsets[0] != 0 or offsets[-1] != self.treated.n_obs:
            yield f"offsets: wants {n + 1} that go from 0 to {self.treated.n_obs}"
        elif (np.diff(offsets) < 1).any():
            yield f"condition {self.conditions[int(np.argmin(np.diff(offsets)))]!r} has no cells"
        if self.context.shape != (n,) or self.control_context.shape != (self.control.n_obs,):
            yield "context: wants one for each condition, and one for each control cell"
        elif missing := set(self.context.tolist()) - set(self.control_context.tolist()):
            yield f"no control cells in the contexts {sorted(missing)}"
        target = self.target_gene
        if target is not None and (
            target.shape != (n,) or target.min() < -1 or target.max() >= self.treated.n_vars
        ):
            yield "target_gene: wants one for each condition, the number of a gene or -1"


@dataclass(frozen=True)
class HalfMeans:
    """Mean expression of two halves of the cells of each condition that has at least two.

    Attributes
    ----------
    conditions
        Numbers of these conditions, shape (halved,).
    first, second
        Shape (halved, genes). The halves have no cell in common and are of equal size: of an odd number of
        cells one is left out.
    """

    conditions: IntArray
    first: FloatArray
    second: FloatArray


def split_half_means(true: TruePerturbations, *, seed: int = 0) -> HalfMeans:
    """Average two random halves of each condition's cells.

    Any metric of predicted means takes one half as the prediction of the other, and so says how well the
    data themselves allow a prediction to score.

    Parameters
    ----------
    true
        The cells.
    seed
        Of the split.

    References
    ----------
    Spearman 1910, doi:10.1111/j.2044-8295.1910.tb00206.x.
    """
    rng = np.random.default_rng(seed)
    sizes = np.diff(true.offsets)
    halved = np.flatnonzero(sizes > 1)
    halves = np.empty((2, len(halved), true.n_vars))
    for place, condition in enumerate(halved):
        cells = true.offsets[condition] + rng.permutation(sizes[condition])
        half = len(cells) // 2
        halves[0, place] = true.treated.rows(cells[:half]).mean()
        halves[1, place] = true.treated.rows(cells[half : 2 * half]).mean()
    return HalfMeans(halved, halves[0], halves[1])


def pearson_delta_ceilings(true: TruePerturbations, *, seed: int = 0) -> FloatArray:
    """Correlate the changes of two halves of each condition's cells.

    Parameters
    ----------
    true
        The cells.
    seed
        Of the split.

    Returns
    -------
    -1..1, shape (conditions,); NaN where there is one cell, or a half's change is the same for all genes.
    """
    ceilings = np.full(len(true.conditions), np.nan)
    halves = split_half_means(true, seed=seed)
    if len(halves.conditions):
        compared = ComparedMeans(halves.first, halves.second, true.control_means[halves.conditions])
        ceilings[halves.conditions] = compared.pearson_delta()
    return ceilings
