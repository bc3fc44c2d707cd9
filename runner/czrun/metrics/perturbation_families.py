"""All metrics of a trial of `perturbation-prediction`, ready to be resampled by condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics.compared_means import ComparedMeans, beyond_float32
from czrun.metrics.differential import differential_expression, overlap_scores
from czrun.metrics.families import Family, mean_tally
from czrun.metrics.perturbation import METRICS
from czrun.metrics.tallies import SumTally
from czrun.metrics.true_perturbations import TruePerturbations, pearson_delta_ceilings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NO_CELLS = "the model gave no cells"

_ROWS_CHECKED_AT_ONCE = 1024

_OF_MEANS: Mapping[str, Callable[[ComparedMeans], FloatArray]] = {
    "pearson_delta": ComparedMeans.pearson_delta,
    "lfc_spearman": ComparedMeans.lfc_spearman,
    "mse": ComparedMeans.mse,
    "mae": ComparedMeans.mae,
    "perturbation_discrimination": ComparedMeans.perturbation_discrimination,
    "top_k_precision": ComparedMeans.top_k_precision,
    "top_k_jaccard": ComparedMeans.top_k_jaccard,
    "de_direction": ComparedMeans.de_direction,
}


def perturbation_families(
    predicted: NDArray[np.floating],
    true: TruePerturbations,
    cells: NDArray[np.floating] | None = None,
    *,
    seed: int = 0,
) -> tuple[Family, ...]:
    """Score every condition by every metric of `METRICS`; the items are conditions.

    Redraws are of the scored conditions: ranks among all conditions, and everything else that was computed
    from cells, stay as they are.

    Parameters
    ----------
    predicted
        Mean expression of each condition, shape (conditions, genes).
    true
        What they are scored against; keep it for other models, since most of the work is its own.
    cells
        Predicted cells in the same space, as many as there are true ones, in the order of the conditions,
        shape (treated cells, genes); compared as float32. None where the model gave none.
    seed
        Of the split behind the ceiling.

    Raises
    ------
    ScoringError
        When the predictions don't fit the truth, or aren't finite; every problem is listed.
    """
    compared = ComparedMeans(
        predicted, true.means, true.control_means, true.differential.significant, true.targets
    )
    found = {name: score(compared) for name, score in _OF_MEANS.items()}
    found["differential_expression_score"] = _scores_of_cells(cells, true)
    found["pearson_delta_ceiling"] = pearson_delta_ceilings(true, seed=seed)
    values = np.stack([found[name] for name in METRICS], axis=1)

    def tally(unit: IntArray, share: IntArray) -> SumTally:
        return mean_tally(values, unit, share)

    reasons = {"differential_expression_score": NO_CELLS} if cells is None else {}
    return (Family(tuple(METRICS), tally, reasons=reasons, notes=dict(_notes(values))),)


def _scores_of_cells(cells: NDArray[np.floating] | None, true: TruePerturbations) -> FloatArray:
    if cells is None:
        return np.full(len(true.conditions), np.nan)
    if problems := list(_problems(cells, true)):
        raise ScoringError(
            f"These predicted cells can't be scored:\n{listing(problems)}",
            "Predictions hold as many cells for each condition as were asked for, all of them finite.",
        )
    predicted = differential_expression(
        cells,
        true.offsets,
        true.context,
        true.control,
        true.control_context,
        is_log1p=true.is_log1p,
    )
    return overlap_scores(predicted, true.differential)


def _problems(cells: NDArray[np.floating], true: TruePerturbations) -> Iterator[str]:
    shape = (true.treated.n_obs, true.n_vars)
    if not np.issubdtype(cells.dtype, np.floating):
        yield f"cells: wants floating-point numbers, got {cells.dtype}"
    elif cells.shape != shape:
        yield f"cells: wants shape {shape}, got {cells.shape}"
    else:
        # In blocks: the array may be a file that is larger than memory.
        blocks = range(0, len(cells), _ROWS_CHECKED_AT_ONCE)
        bad = sum(beyond_float32(cells[at : at + _ROWS_CHECKED_AT_ONCE]) for at in blocks)
        if bad:
            yield f"cells: {bad} values aren't finite, or beyond float32"


def _notes(values: FloatArray) -> Iterator[tuple[str, str]]:
    for (name, info), column in zip(METRICS.items(), values.T, strict=True):
        missing = int(np.isnan(column).sum())
        if 0 < missing < len(column):
            yield (
                name,
                f"over {len(column) - missing} of {len(column)} conditions; elsewhere {info.undefined}",
            )
        if name == "pearson_delta_ceiling" and missing == 0:
            yield name, "halves have half the cells, so a good model can pass it"
