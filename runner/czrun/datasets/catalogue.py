"""Names of data sets, and how a name, a YAML or a file becomes a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from czrun.contract.job import XKind
from czrun.datasets.added import added_file, added_names
from czrun.datasets.formats import not_read, recognise
from czrun.datasets.imaging.kinds import image_kind, is_zarr
from czrun.datasets.spec import DatasetSpec, read_spec
from czrun.errors import DatasetError, unknown_name

if TYPE_CHECKING:
    from czrun.cells import CellSource, ImageSource

PBMC68K = DatasetSpec(
    name="pbmc68k_reduced",
    path=Path(__file__).parent / "bundled" / "pbmc68k_reduced.npz",
    x=XKind.LOG1P,
    obs={"label": "bulk_labels"},
    organism="homo_sapiens",
    title="700 PBMCs × 765 genes (Zheng 2017), bundled",
    source="doi:10.1038/ncomms14049",
    license="CC-BY-4.0",
)

DEFAULT_DATASET = PBMC68K.name

BUILT_IN: Mapping[str, DatasetSpec] = {PBMC68K.name: PBMC68K}


def named_datasets() -> dict[str, DatasetSpec]:
    """Return the built-in data sets, and those that packages add as ``czrun.datasets`` entry points."""
    from importlib.metadata import entry_points  # 10 ms that a built-in name needn't pay

    added = {point.name: point.load() for point in entry_points(group="czrun.datasets")}
    return {**added, **BUILT_IN}


def find_dataset(name: str) -> DatasetSpec:
    """Find a data set.

    Parameters
    ----------
    name
        A name of the catalogue or one that the user added, a URL, or the path of a file or of a data set's
        YAML.

    Raises
    ------
    DatasetError
        When it is a path that can't be read.
    UsageError
        When it is neither a path nor a known name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if own := added_file(name):
        return read_spec(own)
    if "://" in name:
        return DatasetSpec(name=Path(urlsplit(name).path).name.partition(".")[0], url=name)
    path = Path(name).expanduser()
    if path.suffix.lower() in (".yaml", ".yml"):
        return read_spec(path)
    if path.suffix or path.exists() or "/" in name:
        if path.is_file() and not recognise(path) and not image_kind(path):
            raise not_read(path)
        return DatasetSpec(name=path.stem, path=path)
    names = named_datasets()
    if name not in names:
        raise unknown_name("data set or file", name, [*names, *added_names()])
    return names[name]


def open_obs(spec: DatasetSpec, modality: str) -> CellSource | ImageSource:
    """Open what a task of this modality needs; raises DatasetError when the data set has something else."""
    if modality == "expression":
        return open_cells(spec)
    # A folder that holds no images is for the reader of images to complain of.
    if not spec.holds_images and (not spec.file.is_dir() or is_zarr(spec.file)):
        raise DatasetError(
            f"{spec.name} holds cells by genes, and this task needs images.",
            "Name a folder of class folders of images, an .npz, .npy or OME-TIFF file, or an OME-Zarr image.",
        )
    from czrun.datasets.imaging.opening import open_images

    return open_images(spec)


def modality_of(spec: DatasetSpec) -> Literal["expression", "image"]:
    """Return what a data set holds."""
    return "image" if spec.holds_images and spec.path != PBMC68K.path else "expression"


def open_cells(spec: DatasetSpec) -> CellSource:
    """Open a data set's cells by genes; raises DatasetError when they can't be read."""
    # Imported here: a cached run finds data sets without opening one, and needn't wait for NumPy and h5py.
    if spec.path == PBMC68K.path:
        from czrun.datasets.sample import SampleCells

        return SampleCells(spec.file)
    if spec.holds_images:
        raise DatasetError(
            f"{spec.name} holds images, and this task needs cells by genes.",
            "Choose --task image-classification, or an .h5ad file.",
        )
    from czrun.datasets.local import LocalCells

    return LocalCells(spec)
