"""Build the model images: ``python model_images/build.py [NAME ...] [--base-image IMAGE]``.

An image's labels come from its ``model.yaml``; its tags are ``czrun/NAME:latest`` and ``czrun/NAME:VERSION``.
What didn't change comes from the engine's layer cache, so that a second build takes a moment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from czrun.contract.image import ModelSpec, describe
from czrun.errors import ContractError, CzrunError, EngineError, ModelError, listing, unknown_name

HERE = Path(__file__).resolve().parent
RECORDED_BASE = HERE.parent / ".make" / "base-image"
UPSTREAM_BASE = "python:3.12-slim"


def main(argv: Sequence[str] | None = None) -> int:
    """Build what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description="Build model images.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a folder of model_images; default: all")
    parser.add_argument(
        "--base-image", default=default_base(), help="build on this image (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    try:
        for name in chosen(options.names):
            build(read_spec(HERE / name), options.base_image)
    except CzrunError as error:
        print(f"Error: {error.message}", error.hint, sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def default_base() -> str:
    """Return the base image: BASE_IMAGE, else what ``make base-image`` recorded, else Python's own."""
    if named := os.environ.get("BASE_IMAGE"):
        return named
    if RECORDED_BASE.is_file():
        return RECORDED_BASE.read_text(encoding="utf-8").strip() or UPSTREAM_BASE
    return UPSTREAM_BASE


def chosen(names: Sequence[str]) -> list[str]:
    """Return the models to build, all of them where none is named; raises UsageError for a name unknown."""
    known = sorted(path.parent.name for path in HERE.glob("[!_]*/model.yaml"))
    for name in names:
        if name not in known:
            raise unknown_name("model", name, known)
    return list(dict.fromkeys(names)) or known


def read_spec(folder: Path) -> ModelSpec:
    """Read a model's ``model.yaml``; raises ContractError where it doesn't follow the contract."""
    path = folder / "model.yaml"
    try:
        spec = ModelSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ContractError(f"{path} is not YAML: {error}", "Mend it, and build again.") from None
    except ValidationError as error:
        raise ContractError(
            f"{path} doesn't follow the contract:\n{listing(describe(error))}", "Mend it, and build again."
        ) from None
    if spec.name != folder.name:
        raise ContractError(
            f"{path} says name: {spec.name}.", f"A model's name is its folder's: {folder.name}."
        )
    return spec


def command(spec: ModelSpec, base_image: str) -> list[str]:
    """Return the docker command that builds the image."""
    tags = [f"czrun/{spec.name}:{tag}" for tag in ("latest", spec.version) if tag]
    labels = [f"{key}={value}" for key, value in sorted(spec.labels().items())]
    return [
        *("docker", "build", str(HERE), "--file", str(HERE / spec.name / "Dockerfile")),
        *("--build-arg", f"BASE_IMAGE={base_image}"),
        *(part for tag in tags for part in ("--tag", tag)),
        *(part for label in labels for part in ("--label", label)),
    ]


def build(spec: ModelSpec, base_image: str) -> None:
    """Build one image, its output streamed.

    Raises
    ------
    EngineError
        When there is no docker command.
    ModelError
        When the build fails.
    """
    print(f"Building czrun/{spec.name} on {base_image}", flush=True)
    try:
        code = subprocess.run(command(spec, base_image), check=False).returncode  # noqa: S603 - no shell
    except FileNotFoundError:
        raise EngineError("There is no docker command.", "Run `make engine`.") from None
    if code != 0:
        raise ModelError(
            f"czrun/{spec.name} couldn't be built: docker build ended with {code}; its output is above.",
            "If the base image is missing, run `make base-image`; if no engine answers, `make engine`.",
        )


if __name__ == "__main__":
    sys.exit(main())
