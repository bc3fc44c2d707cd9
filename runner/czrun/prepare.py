"""Prepared data: what containers read, and the truth that they never see.

    prepared/<key>/fit/train.h5ad       training cells
                   predict/v0.h5ad      test cells without what is asked of them, in an order of their own
                   predict/reference.*  the training cells once more, for tasks that take embeddings
                   truth/               host only: the answers, donors, the source's own cell ids
                   ids/<view>.npy       the opaque ids of the cells, to check answers by
                   manifest.json

The key is the hash of everything that determines the content, so a folder is written once and never changes.
Memory stays flat: the source is read once in blocks, and each row is put straight where it belongs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from czrun.annotations import Annotated, annotate
from czrun.arrangement import Arrangement, arrange
from czrun.audit import audit_prepared
from czrun.cells import Categorical, CellSource, Column, ImageSource, Names, Numeric
from czrun.contract.job import INPUT_DIR, DatasetFacts, ExpressionSpace, InputFile, XKind
from czrun.datasets.catalogue import open_obs
from czrun.errors import LeakError, listing
from czrun.inputs import Part, opaque_ids, write_cells, write_conditions, write_images
from czrun.leases import Lease
from czrun.ledger import Ledger, write_ledger
from czrun.manifest import PreparedManifest, PrepareRequest, prepared_folder
from czrun.model_input import Ids
from czrun.splits import Rows
from czrun.storage import publish, seal, storage_errors, write_text
from czrun.tasks.base import REFERENCE, VIEW, Design
from czrun.truth import TREATED, truth_sha256, write_truth


def prepare(request: PrepareRequest, home: Path, lease: Lease) -> None:
    """Make whatever folds are not there yet.

    Raises
    ------
    DatasetError
        When the data can't be read or split as asked; nothing is left half-written.
    StorageError
        When the cache can't hold them.
    """
    source = open_obs(request.spec, request.task.modality)
    try:
        annotated = annotate(source, request.spec, request.plan, request.task)
        for fold in range(request.plan.n_folds):
            if not request.is_prepared(home, fold):
                _Fold(source, annotated, request, fold).write(home, lease)
    finally:
        source.close()


@dataclass(frozen=True)
class _Fold:
    """One fold of one request, to be written."""

    source: CellSource | ImageSource
    cells: Annotated
    request: PrepareRequest
    fold: int

    @cached_property
    def key(self) -> str:
        return self.request.key(self.fold)

    @cached_property
    def arrangement(self) -> Arrangement:
        return arrange(self.cells, self.request.task.design, self.request.plan, self.fold)

    def write(self, home: Path, lease: Lease) -> None:
        """Stage the folder in scratch space, then publish it."""
        # No order of the source's may show, nor can it be drawn anew: the same split has the same hash.
        rng = np.random.Generator(np.random.PCG64(int(self.key[:16], 16)))
        orders = {part: rng.permutation(rows) for part, rows in self._rows().items()}
        ids = opaque_ids(rng, sum(map(len, orders.values())))
        ends = np.cumsum([len(rows) for rows in orders.values()])
        pieces = zip(orders.items(), np.split(ids, ends[:-1]), strict=True)
        parts = {name: self._part(name, rows, own) for (name, rows), own in pieces}
        stage = lease.folder()
        with storage_errors(home):
            shape = self._write_inputs(stage, list(parts.values()))
            self._write_host_side(stage, orders, parts)
            _settle(stage)
            with ThreadPoolExecutor() as pool:
                # While they are hashed and the disk takes them in, they are audited.
                seals = {path: pool.submit(seal, path) for path in _shown_files(stage)}
                _refuse_leaks(stage, lease.folder())
                hashes = {path: future.result() for path, future in seals.items()}
            manifest = self._describe(stage, parts, shape, hashes)
            write_text(stage / "manifest.json", manifest.model_dump_json(indent=1))
            _settle(stage)
        publish(stage, prepared_folder(home, self.key))

    def _rows(self) -> dict[str, Rows]:
        """Return who goes where, in the order in which ids are given."""
        rows = {"train": self.arrangement.fit, VIEW: self.arrangement.predict}
        if self.request.task.reference_outputs:
            rows[REFERENCE] = self.arrangement.fit
        return rows

    def _part(self, name: str, rows: Rows, ids: Ids) -> Part:
        task = self.request.task
        names = task.fit_obs if name == "train" else task.predict_obs
        names += tuple(each for each in task.optional_obs if each in self.cells.columns)
        columns = {each: self.cells.columns[each].take(rows) for each in dict.fromkeys(names)}
        # A file that listed other cells' values would tell fit what predict is asked for.
        obs = {
            each: column.used() if isinstance(column, Categorical) else column
            for each, column in columns.items()
        }
        if name == "train" and (inner := self.arrangement.inner) is not None:
            obs["fold"] = Numeric(inner[rows])
        return Part("fit" if name == "train" else "predict", name, self.cells.rows[rows], ids, obs)

    def _write_inputs(self, stage: Path, parts: list[Part]) -> tuple[int, ...]:
        """Write what containers read; return an image's shape, nothing for cells."""
        if self.request.task.modality == "image":
            images: ImageSource = self.source  # type: ignore[assignment]
            write_images(stage, parts, images)
            return images.image_shape
        source: CellSource = self.source  # type: ignore[assignment]
        if self.request.task.design is Design.PERTURBATION:
            parts = [*parts, self._treated()]
        write_cells(stage, parts, source, source.genes())
        if self.arrangement.conditions:
            write_conditions(stage / _CONDITIONS, self.arrangement.conditions)
        return ()

    def _treated(self) -> Part:
        """Return the cells that are asked for; their file is the host's."""
        chosen = self.arrangement
        names = tuple(each.name for each in chosen.conditions)
        obs: dict[str, Column] = {"condition": Categorical(chosen.treated_condition, names)}
        rows = self.cells.rows[chosen.treated]
        ids = np.array([str(number).encode() for number in range(len(rows))], dtype="S16")
        return Part("truth", TREATED, rows, ids, obs)

    def _write_host_side(self, stage: Path, orders: dict[str, Rows], parts: dict[str, Part]) -> None:
        (stage / "ids").mkdir()
        names = self.source.obs_names()
        for view in parts:
            np.save(stage / "ids" / f"{view}.npy", parts[view].opaque)
            if view != "train":
                clusters = None if self.cells.clusters is None else self.cells.clusters[orders[view]]
                columns = self.request.task.truth + self.request.task.optional_truth
                known = {
                    name: self.cells.columns[name].take(orders[view])
                    for name in dict.fromkeys(columns)
                    if name in self.cells.columns
                }
                write_truth(stage, view, known, clusters, _in_pieces(names, parts[view].rows))
        write_ledger(stage, self._ledger(orders, names))

    def _ledger(self, orders: dict[str, Rows], names: Names) -> Ledger:
        task, cells = self.request.task, self.cells
        optional = tuple(name for name in task.optional_obs if name in cells.columns)
        columns = dict(cells.columns)
        if cells.clusters is not None:
            columns[_CLUSTERS] = Categorical(cells.clusters, cells.cluster_names)
        inner = self.arrangement.inner
        folds = () if inner is None else ("fold",)
        if inner is not None:
            columns["fold"] = Numeric(inner)
        every = max(1, len(cells.rows) // _NAMES_FOR_THE_AUDIT)
        return Ledger(
            rows=cells.rows,
            columns=columns,
            orders=orders,
            shown={"fit": (*task.fit_obs, *optional, *folds), "predict": (*task.predict_obs, *optional)},
            names=tuple(map(str, names[cells.rows[::every]].tolist())),
            conditions=self.arrangement.conditions,
        )

    def _describe(
        self, stage: Path, parts: dict[str, Part], shape: tuple[int, ...], hashes: Mapping[Path, str]
    ) -> PreparedManifest:
        request, chosen = self.request, self.arrangement
        train, test = parts["train"], parts[VIEW]
        predict_inputs = [*_input_files(stage, test, hashes)]
        if chosen.conditions:
            path = stage / _CONDITIONS
            predict_inputs.append(_input_file(path, VIEW, len(chosen.conditions), hashes[path]))
        if REFERENCE in parts:
            predict_inputs += _input_files(stage, parts[REFERENCE], hashes)
        return PreparedManifest(
            key=self.key,
            dataset=request.spec.name,
            dataset_sha256=request.sha256,
            label_key=request.spec.key_for("label") or "",
            split=request.plan.describe(),
            fold=self.fold,
            n_fit=len(train.rows),
            n_predict=len(test.rows),
            n_conditions=len(chosen.conditions),
            n_treated=len(chosen.treated),
            cluster_key=self.cells.cluster_key,
            facts=self._facts(len(test.rows), shape),
            fit_inputs=tuple(_input_files(stage, train, hashes)),
            predict_inputs=tuple(predict_inputs),
            truth_sha256=truth_sha256(stage),
            notes=request.notes + self.cells.notes + chosen.notes,
            tested=chosen.tested,
        )

    def _facts(self, n_obs: int, shape: tuple[int, ...]) -> DatasetFacts:
        task, cells = self.request.task, self.cells
        classes = cells.categorical("label").categories if task.has_classes else ()
        if task.modality == "image":
            height, width, channels = shape
            return DatasetFacts(
                organisms=cells.organisms,
                modality="image",
                n_obs=n_obs,
                n_vars=0,
                gene_ids="unknown",
                x=XKind.OTHER,
                classes=classes,
                image_shape=(height, width, channels),
                inner_folds=self.request.plan.inner_folds,
            )
        source: CellSource = self.source  # type: ignore[assignment]
        space = ExpressionSpace.LOG1P_CP10K if source.x is XKind.COUNTS else ExpressionSpace.AS_X
        return DatasetFacts(
            organisms=cells.organisms,
            n_obs=n_obs,
            n_vars=source.n_vars,
            gene_ids=source.genes().kind,
            x=source.x,
            classes=classes,
            inner_folds=self.request.plan.inner_folds,
            expression=space if task.design is Design.PERTURBATION else None,
        )


_CLUSTERS = "clusters"
_NAMES_AT_ONCE = 1 << 16
_NAMES_FOR_THE_AUDIT = 64
_CONDITIONS = f"predict/{VIEW}.conditions.csv"


def _in_pieces(names: Names, rows: Rows) -> Iterator[list[str]]:
    for start in range(0, len(rows), _NAMES_AT_ONCE):
        yield names[rows[start : start + _NAMES_AT_ONCE]].tolist()


def _shown_files(stage: Path) -> Iterator[Path]:
    """Yield what containers will read."""
    for phase in ("fit", "predict"):
        yield from (stage / phase).iterdir()


def _input_files(stage: Path, part: Part, hashes: Mapping[Path, str]) -> Iterator[InputFile]:
    for name in (part.cells_file, *part.image_files):
        if sha256 := hashes.get(stage / name):
            yield _input_file(stage / name, part.view, len(part.rows), sha256)


def _input_file(path: Path, view: str, n_rows: int, sha256: str) -> InputFile:
    return InputFile.model_validate(
        {
            "id": view,
            "path": f"{INPUT_DIR}/{path.name}",
            "format": path.suffix[1:],
            "n_obs": n_rows,
            "sha256": sha256,
            "bytes": path.stat().st_size,
        }
    )


def _refuse_leaks(stage: Path, scratch: Path) -> None:
    findings = audit_prepared(stage, scratch)
    if findings:
        raise LeakError(
            f"The prepared data would tell a model what it is asked:\n{listing(map(str, findings))}",
            "Nothing was kept. The files are czrun's own work: please report this, with the lines above.",
        )


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
