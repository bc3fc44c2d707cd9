"""Classes that both sides know: by name, by ontology id, by spelling; the rest is counted, never lost."""

from __future__ import annotations

import numpy as np
import pytest

from czrun.cells import Texts
from czrun.datasets.shared_classes import plain, shared_classes
from czrun.errors import DatasetError


def texts(*values: str | None) -> Texts:
    return np.array(values, dtype=object)


def test_classes_of_both_sides_stay_and_others_are_counted() -> None:
    found = shared_classes(texts("T", "T", "B", "CD34+"), texts("B", "T", "neutrophil", "neutrophil"))
    assert found.classes == ("B", "T")
    assert found.left_out == {"train": {"CD34+": 1}, "test": {"neutrophil": 2}}
    assert found.notes("zheng", "zilionis") == (
        "zheng: 1 cells of 'CD34+' were left out: zilionis has no such class",
        "zilionis: 2 cells of 'neutrophil' were left out: zheng has no such class",
    )


def test_the_same_labels_have_nothing_to_say() -> None:
    assert shared_classes(texts("a", "b"), texts("b", "a")).notes() == ()


def test_cells_without_a_label_are_of_no_class() -> None:
    found = shared_classes(texts("a", None, "nan"), texts("a", " ", "nan"))
    assert found.classes == ("a",)
    assert found.left_out == {"train": {}, "test": {}}


@pytest.mark.parametrize("own", ["B cells", "b-cell", "B_Cell", " B  cell"])
def test_a_name_may_differ_in_case_hyphens_and_plural(own: str) -> None:
    found = shared_classes(texts("B cell", "T cell"), texts(own))
    assert found.test == {own: "B cell"}
    assert found.notes() == (
        f"test: {own!r} was taken for train's 'B cell', by its spelling",
        "train: 1 cells of 'T cell' were left out: test has no such class",
    )


@pytest.mark.parametrize("label", ["T1", "CD4+ T", "mast", "NKs"])
def test_short_names_lose_no_letter_that_tells_them_apart(label: str) -> None:
    assert plain(label) == label.casefold()


def test_an_ontology_id_says_more_than_a_name() -> None:
    found = shared_classes(
        texts("T cell", "B cell"),
        texts("T lymphocyte", "B cells"),
        texts("CL:0000084", "CL:0000236"),
        texts("CL:0000084", "CL:0000788"),
    )
    assert found.test == {"T lymphocyte": "T cell"}
    assert found.renamed == (("T lymphocyte", "T cell", "ontology id CL:0000084"),)
    assert found.left_out["test"] == {"B cells": 1}


def test_a_spelling_that_fits_two_labels_fits_none() -> None:
    found = shared_classes(texts("B cell", "B cells", "T"), texts("b cell", "T"))
    assert found.test == {"T": "T"}


def test_no_shared_class_shows_both_lists_and_a_map_to_start_from() -> None:
    with pytest.raises(DatasetError) as found:
        shared_classes(texts("alpha", "beta"), texts("hepatocyte"))
    assert "'alpha', 'beta'" in found.value.message
    assert "'hepatocyte'" in found.value.message
    assert "'hepatocyte': 'alpha'" in found.value.hint
