"""The entry point: do what the job says."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from czrun_kit.answers import Answer, write_answer
from czrun_kit.cells import read_view
from czrun_kit.failures import BadInput, KitError, Unsupported
from czrun_kit.files import load_arrays, save_arrays, write_progress, write_result
from czrun_kit.job import JOB_PATH, Job, Output, read_job

if TYPE_CHECKING:
    from numpy.typing import NDArray

M = TypeVar("M")

Fit = Callable[[Job, Any], M]
Predict = Callable[[Job, Any, Any], Answer]


def main(
    *,
    predict: Predict,
    fit: Fit[Any] | None = None,
    tasks: Sequence[str] = ("cell-type-classification",),
    save: Callable[[Any, Path], object] | None = None,
    load: Callable[[Path], Any] | None = None,
) -> None:
    """Do what the job says, and exit.

    Parameters
    ----------
    predict
        Called once per view with the job, its `Cells` or `Images`, and what fit returned; returns a
        `Prediction`, an `Embedding`, `Scores` or an `Expression`. A view of which the job wants nothing that
        such an answer holds, and needs nothing, is left out.
    fit
        Called with the training cells; returns a dict of arrays, or anything that `save` can write. Leave it
        out for a pretrained model.
    tasks
        Task ids that the model does; another one exits with 64.
    save, load
        How the model is written and read, ``save(model, path)`` and ``load(path)``, for example
        `joblib.dump` and `joblib.load`; by default `save_arrays` and `load_arrays`. Without fit, `load` gets
        the folder of the assets.
    """
    sys.exit(run(predict=predict, fit=fit, tasks=tasks, save=save, load=load))


def run(
    *,
    predict: Predict,
    fit: Fit[Any] | None = None,
    tasks: Sequence[str] = ("cell-type-classification",),
    save: Callable[[Any, Path], object] | None = None,
    load: Callable[[Path], Any] | None = None,
) -> int:
    """Do what `main` does, and return the exit code in place of exiting."""
    output_dir = Path(os.environ.get("CZRUN_JOB") or JOB_PATH).parent / "output"
    verbs = ("predict",) if fit is None else ("fit", "predict")
    try:
        job = _supported(read_job(), tasks, verbs)
        if fit is None:
            _predict(job, predict, load(job.assets_dir) if load else None)
        elif job.verb == "fit":
            _fit(job, fit, save or _save_dict)
        else:
            _predict(job, predict, (load or load_arrays)(job.model_dir / "model"))
    except Exception as error:  # noqa: BLE001 - whatever it was, the host gets a code and a reason
        traceback.print_exc()
        write_result(output_dir, error)
        return error.exit_code if isinstance(error, KitError) else KitError.exit_code
    write_result(output_dir)
    return 0


def _supported(job: Job, tasks: Sequence[str], verbs: Sequence[str]) -> Job:
    if job.task not in tasks:
        raise Unsupported(f"this model doesn't do {job.task}", f"It does {', '.join(tasks)}.")
    if job.verb not in verbs:
        raise Unsupported(f"this model has no verb {job.verb}", f"It has {', '.join(verbs)}.")
    return job


def _save_dict(model: Mapping[str, NDArray[Any]], path: Path) -> None:
    save_arrays(path, **model)


def _fit(job: Job, fit: Fit[M], save: Callable[[M, Path], object]) -> None:
    if len(job.views) != 1:
        raise BadInput(f"fit takes the files of one view, the job lists {len(job.views)} views")
    ((view, inputs),) = job.views.items()
    write_progress(job, 0.0, "fit")
    save(fit(job, read_view(view, inputs)), job.model_dir / "model")
    write_progress(job, 1.0, "fit")


def _predict(job: Job, predict: Predict, model: object) -> None:
    outputs = {output.id: output for output in job.outputs}
    if lost := [view for view in job.views if view not in outputs]:
        raise BadInput(f"the job says not where the outputs of {', '.join(lost)} go")
    kind: type[Answer] | None = None
    # Views that must be answered come first: from them we know what the model gives.
    views = sorted(job.views.items(), key=lambda item: outputs[item[0]].is_optional)
    for done, (view, inputs) in enumerate(views):
        if kind is not None and _is_idle(outputs[view], kind):
            continue
        write_progress(job, done / len(views), "predict", view)
        cells = read_view(view, inputs)
        answer = predict(job, cells, model)
        write_answer(job, outputs[view], cells, answer)
        kind = type(answer)
    write_progress(job, 1.0, "predict")


def _is_idle(output: Output, kind: type[Answer]) -> bool:
    """Whether nothing of such an answer would be written for this view."""
    return output.is_optional and not set(output.files) & set(kind.FILES)
