"""Predicted mean expression of conditions beside the true one, and the scores of each condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics import deltas

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TOP_K = 20


@dataclass(frozen=True)
class ComparedMeans:
    """Means of conditions, predicted and true, and the means of their control cells.

    Each method scores every condition, shape (conditions,), with NaN where the score is undefined.

    Attributes
    ----------
    predicted
        In any floating dtype, shape (conditions, genes).
    true
        Shape (conditions, genes).
    control
        Shape (conditions, genes), or (genes,) for all conditions.
    significant
        Which genes are differentially expressed in truth, shape (conditions, genes). None: not known; scores
        that go by such genes then take all genes.
    target_gene
        The gene that each condition acts on, or -1, shape (conditions,). None: not known.
    k
        Genes of largest change that are compared: as many as are significant where those are fewer.

    Raises
    ------
    ScoringError
        When shapes don't fit, or values aren't finite or exceed float32; every problem is listed.
    """

    predicted: NDArray[np.floating]
    true: FloatArray
    control: FloatArray
    significant: BoolArray | None = None
    target_gene: IntArray | None = None
    k: int = TOP_K

    def __post_init__(self) -> None:
        """Check that everything fits."""
        if problems := list(self._problems()):
            raise ScoringError(
                f"These predicted means can't be scored:\n{listing(problems)}",
                "Predictions hold one row a condition and one column a gene, all of them finite.",
            )

    @cached_property
    def predicted_delta(self) -> FloatArray:
        """Predicted change, shape (conditions, genes)."""
        return np.asarray(self._settled - self.control)

    @cached_property
    def true_delta(self) -> FloatArray:
        """True change, shape (conditions, genes)."""
        return np.asarray(self.true, dtype=np.float64) - self.control

    def pearson_delta(self) -> FloatArray:
        """Pearson correlation of the changes."""
        return _each(deltas.pearson, self.predicted_delta, self.true_delta)

    def lfc_spearman(self) -> FloatArray:
        """Spearman correlation of the significant genes' log fold changes."""
        control = np.broadcast_to(self.control, self.true.shape)
        return _each(_spearman_of_significant, self._settled, self.true, control, self._candidates)

    def mse(self) -> FloatArray:
        """Mean squared error over the genes."""
        return _each(lambda p, t: float(np.square(p - t).mean()), self.predicted, self.true)

    def mae(self) -> FloatArray:
        """Mean absolute error over the genes."""
        return _each(lambda p, t: float(np.abs(p - t).mean()), self.predicted, self.true)

    def perturbation_discrimination(self) -> FloatArray:
        """How near the condition's own true change is among those of all conditions."""
        target = np.full(len(self.true), -1) if self.target_gene is None else self.target_gene
        return deltas.discrimination(self.predicted_delta, self.true_delta, target)

    def top_k_precision(self) -> FloatArray:
        """Share of the genes of largest true change that are among those of largest predicted change."""
        return _ratio(self._top_hits, self._n_top)

    def top_k_jaccard(self) -> FloatArray:
        """Intersection over union of the genes of largest true and largest predicted change."""
        return _ratio(self._top_hits, 2 * self._n_top - self._top_hits)

    def de_direction(self) -> FloatArray:
        """Share of the significant genes whose change has the right sign."""
        return _each(deltas.direction_share, self.predicted_delta, self.true_delta, self._candidates)

    @cached_property
    def _settled(self) -> FloatArray:
        return deltas.without_rounding(self.predicted, np.asarray(self.control, dtype=np.float64))

    @property
    def _n_top(self) -> IntArray:
        return np.asarray(np.minimum(self.k, self._candidates.sum(axis=1)))

    @cached_property
    def _top_hits(self) -> FloatArray:
        rows = zip(self.predicted_delta, self.true_delta, self._n_top, strict=True)
        return np.array([deltas.top_hits(p, t, n) if n else 0.0 for p, t, n in rows], dtype=np.float64)

    @property
    def _candidates(self) -> BoolArray:
        return np.ones(self.true.shape, dtype=bool) if self.significant is None else self.significant

    def _problems(self) -> Iterator[str]:
        if self.true.ndim != 2 or self.true.size == 0:
            yield f"true: wants shape (conditions, genes), got {self.true.shape}"
            return
        shape = self.true.shape
        for name, table in (("predicted", self.predicted), ("true", self.true), ("control", self.control)):
            if not np.issubdtype(table.dtype, np.floating):
                yield f"{name}: wants floating-point numbers, got {table.dtype}"
            elif table.shape != shape and not (name == "control" and table.shape == shape[1:]):
                yield f"{name}: wants shape {shape}, got {table.shape}"
            elif bad := beyond_float32(table):
                yield f"{name}: {bad} values aren't finite, or beyond float32"
        chosen, target = self.significant, self.target_gene
        if chosen is not None and (chosen.shape != shape or chosen.dtype.kind != "b"):
            yield f"significant: wants booleans of shape {shape}, got {chosen.dtype} of shape {chosen.shape}"
        if target is not None and (target.shape != shape[:1] or target.max() >= shape[1]):
            yield f"target_gene: wants numbers of genes, or -1, of shape {shape[:1]}"
        if self.k < 1:
            yield f"k: wants at least 1, got {self.k}"


def beyond_float32(values: NDArray[np.floating]) -> int:
    """Count the values that float32 can't hold; what it can hold, float64 squares and sums safely."""
    return int((~(np.abs(values) <= np.finfo(np.float32).max)).sum())


def _each(score: Callable[..., float], *tables: NDArray[Any]) -> FloatArray:
    return np.array([score(*rows) for rows in zip(*tables, strict=True)], dtype=np.float64)


def _ratio(numerator: FloatArray, denominator: FloatArray | IntArray) -> FloatArray:
    ratio = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=denominator > 0)
    return ratio


def _spearman_of_significant(
    predicted: FloatArray, true: FloatArray, control: FloatArray, significant: BoolArray
) -> float:
    return deltas.fold_change_spearman(predicted[significant], true[significant], control[significant])
