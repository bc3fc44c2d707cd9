"""Names of data sets, and how a name, a YAML or a file becomes a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from czrun.contract.job import XKind
from czrun.datasets.added import added_file, added_names
from czrun.datasets.formats import not_read, recognise
from czrun.datasets.imaging.kinds import image_kind, is_zarr
from czrun.datasets.spec import DatasetSpec, read_spec
from czrun.errors import DatasetError, UsageError

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
    """Return all data sets that come with a name: the built-in ones first, the public ones last.

    In between are those that packages add as ``czrun.datasets`` entry points.
    """
    # Imported here: a built-in name needn't pay for them.
    from importlib.metadata import entry_points

    from czrun.datasets.public import public_datasets

    added = {point.name: point.load() for point in entry_points(group="czrun.datasets")}
    public = {name: entry.spec for name, entry in public_datasets().items()}
    return {**BUILT_IN, **{name: spec for name, spec in added.items() if name not in BUILT_IN}, **public}


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
        parts = urlsplit(name)
        return DatasetSpec(name=Path(parts.fragment or parts.path).name.partition(".")[0], url=name)
    path = Path(name).expanduser()
    if path.suffix.lower() in (".yaml", ".yml"):
        return read_spec(path)
    if path.suffix or path.exists() or "/" in name:
        if path.is_file() and not recognise(path) and not image_kind(path):
            raise not_read(path)
        return DatasetSpec(name=path.stem, path=path)
    names = named_datasets()
    if name not in names:
        raise _unknown_dataset(name, [*names, *added_names()])
    return names[name]


def _unknown_dataset(name: str, names: Sequence[str]) -> UsageError:
    """Name the nearest; all of them would fill the screen."""
    lowered = name.lower()
    # The part behind the colon is what people remember.
    near = [each for each in names if each.partition(":")[2].lower() == lowered]
    near += get_close_matches(name, names, n=3, cutoff=0.5)
    near += [each for each in names if lowered and lowered in each.lower()]
    guess = f"Did you mean {' or '.join(map(repr, [*dict.fromkeys(near)][:3]))}? " if near else ""
    return UsageError(
        f"There is no data set or file {name!r}.", f"{guess}`czrun datasets list` lists all that have a name."
    )


def open_obs(spec: DatasetSpec, modality: str) -> CellSource | ImageSource:
    """Open what a task of this modality needs; raises DatasetError when the data set has something else."""
    if modality == "expression":
        return open_cells(spec)
    if spec.join:
        raise DatasetError(
            f"{spec.name} joins two data sets, and this task needs images: only cells by genes are joined.",
            "Put the images into one data set with a column that says train or test, and name that with "
            "--split predefined --split-key COLUMN.",
        )
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
    if spec.join:
        from czrun.datasets.joined import open_joined

        return open_joined(spec)
    if spec.path == PBMC68K.path:
        from czrun.datasets.sample import SampleCells

        return SampleCells(spec.file)
    if spec.holds_images:
        raise DatasetError(
            f"{spec.name} holds images, and this task needs cells by genes.",
            "Choose --task image-classification, or an .h5ad file.",
        )
    from czrun.datasets.local import LocalCells
    from czrun.datasets.mapped_cells import with_tidy_genes

    return with_tidy_genes(LocalCells(spec), spec.name)
