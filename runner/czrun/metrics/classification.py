"""The metrics of `cell-type-classification`: what each is, and one call that computes them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.errors import ScoringError, listing
from czrun.metrics import margins as m
from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.families import Family, undefined
from czrun.metrics.margins import UNASSIGNED_CODE, Margins, margin_columns
from czrun.metrics.probabilities import N_BINS, RankingTally, calibration_gaps, cell_log_loss
from czrun.metrics.tallies import SumTally, columns_by_unit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NO_PROBA = "the model gave no probabilities"
CLASS_ABSENT = "no test cell is of this class"

_UNIT = Range(0, 1)
_SOKOLOVA = "Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002"
_OPITZ = "Opitz & Burst 2019, doi:10.48550/arXiv.1911.03347"
_PREDICTIONS, _PROBA = Needs.PREDICTIONS, Needs.PROBA

_ALL: tuple[MetricInfo, ...] = (
    MetricInfo("macro_f1", "Macro F1", _UNIT, True, "", _OPITZ, _PREDICTIONS),
    MetricInfo("accuracy", "Accuracy", _UNIT, True, "", _SOKOLOVA, _PREDICTIONS),
    MetricInfo(
        "balanced_accuracy",
        "Balanced accuracy",
        _UNIT,
        True,
        "",
        "Brodersen et al. 2010, doi:10.1109/ICPR.2010.764",
        _PREDICTIONS,
    ),
    MetricInfo("weighted_f1", "Weighted F1", _UNIT, True, "", _SOKOLOVA, _PREDICTIONS),
    MetricInfo("macro_precision", "Macro precision", _UNIT, True, "", _SOKOLOVA, _PREDICTIONS),
    MetricInfo("macro_recall", "Macro recall", _UNIT, True, "", _SOKOLOVA, _PREDICTIONS),
    MetricInfo(
        "mcc",
        "Matthews correlation",
        Range(-1, 1),
        True,
        "all test cells are of one class, or all got one prediction",
        "Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006",
        _PREDICTIONS,
    ),
    MetricInfo(
        "auroc_ovr_macro",
        "AUROC, one vs rest, macro",
        _UNIT,
        True,
        "all test cells are of one class",
        "Fawcett 2006, doi:10.1016/j.patrec.2005.10.010",
        _PROBA,
    ),
    MetricInfo(
        "log_loss",
        "Log loss (nats)",
        Range(0, None),
        False,
        "",
        "Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x",
        _PROBA,
    ),
    MetricInfo(
        "expected_calibration_error",
        "Expected calibration error",
        _UNIT,
        False,
        "",
        "Guo et al. 2017, doi:10.48550/arXiv.1706.04599",
        _PROBA,
    ),
    MetricInfo(
        "unassigned_rate",
        "Unassigned cells",
        _UNIT,
        None,
        "",
        "Abdelaal et al. 2019, doi:10.1186/s13059-019-1795-z",
        _PREDICTIONS,
    ),
)

METRICS: Mapping[str, MetricInfo] = {info.id: info for info in _ALL}
"""One number each, in the order in which they are shown; the first is the primary metric."""

TABLES: Mapping[str, MetricInfo] = {
    "f1_per_class": MetricInfo(
        "f1_per_class", "F1 by class", _UNIT, True, CLASS_ABSENT, _OPITZ, _PREDICTIONS
    ),
    "confusion_matrix": MetricInfo(
        "confusion_matrix", "Confusion matrix (cells)", Range(0, None), None, "", _SOKOLOVA, _PREDICTIONS
    ),
}
"""What is shown beside the metrics: one number a class, or a pair of classes."""

_OF_MARGINS: Mapping[str, Callable[[Margins], FloatArray]] = {
    "macro_f1": m.macro_f1,
    "accuracy": m.accuracy,
    "balanced_accuracy": m.balanced_accuracy,
    "weighted_f1": m.weighted_f1,
    "macro_precision": m.macro_precision,
    "macro_recall": m.macro_recall,
    "mcc": m.mcc,
    "unassigned_rate": m.unassigned_rate,
}

LABEL_COLUMNS = tuple(_OF_MARGINS)
"""The metrics in a `label_tally`'s first columns; the classes' F1 follow."""

PROBA_COLUMNS = ("log_loss", "expected_calibration_error")
"""The metrics in a `proba_tally`'s columns."""

RANKING_COLUMNS = ("auroc_ovr_macro",)
"""The metric in a `RankingTally`'s column."""


def label_families(
    true: IntArray, predicted: IntArray, proba: FloatArray | None, classes: Sequence[str]
) -> tuple[Family, ...]:
    """Return every metric of `METRICS`, and as ``f1_per_class/LABEL`` the F1 of each class.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    predicted
        Class codes 0..k-1, or -1 for unassigned, shape (n,).
    proba
        Probabilities, shape (n, k), or None.
    classes
        Names of the classes, in the order of their codes.

    Raises
    ------
    ScoringError
        When the arrays don't fit one another; every problem is listed.
    """
    k = len(classes)
    require_sound(problems_in(true, predicted, proba, k))
    true, predicted = true.astype(np.int64), predicted.astype(np.int64)
    f1_names = tuple(f"f1_per_class/{label}" for label in classes)
    labels = Family(
        (*LABEL_COLUMNS, *f1_names),
        lambda unit, share: label_tally(true, predicted, k, unit, share),
        kinds=np.stack([true, predicted], axis=-1),
        reasons=dict.fromkeys(f1_names, CLASS_ABSENT),
    )
    if proba is None:
        return (labels, undefined(PROBA_COLUMNS, NO_PROBA), undefined(RANKING_COLUMNS, NO_PROBA))
    return (
        labels,
        Family(PROBA_COLUMNS, lambda unit, share: proba_tally(true, proba, unit, share)),
        Family(RANKING_COLUMNS, lambda unit, _: RankingTally(true, proba, unit)),
    )


