"""A small CELLxGENE Census on this disk, in the published layout, written by tiledbsoma itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import tiledbsoma as soma  # noqa: TID251 - the tests hold czrun.datasets.census against it
from scipy import sparse

CELL_TYPES = {
    "blood": ("CD4-positive T cell", "CD8-positive T cell", "B cell", "natural killer cell", "monocyte"),
    "lung": ("alveolar macrophage", "pneumocyte", "B cell", "natural killer cell", "fibroblast"),
}
SHARES = (0.4, 0.25, 0.2, 0.1, 0.05)
TISSUES = {"blood": ("blood", "venous blood"), "lung": ("lung", "lung parenchyma")}
ASSAYS = ("10x 3' v3", "10x 5' v2")

_NUMBERS = {"soma_joinid", "nnz", "n_measured_vars", "raw_sum", "is_primary_data"}
_TEXTS = {"observation_joinid"}
_BYTES = ["ByteShuffleFilter", {"_type": "ZstdFilter", "level": 9}]
# As Census is built: its tiles decide how many bytes reading a few cells costs.
_X_LAYOUT = {
    "tiledb": {
        "create": {
            "capacity": 2**16,
            "dims": {
                "soma_dim_0": {"tile": 2048, "filters": [{"_type": "ZstdFilter", "level": 9}]},
                "soma_dim_1": {"tile": 2048, "filters": _BYTES},
            },
            "attrs": {"soma_data": {"filters": _BYTES}},
            "cell_order": "row-major",
            "tile_order": "row-major",
            "allows_duplicates": True,
        }
    }
}


@dataclass(frozen=True)
class Organism:
    """The cells of one organism.

    Attributes
    ----------
    obs
        Their annotations, in the order of their soma_joinid.
    counts
        Their counts, in blocks of rows.
    n_vars
        Genes.
    gene_prefix
        What Ensembl ids begin with.
    """

    obs: pd.DataFrame
    counts: Iterable[sparse.csr_matrix]
    n_vars: int
    gene_prefix: str = "ENSG"


def made_obs(n_obs: int, *, n_donors: int = 6, seed: int = 0) -> pd.DataFrame:
    """Annotate cells as Census does; the cells of a data set, which is of one tissue, follow one another."""
    rng = np.random.default_rng(seed)
    dataset = np.sort(rng.integers(0, 4, n_obs))
    general = np.array(["blood", "lung"])[dataset % 2]
    types = rng.choice(len(SHARES), n_obs, p=SHARES)
    disease = np.where(rng.random(n_obs) < 0.8, "normal", np.where(general == "blood", "lupus", "COVID-19"))
    columns = {
        "soma_joinid": np.arange(n_obs, dtype=np.int64),
        "dataset_id": [f"dataset-{number}" for number in dataset],
        "assay": np.array(ASSAYS)[rng.integers(0, 2, n_obs)],
        "cell_type": [CELL_TYPES[tissue][kind] for tissue, kind in zip(general, types, strict=True)],
        "disease": disease,
        "donor_id": [f"donor-{number}" for number in rng.integers(0, n_donors, n_obs)],
        "is_primary_data": rng.random(n_obs) < 0.85,
        "observation_joinid": [f"j{number}" for number in range(n_obs)],
        "sex": rng.choice(["female", "male"], n_obs),
        "tissue": [TISSUES[tissue][kind % 2] for tissue, kind in zip(general, types, strict=True)],
        "tissue_general": general,
        "n_measured_vars": np.full(n_obs, 100, dtype=np.int64),
    }
    return pd.DataFrame(columns)


def made_counts(
    obs: pd.DataFrame, n_vars: int, *, depth: int = 60, seed: int = 0, block: int = 4096
) -> Iterator[sparse.csr_matrix]:
    """Draw each cell's molecules from the programme of its cell type."""
    rng = np.random.default_rng(seed)
    kinds = pd.Categorical(obs["cell_type"])
    common = 1 / np.sqrt(1 + rng.permutation(n_vars))
    programmes = [common * np.where(rng.random(n_vars) < 0.05, 8, 1) for _ in kinds.categories]
    for start in range(0, len(obs), block):
        codes = kinds.codes[start : start + block]
        rows = np.repeat(np.arange(len(codes)), rng.poisson(depth, len(codes)) + 1)
        genes = np.empty(len(rows), dtype=np.int64)
        for code, programme in enumerate(programmes):
            here = codes[rows] == code
            genes[here] = rng.choice(n_vars, here.sum(), p=programme / programme.sum())
        ones = np.ones(len(rows), dtype=np.float32)
        yield sparse.coo_matrix((ones, (rows, genes)), shape=(len(codes), n_vars)).tocsr()


