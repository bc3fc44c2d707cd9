"""Options as tests write them: all fields on one level."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from czrun.options import DataOptions, EvaluateOptions
from czrun.split_plan import SplitChoice, SplitPlan

_DATA = {field.name for field in fields(DataOptions)}


def asked(image: str, dataset: Path | str, output: Path, **changes: Any) -> EvaluateOptions:
    """Ask for an evaluation without its control."""
    options = EvaluateOptions(image, DataOptions(str(dataset)), output=output, control=False)
    return changed(options, **changes)


def changed(options: EvaluateOptions, **changes: Any) -> EvaluateOptions:
    """Change fields of the options, or of the data options in them."""
    if isinstance(plan := changes.get("split"), SplitPlan):
        changes["split"] = SplitChoice(
            plan.kind, plan.folds, plan.test_size, plan.seed, plan.group_key, plan.split_key
        )
    data = {name: value for name, value in changes.items() if name in _DATA}
    own = {name: value for name, value in changes.items() if name not in _DATA}
    return replace(options, data=replace(options.data, **data), **own)
