"""What every model folder promises, read from its sources; no engine, nothing built."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from czrun.contract.image import ModelSpec, parse_labels
from czrun.contract.job import Verb
from czrun.errors import ContractError, UsageError

MODEL_IMAGES = Path(__file__).resolve().parents[2] / "model_images"
MODELS = (
    "additive-perturbation",
    "isolation-forest",
    "kmeans",
    "knn",
    "library-size",
    "logistic-regression",
    "majority-class",
    "mean-effect",
    "no-change",
    "pca",
    "pca-centred",
    "pixel-logistic-regression",
    "random-embedding",
    "random-forest",
    "random-scores",
    "ridge-perturbation",
    "ridge-time",
    "shuffled-embedding",
)
NEEDS_NO_SCIPY = ("library-size", "majority-class", "random-embedding", "random-scores")
FILES = ("Dockerfile", "README.md", "model.py", "model.yaml", "requirements.txt")

each_model = pytest.mark.parametrize("name", MODELS)


def read(name: str, file: str) -> str:
    return (MODEL_IMAGES / name / file).read_text(encoding="utf-8")


def spec(name: str) -> ModelSpec:
    return ModelSpec.model_validate(yaml.safe_load(read(name, "model.yaml")))


def instructions(name: str) -> list[str]:
    """The Dockerfile's instructions, continued lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", read(name, "Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    module_spec = importlib.util.spec_from_file_location("build_images", MODEL_IMAGES / "build.py")
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    return module


def test_these_are_all_the_models() -> None:
    folders = {path.name for path in MODEL_IMAGES.iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders == set(MODELS)


@each_model
def test_a_model_is_its_five_files(name: str) -> None:
    assert {path.name for path in (MODEL_IMAGES / name).iterdir() if path.is_file()} == set(FILES)


@each_model
def test_model_yaml_follows_the_contract_and_survives_as_labels(name: str) -> None:
    declared = spec(name)
    assert declared.name == name
    assert declared.version
    assert declared.description
    assert declared.licenses
    read_back = parse_labels(declared.labels(), name)
    assert read_back.params == declared.params
    assert read_back.resources == declared.resources


@each_model
def test_model_py_does_the_tasks_and_verbs_that_model_yaml_names(name: str) -> None:
    source = runpy.run_path(str(MODEL_IMAGES / name / "model.py"), run_name="model")
    assert source["TASKS"] == spec(name).tasks
    assert tuple(verb for verb in Verb if verb in source) == spec(name).verbs
    assert re.search(r"^    main\(.*tasks=TASKS.*\)$", read(name, "model.py"), flags=re.MULTILINE)


@each_model
def test_every_parameter_has_a_default_that_model_py_shares_and_readme_names_it(name: str) -> None:
    asked = dict(re.findall(r'job\.param\(\s*"(\w+)",\s*([^)\s]+)\)', read(name, "model.py")))
    declared = {key: repr(param.default) for key, param in spec(name).params.items()}
    assert asked == declared
    for key, param in spec(name).params.items():
        assert param.help
        assert f"| `{key}` | {param.type} | {param.default} |" in read(name, "README.md")


@each_model
def test_readme_says_how_to_build_and_run(name: str) -> None:
    assert f"python model_images/build.py {name}" in read(name, "README.md")
    assert f"czrun evaluate --image czrun/{name}:latest" in read(name, "README.md")


@each_model
def test_requirements_are_pinned_and_the_kits_are_among_them(name: str) -> None:
    pins = read(name, "requirements.txt").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==\d+(\.\d+)+", pin) for pin in pins)
    assert pins == sorted(pins)
    assert set(read("_kit", "requirements.txt").splitlines()) <= set(pins)


def test_images_agree_on_every_version() -> None:
    pins = {pin for name in MODELS for pin in read(name, "requirements.txt").splitlines()}
    assert len(pins) == len({pin.partition("==")[0] for pin in pins})


@pytest.mark.parametrize("name", NEEDS_NO_SCIPY)
def test_the_simplest_models_need_no_scipy(name: str) -> None:
    assert read(name, "requirements.txt") == read("_kit", "requirements.txt")


def test_there_are_few_sets_of_requirements_so_that_images_share_layers() -> None:
    assert len({read(name, "requirements.txt") for name in MODELS}) == 3


@each_model
def test_the_base_image_is_an_argument(name: str) -> None:
    lines = instructions(name)
    assert lines[0] == "ARG BASE_IMAGE=python:3.12-slim"
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"${BASE_IMAGE}"}


