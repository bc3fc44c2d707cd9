"""Data sets that a user has given a name: one small YAML each, in a folder of the user's own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from czrun.datasets.spec import DatasetSpec, read_spec
from czrun.errors import CzrunError, UsageError, unknown_name
from czrun.storage import make_folder, storage_errors, write_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("census",)
_HEAD = "# Kept by `czrun datasets add`; `czrun schema dataset` prints what it may hold.\n"


def added_folder() -> Path:
    """Return where they are kept: $CZRUN_DATASETS, or the user's configuration."""
    if folder := os.environ.get("CZRUN_DATASETS"):
        return Path(folder).expanduser().absolute()
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "czrun" / "datasets"


def added_file(name: str) -> Path | None:
    """Return the YAML of a name, where somebody has added it."""
    path = added_folder() / f"{name}.yaml"
    return path if _NAME.fullmatch(name) and path.is_file() else None


def added_names() -> list[str]:
    """Return all names that were added, whether their YAML can be read or not."""
    return sorted(path.stem for path in added_folder().glob("*.yaml") if _NAME.fullmatch(path.stem))


def added_datasets() -> tuple[dict[str, DatasetSpec], dict[str, str]]:
    """Read all of them; of those that can't be read, return what is wrong."""
    found, broken = {}, {}
    for name in added_names():
        try:
            found[name] = read_spec(added_folder() / f"{name}.yaml")
        except CzrunError as error:
            broken[name] = error.message
    return found, broken


def add(name: str, spec: DatasetSpec, taken: Mapping[str, object], *, replace: bool = False) -> Path:
    """Keep a data set under a name.

    Parameters
    ----------
    name
        Letters, digits, dots, dashes, underscores; 64 at most.
    spec
        The data set; its paths are kept absolute.
    taken
        Names that data sets have already which nobody added.
    replace
        Whether a data set of that name may be replaced.

    Returns
    -------
    The YAML that was written, whole.

    Raises
    ------
    UsageError
        When it can't have that name.
    StorageError
        When the folder can't be written.
    """
    if not _NAME.fullmatch(name) or name in _RESERVED or name.endswith((".yaml", ".yml", ".h5ad")):
        raise UsageError(
            f"A data set can't be called {name!r}.",
            "A name has letters, digits, dots, dashes and underscores, 64 at most; for example pbmc-blood.",
        )
    if name in taken:
        raise UsageError(f"{name!r} is the name of a data set that comes with czrun.", "Choose another name.")
    if added_file(name) and not replace:
        raise UsageError(
            f"There is a data set {name!r} already.",
            f"Choose another name, or --replace it; `czrun datasets show {name}` shows it.",
        )
    import yaml

    text = _HEAD + yaml.safe_dump(_plain(spec), sort_keys=False, allow_unicode=True)
    path = make_folder(added_folder()) / f"{name}.yaml"
    write_text(path, text)
    return path


def remove(name: str) -> Path:
    """Forget a name; its cells stay where they are. Raises UsageError when nobody added it."""
    path = added_file(name)
    if path is None:
        raise unknown_name("added data set", name, added_names())
    with storage_errors(path):
        path.unlink()
    return path


def _plain(spec: DatasetSpec) -> dict[str, Any]:
    """Return what differs from the defaults; relative paths would mean another folder in there."""
    fields = spec.model_dump(mode="json", exclude_defaults=True, exclude={"name", "join"})
    if spec.path:
        fields["path"] = str(spec.path.absolute())
    if spec.join:
        tables = {name: getattr(spec.join, name) for name in ("orthologs", "label_map")}
        fields["join"] = {
            "train": {"name": spec.join.train.name, **_plain(spec.join.train)},
            "test": {"name": spec.join.test.name, **_plain(spec.join.test)},
            **{name: str(path.absolute()) for name, path in tables.items() if path},
        }
    return fields
