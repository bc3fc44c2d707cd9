"""A task of one's own, with its metric, and a metric for a task of czrun's."""

import numpy as np

from czrun.metrics.base import MetricInfo, Needs, Range
from czrun.metrics.families import Family, mean_tally
from czrun.tasks.base import AddedMetric, Content, OutputSlot, Task
from czrun.tasks.evidence import Evidence, Measured

TIME_ERROR = MetricInfo(
    id="time_error",
    title="Mean error of the time",
    range=Range(0, None),
    higher_is_better=False,
    undefined="",
    reference="Willmott & Matsuura 2005, doi:10.3354/cr030079",
    needs=Needs.PREDICTIONS,
)


def measure(evidence: Evidence) -> Measured:
    predicted, true = evidence.answers["time"], evidence.truth.numbers("time")
    errors = np.abs(predicted - true)
    family = Family(("time_error",), lambda unit, share: mean_tally(errors[:, None], unit, share))
    return Measured((family,), n_items=len(true), rows={"time": true, "predicted": predicted})


TIME_OF_CELLS = Task(
    id="time-of-cells",
    title="Time of cells",
    summary="Learn from cells whose time is known, then tell the time of cells never seen.",
    fit_obs=("time",),
    truth=("time",),
    stratify="time",
    outputs=(OutputSlot("time.npy", Content.NUMBERS, True, ("n_obs",), "one time per cell, in input order"),),
    metrics=("time_error",),
    infos=(TIME_ERROR,),
    measure=measure,
    negative_control="example/mean-time:latest",
)


def accuracy_when_named(evidence: Evidence) -> Family:
    predicted, true = evidence.answers["predictions"], evidence.truth.codes("label")
    hits = np.where(predicted < 0, np.nan, predicted == true)
    return Family(("accuracy_when_named",), lambda unit, share: mean_tally(hits[:, None], unit, share))


ACCURACY_WHEN_NAMED = AddedMetric(
    info=MetricInfo(
        id="accuracy_when_named",
        title="Accuracy of the cells that it names",
        range=Range(0, 1),
        higher_is_better=True,
        undefined="the model named no cell",
        reference="Geifman & El-Yaniv 2017, doi:10.48550/arXiv.1705.08500",
        needs=Needs.PREDICTIONS,
    ),
    family=accuracy_when_named,
)
