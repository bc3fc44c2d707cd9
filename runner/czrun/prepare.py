"""Prepared data: what containers read, and the truth that they never see.

    prepared/<key>/fit/train.h5ad       labelled training cells
                   predict/v0.h5ad      test cells without labels, in an order of their own
                   truth/               host only: labels, donors, the source's own cell ids
                   cell_ids.npy         the opaque ids of the test cells, to check answers by
                   manifest.json

The key is the hash of everything that determines the content, so a folder is written once and never changes.
Memory stays flat: the source is read once in blocks, and each row is put straight where it belongs.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from czrun.annotations import Annotated, annotate
from czrun.cells import CellSource, Genes, RowBlock, Texts
from czrun.contract.job import INPUT_DIR, DatasetFacts, InputFile
from czrun.datasets.catalogue import open_cells
from czrun.errors import StorageError
from czrun.leases import Lease
from czrun.manifest import PreparedManifest, PrepareRequest, prepared_folder
from czrun.model_input import Categorical, H5adWriter
from czrun.splits import Rows, split
from czrun.storage import file_sha256, publish, storage_errors, write_text

TRAIN_FILE = "fit/train.h5ad"
TEST_FILE = "predict/v0.h5ad"

_DISK_FLOOR_BYTES = 128 * 1024**2


def prepare(request: PrepareRequest, home: Path, lease: Lease) -> None:
    """Make whatever folds are not there yet.

    Raises
    ------
    DatasetError
        When the data can't be read or split as asked; nothing is left half-written.
    StorageError
        When the cache can't hold them.
    """
    source = open_cells(request.spec)
    try:
        annotated = annotate(source, request.spec, request.plan)
        for fold in range(request.plan.n_folds):
            if not request.is_prepared(home, fold):
                _Fold(source, annotated, request, fold).write(home, lease)
    finally:
        source.close()


@dataclass(frozen=True)
class _Side:
    """One side of a split on its way into a file: source rows in the file's order, and the cells' new ids."""

    file: str
    rows: Rows
    ids: Texts
    obs: Mapping[str, Categorical]


@dataclass(frozen=True)
class _Fold:
    """One fold of one request, to be written."""

    source: CellSource
    annotated: Annotated
    request: PrepareRequest
    fold: int

    def write(self, home: Path, lease: Lease) -> None:
        """Stage the folder in scratch space, then publish it."""
        cells = self.annotated
        parts = split(self.request.plan, self.fold, cells.labels, cells.groups, cells.predefined)
        key = self.request.key(self.fold)
        # No order of the source's may show, nor can it be drawn anew: the same split has the same hash.
        rng = np.random.Generator(np.random.PCG64(int(key[:16], 16)))
        train, test = rng.permutation(parts.train), rng.permutation(parts.test)
        ids = _opaque_ids(rng, len(train) + len(test))
        sides = (
            _Side(
                TRAIN_FILE, cells.rows[train], ids[: len(train)], self._obs(self.request.task.fit_obs, train)
            ),
            _Side(
                TEST_FILE, cells.rows[test], ids[len(train) :], self._obs(self.request.task.predict_obs, test)
            ),
        )
        stage, genes = lease.folder(), self.source.genes()
        with storage_errors(home):
            _fill(stage, sides, self.source, genes)
            self._write_truth(stage, test, sides[1])
            manifest = self._describe(stage, key, sides, genes)
            write_text(stage / "manifest.json", manifest.model_dump_json(indent=1))
            _settle(stage)
        publish(stage, prepared_folder(home, key))

    def _obs(self, names: tuple[str, ...], rows: Rows) -> dict[str, Categorical]:
        columns = {"label": Categorical(self.annotated.labels[rows], self.annotated.classes)}
        return {name: columns[name] for name in names}

    def _write_truth(self, stage: Path, test: Rows, side: _Side) -> None:
        truth = stage / "truth"
        truth.mkdir(mode=0o700)
        np.save(truth / "labels.npy", self.annotated.labels[test])
        if self.annotated.clusters is not None:
            np.save(truth / "clusters.npy", self.annotated.clusters[test])
        names = self.source.obs_names()[side.rows].tolist()
        write_text(truth / "obs_names.json", json.dumps(names))
        np.save(stage / "cell_ids.npy", side.ids.astype("S16"))

    def _describe(self, stage: Path, key: str, sides: tuple[_Side, _Side], genes: Genes) -> PreparedManifest:
        spec, cells = self.request.spec, self.annotated
        train, test = sides
        facts = DatasetFacts(
            organisms=cells.organisms,
            n_obs=len(test.rows),
            n_vars=self.source.n_vars,
            gene_ids=genes.kind,
            x=self.source.x,
            classes=cells.classes,
        )
        return PreparedManifest(
            key=key,
            dataset=spec.name,
            dataset_sha256=self.request.sha256,
            label_key=spec.key_for("label") or "",
            split=self.request.plan.describe(),
            fold=self.fold,
            n_fit=len(train.rows),
            n_predict=len(test.rows),
            n_groups=None if cells.groups is None else int(cells.groups.max()) + 1,
            cluster_key=cells.cluster_key,
            facts=facts,
            fit_inputs=(_input_file(stage, "train", train),),
            predict_inputs=(_input_file(stage, "v0", test),),
            truth_sha256=file_sha256(stage / "truth" / "labels.npy"),
            notes=cells.notes + _class_notes(cells, train, test),
        )


def _fill(stage: Path, sides: tuple[_Side, _Side], source: CellSource, genes: Genes) -> None:
    """Lay both files out, then stream the source once and put every row where it belongs."""
    nnz = source.row_nnz()
    _check_room(stage, nnz)
    side_of = np.full(source.n_obs, -1, dtype=np.int8)
    place = np.zeros(source.n_obs, dtype=np.int64)
    with ExitStack() as files:
        writers = []
        for number, side in enumerate(sides):
            (stage / side.file).parent.mkdir(mode=0o755)
            writer = H5adWriter(stage / side.file, side.ids, genes, side.obs, nnz[side.rows])
            writers.append(files.enter_context(writer))
            side_of[side.rows] = number
            place[side.rows] = np.arange(len(side.rows))
        for block in source.blocks():
            _scatter(block, writers, side_of, place)


def _scatter(
    block: RowBlock, writers: list[H5adWriter], side_of: npt.NDArray[np.int8], place: npt.NDArray[np.int64]
) -> None:
    data = np.ascontiguousarray(block.data).data.cast("B")
    indices = np.ascontiguousarray(block.indices).data.cast("B")
    bounds = (block.indptr * 4).tolist()
    rows = slice(block.start, block.start + len(bounds) - 1)
    for row, (side, target) in enumerate(zip(side_of[rows].tolist(), place[rows].tolist(), strict=True)):
        if side >= 0:
            piece = slice(bounds[row], bounds[row + 1])
            writers[side].write_row(target, data[piece], indices[piece])


def _check_room(stage: Path, nnz: npt.NDArray[np.int64]) -> None:
    needed = 8 * int(nnz.sum()) + 100 * len(nnz) + _DISK_FLOOR_BYTES
    free = shutil.disk_usage(stage).free
    if free < needed:
        raise StorageError(
            f"Preparing needs {needed >> 20:,} MiB under {stage.parent.parent}; {free >> 20:,} MiB are free.",
            "Free some space (`czrun runs clean`), or set CZRUN_HOME to a folder on a larger disk.",
        )


def _opaque_ids(rng: np.random.Generator, count: int) -> Texts:
    """Draw ids that say nothing: 64 random bits in hexadecimal, each different."""
    numbers = np.unique(rng.integers(0, 1 << 63, size=count + 8, dtype=np.int64))
    return np.array([f"{number:016x}" for number in rng.permutation(numbers)[:count]], dtype=object)


def _input_file(stage: Path, name: str, side: _Side) -> InputFile:
    path = stage / side.file
    return InputFile(
        id=name,
        path=f"{INPUT_DIR}/{path.name}",
        n_obs=len(side.rows),
        sha256=file_sha256(path),
        bytes=path.stat().st_size,
    )


def _class_notes(cells: Annotated, train: _Side, test: _Side) -> tuple[str, ...]:
    """Say which classes can't be learned, or aren't asked."""
    code_of = np.full(int(cells.rows.max()) + 1, -1, dtype=np.int32)
    code_of[cells.rows] = cells.labels
    notes = []
    for side, what in ((train, "no training cells"), (test, "no test cells")):
        counts = np.bincount(code_of[side.rows], minlength=len(cells.classes))
        if absent := [cells.classes[code] for code in np.flatnonzero(counts == 0)]:
            notes.append(f"{what} of {', '.join(absent)}")
    return tuple(notes)


def _settle(stage: Path) -> None:
    """Give files the modes that a container's user needs, and times that say nothing."""
    for path in sorted(stage.rglob("*"), reverse=True):
        readable = "truth" not in path.relative_to(stage).parts
        if path.is_file():
            path.chmod(0o644 if readable else 0o600)
        else:
            path.chmod(0o755 if readable else 0o700)
        os.utime(path, (0, 0))
    stage.chmod(0o755)
