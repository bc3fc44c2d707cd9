"""Several evaluations at once: of the same thing, in the same cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Czrun

FIT = "hold(); (MODEL / 'favourite').write_text('2')"
PREDICT = "hold(); answer(int((MODEL / 'favourite').read_text()))"


def held(czrun: Czrun, count: int, verb: str) -> list[str]:
    """Return the leases whose containers hold in a phase, once there are so many."""
    found = []
    for folder in czrun.waiting():
        job = (folder.parent / "job.json").read_text()
        if f'"verb": "{verb}"' in job:
            found.append(folder.parents[1].name)
    return found if len(found) == count else []


def release(czrun: Czrun, lease: str) -> None:
    (folder,) = [folder for folder in czrun.waiting() if folder.parents[1].name == lease]
    czrun.go(folder)


def test_two_evaluations_of_the_same_thing_both_succeed_with_equal_scores(fresh: Czrun, puppet: str) -> None:
    arguments = fresh.evaluation(puppet, fit=FIT, predict=PREDICT)
    one, other = fresh.start(*arguments), fresh.start(*arguments)
    fresh.wait_for(lambda: held(fresh, 2, "fit"), one)
    # Each has started while the other's container ran, and neither took it for an orphan.
    assert len(fresh.containers()) == 2
    dones = [fresh.ushered(one), fresh.ushered(other)]
    assert [done.succeeded().code for done in dones] == [0, 0]
    assert len(fresh.run_ids()) == 2
    first, second = (fresh.record(run_id) for run_id in fresh.run_ids())
    assert first["model"]["scores"] == second["model"]["scores"]


def test_a_fit_that_ends_second_does_not_take_the_model_from_a_predict_under_way(
    fresh: Czrun, puppet: str
) -> None:
    arguments = fresh.evaluation(puppet, fit=FIT, predict=PREDICT)
    processes = [fresh.start(*arguments), fresh.start(*arguments)]
    first, second = fresh.wait_for(lambda: held(fresh, 2, "fit"), processes[0])
    release(fresh, first)
    fresh.wait_for(lambda: held(fresh, 1, "predict"), processes[0])
    release(fresh, second)
    fresh.wait_for(lambda: held(fresh, 2, "predict"), processes[0])
    for process in processes:
        fresh.ushered(process).succeeded()


def test_a_repeat_without_the_cache_does_not_take_the_model_from_a_predict_under_way(
    fresh: Czrun, puppet: str
) -> None:
    arguments = fresh.evaluation(puppet, fit=FIT, predict=PREDICT)
    slow = fresh.start(*arguments)
    (first,) = fresh.wait_for(lambda: held(fresh, 1, "fit"), slow)
    release(fresh, first)
    fresh.wait_for(lambda: held(fresh, 1, "predict"), slow)
    again = fresh.start(*arguments, "--no-cache")
    (second,) = fresh.wait_for(lambda: held(fresh, 1, "fit"), again)
    release(fresh, second)
    fresh.wait_for(lambda: held(fresh, 2, "predict"), again)
    for process in (slow, again):
        fresh.ushered(process).succeeded()


def test_another_cache_does_not_reap_what_it_does_not_know(czrun: Czrun, fresh: Czrun, oracle: str) -> None:
    process = czrun.start(*czrun.evaluation(oracle, predict="hold(); answer()"))
    czrun.held(process)
    fresh.evaluate(oracle).succeeded()
    assert len(czrun.containers()) == 1
    czrun.ushered(process).succeeded()
