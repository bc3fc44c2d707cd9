"""Tables of orthologs: which gene of one organism is which of another. Read once, one to one."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from czrun.datasets.genes import is_ensembl, organism_of, without_version
from czrun.errors import DatasetError

_NO_GENE = re.compile(r"homology|orthology|type|confidence|score|identity|order|chromosome|start|end|%|count")
_GENE = re.compile(r"ensembl|symbol|gene|source|target|\bid\b")
_WORDS_OF_A_GENE = frozenset({"ensembl", "gene", "stable", "id", "ids", "symbol", "name", "associated"})
_TYPE = re.compile(r"homology[ _]type|orthology[ _]type|^type$")
_ONE_TO_ONE = frozenset({"ortholog_one2one", "one2one", "1:1", "one-to-one"})
_COMMON_NAMES = {
    "human": "homo_sapiens",
    "mouse": "mus_musculus",
    "rat": "rattus_norvegicus",
    "zebrafish": "danio_rerio",
    "macaque": "macaca_mulatta",
    "crab eating macaque": "macaca_fascicularis",
    "chimpanzee": "pan_troglodytes",
    "gorilla": "gorilla_gorilla",
    "marmoset": "callithrix_jacchus",
    "white tufted ear marmoset": "callithrix_jacchus",
    "mouse lemur": "microcebus_murinus",
    "pig": "sus_scrofa",
    "cow": "bos_taurus",
    "chicken": "gallus_gallus",
    "rabbit": "oryctolagus_cuniculus",
    "dog": "canis_lupus_familiaris",
    "tropical clawed frog": "xenopus_tropicalis",
}
_FORMS = (
    "a pair of columns `source` and `target`; or columns such as human_ensembl_id, human_symbol, "
    "mouse_ensembl_id, mouse_symbol; or Ensembl BioMart's own headers"
)


@dataclass(frozen=True)
class Genome:
    """One organism's columns of a table.

    Attributes
    ----------
    title
        What the header calls it: ``human``, ``source``; empty where it has no word for it.
    organism
        In the form ``homo_sapiens``, by the header or by its Ensembl ids; None where neither says.
    names
        Gene names by column, a row each.
    """

    title: str
    organism: str | None
    names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Orthologs:
    """A table's two organisms, row by row the same gene, and how many rows were of genes with several.

    Attributes
    ----------
    path
        The file.
    first, second
        The two organisms, in the order of the header.
    n_many
        Rows that its type column marks as anything but one to one; they are left out.
    """

    path: Path
    first: Genome
    second: Genome
    n_many: int


def read_orthologs(path: Path) -> Orthologs:
    """Read a table of orthologs: comma or tab, plain or gzipped.

    Raises
    ------
    DatasetError
        When it can't be read, or its header doesn't name the genes of two organisms.
    """
    rows = _rows(path)
    header, body = [name.strip() for name in rows[0]], rows[1:]
    columns = _gene_columns(header)
    if len(columns) != 2 or not body:
        titles = ", ".join(title or "one without a name" for title in columns) or "none"
        raise DatasetError(
            f"{path} should name the genes of two organisms, row by row. Its columns are "
            f"{', '.join(map(repr, header))}: genes of {titles}, in {len(body):,} rows.",
            f"A table of orthologs has {_FORMS}.",
        )
    types = next((at for at, name in enumerate(header) if _TYPE.search(name.lower())), None)
    wide = [row for row in body if len(row) == len(header)]
    kept = [row for row in wide if types is None or row[types].strip().lower() in _ONE_TO_ONE]
    if not kept:
        raise DatasetError(
            f"{path} has no row that {header[types or 0]!r} marks as one to one.",
            "Write ortholog_one2one there, or leave that column out.",
        )
    first, second = (
        _genome(title, {header[at]: tuple(row[at].strip() for row in kept) for at in places})
        for title, places in columns.items()
    )
    return Orthologs(path, first, second, len(wide) - len(kept))


def one_to_one(sources: Sequence[str | None], targets: Sequence[str | None]) -> dict[str, str]:
    """Return the pairs of two columns in which each gene has one partner only."""
    pairs = {(source, target) for source, target in zip(sources, targets, strict=True) if source and target}
    left, right = Counter(source for source, _ in pairs), Counter(target for _, target in pairs)
    return {source: target for source, target in pairs if left[source] == 1 == right[target]}


def organism_name(text: str) -> str:
    """Return an organism in the form ``homo_sapiens``, from that or ``Homo sapiens`` or ``human``."""
    words = text.strip().lower().replace("_", " ")
    return _COMMON_NAMES.get(words, words.replace(" ", "_"))


def _rows(path: Path) -> list[list[str]]:
    try:
        with _text(path) as file:
            sample = file.readline()
            delimiter = max("\t,;", key=sample.count)
            file.seek(0)
            rows = [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{path} can't be read as a table: {error}.", f"A table of orthologs has {_FORMS}."
        ) from error
    if not rows:
        raise DatasetError(f"{path} is empty.", f"A table of orthologs has {_FORMS}.")
    return rows


def _text(path: Path) -> TextIO:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    # Seekable whatever it is: a table of all genes is a few megabytes.
    content = gzip.decompress(path.read_bytes()) if is_gzip else path.read_bytes()
    return io.StringIO(content.decode("utf-8-sig"), newline="")


def _gene_columns(header: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns that name genes, by what the header calls their organism."""
    found: dict[str, list[int]] = {}
    for at, name in enumerate(header):
        words = [word for word in re.split(r"[^a-z0-9%]+", name.lower()) if word]
        plain = " ".join(words)
        is_gene = _GENE.search(plain) or plain in _COMMON_NAMES or plain.replace(" ", "_") in _organisms()
        if is_gene and not _NO_GENE.search(plain) and not {"transcript", "protein", "version"} & set(words):
            title = " ".join(word for word in words if word not in _WORDS_OF_A_GENE)
            found.setdefault(title, []).append(at)
    return found


def _genome(title: str, names: dict[str, tuple[str, ...]]) -> Genome:
    organism = _COMMON_NAMES.get(title)
    if not organism and title.replace(" ", "_") in _organisms():
        organism = title.replace(" ", "_")
    stripped = {
        key: tuple(without_version(gene) or "" for gene in genes) if any(map(is_ensembl, genes)) else genes
        for key, genes in names.items()
    }
    by_ids = next(filter(None, (organism_of(genes) for genes in stripped.values())), None)
    return Genome(title, by_ids or organism, stripped)


def _organisms() -> frozenset[str]:
    return frozenset(_COMMON_NAMES.values())
