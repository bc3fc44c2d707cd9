"""The metrics of `perturbation-prediction`: predicted mean expression of conditions against the true one.

Every metric is a mean over the conditions where it is defined. A delta is a mean's difference from the mean
of the control cells. `czrun.metrics.perturbation_families` computes all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.base import MetricInfo, MetricValue, Needs, Range
from czrun.metrics.compared_means import TOP_K, ComparedMeans
from czrun.metrics.differential import DifferentialExpression, overlap_scores
from czrun.metrics.true_perturbations import TruePerturbations, pearson_delta_ceilings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Floats = NDArray[np.floating]

_UNIT, _CORRELATION, _ERROR = Range(0, 1), Range(-1, 1), Range(0, None)
_NO_GENE = "no gene is differentially expressed in truth"
_GEARS = "Roohani et al. 2024, doi:10.1038/s41587-023-01905-6"
_CHALLENGE = "Roohani et al. 2025, doi:10.1016/j.cell.2025.06.008"
_EXPRESSION = Needs.EXPRESSION

_ALL: tuple[MetricInfo, ...] = (
    MetricInfo(
        "pearson_delta",
        "Pearson of the change",
        _CORRELATION,
        True,
        "the true or the predicted change is the same for all genes",
        "Ahlmann-Eltze et al. 2025, doi:10.1038/s41592-025-02772-6",
        _EXPRESSION,
    ),
    MetricInfo(
        "lfc_spearman",
        "Spearman of log fold changes",
        _CORRELATION,
        True,
        "fewer than two genes are differentially expressed in truth, or the fold changes of all are equal",
        "Spearman 1904, doi:10.2307/1412159",
        _EXPRESSION,
    ),
    MetricInfo("mse", "Mean squared error", _ERROR, False, "", _GEARS, _EXPRESSION),
    MetricInfo("mae", "Mean absolute error", _ERROR, False, "", _CHALLENGE, _EXPRESSION),
    MetricInfo(
        "differential_expression_score",
        "Differential expression score",
        _UNIT,
        True,
        _NO_GENE,
        _CHALLENGE,
        Needs.CELLS,
    ),
    MetricInfo(
        "perturbation_discrimination",
        "Perturbation discrimination",
        _UNIT,
        True,
        "there is only one condition",
        _CHALLENGE,
        _EXPRESSION,
    ),
    MetricInfo("top_k_precision", "Precision of the top 20", _UNIT, True, _NO_GENE, _GEARS, _EXPRESSION),
    MetricInfo(
        "top_k_jaccard",
        "Jaccard index of the top 20",
        _UNIT,
        True,
        _NO_GENE,
        "Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x",
        _EXPRESSION,
    ),
    MetricInfo("de_direction", "Direction of change", _UNIT, True, _NO_GENE, _GEARS, _EXPRESSION),
    MetricInfo(
        "pearson_delta_ceiling",
        "Pearson of the change between halves of the true cells",
        _CORRELATION,
        None,
        "the condition has too few cells to halve, or the change of one half is the same for all genes",
        "Spearman 1910, doi:10.1111/j.2044-8295.1910.tb00206.x",
        _EXPRESSION,
    ),
)

METRICS: Mapping[str, MetricInfo] = {info.id: info for info in _ALL}
"""One number each, in the order in which they are shown; the first is the primary metric."""


def pearson_delta(predicted: Floats, true: FloatArray, control: FloatArray) -> MetricValue:
    """Pearson correlation of predicted and true delta over all genes; -1..1, higher is better.

    Undefined where either delta is the same for all genes: above all for a model that predicts no change.

    Parameters
    ----------
    predicted, true
        Mean expression of each condition, log1p of normalized counts, shape (conditions, genes).
    control
        Mean expression of its control cells, shape (conditions, genes), or (genes,) for all conditions.

    Raises
    ------
    ScoringError
        When shapes don't fit or values aren't finite; every problem is listed. So do all metrics here.

    References
    ----------
    Ahlmann-Eltze et al. 2025, doi:10.1038/s41592-025-02772-6.
    """
    return _mean("pearson_delta", ComparedMeans(predicted, true, control).pearson_delta())


def lfc_spearman(
    predicted: Floats, true: FloatArray, control: FloatArray, significant: BoolArray
) -> MetricValue:
    """Spearman correlation of the log fold changes of significant genes; -1..1, higher is better.

    A fold change is log((mean + 1e-8) / (control mean + 1e-8)), in the truth as in the prediction; where one
    of the condition's means is negative it is the difference of the means. Undefined with fewer than two such
    genes, or equal changes of all. For cz-benchmarks' own form see `paired_lfc_spearman`.

    Parameters
    ----------
    predicted, true, control
        See `pearson_delta`.
    significant
        Which genes are differentially expressed in truth, shape (conditions, genes).

    References
    ----------
    Spearman 1904, doi:10.2307/1412159.
    """
    return _mean("lfc_spearman", ComparedMeans(predicted, true, control, significant).lfc_spearman())


def mse(predicted: Floats, true: FloatArray) -> MetricValue:
    """Mean squared error over genes; 0 upwards, lower is better; always defined.

    Parameters
    ----------
    predicted, true
        See `pearson_delta`.

    References
    ----------
    Roohani et al. 2024, doi:10.1038/s41587-023-01905-6.
    """
    return _mean("mse", ComparedMeans(predicted, true, true).mse())


def mae(predicted: Floats, true: FloatArray) -> MetricValue:
    """Mean absolute error over genes; 0 upwards, lower is better; always defined. Takes what `mse` takes.

    References
    ----------
    Roohani et al. 2025, doi:10.1016/j.cell.2025.06.008.
    """
    return _mean("mae", ComparedMeans(predicted, true, true).mae())


def perturbation_discrimination(
    predicted: Floats, true: FloatArray, control: FloatArray, target_gene: IntArray | None = None
) -> MetricValue:
    """How near a condition's true delta is to its prediction, among all true deltas; 0..1, higher is better.

    1 - rank / conditions, the rank by L1 distance and from 0, as cell-eval 0.8.2 computes it, but equal
    distances share the middle of their ranks. Predictions that are all alike score 0.5 + 1 / (2 conditions).
    Undefined with one condition.

    Parameters
    ----------
    predicted, true, control
        See `pearson_delta`.
    target_gene
        The gene that each condition acts on, left out of its distances; -1 for none, shape (conditions,).

    References
    ----------
    Roohani et al. 2025, doi:10.1016/j.cell.2025.06.008.
    """
    compared = ComparedMeans(predicted, true, control, target_gene=target_gene)
    return _mean("perturbation_discrimination", compared.perturbation_discrimination())


def top_k_precision(
    predicted: Floats,
    true: FloatArray,
    control: FloatArray,
    significant: BoolArray | None = None,
    k: int = TOP_K,
) -> MetricValue:
    """Share of the k most changed genes found among the k predicted ones; 0..1, higher is better.

    By absolute delta, over all genes. Undefined where no gene is significant.

    Parameters
    ----------
    predicted, true, control
        See `pearson_delta`.
    significant
        See `lfc_spearman`; a condition with fewer such genes than k compares as many as it has.
    k
        At least 1. The number of genes for as many as are significant.

    References
    ----------
    Roohani et al. 2024, doi:10.1038/s41587-023-01905-6.
    """
    compared = ComparedMeans(predicted, true, control, significant, k=k)
    return _mean("top_k_precision", compared.top_k_precision())


def top_k_jaccard(
    predicted: Floats,
    true: FloatArray,
    control: FloatArray,
    significant: BoolArray | None = None,
    k: int = TOP_K,
) -> MetricValue:
    """Intersection over union of the sets that `top_k_precision` compares; 0..1, higher is better.

    References
    ----------
    Jaccard 1912, doi:10.1111/j.1469-8137.1912.tb05611.x.
    """
    compared = ComparedMeans(predicted, true, control, significant, k=k)
    return _mean("top_k_jaccard", compared.top_k_jaccard())


def de_direction(
    predicted: Floats, true: FloatArray, control: FloatArray, significant: BoolArray
) -> MetricValue:
    """Share of the significant genes whose predicted delta has the right sign; 0..1, higher is better.

    No predicted change is a wrong one. Undefined where no gene is significant.

    Parameters
    ----------
    predicted, true, control, significant
        See `lfc_spearman`.

    References
    ----------
    Roohani et al. 2024, doi:10.1038/s41587-023-01905-6.
    """
    return _mean("de_direction", ComparedMeans(predicted, true, control, significant).de_direction())


def differential_expression_score(
    predicted: DifferentialExpression, true: DifferentialExpression
) -> MetricValue:
    """Share of the truly significant genes found among the predicted ones; 0..1, higher is better.

    Of the genes that are significant in the predicted cells, as many as truly are, those of largest absolute
    fold change first, as cell-eval 0.8.2 computes it. Undefined where no gene is truly significant: cell-eval
    answers 0 there.

    Parameters
    ----------
    predicted, true
        Of the predicted and the true cells against the same control cells, see `differential_expression`.

    References
    ----------
    Roohani et al. 2025, doi:10.1016/j.cell.2025.06.008.
    """
    return _mean("differential_expression_score", overlap_scores(predicted, true))


def pearson_delta_ceiling(true: TruePerturbations, *, seed: int = 0) -> MetricValue:
    """`pearson_delta` of one half of each condition's cells as the prediction of the other; -1..1.

    What the noise of the cells leaves for a prediction to reach. A half has half the cells, so a good model
    can pass it. Undefined where no condition has two cells.

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
    return _mean("pearson_delta_ceiling", pearson_delta_ceilings(true, seed=seed))


def _mean(metric: str, values: FloatArray) -> MetricValue:
    known = values[~np.isnan(values)]
    return MetricValue.of(known.mean() if len(known) else np.nan, METRICS[metric].undefined)
