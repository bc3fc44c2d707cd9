"""czrun: containerized model evaluation for cell biology.

>>> import czrun
>>> result = czrun.evaluate(image="czrun/logistic-regression:latest")  # doctest: +SKIP
>>> result.to_frame()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from czrun.version import __version__

if TYPE_CHECKING:
    from czrun.api import evaluate, prepare_data, score
    from czrun.options import EvaluateOptions
    from czrun.results import EvaluationResult
    from czrun.scoring import ScoreResult

__all__ = [
    "EvaluateOptions",
    "EvaluationResult",
    "ScoreResult",
    "__version__",
    "evaluate",
    "prepare_data",
    "score",
]

_HOMES = {
    "evaluate": "czrun.api",
    "prepare_data": "czrun.api",
    "score": "czrun.api",
    "EvaluateOptions": "czrun.options",
    "EvaluationResult": "czrun.results",
    "ScoreResult": "czrun.scoring",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attributes are of any type
    """Import a public name when it is first used, so that `czrun --help` pays for none of them."""
    if name not in _HOMES:
        msg = f"module 'czrun' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
