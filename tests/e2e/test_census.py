"""An evaluation on cells of a local Census, named by a YAML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mini_census import Organism, made_counts, made_obs, written_census

if TYPE_CHECKING:
    from .conftest import Czrun

YAML = """
census:
  version: ./soma
  tissue: [blood]
  max_cells: 600
  stratify: [cell_type, donor_id]
"""


def test_cells_of_census_go_the_whole_road(fresh: Czrun, tmp_path: Path) -> None:
    obs = made_obs(2_000)
    counts = made_counts(obs, n_vars=200, depth=400)
    written_census(tmp_path / "soma", homo_sapiens=Organism(obs, counts, 200))
    dataset = tmp_path / "blood.yaml"
    dataset.write_text(YAML)
    model = ("--image", "czrun/logistic-regression:latest", "--param", "max_iter=50")
    flags = ("--split", "group-holdout", "--group-key", "donor_id", "--no-control")
    done = fresh("evaluate", *model, "--dataset", str(dataset), *flags).succeeded()
    record = fresh.record()
    assert record["model"]["scores"]["metrics"]["accuracy"]["value"] > 0.8
    assert "600 of" in " ".join(record["dataset"]["notes"])
    assert "drawn by cell_type and donor_id with seed 0" in done.out + done.err
    assert record["dataset"]["facts"]["gene_ids"] == "ensembl"
