"""What earlier runners got wrong, one test each."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Czrun

Build = Callable[..., str]

PUPPET = (Path(__file__).parent / "puppet.py").read_text()
PREDICT_ONLY = {
    "org.czrun.contract": "1",
    "org.czrun.tasks": "cell-type-classification",
    "org.czrun.verbs": "predict",
}


def rebuilt(build: Build, tag: str, predict: str) -> str:
    """Build an image under a tag that may be taken already; it does only this."""
    files = {"puppet.py": PUPPET.replace('"answer()"', repr(predict))}
    return build(tag, files=files, labels=PREDICT_ONLY)


def accuracy(record: dict[str, Any]) -> float:
    return record["model"]["scores"]["metrics"]["accuracy"]["value"]


def test_a_rebuilt_tag_gets_a_new_score(fresh: Czrun, build: Build) -> None:
    first = fresh.evaluate(rebuilt(build, "tag", "answer(0)"), "--format", "json").succeeded()
    second = fresh.evaluate(rebuilt(build, "tag", "answer(1)"), "--format", "json").succeeded()
    old, new = (fresh.record(run_id) for run_id in fresh.run_ids())
    assert first.out != second.out
    assert old["model"]["image"]["reference"] == new["model"]["image"]["reference"]
    assert old["model"]["image"]["digest"] != new["model"]["image"]["digest"]
    assert accuracy(old) != accuracy(new)
    assert new["containers_started"] == 1


def test_an_image_that_writes_nothing_never_gets_an_old_score(fresh: Czrun, build: Build) -> None:
    fresh.evaluate(rebuilt(build, "mute", "answer(0)")).succeeded()
    done = fresh.evaluate(rebuilt(build, "mute", "pass")).failed(4, "predictions.csv is missing")
    assert done.out == ""
    record = fresh.record(fresh.run_ids()[-1])
    assert record["status"] == "invalid_output"
    assert record["model"]["scores"] is None


def test_an_image_that_once_failed_is_asked_again(fresh: Czrun, oracle: str) -> None:
    for _ in range(2):
        fresh.evaluate(oracle, predict="pass").failed(4)
    assert [fresh.record(run_id)["containers_started"] for run_id in fresh.run_ids()] == [1, 1]


def test_sigterm_leaves_no_orphan(czrun: Czrun, oracle: str) -> None:
    process = czrun.start(*czrun.evaluation(oracle, predict="hold()  # for SIGTERM"))
    czrun.held(process)
    assert len(czrun.containers()) == 1
    process.send_signal(signal.SIGTERM)
    czrun.end(process).failed(130, "Cancelled")
    assert czrun.left_behind() == []
    assert czrun.record()["status"] == "cancelled"


def test_an_orphan_of_sigkill_is_reaped_by_the_next_start(fresh: Czrun, oracle: str) -> None:
    process = fresh.start(*fresh.evaluation(oracle, predict="hold()  # for SIGKILL"))
    fresh.held(process)
    process.kill()
    fresh.end(process)
    assert len(fresh.containers()) == 1
    fresh.evaluate(oracle).succeeded()
    assert fresh.left_behind() == []


def test_an_orphan_of_sigkill_is_reaped_by_runs_clean(fresh: Czrun, oracle: str) -> None:
    process = fresh.start(*fresh.evaluation(oracle, predict="hold()  # for clean"))
    fresh.held(process)
    process.kill()
    fresh.end(process)
    owned = fresh.containers()
    done = fresh("runs", "clean").succeeded()
    assert len(owned) == 1
    assert "Removed 1 container(s), 1 unfinished run(s)" in done.out
    left = {entry["Id"] for entry in fresh.engine._client.containers(all=True)}
    assert not left & set(owned)


def test_what_a_failing_model_wrote_is_shown_and_kept(czrun: Czrun, oracle: str) -> None:
    source = """
for number in range(30):
    print(f"line {number:02d}", file=sys.stderr if number % 2 else sys.stdout, flush=True)
sys.exit("the last straw")
"""
    done = czrun.evaluate(oracle, predict=source).failed(6, "failed with exit code 1", "the last straw")
    (folder,) = czrun.runs.iterdir()
    log = folder / "logs" / "model-predict.log"
    assert f"The whole log: {log}" in done.err
    written = log.read_text()
    assert all(f"line {number:02d}\n" in written for number in range(30))
    assert "The last 20 lines of its log:" in done.err
    shown = [line.removeprefix("  | ") for line in done.err.splitlines() if line.startswith("  | ")]
    assert shown == [line for line in written.splitlines() if line.strip()][-20:]
    assert czrun.record()["model"]["trials"][0]["failure"]["log_tail"] == shown
    assert written.strip() in czrun("runs", "logs", "last", "--phase", "predict").succeeded().out


@pytest.mark.parametrize("code", ["f", "d"])
def test_nan_among_probabilities_is_an_error_with_row_and_column_in_strict_json(
    czrun: Czrun, oracle: str, as_json: Callable[[str], Any], code: str
) -> None:
    source = f"""
