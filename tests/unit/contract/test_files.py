"""The contract's files: what is accepted, what is refused, and that the published schemas say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from czrun.contract.image import ModelSpec
from czrun.contract.job import Job
from czrun.contract.outcome import Progress, ReportedResult
from czrun.schemas import SCHEMAS, schema_text, stale_schemas, write_schemas

SCHEMA_FOLDER = Path(__file__).parents[3] / "schemas"

GOOD_JOB: dict[str, Any] = {
    "contract": 1,
    "job_id": "5f0c",
    "verb": "predict",
    "task": "cell-type-classification",
    "seed": 7,
    "dataset": {
        "organisms": ["homo_sapiens"],
        "modality": "expression",
        "n_obs": 140,
        "n_vars": 765,
        "gene_ids": "symbol",
        "x": "counts",
        "classes": ["B cell", "T cell"],
    },
    "inputs": [
        {
            "id": "v0",
            "path": "/czrun/input/v0.h5ad",
            "format": "h5ad",
            "n_obs": 140,
            "sha256": "0" * 64,
            "bytes": 123,
        }
    ],
    "outputs": [
        {
            "id": "v0",
            "dir": "/czrun/output/v0",
            "files": [
                {"name": "predictions.csv", "required": True},
                {"name": "proba.npy", "required": False, "dtype": "float32", "shape": [140, 2]},
            ],
        }
    ],
    "params": {"C": 0.5, "penalty": "l2", "fast": True},
    "limits": {
        "wall_s": 3600,
        "cpus": 2,
        "memory_bytes": 8589934592,
        "gpus": 0,
        "output_bytes": 1073741824,
        "output_files": 1000,
    },
}

GOOD_MODEL: dict[str, Any] = {
    "name": "logistic-regression",
    "tasks": ["cell-type-classification"],
    "verbs": ["fit", "predict"],
    "params": {"C": {"type": "float", "default": 1.0, "help": "Inverse strength."}},
    "assets": [{"url": "https://example.org/w.bin", "sha256": "a" * 64, "path": "w.bin"}],
    "resources": {"memory": "2GiB"},
}

GOOD_DATASET: dict[str, Any] = {"path": "pbmc.h5ad", "obs": {"label": "cell_type"}, "x": "counts"}

GOOD = [
    ("job", GOOD_JOB),
    ("job", {**GOOD_JOB, "verb": "fit", "outputs": []}),
    ("progress", {}),
    ("progress", {"fraction": 0.5, "stage": "epoch 3", "message": "loss 0.1"}),
    ("result", {"status": "ok"}),
    ("result", {"status": "error", "error": {"code": "E1", "message": "no genes", "hint": "map them"}}),
    ("model", GOOD_MODEL),
    ("model", {"name": "m", "tasks": ["embedding"], "verbs": ["predict"]}),
    ("dataset", GOOD_DATASET),
    ("dataset", {"url": "https://example.org/pbmc.h5ad", "sha256": "0" * 64}),
    ("dataset", {"census": {"tissue": ["blood"], "max_cells": 5000}}),
    ("dataset", {"join": {"train": GOOD_DATASET, "test": {"census": {"organism": "mus_musculus"}}}}),
]

BAD = [
    ("job", {**GOOD_JOB, "contract": 2}, "contract"),
    ("job", {**GOOD_JOB, "verb": "train"}, "verb"),
    ("job", {**GOOD_JOB, "task": "Cell Types"}, "task"),
    ("job", {**GOOD_JOB, "seed": -1}, "seed"),
    ("job", {**GOOD_JOB, "seed": 2**32}, "seed"),
    ("job", {**GOOD_JOB, "inputs": []}, "inputs"),
    ("job", {**GOOD_JOB, "dataset_name": "kang2018"}, "dataset_name"),
    ("job", {**GOOD_JOB, "limits": {**GOOD_JOB["limits"], "memory_bytes": 1024}}, "limits.memory_bytes"),
    ("job", {**GOOD_JOB, "inputs": [{**GOOD_JOB["inputs"][0], "sha256": "0" * 63}]}, "inputs.0.sha256"),
    ("progress", {"fraction": 1.5}, "fraction"),
    ("progress", {"message": "x" * 501}, "message"),
    ("progress", {"percent": 50}, "percent"),
    ("result", {}, "status"),
    ("result", {"status": "success"}, "status"),
    ("result", {"status": "error", "error": "no genes"}, "error"),
    ("model", {**GOOD_MODEL, "name": "Logistic Regression"}, "name"),
    ("model", {**GOOD_MODEL, "tasks": []}, "tasks"),
    ("model", {**GOOD_MODEL, "params": {"1C": {"type": "int"}}}, "params.1C"),
    ("model", {**GOOD_MODEL, "params": {"C": {"type": "list"}}}, "params.C.type"),
    ("model", {**GOOD_MODEL, "assets": [{**GOOD_MODEL["assets"][0], "url": "http://x"}]}, "assets.0.url"),
    ("model", {**GOOD_MODEL, "assets": [{**GOOD_MODEL["assets"][0], "path": "../w"}]}, "assets.0.path"),
    ("dataset", {}, ""),
    ("dataset", {"census": {"max_cells": 0}}, "census.max_cells"),
    ("dataset", {**GOOD_DATASET, "obs": {"celltype": "x"}}, "obs.celltype"),
    ("dataset", {**GOOD_DATASET, "x": "umi"}, "x"),
]


def named(case: Any) -> str | None:
    return case if isinstance(case, str) else None


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMA_FOLDER / f"{name}.v1.schema.json").read_text())
    return loaded


class TestGoldenExamples:
    @pytest.mark.parametrize(("name", "example"), GOOD, ids=named)
    def test_a_good_file_is_accepted_by_model_and_schema_alike(
        self, name: str, example: dict[str, Any]
    ) -> None:
        SCHEMAS[name].model_validate_json(json.dumps(example))
        jsonschema.validate(example, schema(name))

    @pytest.mark.parametrize(("name", "example", "where"), BAD, ids=named)
    def test_a_bad_file_is_refused_by_model_and_schema_alike(
        self, name: str, example: dict[str, Any], where: str
    ) -> None:
        with pytest.raises(ValidationError) as refused:
            SCHEMAS[name].model_validate_json(json.dumps(example))
        found = [".".join(map(str, each["loc"])) for each in refused.value.errors()]
        assert any(each.startswith(where) for each in found), found
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(example, schema(name))

    def test_a_model_must_be_able_to_predict(self) -> None:
        with pytest.raises(ValidationError, match="must be able to predict"):
            ModelSpec.model_validate({**GOOD_MODEL, "verbs": ["fit"]})

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_are_none_are_refused(self, number: str) -> None:
        with pytest.raises(ValidationError):
            Progress.model_validate_json(f'{{"fraction": {number}}}')
        with pytest.raises(ValidationError):
            Job.model_validate_json(json.dumps(GOOD_JOB).replace("3600", number))

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_file_that_was_read_cannot_be_changed(self, name: str) -> None:
        examples = {"record": None, **dict(reversed(GOOD))}
        assert SCHEMAS[name].model_config["frozen"]
        if examples[name] is not None:
            model = SCHEMAS[name].model_validate_json(json.dumps(examples[name]))
            with pytest.raises(ValidationError, match="frozen"):
                setattr(model, next(iter(SCHEMAS[name].model_fields)), None)

    def test_a_job_survives_the_way_to_the_container(self) -> None:
        job = Job.model_validate(GOOD_JOB)
        assert Job.model_validate_json(job.model_dump_json()) == job

    def test_a_reported_error_is_read_as_text_only(self) -> None:
        said = ReportedResult.model_validate_json('{"status": "error", "error": {"message": "\\u001b[2J"}}')
        assert said.error is not None
        assert said.error.message == "\x1b[2J"


class TestSchemas:
    def test_the_published_schemas_are_current(self) -> None:
        assert stale_schemas(SCHEMA_FOLDER) == []

    @pytest.mark.parametrize("name", SCHEMAS)
    def test_each_schema_is_itself_valid(self, name: str) -> None:
        jsonschema.Draft202012Validator.check_schema(json.loads(schema_text(name)))

    def test_schemas_that_were_just_written_are_current(self, tmp_path: Path) -> None:
        files = write_schemas(tmp_path / "schemas")
        assert sorted(path.name for path in files) == sorted(f"{name}.v1.schema.json" for name in SCHEMAS)
        assert stale_schemas(tmp_path / "schemas") == []

    def test_a_missing_and_a_changed_schema_are_stale(self, tmp_path: Path) -> None:
        missing, changed, *_ = write_schemas(tmp_path)
        missing.unlink()
        changed.write_text(changed.read_text().replace("string", "number"))
        assert stale_schemas(tmp_path) == [missing, changed]

    def test_every_field_of_the_contract_that_crosses_the_boundary_is_in_the_schema(self) -> None:
        assert set(schema("job")["properties"]) == set(Job.model_fields)
        assert schema("job")["additionalProperties"] is False
