"""Stands by a running container: deadline, bounds, figures, and the caller's ticks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from czrun.engines.base import StopReason, Usage
from czrun.engines.sampling import Meter, Peaks
from czrun.engines.watch import Watch
from czrun.errors import EngineError

SAMPLE_S = 0.1
TICK_S = 0.25
GRACE_S = 5.0
"""Between SIGTERM and SIGKILL at the deadline: enough to flush a log, too little to go on computing."""

KILL_WAIT_S = 30.0
"""A kill by cgroup ends at once, but for processes in uninterruptible input or output."""


class Process(Protocol):
    """A started container."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for the container's end at most so long, and say whether it ended. It wakes at once."""
        ...

    def signal(self, name: str) -> None:
        """Send a signal; nothing happens when the container has ended."""
        ...


@dataclass(frozen=True)
class Supervised:
    """What came of standing by.

    Attributes
    ----------
    stopped_by
        The bound that the container ran into.
    peaks
        Sampled figures.
    """

    stopped_by: StopReason | None
    peaks: Peaks


@dataclass
class Supervisor:
    """Keeps one container within its bounds.

    Attributes
    ----------
    process
        The container.
    wall_s
        Deadline, counted here on the monotonic clock from the call of `run`.
    watch
        Bounds on what it writes.
    meter
        Where figures come from, if anywhere.
    last_line
        The last line of its output.
    on_tick
        Called about four times a second. What it raises goes through: the caller kills the container.
    """

    process: Process
    wall_s: float
    watch: Watch
    meter: Meter | None
    last_line: Callable[[], str]
    on_tick: Callable[[Usage], None]
    now: Callable[[], float] = time.monotonic
    _peaks: Peaks = field(default_factory=Peaks)
    _next_check: float = 0.0
    _next_tick: float = 0.0

    def run(self) -> Supervised:
        """Stand by until the container has ended, and end it when it must."""
        started = self.now()
        reason = None
        while reason is None:
            memory = self._sample()
            elapsed = self.now() - started
            if elapsed >= self.wall_s:
                reason = StopReason.DEADLINE
                break
            reason = self._check()
            self._tick(elapsed, memory)
            if reason is None and self.process.wait(min(SAMPLE_S, self.wall_s - elapsed)):
                # A short container may have written more than it may before anyone looked.
                return Supervised(self.watch.excess(), self._peaks)
        self._stop(graceful=reason is StopReason.DEADLINE)
        return Supervised(reason, self._peaks)

    def _sample(self) -> int | None:
        sample = self.meter.sample() if self.meter else None
        self._peaks.take(sample)
        return sample.memory_bytes if sample else None

    def _check(self) -> StopReason | None:
        begun = self.now()
        if begun < self._next_check:
            return None
        reason = self.watch.check()
        # A walk over very many files must not take the core that the model computes on.
        self._next_check = self.now() + max(TICK_S, 4 * (self.now() - begun))
        return reason

    def _tick(self, elapsed: float, memory: int | None) -> None:
        if self.now() >= self._next_tick:
            self._next_tick = self.now() + TICK_S
            self.on_tick(Usage(elapsed, memory, self.last_line()))

    def _stop(self, *, graceful: bool) -> None:
        # Not the engine's own stop: it sends the image's STOPSIGNAL, and waits its whole grace when that
        # isn't a signal that ends anything.
        if graceful:
            self.process.signal("SIGTERM")
            grace_ends = self.now() + GRACE_S
            while self.now() < grace_ends and self.watch.check() is None:
                if self.process.wait(SAMPLE_S):
                    return
        self.process.signal("SIGKILL")
        if not self.process.wait(KILL_WAIT_S):
            raise EngineError(
                f"The container was killed, but the engine didn't report its end within {KILL_WAIT_S:g} s.",
                "Check the engine's own log, and run `czrun doctor`.",
            )
