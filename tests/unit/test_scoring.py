"""Scoring answers that are there already: files or an embedding, held against all cells or some."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import czrun
from asked import asked
from czrun.answers import in_order
from czrun.arrangement import Condition
from czrun.contract.job import INPUT_DIR, OUTPUT_DIR
from czrun.errors import ContractError, CzrunError, UsageError
from czrun.evaluation import run_evaluation
from czrun.records import MetricRecord
from czrun.split_plan import SplitChoice, SplitKind
from fake_engine import FakeEngine, image
from made_cells import cell_numbers, numbered_cells, read, written
from reader_here import ReaderHere

N = 60


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Sixty cells with a column and an embedding for every task that is scored here."""
    cells = numbered_cells(
        N,
        8,
        cell_type=[f"type {i % 3}" for i in range(N)],
        time=np.arange(N) // 10,
        quality=["doublet" if i % 6 == 0 else "singlet" for i in range(N)],
        perturbation=[["ctrl", "A", "B", "C", "D"][i % 5] for i in range(N)],
        tissue=["blood", "lung"] * (N // 2),
    )
    for number in range(N):
        cells.X[number, 2 + number % 5] += 900  # what each perturbation does
    rng = np.random.default_rng(0)
    cells.obsm["X_good"] = np.arange(N)[:, None] // 10 + rng.normal(size=(N, 4)) / 3
    cells.obsm["X_counts"] = np.arange(2 * N).reshape(N, 2)
    cells.obsm["X_nan"] = np.full((N, 2), np.nan)
    return written(cells, tmp_path / "cells.h5ad")


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    folder = tmp_path / "answers"
    folder.mkdir()
    return folder


def predicted(number: int) -> str:
    """Name a cell's type: wrongly in every fourth cell, not at all in one."""
    return "__unassigned__" if number == 5 else f"type {(number + (number % 4 == 0)) % 3}"


def write_labels(folder: Path, numbers: Sequence[int] = range(N), names: Sequence[str] = ()) -> None:
    names = names or [f"cell_{number:03d}" for number in numbers]
    rows = "".join(f"{name},{predicted(n)}\n" for name, n in zip(names, numbers, strict=True))
    (folder / "predictions.csv").write_text(f"cell_id,label\n{rows}")


def values(metrics: Any) -> dict[str, float | None]:
    return {name: metric.value for name, metric in metrics.items()}


def refused(error: type[CzrunError], *arguments: Any, **more: Any) -> CzrunError:
    with pytest.raises(error) as found:
        czrun.score(*arguments, **more)
    assert found.value.hint
    return found.value


class TestLabels:
    def test_all_cells_are_scored_at_once(self, path: Path, answers: Path) -> None:
        write_labels(answers)
        found = czrun.score(answers, path)
        right = sum(predicted(number) == f"type {number % 3}" for number in range(N))
        assert found.metrics["accuracy"].value == pytest.approx(right / N)
        assert found.metrics["unassigned_rate"].value == pytest.approx(1 / N)
        assert found.metrics["log_loss"].reason == "the model gave no probabilities"
        assert found.metrics["accuracy"].interval is not None
        assert found.record.n_obs == N
        assert found.record.split == {"kind": "whole"}
        assert [each.label for each in found.record.scores.classes] == ["type 0", "type 1", "type 2"]

    def test_a_split_scores_the_cells_of_each_fold(self, path: Path, answers: Path) -> None:
        write_labels(answers)
        found = czrun.score(str(answers), str(path), split="kfold", folds=4)
        each = found.metrics["accuracy"].per_trial
        assert len(each) == len(found.trials) == 4
        assert np.mean(each) == pytest.approx(found.metrics["accuracy"].value)
        tested = [name for trial in found.trials for name in trial.names]
        assert sorted(tested) == [f"cell_{number:03d}" for number in range(N)]
        whole = czrun.score(answers, path).metrics["accuracy"].value
        assert found.metrics["accuracy"].value == pytest.approx(whole)

    def test_rows_are_the_cells_with_what_was_said_of_them(
        self, path: Path, answers: Path, tmp_path: Path
    ) -> None:
        write_labels(answers)
        czrun.score(answers, path, split="kfold", folds=2).write_rows(tmp_path / "rows.csv")
        rows = []
        for name in ("rows.csv", "rows-fold1.csv"):
            with (tmp_path / name).open(newline="") as file:
                rows += list(csv.DictReader(file))
        assert {row["cell"]: row["predicted"] for row in rows} == {
            f"cell_{number:03d}": predicted(number) for number in range(N)
        }
        assert all(row["label"] == f"type {int(row['cell'][-3:]) % 3}" for row in rows)

    def test_every_problem_of_the_files_is_told(self, path: Path, answers: Path) -> None:
        names = [f"cell_{number:03d}" for number in range(N)]
        names[7] = "cell_x"
        write_labels(answers, range(N - 1), names[:-1])
        file = answers / "predictions.csv"
        file.write_text(file.read_text().replace("cell_003,type 0", "cell_003,type 9"))
        np.save(answers / "proba.npy", np.ones((N, 2)))
        error = refused(ContractError, answers, path)
        for said in (
            "has 59 rows of cells; 60 are expected",
            "row 9, column cell_id: 'cell_x' where 'cell_007' was expected",
            "row 5, column label: 'type 9' is not one of the 3 classes",
            "proba.npy has shape (60, 2); (60, 3) is expected",
        ):
            assert said in error.message
        assert "a row for each of the 60 cells of cells, in its order and by its ids" in error.hint

    def test_another_order_is_told_as_such(self, path: Path, answers: Path) -> None:
        write_labels(answers, range(N)[::-1])
        error = refused(ContractError, answers, path)
        assert "names the right cells, but some not in the order of the input" in error.message

    def test_cells_without_a_label_have_a_row_and_are_left_out(self, path: Path, answers: Path) -> None:
        cells = read(path)
        cells.obs["cell_type"] = cells.obs["cell_type"].where(np.arange(N) >= 8)
        write_labels(answers)
        found = czrun.score(answers, written(cells, path.with_name("some.h5ad")), drop_unlabelled=True)
        right = sum(predicted(number) == f"type {number % 3}" for number in range(8, N))
        assert found.metrics["accuracy"].value == pytest.approx(right / (N - 8))
        assert found.record.n_obs == N - 8
        assert found.record.notes == ("8 cells without 'cell_type' were left out",)

    def test_an_empty_folder_and_none_at_all(self, path: Path, answers: Path) -> None:
        assert (
            "predictions.csv is missing; the folder is empty" in refused(ContractError, answers, path).message
        )
        assert "There is no folder" in refused(UsageError, answers / "none", path).message


class TestEmbeddings:
    TASK = "sequential-ordering"

    def test_the_same_embedding_scores_the_same_wherever_it_lies(self, path: Path, answers: Path) -> None:
        embedding = read(path).obsm["X_good"]
        np.save(answers / "embedding.npy", embedding)
        found = [
            czrun.score(dataset=path, task=self.TASK, embedding="X_good"),
            czrun.score(dataset=path, task=self.TASK, embedding=embedding),
            czrun.score(answers, path, self.TASK),
        ]
        assert found[0].metrics["sequential_alignment"].value is not None
        assert found[0].metrics == found[1].metrics == found[2].metrics

    def test_whole_numbers_in_the_data_set_are_an_embedding(self, path: Path) -> None:
        found = czrun.score(dataset=path, task=self.TASK, embedding="X_counts")
        assert found.metrics["sequential_alignment"].value is not None

    @pytest.mark.parametrize(
        ("embedding", "said"),
        [
            (np.zeros((N - 1, 2)), "the embedding has shape (59, 2); (60, 1..4096) is expected"),
            (np.zeros((N + 1, 2)), "the embedding has shape (61, 2); (60, 1..4096) is expected"),
            (np.zeros(N), "the embedding has shape (60,); (60, 1..4096) is expected"),
            (np.zeros((N, 0)), "the embedding has shape (60, 0)"),
            (np.zeros((N, 2), dtype=int), "the embedding holds int64; floats are expected"),
            (np.full((N, 2), np.inf), "the embedding: 120 values: each is not a finite float32"),
            (
                "X_nan",
                "the embedding: 120 values: each is not a finite float32, the first in row 0, column 0",
            ),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_no_embedding_of_these_cells(self, path: Path, embedding: Any, said: str) -> None:
        error = refused(ContractError, dataset=path, task=self.TASK, embedding=embedding)
        assert said in error.message
        assert "a row for each of the 60 cells of cells" in error.hint

    def test_an_obsm_that_is_not_there(self, path: Path) -> None:
        error = refused(CzrunError, dataset=path, task=self.TASK, embedding="X_umap")
        assert "no obsm 'X_umap'" in error.message
        assert "X_good" in error.hint

    def test_a_task_that_has_no_use_for_one(self, path: Path) -> None:
        error = refused(UsageError, dataset=path, embedding="X_good")
        assert "Task cell-type-classification is not scored on an embedding" in error.message
        assert "predictions.csv" in error.hint

    @pytest.mark.parametrize("both", [{}, {"predictions": "answers", "embedding": "X_good"}])
    def test_neither_or_both(self, path: Path, both: dict[str, str]) -> None:
        error = refused(UsageError, dataset=path, task=self.TASK, **both)
        assert "either predictions or an embedding" in error.message
        assert "--predictions and --obsm" in error.hint


class TestNovelty:
    def test_all_cells_are_ranked(self, path: Path, answers: Path) -> None:
        np.save(answers / "scores.npy", (np.arange(N) % 6 == 0) * 1.0)
        found = czrun.score(answers, path, "anomaly-detection", anomaly="quality=doublet")
        assert found.metrics["anomaly_auroc"].value == 1
        assert found.record.n_obs == N
        assert len(found.trials[0].names) == N

    def test_a_split_ranks_the_cells_that_predict_would_get(self, path: Path, answers: Path) -> None:
        np.save(answers / "scores.npy", np.arange(N, dtype=float))
        found = czrun.score(answers, path, "anomaly-detection", anomaly="quality=doublet", split="holdout")
        tested = {int(name[-3:]) for name in found.trials[0].names}
        assert {number for number in range(N) if number % 6 == 0} < tested
        assert len(tested) < N


CONDITIONS = ("A", "B", "C", "D")


class TestPerturbations:
    TASK = "perturbation-prediction"

    @staticmethod
    def expression(names: Sequence[str]) -> np.ndarray[Any, Any]:
        """Predict something of its own for each condition."""
        return np.stack([np.random.default_rng(ord(name[0])).random(8) * 3 for name in names])

    def write(self, folder: Path, names: Sequence[str] = CONDITIONS, column: str = "condition") -> None:
        np.save(folder / "expression.npy", self.expression(names))
        (folder / "conditions.csv").write_text(f"{column}\n" + "".join(f"{name}\n" for name in names))

    def test_conditions_may_come_in_any_order(self, path: Path, answers: Path) -> None:
        self.write(answers)
        found = values(czrun.score(answers, path, self.TASK).metrics)
        assert found["mse"] is not None
        for order in ("DCBA", "BDAC"):
            self.write(answers, order)
            again = czrun.score(answers, path, self.TASK)
            assert values(again.metrics) == found
            assert list(again.trials[0].names) == list(CONDITIONS)

    def test_without_an_order_it_is_that_of_their_names(self, path: Path, answers: Path) -> None:
        self.write(answers)
        found = values(czrun.score(answers, path, self.TASK).metrics)
        (answers / "conditions.csv").unlink()
        assert values(czrun.score(answers, path, self.TASK).metrics) == found
        np.save(answers / "expression.npy", self.expression("DCBA"))
        assert values(czrun.score(answers, path, self.TASK).metrics) != found

    def test_predicted_cells_follow_the_order_too(self, path: Path, answers: Path) -> None:
        self.write(answers)
        cells = np.random.default_rng(1).random((4, 12, 8))
        cells[np.arange(4), :, np.arange(3, 7)] += 5

        def score(order: str) -> dict[str, float | None]:
            self.write(answers, order)
            np.save(answers / "cells.npy", np.concatenate([cells[CONDITIONS.index(name)] for name in order]))
            return values(czrun.score(answers, path, self.TASK).metrics)

        right = score("ABCD")
        assert score("DBAC") == right
        assert right["differential_expression_score"] is not None

    def test_rows_and_runs_of_cells_are_brought_into_order(self) -> None:
        conditions = [Condition(name, "", n_cells) for name, n_cells in (("A", 1), ("B", 2), ("C", 3))]
        order = [2, 0, 1]
        assert in_order(np.array([20, 0, 10]), ("n_conditions", "n_vars"), order, conditions).tolist() == [
            0, 10, 20,
        ]  # fmt: skip
        cells = np.array([20, 21, 22, 0, 10, 11])
        assert in_order(cells, ("n_cells", "n_vars"), order, conditions).tolist() == [0, 10, 11, 20, 21, 22]
        assert in_order(cells, ("n_obs",), order, conditions) is cells

    def test_conditions_in_contexts_are_named_with_them(self, path: Path, answers: Path) -> None:
        names = [f"{name} in {tissue}" for tissue in ("lung", "blood") for name in CONDITIONS]
        self.write(answers, names)
        found = czrun.score(answers, path, self.TASK, obs={"context": "tissue"})
        assert list(found.trials[0].names) == sorted(names)
        assert found.trials[0].measured.unit == "conditions"

    def test_perturbations_are_names_too(self, path: Path, answers: Path) -> None:
        self.write(answers, "DCBA", column="perturbation")
        found = values(czrun.score(answers, path, self.TASK).metrics)
        self.write(answers, "ABCD")
        assert values(czrun.score(answers, path, self.TASK).metrics) == found

    def test_each_must_be_named_once(self, path: Path, answers: Path) -> None:
        self.write(answers, ("A", "A", "B", "X"))
        error = refused(ContractError, answers, path, self.TASK)
        assert error.message.count("\n  - ") == 4
        for said in ("'X' isn't among them", "'A' stands there 2 times", "'C' is missing", "'D' is missing"):
            assert said in error.message
        assert "A, B, C, D" in error.hint

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "names no conditions"),
            (b"condition\n", "names no conditions"),
            (b"name\nA\nB\nC\nD\n", "names no conditions"),
            (b"condition\n\xff\n", "can't be read"),
            (b'condition\n"A\n', "can't be read"),
        ],
    )
    def test_a_bad_list_of_conditions_is_not_passed_over(
        self, path: Path, answers: Path, content: bytes, said: str
    ) -> None:
        self.write(answers)
        (answers / "conditions.csv").write_bytes(content)
        assert said in refused(ContractError, answers, path, self.TASK).message

    def test_another_number_of_conditions_is_told_with_their_names(self, path: Path, answers: Path) -> None:
        np.save(answers / "expression.npy", np.ones((3, 8)))
        error = refused(ContractError, answers, path, self.TASK)
        assert "expression.npy has shape (3, 8); (4, 8) is expected" in error.message
        assert "a row for each of 4 conditions, in this order: A, B, C, D" in error.hint

    def test_conditions_that_are_left_out_are_noted(self, path: Path, answers: Path) -> None:
        cells = read(path)
        cells.obs["perturbation"] = ["E", "E", *cells.obs["perturbation"][2:]]
        self.write(answers)
        found = czrun.score(answers, written(cells, path.with_name("more.h5ad")), self.TASK)
        assert any("1 conditions of fewer than 3 cells" in note for note in found.record.notes)

    def test_folds_are_refused(self, path: Path, answers: Path) -> None:
        self.write(answers)
        error = refused(UsageError, answers, path, self.TASK, split="kfold", folds=2)
        assert "scored on all conditions at once, not on 2 folds" in error.message


