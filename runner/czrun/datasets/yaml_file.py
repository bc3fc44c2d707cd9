"""A user's YAML file as a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from czrun.errors import DatasetError


def read_mapping(path: Path, start: str) -> dict[Any, Any]:
    """Read a YAML file; raises DatasetError when it can't be read, or holds no mapping.

    Parameters
    ----------
    path
        The file.
    start
        How such a file starts, for the hint.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(
            f"{path} can't be read as YAML: {error}.", "See docs/guides/datasets.md."
        ) from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path} holds no mapping.", f"It starts like {start}.")
    return content
