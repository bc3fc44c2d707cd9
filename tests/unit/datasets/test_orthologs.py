"""Tables of orthologs in the forms that people have them, read one to one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from czrun.datasets.orthologs import one_to_one, organism_name, read_orthologs
from czrun.errors import DatasetError

NAMED = """human_ensembl_id,human_symbol,mouse_symbol,mouse_ensembl_id,homology_type,confidence
ENSG00000000001,AAA,Aaa,ENSMUSG00000000001,ortholog_one2one,1.0
ENSG00000000002,BBB,Bbb1,ENSMUSG00000000002,ortholog_one2many,1.0
ENSG00000000002,BBB,Bbb2,ENSMUSG00000000003,ortholog_one2many,0.0
"""
BIOMART = (
    "Gene stable ID\tGene name\tMouse gene stable ID\tMouse gene name\tMouse homology type\t"
    "%id. target Mouse gene identical to query gene\tMouse orthology confidence [0 low, 1 high]\n"
    "ENSG00000000001.4\tAAA\tENSMUSG00000000001\tAaa\tortholog_one2one\t98\t1\n"
    "ENSG00000000009\tIII\t\t\t\t\t\n"
)


def table(tmp_path: Path, text: str, name: str = "orthologs.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_columns_that_name_their_organism(tmp_path: Path) -> None:
    found = read_orthologs(table(tmp_path, NAMED))
    assert (found.first.organism, found.second.organism) == ("homo_sapiens", "mus_musculus")
    assert found.first.names == {"human_ensembl_id": ("ENSG00000000001",), "human_symbol": ("AAA",)}
    assert found.second.names == {"mouse_symbol": ("Aaa",), "mouse_ensembl_id": ("ENSMUSG00000000001",)}
    assert found.n_many == 2


def test_a_table_may_be_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "orthologs.csv.gz"
    path.write_bytes(gzip.compress(NAMED.encode()))
    assert read_orthologs(path).first.organism == "homo_sapiens"


def test_biomart_headers_and_versions(tmp_path: Path) -> None:
    found = read_orthologs(table(tmp_path, BIOMART, "mart_export.txt"))
    assert (found.first.organism, found.second.organism) == ("homo_sapiens", "mus_musculus")
    assert found.first.names == {"Gene stable ID": ("ENSG00000000001",), "Gene name": ("AAA",)}
    assert found.second.names == {
        "Mouse gene stable ID": ("ENSMUSG00000000001",),
        "Mouse gene name": ("Aaa",),
    }


def test_a_pair_of_columns_is_enough(tmp_path: Path) -> None:
    found = read_orthologs(table(tmp_path, "source,target\nAAA,aaa\nBBB,bbb\n"))
    assert found.first.names == {"source": ("AAA", "BBB")}
    assert found.second.names == {"target": ("aaa", "bbb")}
    assert found.first.organism is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("gene,score\nA,1\n", "two organisms"),
        ("source,target\n", "in 0 rows"),
        ("human_symbol,mouse_symbol,rat_symbol\nA,B,C\n", "genes of human, mouse, rat"),
        ("source,target,homology_type\nA,B,ortholog_many2many\n", "no row that 'homology_type' marks"),
    ],
)
def test_tables_that_cant_serve_say_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as found:
        read_orthologs(table(tmp_path, text))
    assert found.value.hint


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="can't be read"):
        read_orthologs(tmp_path / "none.csv")


def test_genes_with_several_partners_have_none() -> None:
    assert one_to_one(["A", "A", "B", "C", "D", "D", ""], ["a", "a2", "b", "b", "d", "d", "e"]) == {"D": "d"}


@pytest.mark.parametrize("name", ["Homo sapiens", "homo_sapiens", " human"])
def test_an_organism_has_one_name(name: str) -> None:
    assert organism_name(name) == "homo_sapiens"