@pytest.fixture
def _reads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("czrun.collect.OutputReader", ReaderHere)


@pytest.mark.usefixtures("_reads_here")
class TestLikeARun:
    """The same answers get the same scores, whether a model gave them in a run or a folder holds them."""

    @staticmethod
    def run(path: Path, tmp_path: Path, task: str, answer: Any, **data: Any) -> dict[str, MetricRecord]:
        def act(job: dict[str, Any], folders: dict[str, Path]) -> None:
            if job["verb"] == "predict":
                for view in (each["id"] for each in job["outputs"]):
                    answer(folders[INPUT_DIR] / f"{view}.h5ad", folders[OUTPUT_DIR] / view)

        engine = FakeEngine(images=(image(tasks=[task]),), act=act)
        options = asked("model:1", path, tmp_path / "runs", task=task, **data)
        result = run_evaluation(options, connect=lambda: engine)
        result.raise_for_status()
        return dict(result.metrics)

    def test_labels(self, path: Path, answers: Path, tmp_path: Path) -> None:
        def answer(cells: Path, output: Path) -> None:
            with h5py.File(cells) as file:
                write_labels(output, cell_numbers(cells), file["obs/_index"].asstr()[:].tolist())

        write_labels(answers)
        ran = self.run(path, tmp_path, "cell-type-classification", answer)
        scored = czrun.score(answers, path, split="holdout").metrics
        assert values(scored) == pytest.approx(values(ran))
        for name, metric in scored.items():
            assert metric.interval == ran[name].interval

    @pytest.mark.parametrize("task", ["clustering", "sequential-ordering"])
    def test_clusters_and_embeddings(self, path: Path, answers: Path, tmp_path: Path, task: str) -> None:
        embedding = read(path).obsm["X_good"].astype(np.float32)

        def answer(cells: Path, output: Path) -> None:
            rows = cell_numbers(cells)
            if task == "clustering":
                with h5py.File(cells) as file:
                    ids = file["obs/_index"].asstr()[:]
                lines = "".join(f"{name},{number % 4}\n" for name, number in zip(ids, rows, strict=True))
                (output / "clusters.csv").write_text(f"cell_id,cluster\n{lines}")
            else:
                np.save(output / "embedding.npy", embedding[rows])
                np.save(output / "pseudotime.npy", np.array(rows, dtype=float))

        if task == "clustering":
            lines = "".join(f"cell_{number:03d},{number % 4}\n" for number in range(N))
            (answers / "clusters.csv").write_text(f"cell_id,cluster\n{lines}")
        else:
            np.save(answers / "embedding.npy", embedding)
            np.save(answers / "pseudotime.npy", np.arange(N, dtype=float))
        split = "holdout" if task == "sequential-ordering" else "whole"
        choice = SplitChoice(SplitKind(split), test_size=0.5)
        ran = self.run(path, tmp_path, task, answer, split=choice)
        scored = czrun.score(answers, path, task, split=split, test_size=0.5).metrics
        assert values(scored) == pytest.approx(values(ran))

    def test_anomalies(self, path: Path, answers: Path, tmp_path: Path) -> None:
        of_cells = np.sin(np.arange(N))
        np.save(answers / "scores.npy", of_cells)
        ran = self.run(
            path,
            tmp_path,
            "anomaly-detection",
            lambda cells, output: np.save(output / "scores.npy", of_cells[cell_numbers(cells)]),
            obs={"anomaly": "quality"},
            anomalous=("doublet",),
        )
        scored = czrun.score(
            answers, path, "anomaly-detection", anomaly="quality=doublet", split="holdout"
        ).metrics
        assert values(scored) == pytest.approx(values(ran))

    @pytest.mark.parametrize("context", [{}, {"context": "tissue"}], ids=["one context", "two contexts"])
    def test_perturbations(self, path: Path, answers: Path, tmp_path: Path, context: dict[str, str]) -> None:
        asked_for: list[str] = []

        def answer(cells: Path, output: Path) -> None:
            with cells.with_name("v0.conditions.csv").open(newline="") as table:
                asked_for.extend(row["condition"] for row in csv.DictReader(table))
            np.save(output / "expression.npy", TestPerturbations.expression(asked_for))

        choice = SplitChoice(SplitKind.HOLDOUT, test_size=0.5)
        ran = self.run(path, tmp_path, "perturbation-prediction", answer, split=choice, obs=context)
        TestPerturbations().write(answers, asked_for[::-1])
        scored = czrun.score(
            answers, path, "perturbation-prediction", split="holdout", test_size=0.5, obs=context
        ).metrics
        assert len(asked_for) >= 2
        assert values(scored) == pytest.approx(values(ran), nan_ok=True)
