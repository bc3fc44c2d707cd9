"""A data set at a glance: what is in it, what stands for what, and what is odd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from command_line import Czrun
from czrun.datasets.catalogue import find_dataset
from czrun.datasets.oddities import Roles, oddities
from czrun.datasets.summary import DatasetSummary, summarise
from made_cells import made_cells, written
from made_images import class_folders


@pytest.fixture
def summary(tmp_path: Path) -> Callable[..., DatasetSummary]:
    def of(**obs: Any) -> DatasetSummary:
        return summarise(find_dataset(str(written(made_cells(**obs), tmp_path / "cells.h5ad"))))

    return of


Summary = Callable[..., DatasetSummary]


class TestColumns:
    def test_every_value_of_what_stands_for_something_is_counted(self, summary: Summary) -> None:
        found = {column.role: column.counts for column in summary(plate=["p"] * 40).counted}
        assert found["label"] == (("B cell", 20), ("T cell", 20))
        assert set(found) == {"label", "donor"}

    def test_content_says_genes_and_what_x_holds(self, summary: Summary) -> None:
        genes, x = summary().content
        assert genes == "6 genes by symbols"
        assert x.startswith("X holds counts, a cell ")

    def test_gene_columns_are_named(self, tmp_path: Path) -> None:
        cells = made_cells()
        cells.var["gene_symbol"] = cells.var_names
        found = summarise(find_dataset(str(written(cells, tmp_path / "cells.h5ad"))))
        assert found.content[0] == "6 genes by symbols, with gene_symbol"


class TestOddities:
    def test_sound_cells_have_none(self, summary: Summary) -> None:
        assert summary(donor_id=[f"d{i // 8}" for i in range(40)]).odd == ()

    def test_a_missing_label_column(self, tmp_path: Path) -> None:
        cells = made_cells()
        del cells.obs["cell_type"]
        found = summarise(find_dataset(str(written(cells, tmp_path / "bare.h5ad"))))
        assert found.odd[0] == "no column is taken for the label: scores need one (--label-key COLUMN)"

    def test_cells_without_a_label(self, summary: Summary) -> None:
        labels = np.array(["a", "b"] * 20, dtype=object)
        labels[:3] = None
        assert "3 of 40 cells have no label" in summary(cell_type=labels).odd

    def test_rare_labels_are_named_with_their_cells(self, summary: Summary) -> None:
        odd = summary(cell_type=["a"] * 20 + ["b"] * 17 + ["c"] * 3).odd
        assert "1 labels have fewer than 10 cells, so their scores are shaky: c 3" in odd

    def test_one_label_that_is_nearly_all(self, summary: Summary) -> None:
        odd = summary(cell_type=["a"] * 38 + ["b"] * 2).odd
        assert "95% of the cells are a: read macro scores, accuracy says little" in odd

    def test_one_donor(self, summary: Summary) -> None:
        odd = summary(donor_id=["d"] * 40).odd
        assert odd == ("all cells are of one donor: how a model does on another can't be seen",)

    def test_labels_that_are_batches(self, summary: Summary) -> None:
        odd = summary(batch=[f"p{i % 2}" for i in range(40)], donor_id=[f"d{i // 8}" for i in range(40)]).odd
        assert odd == ("each label comes from one batch only: a model may learn the batch in its place",)

    def test_a_label_of_one_donor_among_others(self) -> None:
        labels = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 20, dtype=object)
        donors = np.array(["d1", "d2"] * 20 + ["d1"] * 20, dtype=object)
        assert list(oddities(Roles({"label": labels, "donor": donors}))) == [
            "1 labels come from one donor only: c"
        ]

    def test_cells_without_a_gene(self, tmp_path: Path) -> None:
        cells = made_cells(donor_id=[f"d{i // 8}" for i in range(40)])
        cells.X = sparse.csr_matrix(np.vstack([np.zeros((4, 6)), np.ones((36, 6))]))
        found = summarise(find_dataset(str(written(cells, tmp_path / "cells.h5ad"))))
        assert found.odd == ("4 cells have no gene at all",)


class TestCommand:
    def test_a_plot_has_a_bar_a_value(self, czrun: Czrun, tmp_path: Path) -> None:
        path = written(made_cells(cell_type=["a"] * 30 + ["b"] * 10), tmp_path / "cells.h5ad")
        lines = czrun("datasets", "show", str(path), "--plot").stdout.splitlines()
        bars = {line.split()[0]: line.count("█") for line in lines if "%" in line}
        assert bars["a"] > 2 * bars["b"] > 0
        assert "label (cell_type)" in [line.strip() for line in lines]

    def test_what_is_odd_is_shown_with_and_without_a_plot(self, czrun: Czrun, tmp_path: Path) -> None:
        path = written(made_cells(donor_id=["d"] * 40), tmp_path / "cells.h5ad")
        for arguments in ([], ["--plot"]):
            done = czrun("datasets", "show", str(path), *arguments)
            assert "! all cells are of one donor" in done.stdout

    def test_values_can_t_steer_the_terminal(self, czrun: Czrun, tmp_path: Path) -> None:
        path = written(made_cells(cell_type=["[red]a\x1b[31m", "b"] * 20), tmp_path / "cells.h5ad")
        for arguments in ([], ["--plot"]):
            printed = czrun("datasets", "show", str(path), *arguments).stdout
            assert "\x1b[31m" not in printed
            assert "[red]a" in printed


class TestImages:
    def test_a_folder_of_images_is_shown_with_its_size_and_its_classes(
        self, tmp_path: Path, czrun: Czrun
    ) -> None:
        class_folders(tmp_path / "wbc")
        done = czrun("datasets", "show", str(tmp_path / "wbc"))
        assert done.returncode == 0
        for words in ("wbc: 8 cells", "images of 4 × 5 pixels, 3 channels, uint8", "B cell 4, T cell 4"):
            assert words in done.stdout
        assert "the class folders were taken for 'cell_type'" in done.stdout
