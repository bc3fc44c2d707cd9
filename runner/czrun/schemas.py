"""The JSON Schemas of every file that a user or a model may write or read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from czrun.contract.base import ContractModel
from czrun.contract.image import ModelSpec
from czrun.contract.job import Job
from czrun.contract.outcome import Progress, ReportedResult
from czrun.datasets.spec import DatasetSpec
from czrun.records import RunRecord
from czrun.storage import make_folder, write_text

SCHEMAS: Mapping[str, type[ContractModel]] = {
    "job": Job,
    "progress": Progress,
    "result": ReportedResult,
    "model": ModelSpec,
    "dataset": DatasetSpec,
    "record": RunRecord,
}


def schema_text(name: str) -> str:
    """Return one schema as JSON text."""
    schema = SCHEMAS[name].model_json_schema(mode="serialization" if name == "job" else "validation")
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def schema_file(folder: Path, name: str) -> Path:
    """Return where a schema is kept in a folder."""
    return folder / f"{name}.v1.schema.json"


def write_schemas(folder: Path) -> list[Path]:
    """Write all schemas; raises StorageError."""
    make_folder(folder)
    for name in SCHEMAS:
        write_text(schema_file(folder, name), schema_text(name))
    return [schema_file(folder, name) for name in SCHEMAS]


def stale_schemas(folder: Path) -> list[Path]:
    """Return the files that are missing or differ from the models."""
    files = {schema_file(folder, name): schema_text(name) for name in SCHEMAS}
    return [
        path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
