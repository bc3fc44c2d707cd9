"""One trial: at most one fit and one predict container, each result cached by its content key."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from czrun.contract.job import ASSETS_DIR, INPUT_DIR, JOB_PATH, MODEL_DIR, OUTPUT_DIR, Verb
from czrun.contract.outcome import Status
from czrun.engines.base import Engine, Exit, Launch, Mount, Usage
from czrun.engines.failures import attribute
from czrun.engines.policy import contract_environment, current_user, sandbox_user
from czrun.errors import ContractError, EngineError, listing
from czrun.leases import Lease
from czrun.manifest import prepared_folder, verify_inputs
from czrun.phases import (
    LOG_FILE,
    PHASE_FILE,
    array_name,
    fit_folder,
    open_to_reading,
    predictions_folder,
    read_phase,
    save_arrays,
    writable_folder,
)
from czrun.plan import Trial
from czrun.progress import Observer, Phase, PhaseEvent
from czrun.records import Failure, PhaseRecord, TrialRecord
from czrun.storage import publish, remove_tree, storage_errors, write_text
from czrun.tasks.base import VIEW
from czrun.untrusted import read_progress, read_result

_PHASES = {Verb.FIT: Phase.FIT, Verb.PREDICT: Phase.PREDICT}


@dataclass
class Workplace:
    """What trials need around them.

    Attributes
    ----------
    engine
        Runs the containers.
    home
        The cache.
    lease
        Owns the containers and the scratch space.
    run_id, logs
        The run, and the folder for its logs.
    observer
        Is told of every step.
    started
        Containers started so far.
    """

    engine: Engine
    home: Path
    lease: Lease
    run_id: str
    logs: Path
    observer: Observer
    started: int = field(default=0)


class _TrialFailedError(Exception):
    """Ends an attempt; carries what the record will say."""

    def __init__(self, failure: Failure, *, is_transient: bool = False) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.is_transient = is_transient


def run_trial(trial: Trial, place: Workplace, subject: str) -> TrialRecord:
    """Fit and predict, or find both done; a transient failure is tried once more.

    Parameters
    ----------
    trial
        What to run.
    place
        Where.
    subject
        What to call the trial for whoever watches, and in the names of its logs.

    Returns
    -------
    TrialRecord
        Always one: a model's failure is a result, not an exception.
    """
    try:
        return _Attempt(trial, place, subject, number=1).run()
    except _TrialFailedError as first:
        if not first.is_transient:
            return _failed(trial, first.failure, attempts=1)
    try:
        return _Attempt(trial, place, subject, number=2).run()
    except _TrialFailedError as second:
        return _failed(trial, second.failure, attempts=2)


def _failed(trial: Trial, failure: Failure, attempts: int) -> TrialRecord:
    return TrialRecord(
        fold=trial.fold,
        seed=trial.seed,
        prepared=trial.manifest.key,
        status=failure.status,
        failure=failure,
        attempts=attempts,
    )


@dataclass
class _Attempt:
    """One go at one trial."""

    trial: Trial
    place: Workplace
    subject: str
    number: int

    def run(self) -> TrialRecord:
        """Take both phases, from the cache where they are there."""
        trial = self.trial
        fit, fit_cached = None, False
        if trial.is_fitted:
            fit, fit_cached = self._phase(Verb.FIT, self._fit_folder, self._fit)
        predict, predict_cached = self._phase(Verb.PREDICT, self._predict_folder, self._predict)
        return TrialRecord(
            fold=trial.fold,
            seed=trial.seed,
            prepared=trial.manifest.key,
            status=Status.SUCCEEDED,
            fit=fit,
            fit_cached=fit_cached,
            predict=predict,
            predict_cached=predict_cached,
            predictions=trial.predict_key(),
            attempts=self.number,
        )

    @property
    def _fit_folder(self) -> Path:
        return fit_folder(self.place.home, self.trial.fit_key())

    @property
    def _predict_folder(self) -> Path:
        return predictions_folder(self.place.home, self.trial.predict_key())

    def _phase(
        self, verb: Verb, folder: Path, run: Callable[[Path], PhaseRecord]
    ) -> tuple[PhaseRecord, bool]:
        """Return a phase's record, and whether another run made it."""
        log = self.place.logs / self._log_name(verb)
        found = read_phase(folder)
        # A run that was killed and taken up again finds its own results: those are no other run's cache.
        if found:
            is_cached = found.run_id != self.place.run_id
            with storage_errors(log):
                shutil.copyfile(folder / LOG_FILE, log)
        else:
            found, is_cached = run(log), False
        self._tell(verb, found.seconds, done=True, cached=is_cached, memory=found.peak_memory_bytes)
        return found, is_cached

    def _fit(self, log: Path) -> PhaseRecord:
        with self._work_folder() as work:
            model = writable_folder(work / "model")
            output = writable_folder(work / "output")
            record = self._container(
                Verb.FIT, work, (Mount(model, MODEL_DIR, True), Mount(output, OUTPUT_DIR, True)), log
            )
            open_to_reading(model)
            self._store(self._fit_folder, record, log, {"model": model})
        return record

    def _predict(self, log: Path) -> PhaseRecord:
        # Imported here: a cached run doesn't read outputs, and needn't wait for NumPy.
        from czrun.collect import OutputReader

        manifest = self.trial.manifest
        with self._work_folder() as work:
            output = writable_folder(work / "output")
            for view in manifest.views:
                writable_folder(output / view)
            model = self._fit_folder / "model" if self.trial.is_fitted else writable_folder(work / "model")
            folder = prepared_folder(self.place.home, manifest.key) / "ids"
            ids = {view: folder / f"{view}.npy" for view in manifest.views}
            user = sandbox_user(current_user()).uid if os.getuid() == 0 else None
            with OutputReader(output, ids, user) as reader:
                mounts = (Mount(model, MODEL_DIR), Mount(output, OUTPUT_DIR, True))
                record = self._container(Verb.PREDICT, work, mounts, log)
                arrays = self._collect(reader, log)
            stage = work / "arrays"
            stage.mkdir()
            save_arrays(stage, arrays)
            self._store(self._predict_folder, record, log, {name.name: name for name in stage.iterdir()})
        return record

    def _collect(self, reader: Any, log: Path) -> dict[str, Any]:  # noqa: ANN401 - collect is imported late
        views = self.trial.manifest.views
        wanted = [wanted_view(self.trial, view, n_obs) for view, n_obs in views.items()]
        try:
            found = reader.read(wanted, sum(views.values()), self.trial.limits.output_bytes)
        except EngineError as error:
            raise self._infrastructure(Verb.PREDICT, error, log) from error
        if found.answers is None:
            status = Status.POLICY_VIOLATION if found.is_hostile else Status.INVALID_OUTPUT
            count = len(found.problems)
            raise _TrialFailedError(
                Failure(
                    phase=Verb.PREDICT,
                    status=status,
                    message=f"The outputs are not valid: {count} problem{'s' if count > 1 else ''}.\n"
                    + listing(found.problems),
                    hint=f"`czrun tasks show {self.trial.task.id}` says what the files must hold.",
                    log=_relative(log),
                )
            )
        return {
            array_name(view, key): array
            for view, answer in found.answers.items()
            for key, array in answer.items()
        }

    def _container(self, verb: Verb, work: Path, writable: tuple[Mount, ...], log: Path) -> PhaseRecord:
        """Run one container under the policy; raises _TrialFailedError when it didn't do its work."""
        trial, place = self.trial, self.place
        prepared = prepared_folder(place.home, trial.manifest.key)
        job = trial.job(verb, job_id=work.name)
        inputs = prepared / verb.value
        verify_inputs(inputs, job.inputs)
        job_file = work / "job.json"
        write_text(job_file, job.model_dump_json(indent=1))
        job_file.chmod(0o644)
        launch = Launch(
            image=trial.candidate.image,
            verb=verb,
            mounts=(Mount(job_file, JOB_PATH), Mount(inputs, INPUT_DIR), *self._assets(), *writable),
            environment=contract_environment(verb, trial.seed, trial.limits),
            limits=trial.limits,
            log_path=log,
            run_id=place.run_id,
            owner=place.lease.id,
        )
        output = work / "output"
        place.started += 1
        _import_ahead()
        try:
            with storage_errors(log):
                end = place.engine.run(launch, lambda usage: self._tick(verb, usage, output))
        except EngineError as error:
            raise self._infrastructure(verb, error, log) from error
        except ContractError as error:
            failure = Failure(
                phase=verb, status=Status.POLICY_VIOLATION, message=error.message, hint=error.hint
            )
            raise _TrialFailedError(failure) from error
        self._check(verb, end, output, log)
        return PhaseRecord(
            run_id=place.run_id,
            seconds=end.seconds,
            cpu_seconds=end.cpu_seconds,
            peak_memory_bytes=end.peak_memory_bytes,
            exit_code=end.exit_code,
            settings=dict(end.settings),
        )

    def _check(self, verb: Verb, end: Exit, output: Path, log: Path) -> None:
        failure = attribute(end, self.trial.limits, read_result(output))
        if failure:
            raise _TrialFailedError(
                Failure(
                    phase=verb,
                    status=failure.status,
                    message=failure.message,
                    hint=failure.hint,
                    log_tail=end.log_tail,
                    log=_relative(log),
                ),
                is_transient=failure.transient,
            )

    def _infrastructure(self, verb: Verb, error: EngineError, log: Path) -> _TrialFailedError:
        failure = Failure(
            phase=verb,
            status=Status.INFRASTRUCTURE_FAILED,
            message=error.message,
            hint=error.hint,
            log=_relative(log),
        )
        return _TrialFailedError(failure, is_transient=True)

    def _assets(self) -> Iterator[Mount]:
        for asset in self.trial.candidate.declaration.assets:
            yield Mount(self.place.home / "assets" / asset.sha256, f"{ASSETS_DIR}/{asset.path}")

    def _store(self, final: Path, record: PhaseRecord, log: Path, parts: Mapping[str, Path]) -> None:
        """Put a finished phase into the cache; what another process has put there meanwhile stays.

        That process, or a container of its, may be reading it.
        """
        stage = self.place.lease.folder()
        with storage_errors(final):
            for name, part in parts.items():
                part.rename(stage / name)
            shutil.copyfile(log, stage / LOG_FILE)
            write_text(stage / PHASE_FILE, record.model_dump_json())
            if final.exists() and not read_phase(final):
                remove_tree(final)
        publish(stage, final)

    @contextmanager
    def _work_folder(self) -> Iterator[Path]:
        folder = self.place.lease.folder()
        try:
            yield folder
        finally:
            remove_tree(folder)

    def _tick(self, verb: Verb, usage: Usage, output: Path) -> None:
        progress = read_progress(output)
        self.place.observer.on_event(
            PhaseEvent(
                phase=_PHASES[verb],
                subject=self.subject,
                elapsed_s=usage.elapsed_s,
                memory_bytes=usage.memory_bytes,
                message=(progress.message or progress.stage) if progress else usage.last_log_line,
                fraction=progress.fraction if progress else None,
            )
        )

    def _tell(self, verb: Verb, seconds: float, *, done: bool, cached: bool, memory: int | None) -> None:
        self.place.observer.on_event(
            PhaseEvent(_PHASES[verb], self.subject, seconds, done=done, cached=cached, memory_bytes=memory)
        )

    def _log_name(self, verb: Verb) -> str:
        slug = "".join(char if char.isalnum() else "-" for char in self.subject).strip("-")
        return f"{slug}-{verb}.log"


def wanted_view(trial: Trial, view: str, n_obs: int) -> Any:  # noqa: ANN401 - outputs is imported late
    """Return what is looked for in one view's output folder."""
    from czrun.outputs import WantedFile, WantedView

    sizes = {**trial.manifest.sizes, "n_obs": n_obs}
    files = tuple(WantedFile.of(slot, sizes) for slot in trial.task.slots(view))
    one_of = trial.task.one_of if view == VIEW else ()
    return WantedView(view, trial.manifest.facts.classes, files, one_of)


def _import_ahead() -> None:
    """Import, while the container runs, what comes after it: 0.2 s that nobody then waits for."""
    if "czrun.trial_scores" not in sys.modules:
        Thread(target=_import_what_scores).start()


def _import_what_scores() -> None:
    from czrun.metrics.registry import all_metrics  # a cached run does without metrics

    for name in ("czrun.collect", "czrun.trial_scores"):
        import_module(name)
    all_metrics()  # imports each family


def _relative(log: Path) -> str:
    return f"{log.parent.name}/{log.name}"
