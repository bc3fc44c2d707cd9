"""From a path to a source of images, whatever lies there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from czrun.cells import ImageSource, Texts
from czrun.datasets.images import ImageArchive
from czrun.datasets.imaging.folders import FolderPictures, Found, find_pictures
from czrun.datasets.imaging.image_set import ImageSet
from czrun.datasets.imaging.kinds import ImageKind, bare_name, image_kind, table_of, table_places
from czrun.datasets.imaging.options import ImageOptions
from czrun.datasets.imaging.segmented import SegmentedPictures
from czrun.datasets.imaging.stacks import StackPictures, open_array, open_tiff_stack
from czrun.datasets.imaging.tables import Table, in_order, join, read_table
from czrun.datasets.spec import CELLXGENE_KEYS, DatasetSpec
from czrun.errors import DatasetError

CLASS_COLUMN = CELLXGENE_KEYS["label"]
"""The column of the class folders: where a label is looked for when nobody says where."""

_PATH_KEYS = ("path", "cell_id", "file", "filename", "image", "image_id")
_LABEL_KEYS = ("cell_id", "label_value", "label_id", "instance_id", "label")
_ID_KEYS = ("cell_id", "image_id")


def open_images(spec: DatasetSpec) -> ImageSource:
    """Open a set of images; raises DatasetError when there is none, or it can't serve."""
    kind = image_kind(spec.file)
    options = spec.images or ImageOptions()
    if kind is ImageKind.FOLDER or (kind is None and spec.file.is_dir()):
        return _open_folder(spec, options)
    if kind is ImageKind.ARRAY:
        return _open_stack(spec, options, open_array(spec.file), table_of(spec.file))
    if kind is ImageKind.TIFF:
        table = _required_table(spec.file)
        return _open_stack(spec, options, open_tiff_stack(spec.file, read_table(table).n_rows), table)
    if kind is ImageKind.NGFF:
        return _open_segmented(spec, options)
    return ImageArchive(spec.file)


def _open_folder(spec: DatasetSpec, options: ImageOptions) -> ImageSet:
    root = spec.file
    found = find_pictures(root)
    columns: dict[str, Texts] = {}
    notes = _others(found)
    if found.has_classes:
        columns[CLASS_COLUMN] = _texts(found.classes)
        notes.append(f"the class folders were taken for {CLASS_COLUMN!r}")
    if path := table_of(root):
        table = read_table(path)
        key = _key_of(table, _PATH_KEYS)
        joined = join(table, key, found.ids, _as_id, allow_missing=spec.drop_unlabelled)
        _refuse_other_classes(joined.columns, columns, path)
        columns |= joined.columns
        notes += _without_row(joined.n_missing, path)
    elif not found.has_classes:
        raise DatasetError(
            f"{root} holds images, but neither class folders nor a table {root / 'cells.csv'}.",
            "Put the images into a folder a class, or write cells.csv with the columns path and cell_type.",
        )
    return ImageSet(root, FolderPictures(root, found.files), found.ids, columns, options, notes)


def _open_stack(
    spec: DatasetSpec, options: ImageOptions, pictures: StackPictures, path: Path | None
) -> ImageSet:
    try:
        columns: dict[str, Texts] = {}
        if path:
            columns = in_order(read_table(path), pictures.n_obs, f"{spec.file} has")
        key = next((name for name in _ID_KEYS if name in columns), None)
        ids = [str(name) for name in columns[key]] if key else [str(row) for row in range(pictures.n_obs)]
        notes = [f"columns were read from {path.name}"] if path else []
        return ImageSet(spec.file, pictures, ids, columns, options, notes)
    except BaseException:
        pictures.close()
        raise


def _open_segmented(spec: DatasetSpec, options: ImageOptions) -> ImageSet:
    pictures = SegmentedPictures(spec.file, options.segmentation, options.crop)
    path = _required_table(spec.file)
    table = read_table(path)
    key = _key_of(table, _LABEL_KEYS)
    ids = [str(value) for value in pictures.labels.tolist()]
    joined = join(table, key, ids, _as_label, allow_missing=spec.drop_unlabelled)
    notes = [f"cells were found in {path.name} by its column {key!r}", *_without_row(joined.n_missing, path)]
    return ImageSet(spec.file, pictures, ids, joined.columns, options, notes)


def _required_table(path: Path) -> Path:
    table = table_of(path)
    if table is None:
        places = " and ".join(map(str, table_places(path)))
        raise DatasetError(
            f"{path} has no table beside it: {places} were looked for.",
            "It is a CSV of one row a cell, for example with the columns cell_id and cell_type.",
        )
    return table


def _key_of(table: Table, names: Sequence[str]) -> str:
    key = table.first_of(names)
    if key is None:
        raise DatasetError(
            f"{table.path} has no column that names its images: {', '.join(table.columns)}.",
            f"Call it {names[0]!r}; {', '.join(names[1:])} are understood as well.",
        )
    return key


def _refuse_other_classes(table: dict[str, Texts], classes: dict[str, Texts], path: Path) -> None:
    """Refuse a table that speaks of the class as well, and differently."""
    if CLASS_COLUMN not in table or CLASS_COLUMN not in classes:
        return
    differing = int((table[CLASS_COLUMN] != classes[CLASS_COLUMN]).sum())
    if differing:
        raise DatasetError(
            f"{path} has a column {CLASS_COLUMN!r} that {differing:,} images' class folders contradict.",
            "Rename the column, or move the images to the folders of their classes.",
        )


def _as_id(name: str) -> str:
    return bare_name(name.replace("\\", "/").removeprefix("./"))


def _as_label(text: str) -> str:
    """Bring 7 and 7.0, as pandas writes it beside a missing value, into one form."""
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _others(found: Found) -> list[str]:
    if not found.others:
        return []
    return [f"{len(found.others):,} files that are no images were ignored, such as {found.others[0]}"]


def _without_row(count: int, path: Path) -> list[str]:
    return [f"{count:,} images have no row in {path.name}"] if count else []


def _texts(values: Sequence[str | None]) -> Texts:
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts
