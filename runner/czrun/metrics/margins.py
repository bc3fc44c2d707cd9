"""Metrics of predicted labels, all of them functions of the confusion matrix's diagonal and margins.

Conventions, the same for every metric here:

- A cell that the model left unassigned is a wrong answer: it lowers accuracy and the recall of its true
  class. It is no false positive: no class's precision suffers.
- Averages over classes take the classes that are present in the truth, as scikit-learn does with
  ``labels=`` the present classes. A class that is only ever predicted costs the others recall and is not
  averaged in; scikit-learn's default would add a zero for it.
- The precision of a present class that is never predicted is 0 (scikit-learn's ``zero_division=0``).

The functions take any leading axes, so that one call scores all bootstrap replicates. NaN means undefined
and doesn't leave this package: `czrun.metrics.classification.evaluate` turns it into a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

UNASSIGNED_CODE = -1


@dataclass(frozen=True)
class Margins:
    """How many cells of each class there are, were predicted, and were hit.

    Attributes
    ----------
    hits
        Cells of the class that were predicted to be of it, shape (..., k).
    true
        Cells of the class, shape (..., k).
    predicted
        Cells predicted to be of the class, shape (..., k).
    unassigned
        Cells without a prediction, shape (...).
    """

    hits: FloatArray
    true: FloatArray
    predicted: FloatArray
    unassigned: FloatArray

    @classmethod
    def of_confusion(cls, confusion: IntArray) -> Margins:
        """Take them from a confusion matrix, (..., k, k + 1), as `confusion_matrix` lays it out."""
        counts = confusion.astype(np.float64)
        columns = counts.sum(axis=-2)
        hits = np.diagonal(counts, axis1=-2, axis2=-1)
        return cls(hits, counts.sum(axis=-1), columns[..., :-1], columns[..., -1])

    @classmethod
    def of_totals(cls, totals: FloatArray) -> Margins:
        """Take them from totals of the columns that `margin_columns` names, shape (..., 3 k + 1)."""
        k = totals.shape[-1] // 3
        return cls(totals[..., :k], totals[..., k : 2 * k], totals[..., 2 * k : 3 * k], totals[..., 3 * k])

    @property
    def n_obs(self) -> FloatArray:
        """Cells in all, shape (...)."""
        return np.asarray(self.true.sum(axis=-1))

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether the class has cells, shape (..., k)."""
        return self.true > 0


