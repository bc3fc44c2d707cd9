"""What a valid answer to a job made by hand is, by the contract alone: neither the kit's word nor czrun's."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from made_jobs import CLASSES, GENES, TaskBench


def problems(bench: TaskBench, output: Path) -> list[str]:
    """Say what is wrong with the answers in `output`."""
    found = []
    for entry in bench.job("predict", "/czrun").outputs:
        folder = output / entry.id
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        listed = {file.name for file in entry.files}
        needed = {file.name for file in entry.files if file.required}
        found += [f"{entry.id} lacks {name}" for name in needed - names]
        if entry.one_of and not names & set(entry.one_of):
            found.append(f"{entry.id} has none of {entry.one_of}")
        found += [f"{entry.id}/{name} was not asked for" for name in names - listed]
        for name in names & listed:
            check = _table_problems if name.endswith(".csv") else _array_problems
            found += [f"{entry.id}/{name} {problem}" for problem in check(bench, folder / name, entry.id)]
    return found


def _array_problems(bench: TaskBench, path: Path, view: str) -> list[str]:
    array = np.load(path, allow_pickle=False)
    n_obs, n_conditions = len(bench.ids[view]), len(bench.conditions)
    expected = {
        "proba.npy": (n_obs, len(CLASSES)),
        "embedding.npy": (n_obs, array.shape[-1]),
        "pseudotime.npy": (n_obs,),
        "scores.npy": (n_obs,),
        "expression.npy": (n_conditions, len(GENES)),
        "cells.npy": (sum(condition[3] for condition in bench.conditions), len(GENES)),
    }[path.name]
    found = []
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        found.append(f"holds {array.dtype}")
    if array.shape != expected or not 1 <= array.shape[-1] <= 4096:
        found.append(f"has shape {array.shape}, not {expected}")
    if not np.isfinite(array).all():
        found.append("isn't finite")
    if path.name == "proba.npy" and not np.allclose(array.sum(axis=1), 1, atol=1e-3):
        found.append("has rows that don't sum to 1")
    return found


def _table_problems(bench: TaskBench, path: Path, view: str) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    column = "label" if path.name == "predictions.csv" else "cluster"
    found = []
    if header != ["cell_id", column]:
        found.append(f"has the header {header}")
    if [row[0] for row in rows] != bench.ids[view]:
        found.append("doesn't name the cells of the input in their order")
    if column == "label" and not {row[1] for row in rows} <= set(CLASSES):
        found.append("has labels that aren't classes")
    return found
