"""The metrics of predicted labels as functions of labels; `czrun.metrics.margins` holds their conventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from czrun.contract.job import UNASSIGNED
from czrun.errors import ScoringError
from czrun.metrics.base import MetricValue
from czrun.metrics.classification import CLASS_ABSENT, evaluate
from czrun.metrics.encoding import encode
from czrun.metrics.margins import Margins, f1_per_class
from czrun.metrics.margins import confusion_matrix as count_confusions

IntArray = NDArray[np.int64]


def macro_f1(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Mean of the present classes' F1; 0..1, higher is better; always defined.

    Parameters
    ----------
    true, predicted
        Labels, shape (n,); a predicted ``"__unassigned__"`` is a wrong answer from which no class's precision
        suffers.

    Returns
    -------
    MetricValue
        The value.

    Raises
    ------
    ScoringError
        When the two don't fit one another.

    References
    ----------
    Opitz & Burst 2019, doi:10.48550/arXiv.1911.03347.
    """
    return _of_labels("macro_f1", true, predicted)


def weighted_f1(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Mean of the present classes' F1 weighted by their cells; 0..1; parameters as for `macro_f1`.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    return _of_labels("weighted_f1", true, predicted)


def accuracy(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Share of cells with the right label; 0..1, higher is better; parameters as for `macro_f1`.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    return _of_labels("accuracy", true, predicted)


def balanced_accuracy(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Mean of the present classes' recall; 0..1, higher is better; parameters as for `macro_f1`.

    References
    ----------
    Brodersen et al. 2010, doi:10.1109/ICPR.2010.764.
    """
    return _of_labels("balanced_accuracy", true, predicted)


def macro_precision(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Mean of the present classes' precision; 0..1, higher is better; parameters as for `macro_f1`.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    return _of_labels("macro_precision", true, predicted)


def macro_recall(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Mean of the present classes' recall; 0..1, higher is better; parameters as for `macro_f1`.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    return _of_labels("macro_recall", true, predicted)


def mcc(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Multi-class Matthews correlation R_K; -1..1, higher is better; parameters as for `macro_f1`.

    Undefined when all cells are of one class, or all got one prediction.

    References
    ----------
    Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006.
    """
    return _of_labels("mcc", true, predicted)


def unassigned_rate(true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    """Share of cells predicted ``"__unassigned__"``; 0..1, neither direction is better.

    References
    ----------
    Abdelaal et al. 2019, doi:10.1186/s13059-019-1795-z.
    """
    return _of_labels("unassigned_rate", true, predicted)


def auroc_ovr_macro(true: ArrayLike, proba: NDArray[Any], classes: Sequence[Any]) -> MetricValue:
    """Area under the ROC curve of each class against the rest, averaged; 0..1, higher is better.

    Undefined when all cells are of one class.

    Parameters
    ----------
    true
        Labels, shape (n,), all of them among the classes.
    proba
        Probabilities, shape (n, k); only their order within a column matters.
    classes
        What the columns stand for, k of them.

    Raises
    ------
    ScoringError
        When these don't fit one another.

    References
    ----------
    Fawcett 2006, doi:10.1016/j.patrec.2005.10.010.
    """
    return _of_proba("auroc_ovr_macro", true, proba, classes)


def log_loss(true: ArrayLike, proba: NDArray[Any], classes: Sequence[Any]) -> MetricValue:
    """Mean negative logarithm of the true class's probability, nats; 0 and up, lower is better.

    Parameters as for `auroc_ovr_macro`; rows are scaled to sum to 1.

    References
    ----------
    Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    return _of_proba("log_loss", true, proba, classes)


def expected_calibration_error(true: ArrayLike, proba: NDArray[Any], classes: Sequence[Any]) -> MetricValue:
    """Mean gap of confidence and accuracy over 15 bins of confidence; 0..1, lower is better.

    Parameters as for `auroc_ovr_macro`; rows are scaled to sum to 1.

    References
    ----------
    Guo et al. 2017, doi:10.48550/arXiv.1706.04599.
    """
    return _of_proba("expected_calibration_error", true, proba, classes)


def f1_of_each_class(true: ArrayLike, predicted: ArrayLike) -> dict[str, MetricValue]:
    """F1 of every class that is in the truth or was predicted; undefined for one without cells.

    Parameters as for `macro_f1`.

    References
    ----------
    Opitz & Burst 2019, doi:10.48550/arXiv.1911.03347.
    """
    classes, codes, found = _coded(true, predicted)
    margins = Margins.of_confusion(count_confusions(codes, found, len(classes)))
    values = f1_per_class(margins).tolist()
    return {name: MetricValue.of(value, CLASS_ABSENT) for name, value in zip(classes, values, strict=True)}


def confusion_matrix(true: ArrayLike, predicted: ArrayLike) -> tuple[list[str], IntArray]:
    """Count cells by true (rows) and predicted class (columns, the last one unassigned).

    Parameters as for `macro_f1`.

    Returns
    -------
    The classes in order, and counts of shape (k, k + 1).
    """
    classes, codes, found = _coded(true, predicted)
    return classes, count_confusions(codes, found, len(classes))


def _of_labels(name: str, true: ArrayLike, predicted: ArrayLike) -> MetricValue:
    classes, codes, found = _coded(true, predicted)
    return evaluate(codes, found, None, len(classes))[name]


def _of_proba(name: str, true: ArrayLike, proba: NDArray[Any], classes: Sequence[Any]) -> MetricValue:
    names = [str(each) for each in classes]
    labels = np.asarray(true).astype(str)
    if strange := sorted(set(labels.ravel().tolist()) - set(names)):
        raise ScoringError(
            f"{len(strange)} true labels are none of the classes, such as {strange[0]!r}.",
            "Name the class of each column of proba.",
        )
    codes = np.array([names.index(label) for label in labels.ravel().tolist()], dtype=np.int64)
    top = np.zeros(len(codes), dtype=np.int64)  # the predicted labels play no part
    return evaluate(codes, top, np.asarray(proba), len(names))[name]


def _coded(true: ArrayLike, predicted: ArrayLike) -> tuple[list[str], IntArray, IntArray]:
    encode({"true": true, "predicted": predicted})
    labels, answers = np.asarray(true).astype(str), np.asarray(predicted).astype(str)
    names = np.unique(np.concatenate([labels, answers[answers != UNASSIGNED]]))
    codes, found = np.searchsorted(names, labels), np.searchsorted(names, answers)
    return names.tolist(), codes, np.where(answers == UNASSIGNED, -1, found)