def label_tally(
    true: IntArray, predicted: IntArray, n_classes: int, unit: IntArray, share: IntArray
) -> SumTally:
    """Sum cells up by unit for the metrics of predicted labels: `LABEL_COLUMNS`, then F1 of each class."""
    columns = margin_columns(true, predicted, n_classes)
    return SumTally(columns_by_unit(unit, columns, np.ones(1), share, 3 * n_classes + 1), _label_values)


def proba_tally(true: IntArray, proba: FloatArray, unit: IntArray, share: IntArray) -> SumTally:
    """Sum cells up by unit for `PROBA_COLUMNS`."""
    bins, gaps = calibration_gaps(true, proba)
    columns = np.stack([np.zeros_like(bins), np.ones_like(bins), 2 + bins], axis=-1)
    amounts = np.stack([np.ones(len(true)), cell_log_loss(true, proba), gaps], axis=-1)
    return SumTally(columns_by_unit(unit, columns, amounts, share, 2 + N_BINS), _proba_values)


def _label_values(totals: FloatArray) -> FloatArray:
    margins = Margins.of_totals(totals)
    scalars = [metric(margins) for metric in _OF_MARGINS.values()]
    return np.concatenate([np.stack(scalars, axis=-1), m.f1_per_class(margins)], axis=-1)


def _proba_values(totals: FloatArray) -> FloatArray:
    n, loss, gaps = totals[:, 0], totals[:, 1], totals[:, 2:]
    return np.stack([loss / n, np.abs(gaps).sum(axis=1) / n], axis=-1)


def evaluate(
    true: IntArray, predicted: IntArray, proba: FloatArray | None, n_classes: int
) -> dict[str, MetricValue]:
    """Compute every metric of `METRICS` on one set of test cells.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    predicted
        Class codes 0..k-1, or -1 for unassigned, shape (n,).
    proba
        Probabilities, shape (n, k), or None.
    n_classes
        k.

    Returns
    -------
    One value for each id of `METRICS`, in its order.

    Raises
    ------
    ScoringError
        When the arrays don't fit one another; every problem is listed.
    """
    require_sound(problems_in(true, predicted, proba, n_classes))
    whole = np.zeros(len(true), dtype=np.int64)
    once = np.ones(1, dtype=np.int64)
    draws = once[None]
    row = dict(
        zip(
            LABEL_COLUMNS, label_tally(true, predicted, n_classes, whole, once).values(draws)[0], strict=False
        )
    )
    if proba is not None:
        row.update(zip(PROBA_COLUMNS, proba_tally(true, proba, whole, once).values(draws)[0], strict=True))
        row.update(zip(RANKING_COLUMNS, RankingTally(true, proba, whole).values(draws)[0], strict=True))
    return {
        name: MetricValue.of(row[name], info.undefined) if name in row else MetricValue(None, NO_PROBA)
        for name, info in METRICS.items()
    }


def problems_in(
    true: NDArray[Any],
    predicted: NDArray[Any],
    proba: NDArray[Any] | None,
    n_classes: int,
) -> list[str]:
    """List what keeps these arrays from being scored; empty when nothing does."""
    problems = [*_code_problems("true", true, 0, n_classes)]
    problems += _code_problems("predicted", predicted, UNASSIGNED_CODE, n_classes)
    if true.ndim == predicted.ndim == 1 and len(true) != len(predicted):
        problems.append(f"{len(true)} true labels, but {len(predicted)} predicted ones")
    if proba is not None:
        problems += _proba_problems(proba, len(true), n_classes)
    return problems


def require_sound(problems: Sequence[str]) -> None:
    """Raise a ScoringError that lists `problems`, if there are any."""
    if problems:
        raise ScoringError(
            f"These predictions can't be scored:\n{listing(problems)}",
            "Labels are codes in the order of the job's classes, -1 for an unassigned cell; proba has one "
            "row a cell and one column a class. Check the output of the model against the contract.",
        )


def _code_problems(name: str, codes: NDArray[Any], lowest: int, n_classes: int) -> list[str]:
    if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
        return [f"{name}: wants whole numbers of shape (n,), got {codes.dtype} of shape {codes.shape}"]
    if len(codes) == 0:
        return [f"{name}: no cells"]
    outside = (codes < lowest) | (codes >= n_classes)
    if not outside.any():
        return []
    first = int(np.argmax(outside))
    extent = f"{int(outside.sum())} codes outside {lowest}..{n_classes - 1}"
    return [f"{name}: {extent}, the first {codes[first]} at cell {first}"]


def _proba_problems(proba: NDArray[Any], n_obs: int, n_classes: int) -> list[str]:
    if not np.issubdtype(proba.dtype, np.floating):
        return [f"proba: wants floating-point numbers, got {proba.dtype}"]
    if proba.shape != (n_obs, n_classes):
        return [f"proba: wants shape ({n_obs}, {n_classes}), got {proba.shape}"]
    if not np.isfinite(proba).all():
        return [f"proba: {int((~np.isfinite(proba)).any(axis=1).sum())} cells have a value that isn't finite"]
    if (proba < 0).any():
        return [f"proba: {int((proba < 0).any(axis=1).sum())} cells have a value below 0"]
    empty = proba.sum(axis=1) <= 0
    return [f"proba: {int(empty.sum())} cells have probabilities that sum to 0"] if empty.any() else []
