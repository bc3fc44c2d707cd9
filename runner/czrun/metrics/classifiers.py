"""Three simple classifiers that ask how much of a label an embedding holds: linear, local, and by trees."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from czrun.metrics.threads import in_threads

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CLASSIFIERS = ("lr", "knn", "rf")
"""Logistic regression, nearest neighbours, random forest: the order of all tables of them."""

N_NEIGHBOURS = 5
N_TREES = 100


@dataclass(frozen=True)
class Recipe:
    """How the linear and the local classifier are set up.

    Attributes
    ----------
    centred
        Whether features lose their training mean before they are divided by their standard deviation.
    max_iter
        Steps that logistic regression may take.
    """

    centred: bool
    max_iter: int


@dataclass(frozen=True)
class Judgement:
    """What the classifiers say of test cells.

    Attributes
    ----------
    proba
        Probabilities, one layer a classifier in the order of `CLASSIFIERS`, shape (3, n, k); 0 for a class
        without training cells.
    converged
        Whether logistic regression did, within its steps.
    """

    proba: FloatArray
    converged: bool


def judge(
    train: NDArray[Any], codes: IntArray, test: NDArray[Any], n_classes: int, recipe: Recipe, seed: int
) -> Judgement:
    """Train the three classifiers and ask them for the classes of test cells.

    Parameters
    ----------
    train
        Floating-point features, shape (m, d); m is `N_NEIGHBOURS` or more.
    codes
        Class codes of the training cells within 0..k-1, shape (m,).
    test
        Features of the cells to name, shape (n, d).
    n_classes
        k.
    recipe
        Scaling and steps.
    seed
        Of the forest.
    """
    present, known = np.unique(codes, return_inverse=True)
    proba = np.zeros((len(CLASSIFIERS), len(test), n_classes))
    if len(present) == 1:
        # scikit-learn's logistic regression refuses; whatever learns from one class answers that class.
        proba[:, :, present[0]] = 1
        return Judgement(proba, converged=True)
    scaled_train, scaled_test = _scaled(train, test, recipe)
    linear, converged = _logistic_regression(scaled_train, known, scaled_test, recipe.max_iter)
    proba[0][:, present] = linear
    proba[1][:, present] = _nearest_neighbours(scaled_train, known, scaled_test)
    proba[2][:, present] = _random_forest(train, known, test, seed)
    return Judgement(proba, converged)


def linear_probabilities(
    train: NDArray[Any], codes: IntArray, test: NDArray[Any], n_classes: int, recipe: Recipe
) -> FloatArray:
    """Train logistic regression alone; parameters are those of `judge`, probabilities of shape (n, k)."""
    present, known = np.unique(codes, return_inverse=True)
    proba = np.zeros((len(test), n_classes))
    if len(present) == 1:
        proba[:, present[0]] = 1
        return proba
    scaled_train, scaled_test = _scaled(train, test, recipe)
    proba[:, present] = _logistic_regression(scaled_train, known, scaled_test, recipe.max_iter)[0]
    return proba


def _scaled(
    train: NDArray[Any], test: NDArray[Any], recipe: Recipe
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(with_mean=recipe.centred)
    return scaler.fit_transform(train), scaler.transform(test)


def _logistic_regression(
    train: NDArray[Any], codes: IntArray, test: NDArray[Any], max_iter: int
) -> tuple[FloatArray, bool]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    # One BLAS thread: its products are so small that handing them round costs more (5,000 cells: 5 times).
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=max_iter).fit(train, codes)
        return model.predict_proba(test), bool(model.n_iter_.max() < max_iter)


def _nearest_neighbours(train: NDArray[Any], codes: IntArray, test: NDArray[Any]) -> FloatArray:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(n_neighbors=N_NEIGHBOURS).fit(train, codes)
    return np.asarray(model.predict_proba(test))


def _random_forest(train: NDArray[Any], codes: IntArray, test: NDArray[Any], seed: int) -> FloatArray:
    """Grow scikit-learn's forest tree by tree, each forgotten once it has voted.

    Gives what RandomForestClassifier(random_state=seed) gives. A hundred trees on a hundred thousand cells
    would take half a gigabyte, and each further look at them the time of a whole prediction.
    """
    features, targets = train.astype(np.float32, order="C"), codes.astype(np.float64)
    questions = test.astype(np.float32, order="C")

    def vote(tree_seed: int) -> FloatArray:
        from sklearn.tree import DecisionTreeClassifier

        drawn = np.random.RandomState(tree_seed).randint(0, len(features), len(features))
        times = np.bincount(drawn, minlength=len(features)).astype(np.float64)
        tree = DecisionTreeClassifier(max_features="sqrt", random_state=tree_seed)
        tree.fit(features, targets, sample_weight=times, check_input=False)
        return np.asarray(tree.predict_proba(questions, check_input=False))

    return np.asarray(sum(in_threads(vote, _tree_seeds(seed))) / N_TREES)


def _tree_seeds(seed: int) -> Iterator[int]:
    rng = np.random.RandomState(seed)
    return (int(rng.randint(np.iinfo(np.int32).max)) for _ in range(N_TREES))
