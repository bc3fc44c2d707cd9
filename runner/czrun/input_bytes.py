"""Every byte of a model's .h5ad file accounted for: by the slot that may hold it, and against a fresh file.

HDF5 keeps the bytes of what was deleted, and has room for comments, times and whatever is appended. Rather
than knowing each such place, the file is held byte by byte against one written anew of the contents that it
may have; only the values of X are left out of that, since they fill their two extents whole.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from czrun.cells import Categorical, Column, Genes
from czrun.errors import listing
from czrun.model_input import H5adWriter, Ids

_READ_BYTES = 1 << 20
_SHORTEST = 4
"""Shorter texts turn up in any bytes: they are looked for as whole names only."""

_LONG_FOR_AN_ID = 10
_LIKE_AN_ID = re.compile(r"[0-9a-f]+")
"""Opaque ids are made of such digits, and some lie among other texts: shorter numbers turn up in them."""

_FORMAT_WORDS = ("TREE", "HEAP", "SNOD", "GCOL", "FALSE", "TRUE")
"""Words of HDF5's own, once for each structure, which a class may be called as well."""

_EMPTY_SLOTS = ("layers", "obsm", "obsp", "uns", "varm", "varp")
_MARKS = frozenset({"encoding-type", "encoding-version"})
_FRAME_MARKS = _MARKS | {"_index", "column-order"}
_IDS_OF_A_HEAP = 64
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])


@dataclass(frozen=True)
class Extent:
    """Bytes of a file from `start` to before `end`."""

    start: int
    end: int


def odd_contents(path: Path, ids: Ids, obs: Mapping[str, Column], scratch: Path) -> list[str]:
    """Say what a file holds besides, or instead of, what it may.

    Parameters
    ----------
    path
        The file.
    ids
        The obs index that it should have, shape (n_obs,).
    obs
        The obs columns that it should have, in its order.
    scratch
        A folder for the file that it is held against.

    Raises
    ------
    OSError, KeyError, ValueError, TypeError, RuntimeError
        When it can't be read at all.
    """
    with h5py.File(path) as file:
        problems = list(_odd_objects(file, obs))
        if problems:
            return problems
        indptr = file["X/indptr"][:]
        genes = _genes(file)
        extents = _matrix_extents(file)
        problems += _odd_columns(file, obs)
    fresh = scratch / "fresh.h5ad"
    writer = H5adWriter(fresh, ids, genes, obs, np.diff(indptr))
    writer.close()
    try:
        problems += _differences(path, fresh, extents)
    finally:
        fresh.unlink()
    return problems


def stray_texts(path: Path, secrets: Iterable[str]) -> list[str]:
    """Return those of the secrets that stand in a file's bytes more often than its names and texts say.

    X, numbers and ids are left out: they are numbers to the last byte, and checked as such.
    """
    wanted = {text.encode(): text for text in secrets if _can_be_sought(text)}
    if not wanted:
        return []
    with h5py.File(path) as file:
        known = b"\0".join(_all_texts(file))
        skipped = _number_extents(file) + _id_heaps(file, path)
    found = occurrences(_rest_of(path, skipped), list(wanted))
    expected = occurrences(known, list(wanted))
    return [wanted[text] for text, count in found.items() if count > expected[text]]


def _can_be_sought(text: str) -> bool:
    """Tell whether a text is found only where somebody wrote it."""
    least = _LONG_FOR_AN_ID if _LIKE_AN_ID.fullmatch(text) else _SHORTEST
    return len(text) >= least and text not in _FORMAT_WORDS


def occurrences(content: bytes, texts: Sequence[bytes]) -> Counter[bytes]:
    """Count in one pass how often each text of four bytes or more stands in some bytes."""
    counts: Counter[bytes] = Counter()
    view = np.frombuffer(content, dtype=np.uint8)
    if len(view) < _SHORTEST:
        return counts
    by_start: dict[bytes, list[bytes]] = {}
    for text in texts:
        by_start.setdefault(text[:_SHORTEST], []).append(text)
    starts = np.array([struct.unpack("<I", start)[0] for start in by_start], dtype=np.uint32)
    is_start = np.zeros(1 << 16, dtype=bool)
    is_start[_hashed(starts)] = True
    for begin in range(0, len(view) - _SHORTEST + 1, _READ_BYTES):
        # At every place the number that its four bytes make.
        piece = view[begin : begin + _READ_BYTES + _SHORTEST - 1].astype(np.uint32)
        grams = piece[:-3] | piece[1:-2] << 8 | piece[2:-1] << 16 | piece[3:] << 24
        for place in (np.flatnonzero(is_start[_hashed(grams)]) + begin).tolist():
            for text in by_start.get(content[place : place + _SHORTEST], ()):
                counts[text] += content.startswith(text, place)
    return counts