def margin_columns(true: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """Name, for every cell, the columns of (hits | true | predicted | unassigned) that it adds one to.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    predicted
        Class codes 0..k-1, or -1 for unassigned, shape (n,).
    n_classes
        k.

    Returns
    -------
    Columns of a table with 3 k + 1 of them, shape (n, 3). A cell that is no hit has 3 k + 1 in its first
    place, one beyond the table.
    """
    k = n_classes
    true, predicted = true.astype(np.int64), predicted.astype(np.int64)
    hits = np.where(predicted == true, true, 3 * k + 1)
    assigned = np.where(predicted == UNASSIGNED_CODE, 3 * k, 2 * k + predicted)
    return np.stack([hits, k + true, assigned], axis=-1)


def confusion_matrix(true: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """Count cells by true class (rows) and predicted class (columns), the last column unassigned.

    Parameters
    ----------
    true
        Class codes 0..k-1, shape (n,).
    predicted
        Class codes 0..k-1, or -1 for unassigned, shape (n,).
    n_classes
        k.

    Returns
    -------
    Counts of cells, shape (k, k + 1).
    """
    true, predicted = true.astype(np.int64), predicted.astype(np.int64)
    columns = np.where(predicted == UNASSIGNED_CODE, n_classes, predicted)
    entries = true * (n_classes + 1) + columns
    counts = np.bincount(entries, minlength=n_classes * (n_classes + 1))
    return counts.reshape(n_classes, n_classes + 1)


def f1_per_class(margins: Margins) -> FloatArray:
    """F1 of each class, shape (..., k): 2 hits / (true + predicted); 0..1, higher is better.

    Undefined for a class without cells.

    References
    ----------
    van Rijsbergen, Information Retrieval, 2nd ed., 1979.
    """
    return _ratio(2 * margins.hits, margins.true + margins.predicted, margins.present)


def macro_f1(margins: Margins) -> FloatArray:
    """Mean of the present classes' F1, shape (...); 0..1, higher is better; always defined.

    References
    ----------
    Opitz & Burst, Macro F1 and Macro F1, 2019, doi:10.48550/arXiv.1911.03347 (their averaged F1).
    """
    return _macro(f1_per_class(margins), margins)


def weighted_f1(margins: Margins) -> FloatArray:
    """Mean of the present classes' F1 weighted by their cells, shape (...); 0..1, higher is better.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    f1 = np.where(margins.present, f1_per_class(margins), 0.0)
    return np.asarray((f1 * margins.true).sum(axis=-1) / margins.n_obs)


def accuracy(margins: Margins) -> FloatArray:
    """Share of cells with the right label, shape (...); 0..1, higher is better; always defined.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    return np.asarray(margins.hits.sum(axis=-1) / margins.n_obs)


def macro_recall(margins: Margins) -> FloatArray:
    """Mean of the present classes' recall, shape (...); 0..1, higher is better; always defined.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    return _macro(_ratio(margins.hits, margins.true, margins.present), margins)


def balanced_accuracy(margins: Margins) -> FloatArray:
    """Mean of the present classes' recall, shape (...); 0..1, higher is better; always defined.

    With several classes it is `macro_recall` under the name that the field looks for. It isn't adjusted
    for chance.

    References
    ----------
    Brodersen et al. 2010, doi:10.1109/ICPR.2010.764.
    """
    return macro_recall(margins)


def macro_precision(margins: Margins) -> FloatArray:
    """Mean of the present classes' precision, shape (...); 0..1, higher is better; always defined.

    References
    ----------
    Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002.
    """
    precision = _ratio(margins.hits, margins.predicted, margins.predicted > 0)
    return _macro(np.where(margins.predicted > 0, precision, 0.0), margins)


def mcc(margins: Margins) -> FloatArray:
    """Multi-class Matthews correlation R_K, shape (...); -1..1, higher is better.

    Undefined (0 / 0) when all cells are of one class or all got one prediction; scikit-learn says 0 there.
    Unassigned cells count as a prediction of their own that is never right.

    References
    ----------
    Gorodkin 2004, doi:10.1016/j.compbiolchem.2004.09.006.
    """
    n = margins.n_obs
    predicted = np.concatenate([margins.predicted, margins.unassigned[..., None]], axis=-1)
    covariance = margins.hits.sum(axis=-1) * n - (margins.true * margins.predicted).sum(axis=-1)
    spread_true = n**2 - (margins.true**2).sum(axis=-1)
    spread_predicted = n**2 - (predicted**2).sum(axis=-1)
    scale = np.sqrt(spread_true) * np.sqrt(spread_predicted)
    # Rounding can carry a perfect correlation one ulp beyond 1.
    return np.clip(_ratio(covariance, scale, scale > 0), -1.0, 1.0)


def unassigned_rate(margins: Margins) -> FloatArray:
    """Share of cells that the model declined to name, shape (...); 0..1, neither direction is better.

    References
    ----------
    Abdelaal et al. 2019, doi:10.1186/s13059-019-1795-z.
    """
    return np.asarray(margins.unassigned / margins.n_obs)


def _ratio(numerator: FloatArray, denominator: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    ratio = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=ratio, where=where)
    return ratio


def _macro(per_class: FloatArray, margins: Margins) -> FloatArray:
    present = margins.present
    return np.asarray(np.where(present, per_class, 0.0).sum(axis=-1) / present.sum(axis=-1))