def made_organism(n_obs: int = 300, n_vars: int = 40, *, seed: int = 0, prefix: str = "ENSG") -> Organism:
    """Make cells whose types can be told from their counts."""
    obs = made_obs(n_obs, seed=seed)
    return Organism(obs, made_counts(obs, n_vars, seed=seed), n_vars, prefix)


def written_census(path: Path, **organisms: Organism) -> Path:
    """Write a Census; keywords are organisms, as Census calls them."""
    frames: dict[str, pd.DataFrame] = {}
    with soma.Collection.create(str(path)) as census:
        info, data = census.add_new_collection("census_info"), census.add_new_collection("census_data")
        summary = pd.DataFrame({"soma_joinid": [0], "label": ["census_build_date"], "value": ["2026-01-02"]})
        _add_frame(info, "summary", summary, frames)
        for name, organism in organisms.items():
            _add_organism(data, name, organism, frames)
    # Not through the handles of creation: those leave the dictionaries of categories empty, silently.
    for uri, frame in frames.items():
        with soma.DataFrame.open(uri, "w") as written:
            written.write(pa.Table.from_pandas(frame, preserve_index=False, schema=_schema(frame)))
    return path


def _add_organism(
    data: soma.Collection, name: str, organism: Organism, frames: dict[str, pd.DataFrame]
) -> None:
    experiment = data.add_new_collection(name, soma.Experiment)
    rna = experiment.add_new_collection("ms").add_new_collection("RNA", soma.Measurement)
    shape = (len(organism.obs), organism.n_vars)
    layers = rna.add_new_collection("X")
    matrix = layers.add_new_sparse_ndarray("raw", type=pa.float32(), shape=shape, platform_config=_X_LAYOUT)
    nnz = []
    for counts in organism.counts:
        start = sum(map(len, nnz))
        nnz.append(np.diff(counts.indptr))
        rows = np.repeat(np.arange(start, start + len(nnz[-1]), dtype=np.int64), nnz[-1])
        columns = {
            "soma_dim_0": rows,
            "soma_dim_1": counts.indices.astype(np.int64),
            "soma_data": counts.data,
        }
        matrix.write(pa.Table.from_pydict(columns))
    _add_frame(experiment, "obs", organism.obs.assign(nnz=np.concatenate(nnz).astype(np.int64)), frames)
    genes = range(organism.n_vars)
    var = {
        "soma_joinid": np.arange(organism.n_vars, dtype=np.int64),
        "feature_id": [f"{organism.gene_prefix}{gene:011d}" for gene in genes],
        "feature_name": [f"GENE{gene}" for gene in genes],
    }
    _add_frame(rna, "var", pd.DataFrame(var), frames)


def _add_frame(
    collection: soma.Collection, name: str, frame: pd.DataFrame, frames: dict[str, pd.DataFrame]
) -> None:
    frame = frame.reset_index(drop=True)
    domain = [(0, len(frame) - 1)]
    schema = _schema(frame)
    made = collection.add_new_dataframe(
        name, schema=schema, index_column_names=["soma_joinid"], domain=domain
    )
    frames[made.uri] = frame


def _schema(frame: pd.DataFrame) -> pa.Schema:
    plain = _TEXTS if "cell_type" in frame else set(frame.columns)
    kinds = {}
    for name in frame.columns:
        if name in _NUMBERS:
            kinds[name] = pa.from_numpy_dtype(frame[name].dtype)
        elif name in plain:
            kinds[name] = pa.large_string()
        else:
            kinds[name] = pa.dictionary(pa.int32(), pa.large_string())
    return pa.schema(list(kinds.items()))
