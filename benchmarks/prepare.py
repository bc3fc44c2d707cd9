"""Preparing generated counts against `cp` of the same bytes, and against loading them all with anndata.

    uv run python benchmarks/prepare.py [--sizes 100000x2000 1000000x2000 60000x20000] [--density 0.05]
        [--repeats 3]

The source is written block by block as CSR, so that making it needs no more memory than reading it. For each
size three ways are taken in turn, each `--repeats` times from a source that the page cache was told to drop,
and each until the disk has taken all of it in; the quickest of each counts:

- `czrun`: hash the source, prepare a hold-out of it (two files in another order, truth, audit), publish it;
- `cp`: copy the file;
- `anndata`: read it whole, subset by the same shuffled rows, write both parts.

Preparing and anndata run in processes of their own. A peak is the kernel's VmHWM; beside it stands what
the imports alone take. The audit's share is that of the processor time of preparing.
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

MEASURING = """
import json, os, sys, time
from pathlib import Path

def mebibytes(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024

def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
"""

PREPARING = (
    MEASURING
    + """
import anndata, pandas
import czrun.prepare as preparing
from czrun.datasets.spec import DatasetSpec
from czrun.leases import acquire
from czrun.manifest import PrepareRequest
from czrun.split_plan import SplitPlan
from czrun.storage import cache_home, file_sha256
from czrun.tasks.registry import find_task

audited = []
audit = preparing.audit_prepared

def timed(*arguments):
    began = time.thread_time()
    found = audit(*arguments)
    audited.append(time.thread_time() - began)
    return found

preparing.audit_prepared = timed
base, began, cpu = mebibytes("VmHWM"), time.perf_counter(), time.process_time()
path = Path(sys.argv[1])
spec = DatasetSpec.model_validate({"name": "generated", "path": path})
request = PrepareRequest(spec, file_sha256(path), find_task("cell-type-classification"), SplitPlan())
lease = acquire(cache_home())
preparing.prepare(request, cache_home(), lease)
lease.release()
print(json.dumps({
    "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "audit": sum(audited),
    "base": base, "peak": mebibytes("VmHWM"),
}))
"""
)

LOADING = (
    MEASURING
    + """
import anndata, numpy
base, began = mebibytes("VmHWM"), time.perf_counter()
cells = anndata.read_h5ad(sys.argv[1])
rows = numpy.random.default_rng(0).permutation(cells.n_obs)
cut = cells.n_obs // 5
for name, part in (("v0.h5ad", rows[:cut]), ("train.h5ad", rows[cut:])):
    path = Path(sys.argv[2]) / name
    cells[part].write_h5ad(path)
    sync(path)
print(json.dumps({"seconds": time.perf_counter() - began, "base": base, "peak": mebibytes("VmHWM")}))
"""
)


def main() -> None:
    """Measure each size and print a line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["100000x2000", "1000000x2000", "60000x20000"])
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for size in options.sizes:
        cells, genes = map(int, size.split("x"))
        with tempfile.TemporaryDirectory(prefix="czrun-bench-") as folder:
            source = Path(folder) / "generated.h5ad"
            generate(source, cells, genes, options.density)
            print_size(f"{cells:,} x {genes:,}", source, measure(source, options.repeats))


def measure(source: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Take each way in turn and return the quickest of each."""
    runs: dict[str, list[dict[str, float]]] = {"czrun": [], "cp": [], "anndata": []}
    for _ in range(repeats):
        runs["czrun"].append(in_child(source, PREPARING))
        runs["cp"].append({"seconds": copy_seconds(source)})
        runs["anndata"].append(in_child(source, LOADING))
    return {way: min(found, key=lambda each: each["seconds"]) for way, found in runs.items()}


def print_size(size: str, source: Path, found: dict[str, dict[str, float]]) -> None:
    """Print what was measured of one size."""
    copied, prepared = found["cp"]["seconds"], found["czrun"]
    print(f"{size}: {source.stat().st_size / 1e6:,.0f} MB")
    print("  way       seconds  x cp  imports MiB  peak MiB")
    for way, run in found.items():
        memory = f"{run['base']:11.0f} {run['peak']:9.0f}" if "peak" in run else ""
        print(f"  {way:9} {run['seconds']:7.2f} {run['seconds'] / copied:5.1f}  {memory}")
    share = prepared["audit"] / (prepared["cpu"] - prepared["audit"])
    print(
        f"  audit: {prepared['audit']:.2f} of {prepared['cpu']:.2f} CPU s, {share:.0%} of the rest",
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
        for start in range(0, n_obs, 2_000):
            rows = min(2_000, n_obs - start)
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


def in_child(source: Path, program: str) -> dict[str, float]:
    """Run a program in a fresh process and return what it measured of itself."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        forget(source)
        done = subprocess.run(
            [sys.executable, "-c", program, str(source), folder],
            env={**os.environ, "CZRUN_HOME": folder},
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
    forget(source)
    target = source.with_suffix(".copy")
    began = time.perf_counter()
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def forget(source: Path) -> None:
    """Have the page cache drop a file, and the disk done with whatever went before."""
    os.sync()
    with source.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
