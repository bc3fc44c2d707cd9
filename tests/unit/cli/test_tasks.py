"""`czrun tasks`: whoever brings a model learns what it gets, what it must leave, and how it is scored."""

from __future__ import annotations

import re

import pytest

from command_line import Czrun
from czrun.tasks.base import Design, Task
from czrun.tasks.registry import all_tasks, metric_infos

TASKS = pytest.mark.parametrize("task", all_tasks().values(), ids=lambda task: task.id)


@pytest.fixture
def shown(czrun: Czrun, task: Task) -> list[str]:
    """The lines that are shown of a task, on a wide terminal."""
    done = czrun("tasks", "show", task.id, COLUMNS="400")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def fact(shown: list[str], name: str) -> list[str]:
    """Give the texts beside a name, those of the unnamed lines below it among them."""
    texts, is_on = [], False
    for line in shown:
        is_on = line.startswith(f"{name}  ") or (is_on and line.startswith("  "))
        if is_on:
            texts.append(line.removeprefix(name).strip())
    return texts


class TestList:
    def test_every_task_has_a_line_with_what_it_is(self, czrun: Czrun) -> None:
        lines = czrun("tasks", "list", COLUMNS="400").stdout.splitlines()
        assert len(lines) == len(all_tasks())
        for task in all_tasks().values():
            assert any(line.startswith(f"{task.id}  ") and task.summary in line for line in lines)


@TASKS
class TestShow:
    def test_what_it_is(self, shown: list[str], task: Task) -> None:
        assert shown[:2] == [f"{task.id}: {task.title}", task.summary]

    def test_what_each_phase_gets(self, shown: list[str], task: Task) -> None:
        fit, predict = fact(shown, "fit gets"), fact(shown, "predict gets")
        assert all(f"+ {name}" in fit[0] for name in task.fit_obs)
        assert all(f"+ {name}" in predict[0] for name in task.predict_obs)
        assert ("images" in fit[0]) is (task.modality == "image")
        assert any("reference" in line for line in predict) is bool(task.reference_outputs)
        assert ("normal" in fit[0]) is (task.design is Design.NOVELTY)
        assert ("conditions" in predict[0]) is (task.design is Design.PERTURBATION)

    def test_what_stays_on_the_host(self, shown: list[str], task: Task) -> None:
        (hidden,) = fact(shown, "hidden truth")
        told = set(hidden.split(", "))
        assert told == set(task.truth) - set(task.predict_obs) or not task.truth
        assert all(name in fact(shown, "where known")[0] for name in task.optional_obs)

    def test_what_it_must_leave(self, shown: list[str], task: Task) -> None:
        outputs = fact(shown, "output")
        assert len(outputs) == len(task.outputs)
        for slot, said in zip(task.outputs, outputs, strict=True):
            need = "required" if slot.required else "one of these" if slot.name in task.one_of else "optional"
            assert said.startswith(f"{slot.name} ({need}")
            assert all(axis in said for axis in slot.axes)
            assert slot.summary in said
        assert len(fact(shown, "of reference")) == len(task.reference_outputs)

    def test_how_it_is_split_and_controlled_by_default(self, shown: list[str], task: Task) -> None:
        assert fact(shown, "split")[0].startswith(task.default_split)
        assert fact(shown, "control") == [task.negative_control]

    def test_every_metric_with_range_direction_undefined_and_reference(
        self, shown: list[str], task: Task
    ) -> None:
        infos = metric_infos(task)
        rows = [line for line in shown if re.split(r"\s{2,}", line)[0] in task.metrics]
        assert [line.split()[0] for line in rows] == list(task.metrics)
        for name, line in zip(task.metrics, rows, strict=True):
            info = infos[name]
            cells = re.split(r"\s{2,}", line.strip())
            low, high = cells[1].split(" – ")
            assert low == ("-∞" if info.range.low is None else f"{info.range.low:g}")
            assert high == ("∞" if info.range.high is None else f"{info.range.high:g}")
            assert cells[2] == {True: "higher", False: "lower", None: "–"}[info.higher_is_better]
            assert cells[3:] == [info.needs, info.undefined or "never", info.reference]

    def test_on_a_narrow_terminal_ids_stay_whole(self, czrun: Czrun, task: Task) -> None:
        printed = czrun("tasks", "show", task.id, COLUMNS="80").stdout
        assert all(re.search(rf"^{name}\s", printed, flags=re.MULTILINE) for name in task.metrics)


@TASKS
class TestWhole:
    def test_every_metric_says_what_it_is(self, task: Task) -> None:
        infos = metric_infos(task)
        for name in task.metrics:
            info = infos[name]
            assert info.id == name
            assert info.title
            assert re.search(r" \d{4}, (doi:10\.\d{4,}/|https://)\S+", info.reference), info.reference

    def test_what_it_names_is_there(self, task: Task) -> None:
        names = [slot.name for slot in task.outputs]
        assert set(task.one_of) <= set(names)
        assert len(set(task.metrics)) == len(task.metrics)
        assert not {slot.name for slot in task.reference_outputs} - set(names)
        assert all(slot.required or task.one_of for slot in task.outputs[:1])
