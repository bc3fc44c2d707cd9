"""The Python API: the same road as the command line's, with Python values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from czrun.contract.image import describe
from czrun.contract.job import Limits, XKind
from czrun.datasets.catalogue import DEFAULT_DATASET, find_dataset
from czrun.datasets.spec import ObsName
from czrun.errors import UsageError, listing, unknown_name
from czrun.evaluation import run_evaluation
from czrun.options import DEFAULT_LIMITS, DataOptions, EvaluateOptions
from czrun.progress import Observer
from czrun.quantities import parse_bytes, parse_seconds
from czrun.results import EvaluationResult
from czrun.split_plan import SplitChoice, SplitKind
from czrun.tasks.registry import DEFAULT_TASK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from czrun.scoring import ScoreResult


def evaluate(
    image: str,
    dataset: str | Path = DEFAULT_DATASET,
    task: str = DEFAULT_TASK,
    *,
    label_key: str | None = None,
    donor_key: str | None = None,
    batch_key: str | None = None,
    time_key: str | None = None,
    obs: Mapping[str, str] | None = None,
    anomaly: str | None = None,
    split: str | None = None,
    group_key: str | None = None,
    split_key: str | None = None,
    folds: int | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    seeds: int = 1,
    layer: str | None = None,
    x: str | None = None,
    drop_unlabelled: bool | None = None,
    params: Mapping[str, object] | None = None,
    cpus: float = DEFAULT_LIMITS.cpus,
    memory: str | int = DEFAULT_LIMITS.memory_bytes,
    gpus: int = 0,
    timeout: str | float = DEFAULT_LIMITS.wall_s,
    output: str | Path = "runs",
    use_cache: bool = True,
    control: bool = True,
    observer: Observer | None = None,
) -> EvaluationResult:
    """Evaluate a model image on a data set.

    Parameters
    ----------
    image
        Reference of a local image that follows the contract.
    dataset, task, label_key, donor_key, batch_key, time_key, obs, anomaly, layer, x, drop_unlabelled
        The cells and what is asked of them, see `data_options`.
    split, group_key, split_key, folds, test_size
        How cells are divided, see `data_options`.
    seed
        Seed of the split and the first seed of the model.
    seeds
        How many seeds the model is fitted with.
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
        data=data_options(
            dataset=dataset,
            task=task,
            label_key=label_key,
            donor_key=donor_key,
            batch_key=batch_key,
            time_key=time_key,
            obs=obs,
            anomaly=anomaly,
            split=split,
            group_key=group_key,
            split_key=split_key,
            folds=folds,
            test_size=test_size,
            seed=seed,
            layer=layer,
            x=x,
            drop_unlabelled=drop_unlabelled,
        ),
        seeds=_seeds(seed, seeds),
        params={name: str(value) for name, value in (params or {}).items()},
        limits=limits(cpus=cpus, memory=memory, gpus=gpus, timeout=timeout),
        output=Path(output),
        use_cache=use_cache,
        control=control,
    )
    return run_evaluation(options, observer)


