"""Conditions as people write them: what they mean, and what can't be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.conditions import Clause, Operator, parse_clauses
from czrun.errors import UsageError

WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters=" -+,"), min_size=1)
VALUES = st.lists(
    WORDS.filter(lambda word: word.strip() == word and word != ""), min_size=1, max_size=4, unique=True
)


@pytest.mark.parametrize(
    ("text", "column", "operator", "values"),
    [
        ("tissue=blood", "tissue", "=", ("blood",)),
        ("tissue==blood", "tissue", "=", ("blood",)),
        ("tissue=lung,blood,lung", "tissue", "=", ("blood", "lung")),
        ("tissue = bone marrow , blood", "tissue", "=", ("blood", "bone marrow")),
        (
            'cell_type="CD4-positive, alpha-beta T cell",B cell',
            "cell_type",
            "=",
            ("B cell", "CD4-positive, alpha-beta T cell"),
        ),
        ("donor_id!=d1", "donor_id", "!=", ("d1",)),
        ("time<=4", "time", "<=", ("4",)),
        ("time>4.5", "time", ">", ("4.5",)),
        ("time >= 1e3", "time", ">=", ("1e3",)),
        ("time<-1", "time", "<", ("-1",)),
        ("gene=A=B", "gene", "=", ("A=B",)),
    ],
)
def test_what_a_text_means(text: str, column: str, operator: str, values: tuple[str, ...]) -> None:
    assert parse_clauses("--test-on", text) == (Clause(column, Operator(operator), values),)


def test_several_texts_are_several_conditions_in_one_order() -> None:
    one = parse_clauses("--test-on", ["time<=4", "tissue=lung,blood"])
    assert one == parse_clauses("--test-on", ("tissue=blood,lung", "time<=4", "time<=4"))
    assert list(map(str, one)) == ["time<=4", "tissue=blood,lung"]


def test_a_mapping_says_the_same() -> None:
    mapping = {"tissue": ["lung", "blood"], "assay": "10x"}
    assert parse_clauses("test_on", mapping) == parse_clauses("", ["assay=10x", "tissue=blood,lung"])


@given(column=st.sampled_from(["tissue", "cell type", "x-1"]), values=VALUES)
def test_what_is_written_is_read_again(column: str, values: list[str]) -> None:
    (clause,) = parse_clauses("", {column: values})
    assert parse_clauses("", str(clause)) == (clause,)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["tissue"], "it isn't COLUMN=VALUE"),
        (["=blood"], "it isn't COLUMN=VALUE"),
        (["tissue="], "it isn't COLUMN=VALUE"),
        (["tissue=a,,b"], "one of its values is empty"),
        (["time<early"], "< compares with one number"),
        (["time>=1,2"], ">= compares with one number"),
        (["time<nan"], "< compares with one number"),
    ],
)
def test_what_cannot_be_read(texts: Any, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_clauses("--train-on", texts)
    assert said in refused.value.message
    assert "--train-on tissue=blood,lung" in refused.value.hint


def test_all_that_cannot_be_read_is_told_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        parse_clauses("--train-on", ["tissue", "time<x", "assay=10x"])
    assert refused.value.message.count("\n  - ") == 2
