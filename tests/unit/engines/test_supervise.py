from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from czrun.engines.base import StopReason, Usage
from czrun.engines.sampling import Sample
from czrun.engines.supervise import GRACE_S, KILL_WAIT_S, Supervised, Supervisor
from czrun.engines.watch import Watch
from czrun.errors import EngineError


class FakeProcess:
    """Ends by itself at a time, or some time after a signal, on a clock of its own."""

    def __init__(self, ends_at: float = 1e9, ends_after: dict[str, float] | None = None) -> None:
        self.clock = 0.0
        self.ends_at = ends_at
        self.ends_after = {"SIGTERM": 1e9, "SIGKILL": 0.0} | (ends_after or {})
        self.signals: list[tuple[str, float]] = []

    def wait(self, timeout_s: float) -> bool:
        assert timeout_s >= 0
        self.clock = min(self.clock + max(timeout_s, 1e-6), max(self.clock, self.ends_at))
        return self.clock >= self.ends_at

    def signal(self, name: str) -> None:
        self.signals.append((name, round(self.clock, 3)))
        self.ends_at = min(self.ends_at, self.clock + self.ends_after[name])


class FakeMeter:
    def __init__(self, samples: Iterable[Sample | None]) -> None:
        self._samples = iter(samples)

    def sample(self) -> Sample | None:
        return next(self._samples, None)


def supervise(
    process: FakeProcess,
    watch: Watch | None = None,
    meter: FakeMeter | None = None,
    ticks: list[Usage] | None = None,
) -> Supervised:
    return Supervisor(
        process,
        10.0,
        watch or Watch((), 1, 1),
        meter,
        lambda: "line",
        (ticks if ticks is not None else []).append,
        now=lambda: process.clock,
    ).run()


def test_a_container_that_ends_is_left_alone() -> None:
    process = FakeProcess(ends_at=3.0)
    assert supervise(process).stopped_by is None
    assert process.signals == []
    assert process.clock == 3.0


def test_the_deadline_asks_first_and_then_kills() -> None:
    process = FakeProcess()
    assert supervise(process).stopped_by is StopReason.DEADLINE
    assert process.signals == [("SIGTERM", 10.0), ("SIGKILL", pytest.approx(10.0 + GRACE_S, abs=0.2))]


def test_a_container_that_complies_is_not_killed() -> None:
    process = FakeProcess(ends_after={"SIGTERM": 1.0})
    assert supervise(process).stopped_by is StopReason.DEADLINE
    assert process.signals == [("SIGTERM", 10.0)]
    assert process.clock == pytest.approx(11.0)


def test_output_beyond_its_bound_is_killed_at_once(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(100))
    process = FakeProcess()
    assert supervise(process, Watch((tmp_path,), 99, 10)).stopped_by is StopReason.OUTPUT_BYTES
    assert process.signals == [("SIGKILL", 0.0)]


def test_what_was_written_just_before_the_end_counts(tmp_path: Path) -> None:
    class Hasty(FakeProcess):
        def wait(self, timeout_s: float) -> bool:
            (tmp_path / "big").write_bytes(bytes(100))
            return super().wait(timeout_s)

    process = Hasty(ends_at=0.05)
    assert supervise(process, Watch((tmp_path,), 99, 10)).stopped_by is StopReason.OUTPUT_BYTES
    assert process.signals == []


def test_grace_is_no_licence_to_fill_the_disk(tmp_path: Path) -> None:
    process = FakeProcess()
    watch = Watch((tmp_path,), 99, 10)
    ask = process.signal

    def write_on(name: str) -> None:
        (tmp_path / "big").write_bytes(bytes(100))
        ask(name)

    process.signal = write_on  # type: ignore[method-assign]
    assert supervise(process, watch).stopped_by is StopReason.DEADLINE
    assert process.signals == [("SIGTERM", 10.0), ("SIGKILL", 10.0)]


def test_an_engine_that_never_reports_the_end_is_an_error_not_a_hang() -> None:
    process = FakeProcess(ends_after={"SIGKILL": 1e9})
    with pytest.raises(EngineError):
        supervise(process)
    assert process.clock < 10 + GRACE_S + KILL_WAIT_S + 1


def test_ticks_come_four_times_a_second_with_what_is_known() -> None:
    ticks: list[Usage] = []
    supervise(FakeProcess(ends_at=5.05), meter=FakeMeter([Sample(7, 0.1)] * 1000), ticks=ticks)
    assert 15 <= len(ticks) <= 21
    assert ticks[0] == Usage(0.0, 7, "line")


def test_peaks_are_kept_and_kills_remembered() -> None:
    samples = [Sample(5, 0.1), None, Sample(9, 0.2, oom_kills=1), Sample(3, 0.3)]
    peaks = supervise(FakeProcess(ends_at=1.0), meter=FakeMeter(samples)).peaks
    assert (peaks.memory_bytes, peaks.cpu_seconds, peaks.oom_killed) == (9, 0.3, True)


def test_what_a_tick_raises_goes_through() -> None:
    def stop(_: Usage) -> None:
        raise KeyboardInterrupt

    process = FakeProcess()
    supervisor = Supervisor(process, 10.0, Watch((), 1, 1), None, str, stop, now=lambda: process.clock)
    with pytest.raises(KeyboardInterrupt):
        supervisor.run()
