"""What a run's record says of the images that ran, of the data, and of where it happened."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field

from czrun.contract.outcome import Status
from czrun.engines.base import EngineInfo
from czrun.manifest import PreparedManifest
from czrun.plan import Candidate, Trial
from czrun.records import (
    CandidateRecord,
    DatasetRecord,
    EnvironmentRecord,
    ImageRecord,
    ScoreSheet,
    TrialRecord,
)
from czrun.version import __version__


@dataclass
class Entry:
    """One image on the road: its trials, and what has come of them so far."""

    role: str
    candidate: Candidate
    trials: tuple[Trial, ...] = ()
    done: list[TrialRecord] = field(default_factory=list)
    scores: ScoreSheet | None = None

    def record(self, status: Status) -> CandidateRecord:
        """Return what the run's record says of it."""
        image = self.candidate.image
        declaration = self.candidate.declaration
        return CandidateRecord(
            image=ImageRecord(
                reference=image.reference,
                digest=image.digest,
                repo_digests=image.repo_digests,
                title=declaration.title,
                version=declaration.version,
            ),
            params=self.candidate.params,
            status=status,
            trials=tuple(self.done),
            scores=self.scores,
        )

    @property
    def status(self) -> Status:
        """The first failure's status, or success."""
        failed = [trial.status for trial in self.done if trial.status is not Status.SUCCEEDED]
        return failed[0] if failed else Status.SUCCEEDED


def describe_dataset(name: str, manifests: tuple[PreparedManifest, ...]) -> DatasetRecord:
    """Return what a record says of the data that a run met."""
    first = manifests[0]
    return DatasetRecord(
        name=name,  # not the manifest's: the same cells may have been prepared under another name
        sha256=first.dataset_sha256,
        label_key=first.label_key,
        split=first.split,
        prepared=tuple(each.key for each in manifests),
        n_fit=tuple(each.n_fit for each in manifests),
        n_predict=tuple(each.n_predict for each in manifests),
        cluster_key=first.cluster_key,
        facts=first.facts,
        notes=tuple(dict.fromkeys(note for each in manifests for note in each.notes)),
    )


def describe_environment(info: EngineInfo) -> EnvironmentRecord:
    """Return what a record says of the machine and the engine."""
    return EnvironmentRecord(
        czrun=__version__,
        python=platform.python_version(),
        platform=f"{os.uname().sysname} {os.uname().machine}",
        engine=f"{info.product} {info.version} (API {info.api_version})",
        kernel=info.kernel,
        cgroup=f"v{info.cgroup_version} ({info.cgroup_driver})",
        storage_driver=info.storage_driver,
    )
