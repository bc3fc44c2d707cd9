"""Seconds, bytes read and peak memory of fetching cells from a local Census, beside get_anndata.

    uv run python benchmarks/census.py [--cells 60000] [--genes 20000] [--max-cells 5000] [--census PATH]

The Census is generated in the published layout, TileDB's tiles included; a data set's cells follow one
another there, as in Census. Each line is a process of its own: bytes are what TileDB read of its files, peak
is the resident set at its largest (VmHWM), less what it was when everything was imported. Seconds are those
of opening, choosing, reading and writing the .h5ad file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

COMMON = """
import json, re, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import anndata, cellxgene_census, numpy as np, scipy.sparse, tiledbsoma
from czrun.datasets import census
from czrun.datasets.locate import locate
from czrun.datasets.spec import DatasetSpec
def peak():
    # Not ru_maxrss, which a process takes over from the one that started it.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
# TileDB's counts go with its context, so that is kept.
opening, contexts = cellxgene_census.open_soma, []
def open_and_keep(**where):
    opened = opening(**where)
    contexts.append(opened.context)
    return opened
cellxgene_census.open_soma = open_and_keep
def read():
    found = re.findall(r'VFS.read_byte_num": (\\d+)', tiledbsoma.tiledbsoma_stats_json())
    return sum(map(int, found)) / 1e6
root, n, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
wanted = "(tissue_general == 'blood' or tissue == 'blood') and is_primary_data == True"
def fetch(n):
    query = {"version": root, "tissue": ["blood"], "max_cells": n, "stratify": ["cell_type", "donor_id"]}
    return locate(DatasetSpec(census=query)).spec.path
def get(**which):
    with cellxgene_census.open_soma(uri=root) as opened:
        cells = cellxgene_census.get_anndata(opened, "homo_sapiens", **which)
    cells.write_h5ad(out)
    return out
tiledbsoma.tiledbsoma_stats_enable()
base, began = peak(), time.perf_counter()
"""
REPORT = """
took, bytes_read, top = time.perf_counter() - began, read(), peak() - base
cells = anndata.read_h5ad(path)
print(json.dumps({"seconds": took, "MB": bytes_read, "MiB": top, "cells": cells.n_obs,
                  "values": cells.X.nnz, "sum": float(cells.X.sum(dtype=np.float64))}))
"""
ROADS = {
    "czrun, some": "path = fetch(n)",
    "get_anndata, the same cells": "path = get(obs_coords=json.loads(Path(out + '.ids').read_text()))",
    "czrun, all that match": "path = fetch(None)",
    "get_anndata, all that match": "path = get(obs_value_filter=wanted)",
}


def main() -> None:
    """Measure each road and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=60_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--depth", type=int, default=2_500)
    parser.add_argument("--max-cells", type=int, default=5_000)
    parser.add_argument("--census", type=Path, help="one that is there already; its human blood is fetched")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="czrun-bench-") as name:
        folder = Path(name)
        root = options.census
        if not root:
            root = generate(folder / "census", options.cells, options.genes, options.depth)
        x = root / "census_data" / "homo_sapiens" / "ms" / "RNA" / "X" / "raw"
        stored = sum(file.stat().st_size for file in x.rglob("*") if file.is_file())
        print(f"X/raw takes {stored / 1e6:,.0f} MB")
        print(f"{'':<28} {'cells':>7} {'values':>12} {'seconds':>8} {'MB read':>8} {'peak MiB':>9}")
        sums = {}
        for road, code in ROADS.items():
            found = measure(code, root, options.max_cells, folder)
            sums.setdefault(found["cells"], set()).add((found["values"], found["sum"]))
            print(
                f"{road:<28} {found['cells']:>7,} {found['values']:>12,} {found['seconds']:>8.1f} "
                f"{found['MB']:>8,.0f} {found['MiB']:>9,.0f}"
            )
            if road == "czrun, some":
                note_ids(folder)
        same = all(len(each) == 1 for each in sums.values())
        print(f"both roads give the same counts: {'yes' if same else 'NO'}")


def generate(path: Path, n_obs: int, n_vars: int, depth: int) -> Path:
    """Write a Census of one organism, half of it blood, whose cells are redrawn from 4,096 different ones."""
    from mini_census import Organism, made_counts, made_obs, written_census

    pool = made_obs(4_096, n_donors=24)
    (counts,) = made_counts(pool, n_vars, depth=depth)
    drawn = np.random.default_rng(1).integers(0, len(pool), n_obs)
    drawn = drawn[np.argsort(pool["dataset_id"].to_numpy()[drawn], kind="stable")]
    obs = pool.iloc[drawn].assign(
        soma_joinid=np.arange(n_obs), observation_joinid=[f"j{number}" for number in range(n_obs)]
    )
    blocks = (counts[drawn[start : start + 8_192]] for start in range(0, n_obs, 8_192))
    return written_census(path, homo_sapiens=Organism(obs, blocks, n_vars))


def measure(code: str, root: Path, max_cells: int, folder: Path) -> dict[str, float]:
    """Go one road in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", COMMON + code + REPORT, str(root), str(max_cells), str(folder / "peer.h5ad")],
        env={**os.environ, "CZRUN_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def note_ids(folder: Path) -> None:
    """Hand the cells that czrun chose to its peer."""
    import h5py

    (file,) = folder.glob("home/sources/*/cells.h5ad")
    with h5py.File(file) as cells:
        ids = sorted(int(name) for name in cells["obs/_index"].asstr()[:])
    (folder / "peer.h5ad.ids").write_text(json.dumps(ids))


if __name__ == "__main__":
    main()