def _hashed(grams: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    return (grams * np.uint32(2654435761)) >> np.uint32(16)


def _odd_objects(file: Any, obs: Mapping[str, Column]) -> Iterator[str]:  # noqa: ANN401 - h5py has no types
    allowed = _allowed(file, obs)
    found: dict[str, Any] = {}

    def look(name: str, link: Any) -> None:  # noqa: ANN401
        if isinstance(link, h5py.HardLink):
            found[name] = file[name]
        else:
            found[name] = None

    file.visititems_links(look)
    for name in sorted(found.keys() - allowed.keys()):
        yield f"{name} is there, and may not be"
    for name in sorted(allowed.keys() - found.keys()):
        yield f"{name} is missing"
    for name in sorted(found.keys() & allowed.keys()):
        element, marks = found[name], allowed[name]
        if element is None:
            yield f"{name} is a link to somewhere else"
            continue
        if odd := sorted(set(element.attrs) ^ marks):
            yield f"{name} has too many or too few attributes: {', '.join(odd)}"
        if isinstance(element, h5py.Dataset) and not _is_plain(element):
            yield f"{name} isn't stored as one plain array in this file"
    if odd := sorted(set(file.attrs) ^ _MARKS):
        yield f"the file has too many or too few attributes: {', '.join(odd)}"


def _allowed(file: Any, obs: Mapping[str, Column]) -> dict[str, frozenset[str]]:  # noqa: ANN401
    """Return the names of all objects that may be there, with those of their attributes."""
    allowed = dict.fromkeys(_EMPTY_SLOTS, _MARKS)
    allowed |= {"X": _MARKS | {"shape"}, "obs": _FRAME_MARKS, "var": _FRAME_MARKS}
    allowed |= dict.fromkeys(("X/data", "X/indices", "X/indptr"), frozenset())
    allowed |= dict.fromkeys(("obs/_index", "var/_index"), _MARKS)
    allowed |= {f"var/{name}": _MARKS for name in ("gene_symbol", "ensembl_id") if f"var/{name}" in file}
    for name, column in obs.items():
        if isinstance(column, Categorical):
            allowed[f"obs/{name}"] = _MARKS | {"ordered"}
            allowed |= {f"obs/{name}/codes": _MARKS, f"obs/{name}/categories": _MARKS}
        else:
            allowed[f"obs/{name}"] = _MARKS
    return allowed


def _is_plain(dataset: Any) -> bool:  # noqa: ANN401
    layout = dataset.id.get_create_plist()
    return bool(
        layout.get_layout() == h5py.h5d.CONTIGUOUS
        and not layout.get_external_count()
        and not layout.get_nfilters()
    )


def _odd_columns(file: Any, obs: Mapping[str, Column]) -> Iterator[str]:  # noqa: ANN401
    for name, column in obs.items():
        element = file[f"obs/{name}"]
        if not isinstance(column, Categorical):
            if not np.array_equal(element[:], column.values, equal_nan=column.values.dtype.kind == "f"):
                yield f"obs/{name} isn't what these cells have"
            continue
        categories = tuple(element["categories"].asstr()[:].tolist())
        if unused := [text for text in categories if text not in column.categories]:
            yield f"obs/{name} has categories that none of its cells is of:\n{listing(unused, 5)}"
        elif categories != column.categories or not np.array_equal(element["codes"][:], column.codes):
            yield f"obs/{name} isn't what these cells have"


def _genes(file: Any) -> Genes:  # noqa: ANN401
    frame = file["var"]
    columns = {name: frame[name].asstr()[:] for name in frame.attrs["column-order"]}
    return Genes(frame["_index"].asstr()[:], columns)


def _differences(path: Path, fresh: Path, extents: list[Extent]) -> Iterator[str]:
    size, wanted = path.stat().st_size, fresh.stat().st_size
    if size != wanted:
        yield f"it has {size:,} bytes, what it may hold takes {wanted:,}"
    with path.open("rb", buffering=0) as own, fresh.open("rb", buffering=0) as other:
        for start, end in _gaps(extents, min(size, wanted)):
            own.seek(start)
            other.seek(start)
            for place in range(start, end, _READ_BYTES):
                pieces = [file.read(min(_READ_BYTES, end - place)) for file in (own, other)]
                if pieces[0] != pieces[1]:
                    both = [np.frombuffer(piece, np.uint8) for piece in pieces]
                    at = place + int(np.argmax(both[0] != both[1]))
                    yield f"from byte {at:,} on it differs from a fresh file of what it may hold"
                    return


def _gaps(extents: list[Extent], size: int) -> Iterator[tuple[int, int]]:
    """Yield what of a file lies in none of the extents."""
    place = 0
    for extent in sorted(extents, key=lambda each: each.start):
        if extent.start > place:
            yield place, min(extent.start, size)
        place = max(place, extent.end)
    if place < size:
        yield place, size


def _rest_of(path: Path, skipped: list[Extent]) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        pieces = []
        for start, end in _gaps(skipped, size):
            file.seek(start)
            pieces.append(file.read(end - start))
    return b"\0".join(pieces)


def _extent(dataset: Any) -> list[Extent]:  # noqa: ANN401
    place = dataset.id.get_offset()
    return [] if place is None else [Extent(place, place + dataset.id.get_storage_size())]


def _matrix_extents(file: Any) -> list[Extent]:  # noqa: ANN401
    return _extent(file["X/data"]) + _extent(file["X/indices"])


def _number_extents(file: Any) -> list[Extent]:  # noqa: ANN401
    """Return where arrays lie: numbers, and for texts the numbers that say where each is."""
    found: list[Extent] = []

    def look(_name: str, element: Any) -> None:  # noqa: ANN401
        if isinstance(element, h5py.Dataset):
            found.extend(_extent(element))

    file.visititems(look)
    return found


def _id_heaps(file: Any, path: Path) -> list[Extent]:  # noqa: ANN401
    """Return where HDF5 keeps nothing but ids: by far the most of what isn't X."""
    extents = _extent(file["obs/_index"])
    if not extents:
        return []
    with path.open("rb") as content:
        content.seek(extents[0].start)
        references = np.fromfile(content, dtype=_REFERENCE, count=file["obs/_index"].shape[0])
        heaps = np.sort(references["heap"])
        cuts = np.flatnonzero(np.diff(heaps, prepend=heaps[:1] - 1))
        counts = np.diff(np.append(cuts, len(heaps)))
        found = []
        for heap in heaps[cuts][counts >= _IDS_OF_A_HEAP].tolist():
            content.seek(heap + 8)
            (size,) = struct.unpack("<Q", content.read(8))
            found.append(Extent(heap, heap + size))
    return found


def _all_texts(file: Any) -> list[bytes]:  # noqa: ANN401
    """List every name and text of a file as often as it is stored, but for the ids."""
    texts: list[str] = []

    def look(name: str, element: Any) -> None:  # noqa: ANN401
        texts.append(name.rpartition("/")[2])
        texts.extend(_attribute_texts(element))
        is_text = isinstance(element, h5py.Dataset) and h5py.check_string_dtype(element.dtype)
        if is_text and name != "obs/_index":
            texts.extend(element.asstr()[:].tolist())

    texts.extend(_attribute_texts(file))
    file.visititems(look)
    return [text.encode() for text in texts]


def _attribute_texts(element: Any) -> Iterator[str]:  # noqa: ANN401
    for name, value in element.attrs.items():
        yield name
        if isinstance(value, str):
            yield value
        elif isinstance(value, np.ndarray) and value.dtype.kind == "O":
            yield from map(str, value)


def is_opaque(ids: Ids) -> bool:
    """Tell whether ids are 16 lower-case hexadecimal digits each."""
    if ids.dtype != np.dtype("S16"):
        return False
    digits = np.frombuffer(np.ascontiguousarray(ids).data, dtype=np.uint8)
    return bool((((digits >= 48) & (digits <= 57)) | ((digits >= 97) & (digits <= 102))).all())


def numbers_of(ids: Ids) -> npt.NDArray[np.uint64]:
    """Return opaque ids as the numbers that they are, shape (n_obs,)."""
    return np.frombuffer(bytes.fromhex(ids.tobytes().decode()), dtype=">u8").astype(np.uint64)