def score(
    predictions: str | Path | None = None,
    dataset: str | Path = DEFAULT_DATASET,
    task: str = DEFAULT_TASK,
    *,
    embedding: NDArray[np.floating[Any]] | str | None = None,
    **data: Any,  # noqa: ANN401 - passed on as they are
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
        As in `data_options`.

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
    options = data_options(dataset=dataset, task=task, **data)
    if isinstance(embedding, str):
        from czrun.h5ad import read_obsm

        embedding = read_obsm(find_dataset(options.dataset).path, embedding)
    return score_predictions(options, Path(predictions) if predictions else None, embedding)


def data_options(
    *,
    dataset: str | Path = DEFAULT_DATASET,
    task: str = DEFAULT_TASK,
    label_key: str | None = None,
    donor_key: str | None = None,
    batch_key: str | None = None,
    time_key: str | None = None,
    obs: Mapping[str, str] | None = None,
    anomaly: str | None = None,
    split: str | None = None,
    group_key: str | None = None,
    split_key: str | None = None,
    folds: int | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    layer: str | None = None,
    x: str | None = None,
    drop_unlabelled: bool | None = None,
) -> DataOptions:
    """Say which cells, for which task, divided how.

    Parameters
    ----------
    dataset
        A data set's name, an .h5ad file, images (a folder, .npz, .npy, OME-TIFF, OME-Zarr), or a data set's
        YAML.
    task
        Task id.
    label_key, donor_key, batch_key, time_key
        obs columns with the label, the donor (by which intervals are clustered), the batch and the time.
    obs
        Further obs columns, contract name to the file's own.
    anomaly
        ``"COLUMN=VALUE,VALUE"``: cells with one of these values are anomalous.
    split
        ``holdout``, ``kfold``, ``group-holdout``, ``group-kfold``, ``predefined`` or ``whole``; None is what
        the task does by default. A `group_key` makes the first two the next two.
    group_key, split_key
        obs columns with the groups to keep together, and with the words train and test.
    folds
        Number of folds of the k-fold kinds.
    test_size
        Share of cells to hold out, 0 to 1.
    seed
        Seed of the split.
    layer, x
        Which matrix (``X``, ``raw``, a layer), and what it holds (``counts``, ``log1p``, ...).
    drop_unlabelled
        Leave out cells without a label, or without what else the task needs.

    Raises
    ------
    UsageError
        When something of it makes no sense.
    """
    named = {"label": label_key, "donor": donor_key, "batch": batch_key, "time": time_key}
    column, _, values = (anomaly or "").partition("=")
    named["anomaly"] = column or None
    return DataOptions(
        dataset=str(dataset),
        task=task,
        split=SplitChoice(
            kind=_kind(split) if split else None,
            folds=folds,
            test_size=test_size,
            seed=seed,
            group_key=group_key,
            split_key=split_key,
        ),
        obs=_obs_names({**(obs or {}), **{name: key for name, key in named.items() if key}}),
        layer=layer,
        x=x_kind(x),
        anomalous=tuple(values.split(",")) if values else None,
        drop_unlabelled=drop_unlabelled,
    )


def limits(*, cpus: float, memory: str | int, gpus: int, timeout: str | float) -> Limits:
    """Read limits as people write them; raises UsageError with every problem."""
    wall_s = parse_seconds(timeout) if isinstance(timeout, str) else timeout
    size = parse_bytes(memory) if isinstance(memory, str) else memory
    fields = {
        **DEFAULT_LIMITS.model_dump(),
        "cpus": cpus,
        "memory_bytes": size,
        "gpus": gpus,
        "wall_s": wall_s,
    }
    try:
        return Limits.model_validate(fields)
    except ValidationError as error:
        raise UsageError(
            f"These limits can't be set:\n{listing(describe(error))}",
            "For example --cpus 2 --memory 4GiB --timeout 30m.",
        ) from error


def _kind(name: str) -> SplitKind:
    if name not in list(SplitKind):
        raise unknown_name("split", name, list(SplitKind))
    return SplitKind(name)


def x_kind(name: str | None) -> XKind | None:
    """Read a kind of X; raises UsageError."""
    if name is not None and name not in list(XKind):
        raise unknown_name("kind of X", name, list(XKind))
    return XKind(name) if name else None


def _seeds(first: int, count: int) -> tuple[int, ...]:
    if count < 1 or not 0 <= first < 2**31:
        raise UsageError(
            f"seed {first}, seeds {count}: a seed is 0 or more, and there is at least one.", "Try --seeds 3."
        )
    return tuple(range(first, first + count))


def _obs_names(names: Mapping[str, str]) -> dict[ObsName, str]:
    valid = {str(name): name for name in get_args(ObsName)}
    for name in names:
        if name not in valid:
            raise unknown_name("contract column", name, valid)
    return {valid[name]: key for name, key in names.items()}
