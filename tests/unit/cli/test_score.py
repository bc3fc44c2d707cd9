"""`czrun score`: answers in, a table, JSON or CSV out, with the exit codes that scripts go by."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from command_line import Czrun
from czrun.records import ScoreRecord
from made_cells import made_cells, written

N = 40


@pytest.fixture(autouse=True)
def _answers(tmp_path: Path) -> None:
    """Cells, labels for them that are right but for every fifth, and an embedding."""
    cells = made_cells(N, time=np.arange(N) // 8, quality=["doublet", "singlet"] * (N // 2))
    cells.obsm["X_pca"] = np.random.default_rng(0).normal(size=(N, 3)) + np.arange(N)[:, None] // 8
    written(cells, tmp_path / "cells.h5ad")
    (tmp_path / "answers").mkdir()
    labels = [("B cell", "T cell")[(i + (i % 5 == 0)) % 2] for i in range(N)]
    rows = "".join(f"{cell},{label}\n" for cell, label in zip(cells.obs_names, labels, strict=True))
    (tmp_path / "answers" / "predictions.csv").write_text(f"cell_id,label\n{rows}")
    np.save(tmp_path / "answers" / "scores.npy", np.arange(N, dtype=float))


LABELS = ("score", "--dataset", "cells.h5ad", "--predictions", "answers")


class TestFormats:
    def test_a_table_with_values_and_intervals(self, czrun: Czrun) -> None:
        done = czrun(*LABELS)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "cell-type-classification · cells (40 cells, all cells at once)"
        assert lines[1].split() == ["metric", "value", "95", "%", "interval"]
        row = next(line for line in lines if line.startswith("accuracy"))
        assert row.split()[1] == "0.8000"
        assert "–" in row
        assert "log_loss" in done.stdout
        assert "are undefined: the model gave no probabilities" in done.stdout
        assert "95% intervals: percentile bootstrap over 5 groups of cells by donor_id" in done.stdout
        assert "control" not in done.stdout

    def test_json_is_the_record(self, czrun: Czrun) -> None:
        record = ScoreRecord.model_validate_json(czrun(*LABELS, "--format", "json").stdout)
        assert record.scores.metrics["accuracy"].value == 0.8
        assert record.n_obs == N
        assert len(record.dataset_sha256) == 64
        assert record.primary_metric == "macro_f1"

    def test_csv_has_one_row_a_metric_and_numbers_in_full(self, czrun: Czrun) -> None:
        rows = list(csv.DictReader(io.StringIO(czrun(*LABELS, "--format", "csv").stdout)))
        assert rows[0]["metric"] == "macro_f1"
        by_name = {row["metric"]: row for row in rows}
        assert float(by_name["accuracy"]["value"]) == 0.8
        assert by_name["log_loss"]["value"] == ""
        assert by_name["log_loss"]["reason"]

    @pytest.mark.parametrize("style", ["table", "csv"])
    def test_metrics_can_be_chosen(self, czrun: Czrun, style: str) -> None:
        done = czrun(*LABELS, "--metric", "mcc", "--metric", "accuracy", "--format", style)
        assert "mcc" in done.stdout
        assert "accuracy" in done.stdout
        assert "macro_f1" not in done.stdout

    def test_rows_go_to_a_file(self, czrun: Czrun, tmp_path: Path) -> None:
        assert czrun(*LABELS, "--rows", "rows.csv").returncode == 0
        lines = (tmp_path / "rows.csv").read_text().splitlines()
        assert lines[0] == "cell,label,predicted"
        assert lines[1] == "cell_000,B cell,T cell"
        assert len(lines) == N + 1

    def test_folds_are_told_and_get_a_file_each(self, czrun: Czrun, tmp_path: Path) -> None:
        done = czrun(*LABELS, "--split", "kfold", "--folds", "4", "--rows", "rows.csv")
        assert "(40 cells, kfold, 4 folds)" in done.stdout.splitlines()[0]
        assert len(list(tmp_path.glob("rows*.csv"))) == 4

    def test_what_was_left_out_is_told(self, czrun: Czrun, tmp_path: Path) -> None:
        cells = made_cells(N)
        cells.obs["cell_type"] = cells.obs["cell_type"].where(np.arange(N) > 2)
        written(cells, tmp_path / "cells.h5ad")
        done = czrun(*LABELS, "--drop-unlabelled")
        assert "note: 3 cells without 'cell_type' were left out" in done.stdout


class TestOtherTasks:
    def test_an_embedding_of_the_data_set(self, czrun: Czrun) -> None:
        arguments = ("--task", "sequential-ordering", "--obsm", "X_pca", "--format", "json")
        done = czrun("score", "--dataset", "cells.h5ad", *arguments)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["scores"]["metrics"]["sequential_alignment"]["value"] > 0.3

    def test_anomalies_by_their_value(self, czrun: Czrun) -> None:
        done = czrun(*LABELS, "--task", "anomaly-detection", "--anomaly", "quality=doublet")
        assert done.returncode == 0, done.stderr
        assert "anomaly_auroc" in done.stdout

    def test_another_column_by_its_flag(self, czrun: Czrun, tmp_path: Path) -> None:
        cells = made_cells(N)
        cells.obs = cells.obs.rename(columns={"cell_type": "kind"})
        written(cells, tmp_path / "cells.h5ad")
        assert czrun(*LABELS).returncode == 3
        assert czrun(*LABELS, "--label-key", "kind").returncode == 0


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "said", "hint"),
        [
            ((), 2, "either predictions or an embedding", "--predictions and --obsm"),
            (("--predictions", "answers", "--obsm", "X_pca"), 2, "either predictions", "one of"),
            (("--obsm", "X_pca"), 2, "is not scored on an embedding", "predictions.csv"),
            (("--predictions", "nowhere"), 2, "There is no folder nowhere", "files that the task asks for"),
            (("--predictions", "answers", "--metric", "auc"), 2, "no metric of cell-type", "accuracy"),
            (("--predictions", "answers", "--task", "embeding"), 2, "no task 'embeding'", "Did you mean"),
            (("--task", "embedding", "--obsm", "X_umap"), 3, "has no obsm 'X_umap'", "X_pca"),
            (("--predictions", "answers", "--label-key", "kind"), 3, "no obs column 'kind'", "--label-key"),
            (
                ("--predictions", "answers", "--task", "embedding"),
                4,
                "embedding.npy is missing",
                "tasks show",
            ),
            (("--predictions", "answers", "--obs", "celltype=x"), 2, "contract column", "Valid"),
        ],
    )
    def test_what_is_wrong_and_what_to_do(
        self, czrun: Czrun, arguments: tuple[str, ...], code: int, said: str, hint: str
    ) -> None:
        done = czrun("score", "--dataset", "cells.h5ad", *arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert hint in done.stderr
        assert "  → " in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_bad_files_end_with_4_and_every_problem(self, czrun: Czrun, tmp_path: Path) -> None:
        file = tmp_path / "answers" / "predictions.csv"
        file.write_text(file.read_text().replace("T cell", "\x1b[2Jevil", 1).replace("cell_009", "cell_x"))
        done = czrun(*LABELS)
        assert done.returncode == 4
        assert done.stderr.count("\n  - ") == 2
        assert "\x1b" not in done.stderr

    def test_rows_that_can_not_be_written_are_an_error(self, czrun: Czrun, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        done = czrun(*LABELS, "--rows", "file/rows.csv")
        assert done.returncode == 5
        assert "Traceback" not in done.stderr
