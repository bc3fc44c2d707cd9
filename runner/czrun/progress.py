"""What a run tells whoever is watching, as frozen events to a one-method observer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    """The stages of the road that a person sees."""

    IMAGE = "image"
    FETCH = "fetch"
    PREPARE = "prepare"
    FIT = "fit"
    PREDICT = "predict"
    SCORE = "score"


@dataclass(frozen=True)
class PhaseEvent:
    """One moment of one phase.

    Attributes
    ----------
    phase
        Which stage.
    subject
        Whose: the model's or the control's image, and fold and seed where there are several.
    elapsed_s
        Seconds since the phase began.
    done
        Whether it has ended.
    cached
        Whether its result was there already.
    memory_bytes
        Memory of the container at this moment, or at its peak once it is done.
    message
        The container's last log line, or what the phase found.
    fraction
        The model's own account of its progress, 0 to 1; advisory.
    """

    phase: Phase
    subject: str = ""
    elapsed_s: float = 0.0
    done: bool = False
    cached: bool = False
    memory_bytes: int | None = None
    message: str = ""
    fraction: float | None = None


class Observer(Protocol):
    """Whoever watches a run."""

    def on_event(self, event: PhaseEvent) -> None:
        """Take one event; called from the thread that runs the evaluation."""
        ...


class Silent:
    """An observer that doesn't look."""

    def on_event(self, event: PhaseEvent) -> None:
        """Ignore the event."""
