"""What an image declares about itself: ``model.yaml`` in the model's folder, labels on the image.

Labels are untrusted text. They select and describe; they never raise a limit or a privilege.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, StringConstraints, ValidationError, field_validator

from czrun.contract.base import CONTRACT_VERSION, ContractModel, Sha256, TaskId
from czrun.contract.job import Verb
from czrun.errors import ContractError, UsageError, listing, unknown_name

LABEL_PREFIX = "org.czrun."
OCI_PREFIX = "org.opencontainers.image."
MAX_LABEL_CHARS = 16_384
_SHOWN_PATH = 200

Text = Annotated[str, StringConstraints(max_length=300)]
ParamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class Asset(ContractModel):
    """Pretrained weights that the host fetches and checks before any container sees them."""

    url: Annotated[str, StringConstraints(pattern=r"^https://", max_length=2000)]
    sha256: Sha256
    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")] = Field(
        description="File name under /czrun/assets/."
    )


class Param(ContractModel):
    """One parameter that ``--param NAME=VALUE`` may set."""

    type: Literal["int", "float", "str", "bool"]
    default: JsonValue = None
    help: Text = ""
    choices: tuple[JsonValue, ...] = ()

    def parse(self, name: str, text: str) -> int | float | str | bool:
        """Read a value from the command line; raises UsageError where it doesn't fit."""
        value = _PARSERS[self.type](text)
        if value is None:
            hint = self.help or f"For example --param {name}={_EXAMPLES[self.type]}."
            raise UsageError(f"--param {name}={text}: {name} takes {_ARTICLE[self.type]}.", hint)
        if self.choices and value not in self.choices:
            valid = ", ".join(str(choice) for choice in self.choices)
            raise UsageError(f"--param {name}={text}: not one of the choices.", f"Valid: {valid}.")
        return value


def _parse_int(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _parse_float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _parse_bool(text: str) -> bool | None:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower())


_PARSERS: dict[str, Callable[[str], int | float | str | None]] = {
    "int": _parse_int,
    "float": _parse_float,
    "str": str,
    "bool": _parse_bool,
}
_EXAMPLES = {"int": "3", "float": "0.5", "str": "text", "bool": "true"}
_ARTICLE = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}


class ImageDeclaration(ContractModel):
    """What an image says it can do, from its labels or from ``model.yaml``."""

    contract: Literal[1]
    tasks: tuple[TaskId, ...] = Field(min_length=1)
    verbs: tuple[Verb, ...] = (Verb.FIT, Verb.PREDICT)
    params: dict[ParamName, Param] = Field(
        default_factory=dict,
        max_length=64,
        # pydantic states a key's pattern in the schema, but not that no other key will do.
        json_schema_extra={"additionalProperties": False},
    )
    assets: tuple[Asset, ...] = Field(default=(), max_length=32)
    resources: dict[Text, JsonValue] = Field(
        default_factory=dict, description="A hint about memory, CPUs or GPUs; it never changes a limit."
    )
    title: Text = ""
    version: Text = ""
    description: Text = ""
    licenses: Text = ""

    @field_validator("verbs")
    @classmethod
    def _predicts(cls, verbs: tuple[Verb, ...]) -> tuple[Verb, ...]:
        if Verb.PREDICT not in verbs:
            msg = "an image must be able to predict"
            raise ValueError(msg)
        return verbs

    def parse_params(self, given: Mapping[str, str]) -> dict[str, JsonValue]:
        """Check ``--param`` values against the declaration; raises UsageError."""
        for name in given:
            if name not in self.params:
                raise unknown_name("parameter of this image", name, self.params)
        return {name: self.params[name].parse(name, text) for name, text in sorted(given.items())}


