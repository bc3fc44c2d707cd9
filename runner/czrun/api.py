"""The Python API: the same road as the command line's, with Python values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from czrun.datasets.spec import DatasetSpec
from czrun.errors import UsageError
from czrun.evaluation import run_evaluation
from czrun.keywords import DataKeywords, data_options, limits
from czrun.leases import acquire
from czrun.manifest import PreparedManifest
from czrun.options import DEFAULT_LIMITS, EvaluateOptions, settle
from czrun.preparation import prepare_folds
from czrun.progress import Observer, Silent
from czrun.results import EvaluationResult
from czrun.storage import cache_home
from czrun.tasks.registry import DEFAULT_TASK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from czrun.scoring import ScoreResult


def evaluate(
    image: str,
    dataset: str | Path | DatasetSpec | None = None,
    task: str = DEFAULT_TASK,
    *,
    seeds: int = 1,
    params: Mapping[str, object] | None = None,
    cpus: float = DEFAULT_LIMITS.cpus,
    memory: str | int = DEFAULT_LIMITS.memory_bytes,
    gpus: int = 0,
    timeout: str | float = DEFAULT_LIMITS.wall_s,
    output: str | Path = "runs",
    use_cache: bool = True,
    control: bool = True,
    observer: Observer | None = None,
    **data: Unpack[DataKeywords],
) -> EvaluationResult:
    """Evaluate a model image on a data set.

    Parameters
    ----------
    image
        Reference of a local image that follows the contract.
    dataset, task
        The cells and what is asked of them.
    seeds
        How many seeds the model is fitted with; the first is `seed`, which is the split's as well.
    params
        The model's own parameters.
    cpus, memory, gpus, timeout
        What each container may use; memory in bytes or like ``"4GiB"``, timeout in seconds or like ``"30m"``.
    output
        Folder of all runs.
    use_cache, control
        Whether to take earlier results, and to run the negative control beside.
    observer
        Is told of every step.
    **data
        As in `czrun.keywords.data_options`.

    Returns
    -------
    EvaluationResult
        Also when the model failed: see its `status`, or call `raise_for_status`.

    Raises
    ------
    CzrunError
        See `czrun.evaluation.run_evaluation`.
    """
    options = EvaluateOptions(
        image=image,
        data=data_options(dataset, task, **data),
        seeds=_seeds(data.get("seed", 0), seeds),
        params={name: str(value) for name, value in (params or {}).items()},
        limits=limits(cpus=cpus, memory=memory, gpus=gpus, timeout=timeout),
        output=Path(output),
        use_cache=use_cache,
        control=control,
    )
    return run_evaluation(options, observer)


def score(
    predictions: str | Path | None = None,
    dataset: str | Path | DatasetSpec | None = None,
    task: str = DEFAULT_TASK,
    *,
    embedding: NDArray[np.floating[Any]] | str | None = None,
    **data: Unpack[DataKeywords],
) -> ScoreResult:
    """Score answers that are there already: no image, no container.

    Parameters
    ----------
    predictions
        A folder with the files that the task asks for (`czrun tasks show`), one row for each cell of the data
        set, in its order and by its ids; perturbation tasks may add ``conditions.csv``, whose column
        ``condition`` names each row of ``expression.npy``.
    dataset, task
        The cells and what was asked of them.
    embedding
        In place of `predictions`: an embedding, shape (n_obs, n_dims), or the key of the data set's obsm that
        holds it.
    **data
        As in `czrun.keywords.data_options`.

    Returns
    -------
    ScoreResult
        Its `metrics` hold a value or a reason each, and a 95 % interval.

    Raises
    ------
    CzrunError
        See `czrun.scoring.score_predictions`.

    Examples
    --------
    >>> czrun.score("my-predictions/", "cells.h5ad", "cell-type-classification")
    >>> czrun.score(dataset="cells.h5ad", task="embedding", embedding="X_pca").to_frame()
    """
    from czrun.scoring import score_predictions  # it computes with NumPy, which a cached run does without

    if (predictions is None) == (embedding is None):
        raise UsageError(
            "Scoring takes either predictions or an embedding.", "Give one of --predictions and --obsm."
        )
    options = data_options(dataset, task, **data)
    if isinstance(embedding, str):
        from czrun.h5ad import read_obsm

        spec = options.described()
        path = spec.path
        if path is None or (path.is_file() and path.suffix != ".h5ad"):
            raise UsageError(
                f"Data set {spec.name} is no .h5ad file, so it has no obsm {embedding!r}.",
                "Name the .h5ad file that holds the embedding with --dataset.",
            )
        embedding = read_obsm(path, embedding)
    return score_predictions(options, Path(predictions) if predictions else None, embedding)


def prepare_data(
    dataset: str | Path | DatasetSpec | None = None,
    task: str = DEFAULT_TASK,
    *,
    observer: Observer | None = None,
    **data: Unpack[DataKeywords],
) -> tuple[PreparedManifest, ...]:
    """Prepare what `evaluate` would hand to containers, so that evaluating starts at once.

    Parameters
    ----------
    dataset, task
        The cells and what is asked of them.
    observer
        Is told of every step.
    **data
        As in `czrun.keywords.data_options`.

    Returns
    -------
    What was prepared, one a fold; those that were there already too.

    Raises
    ------
    CzrunError
        When the data can't be had, or can't serve.
    """
    watching = observer or Silent()
    request = settle(data_options(dataset, task, **data), observer=watching)
    lease = acquire(cache_home())
    try:
        return prepare_folds(request, lease, watching)
    finally:
        lease.release()


def _seeds(first: int, count: int) -> tuple[int, ...]:
    if count < 1 or not 0 <= first < 2**31:
        raise UsageError(
            f"seed {first}, seeds {count}: a seed is 0 or more, and there is at least one.", "Try --seeds 3."
        )
    return tuple(range(first, first + count))