@each_model
def test_the_dockerfile_pulls_nothing_else_and_knows_no_site(name: str) -> None:
    text = read(name, "Dockerfile")
    assert "syntax=" not in text
    assert not re.search(r"cert|proxy|index-url|https?://|--mount|--chmod", text, flags=re.IGNORECASE)


@each_model
def test_the_dockerfile_copies_from_the_kit_and_the_model_only(name: str) -> None:
    copies = [line.split()[1:-1] for line in instructions(name) if line.startswith("COPY")]
    sources = [part for copy in copies if not copy[0].startswith("--from=") for part in copy]
    assert all(source.startswith(("_kit/", f"{name}/")) for source in sources)
    assert all((MODEL_IMAGES / source).exists() for source in sources)
    assert f"{name}/requirements.txt" in sources


@each_model
def test_the_image_runs_read_only_as_any_user(name: str) -> None:
    lines = instructions(name)
    last_run = [line for line in lines if line.startswith("RUN")][-1]
    assert "compileall" in last_run
    assert "chmod -R a+rX" in last_run
    assert lines[-1] == 'ENTRYPOINT ["/opt/venv/bin/python", "/opt/model/model.py"]'
    assert not {line.split()[0] for line in lines} & {"VOLUME", "HEALTHCHECK", "USER", "ADD", "CMD"}


def test_importing_the_kit_imports_neither_czrun_nor_scipy() -> None:
    script = "import sys, czrun_kit; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(MODEL_IMAGES / "_kit")},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"h5py", "numpy"} <= imported
    assert not {"czrun", "scipy", "pandas", "anndata", "sklearn"} & imported


# build.py


def test_an_image_is_tagged_and_labelled(builder: ModuleType) -> None:
    command = builder.command(spec("knn"), "some/base:1")
    options = [" ".join(pair) for pair in zip(command[3::2], command[4::2], strict=True)]
    assert {"--tag czrun/knn:latest", f"--tag czrun/knn:{spec('knn').version}"} <= set(options)
    assert "--build-arg BASE_IMAGE=some/base:1" in options
    assert "--label org.czrun.contract=1" in options


def test_the_base_image_is_the_environments_then_the_recorded_then_pythons(
    builder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = tmp_path / "base-image"
    monkeypatch.setattr(builder, "RECORDED_BASE", recorded)
    monkeypatch.delenv("BASE_IMAGE", raising=False)
    assert builder.default_base() == "python:3.12-slim"
    recorded.write_text("czrun-base:local\n")
    assert builder.default_base() == "czrun-base:local"
    monkeypatch.setenv("BASE_IMAGE", "my/base:1")
    assert builder.default_base() == "my/base:1"


def test_all_models_are_built_unless_some_are_named(builder: ModuleType) -> None:
    assert builder.chosen([]) == list(MODELS)
    assert builder.chosen(["knn", "knn"]) == ["knn"]
    with pytest.raises(UsageError) as refused:
        builder.chosen(["logistic-regresion"])
    assert "'logistic-regression'" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: [", "not YAML"),
        ("just text", "doesn't follow"),
        ("name: model\ntasks: []\nspeed: fast\n", r"(?s)tasks.*speed|speed.*tasks"),
        ("name: other\ntasks: [cell-type-classification]\n", "says name: other"),
    ],
)
def test_a_bad_model_yaml_is_explained(
    builder: ModuleType, tmp_path: Path, text: str, complaint: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.yaml").write_text(text)
    with pytest.raises(ContractError, match=complaint):
        builder.read_spec(folder)


def test_errors_reach_the_user_without_a_traceback(
    builder: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert builder.main(["nope"]) == 2
    assert "Valid: additive-perturbation, " in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert builder.main(["knn"]) == 5
    assert "make engine" in capsys.readouterr().err
