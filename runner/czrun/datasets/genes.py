"""Gene ids brought to one form: what they are, versions taken off, each id once. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from czrun.cells import Genes, Texts
from czrun.contract.job import XKind
from czrun.errors import DatasetError

Targets = npt.NDArray[np.int32]
"""For each column of a matrix the column that it goes to, or -1 for none."""

ENSEMBL = re.compile(r"^(ENS([A-Z]{0,4})G\d{6,})(?:\.\d+)?(_PAR_Y)?$")

SPECIES = {
    "": "homo_sapiens",
    "MUS": "mus_musculus",
    "RNO": "rattus_norvegicus",
    "DAR": "danio_rerio",
    "MMU": "macaca_mulatta",
    "MFA": "macaca_fascicularis",
    "PTR": "pan_troglodytes",
    "GGO": "gorilla_gorilla",
    "CJA": "callithrix_jacchus",
    "MIC": "microcebus_murinus",
    "SSC": "sus_scrofa",
    "BTA": "bos_taurus",
    "GAL": "gallus_gallus",
    "OCU": "oryctolagus_cuniculus",
    "CAF": "canis_lupus_familiaris",
    "XET": "xenopus_tropicalis",
}
"""Organisms by the middle of their Ensembl ids: ENSMUSG… is a gene of the mouse."""

_FEW = 0.1
_SUMMABLE = (XKind.COUNTS, XKind.NORMALIZED)


@dataclass(frozen=True)
class TidyGenes:
    """The columns of a matrix after tidying.

    Attributes
    ----------
    genes
        The columns that there are then, each id once.
    targets
        Where each of the old columns goes, shape (n_vars before,); several to one are summed.
    notes
        What was changed, for people.
    """

    genes: Genes
    targets: Targets
    notes: tuple[str, ...]


def tidy_genes(genes: Genes, x: XKind, name: str) -> TidyGenes:
    """Bring the ids of a matrix to one kind, without versions and without repetitions.

    Columns of the same id are summed where X is linear. Of logarithms and unknown numbers, which can't be
    summed, the first stays: to choose by expression would be to look at test cells.

    Parameters
    ----------
    genes
        The columns as the source has them.
    x
        What X holds.
    name
        The data set, for messages.

    Raises
    ------
    DatasetError
        When the ids are of two kinds and no column names all genes in one.
    """
    columns, stripped = dict(genes.columns), {}
    ids, notes = _one_kind(genes, name)
    for key, texts in {"ids": ids, **columns}.items():
        stripped[key] = np.array([without_version(text) for text in texts.tolist()], dtype=object)
    if versions := int((stripped["ids"] != ids).sum()):
        notes.append(f"the versions of {versions:,} Ensembl gene ids were taken off")
    ids = stripped.pop("ids")
    columns = stripped
    if len(set(ids.tolist())) < len(ids) and _names_all(columns.get("ensembl_id"), unique=True):
        notes.append(f"{_repeated(ids)}: genes go by their Ensembl ids instead")
        columns = {**columns, "gene_symbol": columns.get("gene_symbol", ids)}
        ids = columns["ensembl_id"]
    targets = merged(ids.tolist(), sums=x in _SUMMABLE)
    notes += _said_of(ids, targets, x)
    return TidyGenes(take_columns(Genes(ids, columns), targets), targets, tuple(notes))


def merged(keys: Sequence[str | None], *, sums: bool) -> Targets:
    """Give columns of the same key one place, in the order in which keys appear; those without a key none.

    Where `sums` is false, only the first column of a key has it.
    """
    first: dict[str, int] = {}
    targets = np.full(len(keys), -1, dtype=np.int32)
    for column, key in enumerate(keys):
        if key is None or not _is_name(key):
            continue
        if key not in first:
            targets[column] = first[key] = len(first)
        elif sums:
            targets[column] = first[key]
    return targets


def take_columns(genes: Genes, targets: Targets) -> Genes:
    """Return what names the columns once they have gone where `targets` says: the first of each speaks."""
    used = np.flatnonzero(targets >= 0)
    places, at = np.unique(targets[used], return_index=True)
    assert np.array_equal(places, np.arange(len(places)))  # noqa: S101 - no column stays without a gene
    first = used[at]
    return Genes(genes.ids[first], {key: texts[first] for key, texts in genes.columns.items()})


def sums_for(x: XKind) -> bool:
    """Tell whether columns of such a matrix may be summed."""
    return x in _SUMMABLE


def without_version(gene: str | None) -> str | None:
    """Take the version off an Ensembl id; ``_PAR_Y`` stays, it marks another copy of the gene."""
    found = ENSEMBL.match(gene or "")
    return f"{found[1]}{found[3] or ''}" if found else gene


def is_ensembl(gene: str | None) -> bool:
    """Tell whether a name is an Ensembl gene id."""
    return bool(gene and ENSEMBL.match(gene))


def organism_of(ids: Sequence[str | None]) -> str | None:
    """Return the organism that nine in ten of the Ensembl ids among some names are of, or None."""
    middles = Counter(found[2] for gene in ids if (found := ENSEMBL.match(gene or "")))
    if not middles:
        return None
    middle, count = middles.most_common(1)[0]
    return SPECIES.get(middle) if count >= (1 - _FEW) * middles.total() else None


def _one_kind(genes: Genes, name: str) -> tuple[Texts, list[str]]:
    """Return ids of one kind: the source's own, or those of a column where its own are of two."""
    ids = genes.ids.tolist()
    ensembl = [gene for gene in ids if is_ensembl(gene)]
    # A few symbols are Ensembl ids of genes that have no other name, a few ids those of spike-ins and tags.
    if not _FEW * len(ids) < len(ensembl) < (1 - _FEW) * len(ids):
        return genes.ids, []
    for key, what in (("ensembl_id", "Ensembl ids"), ("gene_symbol", "symbols")):
        if _names_all(genes.columns.get(key), ensembl=key == "ensembl_id"):
            return genes.columns[key], [
                f"{len(ensembl):,} of {len(ids):,} gene ids were Ensembl's, the others symbols: "
                f"genes go by the {what} of a column of var instead"
            ]
    other = [gene for gene in ids if not is_ensembl(gene)]
    raise DatasetError(
        f"{name} names {len(ensembl):,} genes by Ensembl ids, such as {ensembl[0]!r}, and {len(other):,} by "
        f"symbols, such as {other[0]!r}.",
        "Give all of them one kind of name: as var_names, or as a column `ensembl_id` or `gene_symbol`.",
    )