class ModelSpec(ImageDeclaration):
    """``model.yaml``: the source of an image's labels."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    contract: Literal[1] = 1
    source: Text = Field(default="", description="Where the model's code lives.")
    reference: Text = Field(default="", description="DOI or URL of the method.")

    def labels(self) -> dict[str, str]:
        """Return the image labels that say what this file says."""
        labels = {
            f"{LABEL_PREFIX}contract": str(self.contract),
            f"{LABEL_PREFIX}tasks": ",".join(self.tasks),
            f"{LABEL_PREFIX}verbs": ",".join(self.verbs),
            f"{OCI_PREFIX}title": self.title or self.name,
            f"{OCI_PREFIX}version": self.version,
            f"{OCI_PREFIX}description": self.description,
            f"{OCI_PREFIX}licenses": self.licenses,
            f"{OCI_PREFIX}source": self.source,
        }
        for field in ("params", "assets", "resources"):
            if getattr(self, field):
                value = self.model_dump(mode="json", include={field}, exclude_defaults=True)[field]
                labels[f"{LABEL_PREFIX}{field}"] = json.dumps(value, sort_keys=True)
        return {key: value for key, value in labels.items() if value}


def parse_labels(labels: Mapping[str, str], image: str) -> ImageDeclaration:
    """Read an image's declaration from its labels.

    Parameters
    ----------
    labels
        All labels of the image; untrusted.
    image
        The reference to name in errors.

    Raises
    ------
    ContractError
        When the labels are missing, or don't follow the contract; every problem is listed.
    """
    if f"{LABEL_PREFIX}contract" not in labels:
        raise ContractError(
            f"Image {image} has no {LABEL_PREFIX}contract label: it doesn't say it follows the contract.",
            f'Add `LABEL {LABEL_PREFIX}contract="{CONTRACT_VERSION}" {LABEL_PREFIX}tasks="…"` '
            "to its Dockerfile, with the ids of `czrun tasks list`, and build it again.",
        )
    problems = [
        f"label {key} is longer than {MAX_LABEL_CHARS} characters"
        for key, value in labels.items()
        if key.startswith(LABEL_PREFIX) and len(value) > MAX_LABEL_CHARS
    ]
    if not problems:
        fields = _label_fields(labels, problems)
    if problems:
        raise _bad_labels(image, problems)
    try:
        return ImageDeclaration.model_validate(fields)
    except ValidationError as error:
        raise _bad_labels(image, describe(error)) from None


def describe(error: ValidationError) -> list[str]:
    """Turn a pydantic error into one line per problem: where, what, and the value's beginning."""
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        # Cut as well: a path into hostile JSON is as long as the JSON is deep.
        where = ".".join(str(part) for part in problem["loc"])[:_SHOWN_PATH] or "(file)"
        lines.append(f"{where}: {problem['msg']} (got {str(problem['input'])[:60]!r})")
    return lines


def _label_fields(labels: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    version = labels[f"{LABEL_PREFIX}contract"].strip()
    if version == str(CONTRACT_VERSION):
        fields["contract"] = CONTRACT_VERSION
    else:
        problems.append(f"contract: {version[:20]!r}, but this czrun speaks {CONTRACT_VERSION}")
    for field in ("tasks", "verbs"):
        if text := labels.get(LABEL_PREFIX + field, ""):
            fields[field] = [part.strip() for part in text.split(",")]
    for field in ("params", "assets", "resources"):
        if text := labels.get(LABEL_PREFIX + field, ""):
            try:
                fields[field] = json.loads(text)
            except (ValueError, RecursionError):
                problems.append(f"{field}: not JSON: {text[:60]!r}")
    for field in ("title", "version", "description", "licenses"):
        # The OCI annotations describe; a long one is cut, not refused.
        fields[field] = labels.get(OCI_PREFIX + field, "")[:300]
    return fields


def _bad_labels(image: str, problems: list[str]) -> ContractError:
    return ContractError(
        f"The labels of image {image} don't follow the contract:\n{listing(problems)}",
        "Mend model.yaml or the LABEL lines of the Dockerfile, and build the image again.",
    )
