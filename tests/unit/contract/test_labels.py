"""Image labels: untrusted text that selects and describes, and never breaks czrun."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from czrun.contract.image import MAX_LABEL_CHARS, ImageDeclaration, ModelSpec, Param, parse_labels
from czrun.contract.job import Verb
from czrun.errors import ContractError, UsageError

PREFIX = "org.czrun."
MINIMAL = {f"{PREFIX}contract": "1", f"{PREFIX}tasks": "embedding"}


def problems_of(labels: Mapping[str, str]) -> list[str]:
    with pytest.raises(ContractError) as refused:
        parse_labels(labels, "model:1")
    assert refused.value.hint
    return refused.value.message.splitlines()[1:]


class TestDeclaration:
    def test_the_least_that_an_image_must_say(self) -> None:
        found = parse_labels(MINIMAL, "model:1")
        assert found == ImageDeclaration(contract=1, tasks=("embedding",))
        assert found.verbs == (Verb.FIT, Verb.PREDICT)

    def test_labels_say_what_model_yaml_said(self) -> None:
        spec = ModelSpec.model_validate(
            {
                "name": "scgpt",
                "tasks": ["embedding", "clustering"],
                "verbs": ["predict"],
                "params": {"batch": {"type": "int", "default": 8, "choices": [8, 16]}},
                "assets": [{"url": "https://example.org/w", "sha256": "b" * 64, "path": "w.bin"}],
                "resources": {"gpu": True},
                "title": "scGPT",
                "version": "1.2",
                "description": "A model.",
                "licenses": "MIT",
            }
        )
        found = parse_labels(spec.labels(), "scgpt:1")
        for field in ImageDeclaration.model_fields:
            assert getattr(found, field) == getattr(spec, field), field

    def test_without_a_title_the_name_is_the_title(self) -> None:
        spec = ModelSpec(name="knn", tasks=("embedding",))
        assert spec.labels()["org.opencontainers.image.title"] == "knn"

    def test_spaces_around_the_names_do_not_matter(self) -> None:
        found = parse_labels({**MINIMAL, f"{PREFIX}tasks": " embedding , clustering "}, "model:1")
        assert found.tasks == ("embedding", "clustering")

    def test_labels_of_others_are_left_alone(self) -> None:
        assert parse_labels({**MINIMAL, "maintainer": "x" * 100_000}, "model:1").tasks == ("embedding",)

    def test_a_long_description_is_cut_not_refused(self) -> None:
        found = parse_labels({**MINIMAL, "org.opencontainers.image.description": "x" * 1000}, "model:1")
        assert len(found.description) == 300

    def test_an_image_without_labels_is_told_which_to_add(self) -> None:
        with pytest.raises(ContractError, match=r"no org\.czrun\.contract label") as refused:
            parse_labels({"maintainer": "me"}, "model:1")
        assert "czrun tasks list" in refused.value.hint


class TestProblems:
    def test_all_of_them_are_told_at_once(self) -> None:
        found = problems_of(
            {
                f"{PREFIX}contract": "7",
                f"{PREFIX}tasks": "embedding",
                f"{PREFIX}params": "{",
                f"{PREFIX}assets": "weights.bin",
            }
        )
        assert len(found) == 3
        assert "contract: '7', but this czrun speaks 1" in found[0]
        assert "params: not JSON" in found[1]
        assert "assets: not JSON" in found[2]

    def test_all_that_the_model_refuses_is_told_at_once(self) -> None:
        found = problems_of(
            {
                **MINIMAL,
                f"{PREFIX}tasks": "Embedding",
                f"{PREFIX}verbs": "fit",
                f"{PREFIX}params": '{"C": {"type": "list"}}',
            }
        )
        assert {line.split(":")[0].strip(" -") for line in found} >= {"tasks.0", "verbs", "params.C.type"}

    def test_no_tasks_at_all(self) -> None:
        assert "tasks" in problems_of({f"{PREFIX}contract": "1"})[0]

    @pytest.mark.parametrize("field", ["params", "assets", "resources"])
    @pytest.mark.parametrize(
        "text",
        ["null", "5", '"text"', "[[]]", '{"a": NaN}', '{"a": 1e999}', '{"\\ud800": 1}', "\x00", "1" * 5000],
    )
    def test_json_of_the_wrong_kind(self, field: str, text: str) -> None:
        assert problems_of({**MINIMAL, PREFIX + field: text})

    @pytest.mark.parametrize("depth", [300, 990, 4000, 8000])
    def test_json_that_is_too_deep(self, depth: int) -> None:
        text = '{"a":' + "[" * depth + "]" * depth + "}"
        found = problems_of({**MINIMAL, f"{PREFIX}resources": text})
        assert all(len(line) < 600 for line in found)

    def test_a_huge_label_is_not_even_parsed(self) -> None:
        found = problems_of({**MINIMAL, f"{PREFIX}params": "[" * (MAX_LABEL_CHARS + 1)})
        assert "longer than" in found[0]

    def test_a_problem_shows_the_beginning_of_the_value_only(self) -> None:
        name = "x" * 10_000
        found = problems_of({**MINIMAL, f"{PREFIX}params": json.dumps({name: {"type": name}})})
        assert all(len(line) < 600 for line in found)

    @given(
        st.dictionaries(
            st.sampled_from(
                [PREFIX + name for name in ("contract", "tasks", "verbs", "params", "assets", "resources")]
                + ["org.opencontainers.image.title"]
            ),
            st.binary().map(lambda raw: raw.decode("latin-1"))
            | st.sampled_from(["1", "fit,predict", "embedding", "{}", "[]", '{"a": {}}']),
        )
    )
    def test_whatever_they_hold_is_accepted_or_refused(self, labels: dict[str, str]) -> None:
        with contextlib.suppress(ContractError):
            parse_labels(labels, "model:1")


class TestParams:
    DECLARED = ImageDeclaration(
        contract=1,
        tasks=("embedding",),
        params={
            "n": Param(type="int"),
            "C": Param(type="float", help="Inverse strength."),
            "kernel": Param(type="str", choices=("rbf", "linear")),
            "fast": Param(type="bool"),
        },
    )

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("n", "5", 5),
            ("n", "-5", -5),
            ("C", "0.5", 0.5),
            ("C", "1e-3", 0.001),
            ("kernel", "rbf", "rbf"),
            ("fast", "true", True),
            ("fast", "No", False),
            ("fast", "1", True),
        ],
    )
    def test_a_value_gets_its_declared_type(self, name: str, text: str, value: object) -> None:
        found = self.DECLARED.parse_params({name: text})[name]
        assert found == value
        assert type(found) is type(value)

    @pytest.mark.parametrize(
        ("name", "text", "complaint"),
        [
            ("n", "five", "whole number"),
            ("n", "5.0", "whole number"),
            ("n", "", "whole number"),
            ("n", "1" * 5000, "whole number"),
            ("C", "high", "takes a number"),
            ("C", "nan", "takes a number"),
            ("C", "1e999", "takes a number"),
            ("kernel", "poly", "not one of the choices"),
            ("fast", "maybe", "true or false"),
        ],
    )
    def test_a_value_that_does_not_fit(self, name: str, text: str, complaint: str) -> None:
        with pytest.raises(UsageError, match=complaint):
            self.DECLARED.parse_params({name: text})

    def test_an_unknown_name_gets_the_nearest(self) -> None:
        with pytest.raises(UsageError) as refused:
            self.DECLARED.parse_params({"kernal": "rbf"})
        assert "'kernel'" in refused.value.hint

    def test_the_order_on_the_command_line_does_not_matter(self) -> None:
        one = self.DECLARED.parse_params({"n": "1", "C": "2"})
        other = self.DECLARED.parse_params({"C": "2", "n": "1"})
        assert list(one) == list(other)