def _names_all(texts: Texts | None, *, ensembl: bool = True, unique: bool = False) -> bool:
    """Tell whether a column gives every gene a name of one kind."""
    if texts is None or not all(map(_is_name, texts.tolist())):
        return False
    if unique and len(set(texts.tolist())) < len(texts):
        return False
    share = sum(map(is_ensembl, texts.tolist())) / max(1, len(texts))
    return share >= 1 - _FEW if ensembl else share <= _FEW


def _said_of(ids: Texts, targets: Targets, x: XKind) -> list[str]:
    unnamed = sum(not _is_name(gene) for gene in ids.tolist())
    notes = [f"{unnamed:,} genes without an id were left out"] if unnamed else []
    n_more = len(ids) - unnamed - int(targets.max(initial=-1)) - 1
    if n_more and x in _SUMMABLE:
        notes.append(f"{_repeated(ids)}: their {x} were summed")
    elif n_more:
        notes.append(f"{_repeated(ids)}: the first of each was kept, X holds {x}, which can't be summed")
    return notes


def _repeated(ids: Texts) -> str:
    names = [gene for gene, count in Counter(ids.tolist()).items() if count > 1 and _is_name(gene)]
    return f"{len(names):,} gene ids appear twice or more, such as {names[0]!r}"


def _is_name(gene: str | None) -> bool:
    return bool(gene) and str(gene).lower() not in ("nan", "none", "<na>")
