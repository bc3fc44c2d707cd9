"""Peak memory and seconds of preparing generated counts, against `cp` of the same file.

    uv run python benchmarks/prepare.py [--cells 10000 100000] [--genes 2000] [--density 0.05]

The source is written block by block as CSR, so that making it needs no more memory than reading it. Each size
is prepared in a process of its own; its peak is the kernel's (ru_maxrss). Beside it stand the peak of a
process that only imports what preparing imports, and the seconds that `cp` takes for the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

CHILD = """
import json, resource, sys, time
from pathlib import Path
from czrun.datasets.spec import DatasetSpec
from czrun.leases import acquire
from czrun.manifest import PrepareRequest
from czrun.prepare import prepare
from czrun.split_plan import SplitPlan
from czrun.storage import cache_home, file_sha256
from czrun.tasks.registry import find_task
import anndata, pandas
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
path = Path(sys.argv[1])
spec = DatasetSpec(name="generated", path=path)
request = PrepareRequest(spec, file_sha256(path), find_task("cell-type-classification"), SplitPlan())
lease = acquire(cache_home())
prepare(request, cache_home(), lease)
lease.release()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": time.perf_counter() - began, "base": base / 1024, "peak": peak / 1024}))
"""


def main() -> None:
    """Measure each size and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--density", type=float, default=0.05)
    options = parser.parse_args()
    print("    cells  file MB  seconds   cp s  ratio imports MiB  peak MiB")
    for cells in options.cells:
        with tempfile.TemporaryDirectory(prefix="czrun-bench-") as folder:
            source = Path(folder) / "generated.h5ad"
            generate(source, cells, options.genes, options.density)
            found = prepare_in_child(source, Path(folder) / "home")
            copied = copy_seconds(source)
            print(
                f"{cells:9,} {source.stat().st_size / 1e6:8.0f} {found['seconds']:8.2f} {copied:6.2f} "
                f"{found['seconds'] / copied:6.1f} {found['base']:11.0f} {found['peak']:9.0f}",
                flush=True,
            )


def generate(path: Path, n_obs: int, n_vars: int, density: float) -> None:
    """Write counts of a given density, ten cell types of uneven size, block by block."""
    rng = np.random.default_rng(0)
    per_row = int(n_vars * density)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_obs, n_vars]})
        x.create_dataset("indptr", data=np.arange(n_obs + 1, dtype=np.int64) * per_row)
        data = x.create_dataset("data", (n_obs * per_row,), dtype="f4")
        indices = x.create_dataset("indices", (n_obs * per_row,), dtype="i4")
        for start in range(0, n_obs, 5_000):
            rows = min(5_000, n_obs - start)
            columns = np.sort(rng.random((rows, n_vars)).argpartition(per_row, axis=1)[:, :per_row], axis=1)
            span = slice(start * per_row, (start + rows) * per_row)
            indices[span] = columns.ravel()
            data[span] = rng.poisson(1.0, rows * per_row) + 1
        labels = np.array([f"type {k}" for k in np.minimum(rng.geometric(0.3, n_obs), 10)], dtype=object)
        write_frame(file, "obs", [f"cell{i}" for i in range(n_obs)], {"cell_type": labels})
        write_frame(file, "var", [f"gene{i}" for i in range(n_vars)], {})


def write_frame(file: h5py.File, name: str, index: list[str], columns: dict[str, np.ndarray]) -> None:
    """Write a data frame in AnnData's layout."""
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs.create("column-order", np.array(list(columns), dtype=object), dtype=h5py.string_dtype())
    for key, values in {"_index": np.array(index, dtype=object), **columns}.items():
        element = group.create_dataset(key, data=values, dtype=h5py.string_dtype())
        element.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def prepare_in_child(source: Path, home: Path) -> dict[str, float]:
    """Prepare in a fresh process and return what it measured of itself."""
    environment = {**os.environ, "CZRUN_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(source)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def copy_seconds(source: Path) -> float:
    """Return how long copying the source takes, flushed to disk as preparing does."""
    target = source.with_suffix(".copy")
    began = time.perf_counter()
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
