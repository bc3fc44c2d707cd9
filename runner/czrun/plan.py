"""Which containers an evaluation needs: a list of trials, made without touching anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pydantic import JsonValue

from czrun.contract.base import CONTRACT_VERSION
from czrun.contract.image import ImageDeclaration
from czrun.contract.job import OUTPUT_DIR, Job, Limits, OutputFolder, Verb
from czrun.engines.base import ImageInfo
from czrun.manifest import PreparedManifest
from czrun.storage import content_key
from czrun.tasks.base import VIEW, Task


@dataclass(frozen=True)
class Candidate:
    """An image that is to be evaluated, with what it declares and the parameters it is given."""

    image: ImageInfo
    declaration: ImageDeclaration
    params: dict[str, JsonValue]


@dataclass(frozen=True)
class Trial:
    """One fold and one seed of one candidate: at most one fit and one predict container.

    A plain value: it can be sent to another process or machine as it is.

    Attributes
    ----------
    candidate, task, manifest, seed, limits
        What determines the result.
    salt
        Sets a run that wants results of its own (``--no-cache``) apart: they get keys that no other run has.
    """

    candidate: Candidate
    task: Task
    manifest: PreparedManifest
    seed: int
    limits: Limits
    salt: str = ""

    @property
    def fold(self) -> int:
        """The fold, counted from 0."""
        return self.manifest.fold

    @property
    def name(self) -> str:
        """A name for files of this trial, unique within the run."""
        return f"fold{self.fold}-seed{self.seed}"

    @property
    def is_fitted(self) -> bool:
        """Whether the image has a fit phase; a pretrained one goes straight to predict."""
        return Verb.FIT in self.candidate.declaration.verbs

    def fit_key(self) -> str:
        """Return the content key of the fitted model."""
        return content_key(
            {
                "kind": "fit",
                "image": self.candidate.image.digest,
                "prepared": self.manifest.key,
                "task": self.task.id,
                "params": self.candidate.params,
                "seed": self.seed,
                "contract": CONTRACT_VERSION,
                **({"salt": self.salt} if self.salt else {}),
            }
        )

    def predict_key(self) -> str:
        """Return the content key of the predictions."""
        views = [file.sha256 for file in self.manifest.predict_inputs]
        asked = [folder.model_dump(mode="json") for folder in self._answers()]
        return content_key({"kind": "predict", "fit": self.fit_key(), "views": views, "outputs": asked})

    def job(self, verb: Verb, job_id: str) -> Job:
        """Return what the container of one phase is told."""
        inputs = self.manifest.fit_inputs if verb is Verb.FIT else self.manifest.predict_inputs
        return Job(
            job_id=job_id,
            verb=verb,
            task=self.task.id,
            seed=self.seed,
            dataset=self.manifest.facts_for(verb),
            inputs=inputs,
            outputs=() if verb is Verb.FIT else self._answers(),
            params=self.candidate.params,
            limits=self.limits,
        )

    def _answers(self) -> tuple[OutputFolder, ...]:
        return tuple(self._answer(view, n_obs) for view, n_obs in self.manifest.views.items())

    def _answer(self, view: str, n_obs: int) -> OutputFolder:
        sizes = {**self.manifest.sizes, "n_obs": n_obs}
        return OutputFolder(
            id=view,
            dir=str(PurePosixPath(OUTPUT_DIR, view)),
            files=tuple(slot.for_job(sizes) for slot in self.task.slots(view)),
            one_of=self.task.one_of if view == VIEW else (),
        )


def plan_trials(
    candidate: Candidate,
    task: Task,
    manifests: Sequence[PreparedManifest],
    seeds: Sequence[int],
    limits: Limits,
) -> tuple[Trial, ...]:
    """List the trials of one candidate: every seed of every fold."""
    return tuple(Trial(candidate, task, manifest, seed, limits) for manifest in manifests for seed in seeds)
