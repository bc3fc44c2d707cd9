"""Giving a data set a name: what is said of it is held against its cells before it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from czrun.datasets.added import add
from czrun.datasets.catalogue import named_datasets
from czrun.datasets.spec import DatasetSpec
from czrun.datasets.summary import DatasetSummary, summarise
from czrun.errors import DatasetError, listing, nearest
from czrun.keywords import DataKeywords, data_options


@dataclass(frozen=True)
class Registered:
    """A data set that now has a name.

    Attributes
    ----------
    path
        The YAML.
    spec
        The data set.
    summary
        What its cells are, where they are on this machine already; nothing is fetched to give it a name.
    """

    path: Path
    spec: DatasetSpec
    summary: DatasetSummary | None


def register(
    name: str,
    source: str,
    *,
    sha256: str | None = None,
    title: str = "",
    license_: str = "",
    replace: bool = False,
    **data: Unpack[DataKeywords],
) -> Registered:
    """Give a data set a name.

    Parameters
    ----------
    name
        How to call it.
    source
        A file, a folder, a URL, ``census``, a YAML, or a data set that has another name.
    sha256
        Hash that the file of a URL must have.
    title, license_
        For people.
    replace
        Whether a data set of that name may be replaced.
    **data
        As in `czrun.keywords.data_options`, those that say something of cells.

    Raises
    ------
    CzrunError
        When it can't be read, or isn't what was said of it.
    """
    changes = {"name": name, "sha256": sha256, "title": title, "license": license_}
    spec = (
        data_options(source, **data)
        .described()
        .model_copy(update={field: value for field, value in changes.items() if value})
    )
    summary = _looked_at(spec) if spec.path else None
    return Registered(add(name, spec, named_datasets(), replace=replace), spec, summary)


def _looked_at(spec: DatasetSpec) -> DatasetSummary:
    """Hold the columns that were named against those there are."""
    summary = summarise(spec)
    there = [column.name for column in summary.columns]
    wanted = {**{f"the {name}": key for name, key in spec.obs.items()}, "the split": spec.split_key}
    problems = [
        f"{key!r}, said to hold {what}, is no column{nearest(key, there)}"
        for what, key in wanted.items()
        if key and key not in there
    ]
    if problems:
        raise DatasetError(
            f"{spec.path} isn't what was said of it:\n{listing(problems)}",
            f"Its columns: {', '.join(there) or '(none)'}.",
        )
    return summary