rows = [[1 / len(classes)] * len(classes) for _ in cells]
rows[17][3] = float("nan")
answer(); proba(rows, descr="<f{4 if code == "f" else 8}", code="{code}")
"""
    done = czrun.evaluate(oracle, "--format", "json", predict=source)
    done.failed(4, "1 values: each is not finite, the first in row 17, column 3")
    printed = as_json(done.out)
    assert printed == czrun.record()
    assert printed["status"] == "invalid_output"


def test_nan_in_place_of_a_label_is_an_error_with_row_and_column(czrun: Czrun, oracle: str) -> None:
    source = "answer([*([classes[0]] * 9), 'nan', *([classes[0]] * 130)])"
    czrun.evaluate(oracle, predict=source).failed(4, "row 11, column label: 'nan'")
    assert czrun.record()["status"] == "invalid_output"


def test_a_metric_that_is_undefined_is_null_with_a_reason_in_strict_json(
    czrun: Czrun, oracle: str, as_json: Callable[[str], Any]
) -> None:
    done = czrun.evaluate(oracle, "--format", "json", predict="answer(0)").succeeded()
    mcc = as_json(done.out)["model"]["scores"]["metrics"]["mcc"]
    assert mcc["value"] is None
    assert mcc["reason"]
    assert as_json(done.out) == czrun.record()


def test_a_claimed_success_does_not_score(czrun: Czrun, oracle: str) -> None:
    source = """
print("accuracy 1.0"); print('{"accuracy": 1.0}')
(OUTPUT / "result.json").write_text('{"status": "ok"}')
(OUTPUT / "metrics.json").write_text('{"accuracy": 1.0}')
(folder() / "score.txt").write_text("1.0")
raise SystemExit(0)
"""
    done = czrun.evaluate(oracle, "--format", "csv", predict=source).failed(4, "predictions.csv is missing")
    assert "1.0" not in done.out
    assert czrun.record()["model"]["scores"] is None


def test_a_claimed_success_does_not_change_a_score(czrun: Czrun, oracle: str) -> None:
    claim = "print('accuracy 1.0'); (OUTPUT / 'result.json').write_text('{\"status\": \"ok\"}')"
    for source in ("answer(2)", f"answer(2); {claim}"):
        czrun.evaluate(oracle, predict=source).succeeded()
    honest, boastful = (czrun.record(run_id) for run_id in czrun.run_ids())
    assert honest["model"]["scores"] == boastful["model"]["scores"]


def test_a_tag_that_moves_during_a_run_does_not_change_what_runs(fresh: Czrun, build: Build) -> None:
    labels = {"org.czrun.contract": "1", "org.czrun.tasks": "cell-type-classification"}
    original = PUPPET.replace('"" if verb == "fit"', '"hold()" if verb == "fit"')
    tag = build("moving", files={"puppet.py": original}, labels=labels)
    before = fresh.engine.resolve(tag).digest
    process = fresh.start(*fresh.evaluation(tag))
    fresh.held(process)
    (container,) = fresh.containers()
    assert fresh.engine._client.inspect_container(container)["Config"]["Image"] == before
    build("moving", files={"puppet.py": "raise SystemExit(1)"}, labels=labels)
    assert fresh.engine.resolve(tag).digest != before
    fresh.ushered(process).succeeded()
    record = fresh.record()
    assert record["model"]["image"]["digest"] == before
    (trial,) = record["model"]["trials"]
    assert trial["fit"]["settings"]["Image"] == trial["predict"]["settings"]["Image"] == before


def test_proxies_and_variables_of_the_host_stay_outside(czrun: Czrun, oracle: str) -> None:
    czrun.environment |= {"HTTP_PROXY": "http://user:secret@proxy:3128", "MY_TOKEN": "hush"}
    czrun.evaluate(oracle, predict="print(dict(os.environ)); answer()").succeeded()
    log = czrun("runs", "logs", "last").succeeded().out
    assert "CZRUN_VERB" in log
    assert not [word for word in ("secret", "hush", str(czrun.home)) if word in log]
