"""What users say of data, by flags or by Python keywords, as options: the words are read here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack, get_args

from pydantic import ValidationError

from czrun.conditions import Clause, Operator, Said, is_clause, parse_clauses
from czrun.contract.image import describe
from czrun.contract.job import Limits, XKind
from czrun.datasets.catalogue import find_dataset
from czrun.datasets.choice import CellChoice, choose
from czrun.datasets.spec import DatasetSpec, Join, ObsName
from czrun.errors import UsageError, listing, unknown_name
from czrun.options import DEFAULT_LIMITS, DataOptions
from czrun.quantities import parse_bytes, parse_seconds
from czrun.split_plan import SplitChoice, SplitKind
from czrun.tasks.registry import DEFAULT_TASK

Side = Said | Path | DatasetSpec
"""One side of a split: a data set, or conditions on the cells of one."""


class DataKeywords(TypedDict, total=False):
    """Which cells, divided how; `data_options` says what each word means."""

    label_key: str | None
    donor_key: str | None
    batch_key: str | None
    time_key: str | None
    obs: Mapping[str, str] | None
    anomaly: str | None
    layer: str | None
    x: str | None
    drop_unlabelled: bool | None
    where: Said | None
    tissue: str | Sequence[str] | None
    disease: str | Sequence[str] | None
    assay: str | Sequence[str] | None
    organism: str | None
    max_cells: int | None
    stratify: Sequence[str] | None
    obs_filter: str | None
    census_version: str | None
    train_on: Side | None
    test_on: Side | None
    orthologs: str | Path | None
    label_map: str | Path | None
    split: str | None
    group_key: str | None
    split_key: str | None
    folds: int | None
    test_size: float
    seed: int
    inner_folds: int | None


def data_options(
    dataset: str | Path | DatasetSpec | None = None, task: str = DEFAULT_TASK, **data: Unpack[DataKeywords]
) -> DataOptions:
    """Say which cells, for which task, divided how.

    Parameters
    ----------
    dataset
        A data set's name, a file, a URL, a data set's YAML, its description, or ``"census"``; None is Census
        where only that makes sense of the words below, else the bundled cells.
    task
        Task id.
    label_key, donor_key, batch_key, time_key
        obs columns with the label, the donor (by which intervals are clustered), the batch and the time.
    obs
        Further obs columns, contract name to the file's own.
    anomaly
        ``"COLUMN=VALUE,VALUE"``: cells with one of these values are anomalous.
    train_on, test_on
        Either two data sets: one to train on, one to test on. Or conditions on the cells of one, such as
        ``"tissue=blood"``, ``"time<=4"``, or column to values; where one side has none, it gets all others.
    orthologs, label_map
        With two data sets: a table of orthologs, where they are of different organisms; and a YAML that says
        which of their labels are the same.
    split
        ``holdout``, ``kfold``, ``group-holdout``, ``group-kfold``, ``leave-one-group-out``, ``predefined``
        or ``whole``; None is what the task does by default. A `group_key` makes the first two the next two.
    group_key, split_key
        obs columns with the groups to keep together, and with the words train and test.
    folds
        Number of folds of the k-fold kinds.
    test_size
        Share of cells to hold out, 0 to 1.
    seed
        Seed of the split.
    inner_folds
        Into how many folds the training cells are divided for the model's own use, told in their obs column
        ``fold``.
    layer, x
        Which matrix (``X``, ``raw``, a layer; None is where counts are), and what it holds (``counts``,
        ``log1p``, ...).
    drop_unlabelled
        Leave out cells without a label, or without what else the task needs.
    where
        Which cells take part, such as ``"sex=female"``, or column to the values that are kept; all must hold.
    tissue, disease, assay
        The same for these columns; a value, or several.
    organism
        The organism to ask Census for; of a file, what all its cells are of.
    max_cells, stratify
        How many cells take part at most, drawn with `seed`; and the columns whose combinations keep their
        shares.
    obs_filter, census_version
        Census only: a further SOMA value filter; ``stable``, ``latest``, a release, a URI or a path.

    Raises
    ------
    UsageError
        When something of it makes no sense.
    """
    _, _, anomalous = (data.get("anomaly") or "").partition("=")
    return DataOptions(
        dataset=_chosen(str(dataset) if isinstance(dataset, Path) else dataset, data),
        task=task,
        split=_split_choice(data),
        obs=_obs_names(data),
        layer=data.get("layer"),
        x=x_kind(data.get("x")),
        anomalous=tuple(anomalous.split(",")) if anomalous else None,
        drop_unlabelled=data.get("drop_unlabelled"),
    )


def _chosen(dataset: str | DatasetSpec | None, data: DataKeywords) -> DatasetSpec:
    train, test = _as_dataset(data.get("train_on")), _as_dataset(data.get("test_on"))
    if train is None and test is None:
        if data.get("orthologs") or data.get("label_map"):
            raise UsageError(
                "--orthologs and --label-map are for two data sets.",
                "Name both: --train-on DATASET --test-on DATASET.",
            )
        return choose(dataset, _cell_choice(data), (*_clauses(data, "train_on"), *_clauses(data, "test_on")))
    if dataset is not None or train is None or test is None:
        raise UsageError(
            "To train on one data set and test on another, name both, and no third.",
            "For example --train-on blood.h5ad --test-on lung.h5ad, without --dataset.",
        )
    tables = {"orthologs": data.get("orthologs"), "label_map": data.get("label_map")}
    paths = {name: Path(path) for name, path in tables.items() if path}
    join = Join(train=train, test=test, **paths)
    both = DatasetSpec(name=f"{train.name} → {test.name}", join=join)
    return _cell_choice(data).narrow(both)


def _as_dataset(side: Side | None) -> DatasetSpec | None:
    """Return the data set that one side of a split names; None where it says conditions, or nothing."""
    if isinstance(side, list | tuple) and len(side) == 1:
        side = side[0]
    if side is None or isinstance(side, DatasetSpec):
        return side
    if isinstance(side, Path) or (isinstance(side, str) and not is_clause(side)):
        return find_dataset(str(side))
    return None


def _clauses(data: DataKeywords, side: Literal["train_on", "test_on"]) -> tuple[Clause, ...]:
    said = data.get(side)
    if not said or isinstance(said, Path | DatasetSpec) or _as_dataset(said):
        return ()
    return parse_clauses(f"--{side.replace('_', '-')}", said)


def _where(said: Said | None) -> dict[str, tuple[str, ...]]:
    clauses = parse_clauses("--where", said) if said else ()
    if odd := [str(clause) for clause in clauses if clause.operator is not Operator.ANY_OF]:
        raise UsageError(
            f"--where {odd[0]}: it names the values that are kept.", "For example --where sex=female."
        )
    return {clause.column: clause.values for clause in clauses}


def _cell_choice(data: DataKeywords) -> CellChoice:
    terms = {"tissue": data.get("tissue"), "disease": data.get("disease"), "assay": data.get("assay")}
    return CellChoice(
        terms={column: _several(values) for column, values in terms.items() if values},
        where=_where(data.get("where")),
        organism=data.get("organism"),
        max_cells=data.get("max_cells"),
        stratify=_several(data.get("stratify") or ()) or None,
        seed=data.get("seed", 0),
        obs_filter=data.get("obs_filter"),
        version=data.get("census_version"),
    )


def _several(values: str | Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _split_choice(data: DataKeywords) -> SplitChoice:
    kind = data.get("split")
    if kind and kind not in list(SplitKind):
        raise unknown_name("split", kind, list(SplitKind))
    return SplitChoice(
        kind=SplitKind(kind) if kind else None,
        folds=data.get("folds"),
        test_size=data.get("test_size", 0.2),
        seed=data.get("seed", 0),
        group_key=data.get("group_key"),
        split_key=data.get("split_key"),
        train_on=_clauses(data, "train_on"),
        test_on=_clauses(data, "test_on"),
        inner_folds=data.get("inner_folds") or 0,
    )


def _obs_names(data: DataKeywords) -> dict[ObsName, str]:
    named = {
        "label": data.get("label_key"),
        "donor": data.get("donor_key"),
        "batch": data.get("batch_key"),
        "time": data.get("time_key"),
        "anomaly": (data.get("anomaly") or "").partition("=")[0],
    }
    names = {**(data.get("obs") or {}), **{name: key for name, key in named.items() if key}}
    valid = {str(name): name for name in get_args(ObsName)}
    for name in names:
        if name not in valid:
            raise unknown_name("contract column", name, valid)
    return {valid[name]: key for name, key in names.items()}


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


def x_kind(name: str | None) -> XKind | None:
    """Read a kind of X; raises UsageError."""
    if name is not None and name not in list(XKind):
        raise unknown_name("kind of X", name, list(XKind))
    return XKind(name) if name else None
