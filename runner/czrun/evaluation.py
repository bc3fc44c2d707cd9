"""The road: one image, one data set, one task, from the reference to the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from shlex import quote

from czrun.accounts import Entry, describe_dataset, describe_environment
from czrun.contract.image import Asset, parse_labels
from czrun.contract.outcome import Status
from czrun.datasets.locate import without_fetching
from czrun.engines.base import Engine, EngineInfo
from czrun.errors import Cancelled, ContractError, CzrunError, EngineError, listing
from czrun.leases import Lease, acquire, is_alive, sweep
from czrun.manifest import PrepareRequest
from czrun.options import EvaluateOptions, settle
from czrun.plan import Candidate, Trial, plan_trials
from czrun.preparation import prepare_folds
from czrun.progress import Observer, Phase, PhaseEvent, Silent
from czrun.records import (
    DatasetRecord,
    EnvironmentRecord,
    RunFolder,
    RunPlan,
    RunRecord,
    begin_run,
)
from czrun.results import EvaluationResult
from czrun.sheets import forget, score_cached
from czrun.storage import cache_home, content_key, file_sha256
from czrun.tasks.base import SCORER_VERSION, Task
from czrun.trial import Workplace, run_trial


def run_evaluation(
    options: EvaluateOptions,
    observer: Observer | None = None,
    connect: Callable[[], Engine] | None = None,
) -> EvaluationResult:
    """Go the whole road.

    Parameters
    ----------
    options
        What is asked for.
    observer
        Is told of every step.
    connect
        Gives the engine; the Docker-compatible one that this machine points to, by default.

    Returns
    -------
    EvaluationResult
        Also when the model failed; see its status.

    Raises
    ------
    UsageError, DatasetError
        When what was asked for makes no sense, or the data can't serve.
    ContractError
        When there is no such image, or it doesn't follow the contract.
    EngineError, StorageError
        When no engine runs, or the disk is full.
    Cancelled
        On Ctrl-C or SIGTERM: containers are stopped, and the record says so.
    """
    if without_fetching(options.data.described()) is None:
        _look_up_image(options.image, connect or _default_engine)
    request = settle(options.data, observer=observer)
    lease = acquire(cache_home())
    try:
        engine = (connect or _default_engine)()
        try:
            return _Road(options, request.task, request, lease, engine, observer or Silent()).go()
        except KeyboardInterrupt:
            raise Cancelled("Cancelled before anything ran.", "The same command starts again.") from None
        finally:
            engine.close()
    finally:
        lease.release()


def _look_up_image(reference: str, connect: Callable[[], Engine]) -> None:
    """Refuse a mistyped image before gigabytes are fetched for it, not after."""
    engine = connect()
    try:
        parse_labels(engine.resolve(reference).labels, reference)
    finally:
        engine.close()


def _default_engine() -> Engine:
    # Imported here: a mistyped flag or path needn't wait for the SDK.
    from czrun.engines.docker import connect

    return connect()


@dataclass
class _Road:
    """One evaluation under way."""

    options: EvaluateOptions
    task: Task
    request: PrepareRequest
    lease: Lease
    engine: Engine
    observer: Observer

    def go(self) -> EvaluationResult:
        """Resolve, prepare and plan; then, in the run's folder, launch, score and record."""
        began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        home = cache_home()
        info = self.engine.info()
        _refuse_weak(info)
        self.engine.reap(lambda owner: is_alive(home, owner))
        sweep(home)
        entries, control_note = self._admit_all(began)
        manifests = prepare_folds(self.request, self.lease, self.observer)
        for entry in entries:
            entry.trials = plan_trials(
                entry.candidate, self.task, manifests, self.options.seeds, self.options.limits
            )
        with begin_run(self.options.output, self._run_plan(entries, started)) as run:
            if not self.options.use_cache:
                for entry in entries:
                    entry.trials = tuple(replace(trial, salt=run.run_id) for trial in entry.trials)
            place = Workplace(self.engine, home, self.lease, run.run_id, run.path / "logs", self.observer)
            was_cancelled = self._run(entries, place, run)
            record = self._record(
                run,
                entries,
                was_cancelled=was_cancelled,
                seconds=round(time.monotonic() - began, 3),
                control_note=control_note,
                dataset=describe_dataset(self.request.spec.name, manifests),
                environment=describe_environment(info),
                containers_started=place.started,
            )
            record.save(run.path)
            if not self.options.use_cache:
                for entry in entries:
                    forget(entry.trials, home)
        if was_cancelled:
            raise Cancelled(
                f"Cancelled: its containers are gone, and {run.path}/record.json says how far it came.",
                "The same command again takes what was finished from the cache.",
            )
        return EvaluationResult(record, run.path)

    def _run(self, entries: list[Entry], place: Workplace, run: RunFolder) -> bool:
        """Run and score the model, then the control; return whether the user stopped it."""
        try:
            for entry in entries:
                for trial in entry.trials:
                    entry.done.append(run_trial(trial, place, self._subject(entry, trial)))
                    if entry.status is not Status.SUCCEEDED:
                        return False
                began = time.monotonic()
                entry.scores, is_cached = score_cached(
                    entry.trials, place.home, self.lease, run.path, entry.role
                )
                self._tell(Phase.SCORE, began, subject=entry.role, cached=is_cached)
        except KeyboardInterrupt:
            return True
        return False

    def _record(
        self,
        run: RunFolder,
        entries: list[Entry],
        *,
        was_cancelled: bool,
        seconds: float,
        control_note: str,
        dataset: DatasetRecord,
        environment: EnvironmentRecord,
        containers_started: int,
    ) -> RunRecord:
        model, controls = entries[0], entries[1:]
        status = Status.CANCELLED if was_cancelled else model.status
        shown = controls[0] if controls and controls[0].done and not was_cancelled else None
        if controls and not shown:
            why = "the run was cancelled" if was_cancelled else "the model failed first"
            control_note = f"not run: {why}"
        return RunRecord(
            run_id=run.run_id,
            started=run.plan.started,
            seconds=seconds,
            status=status,
            task=self.task.id,
            primary_metric=self.task.metrics[0],
            model=model.record(status),
            control=shown.record(shown.status) if shown else None,
            control_note=control_note,
            dataset=dataset,
            seeds=self.options.seeds,
            limits=self.options.limits,
            environment=environment,
            containers_started=containers_started,
        )

    def _admit_all(self, began: float) -> tuple[list[Entry], str]:
        """Admit the model and, unless it is left out, its control; say why where there is none."""
        model = self._admit(self.options.image, dict(self.options.params))
        control, note = self._admit_control(model)
        self._tell(Phase.IMAGE, began, message=model.image.digest[:19])
        entries = [Entry("model", model)]
        if control:
            entries.append(Entry("control", control))
        return entries, note

    def _admit(self, reference: str, params: dict[str, str]) -> Candidate:
        """Look an image up and read its declaration; nothing of it is run to learn what it is."""
        image = self.engine.resolve(reference)
        declaration = parse_labels(image.labels, reference)
        if self.task.id not in declaration.tasks:
            raise ContractError(
                f"Image {reference} doesn't declare task {self.task.id}.",
                f"It declares: {', '.join(declaration.tasks)}. Choose one with --task.",
            )
        missing = [each for each in declaration.assets if not _is_fetched(each)]
        if missing:
            folder = cache_home() / "assets"
            fetch = [f"curl -fL {quote(each.url)} -o {quote(str(folder / each.sha256))}" for each in missing]
            raise ContractError(
                f"Image {reference} needs {len(missing)} weight file(s) that aren't here or aren't whole.",
                f"Look at where they come from, then fetch them:\n{listing([f'mkdir -p {folder}', *fetch])}",
            )
        return Candidate(image, declaration, declaration.parse_params(params))

    def _admit_control(self, model: Candidate) -> tuple[Candidate | None, str]:
        """Look the negative control up; a run goes on without it, and says so."""
        if not self.options.control:
            return None, "left out with --no-control"
        try:
            control = self._admit(self.task.negative_control, {})
        except CzrunError as error:
            return None, f"not run: {error.message} {error.hint}"
        if control.image.digest == model.image.digest:
            return None, "the model is the control"
        return control, ""

    def _run_plan(self, entries: list[Entry], started: str) -> RunPlan:
        keys = {
            "trials": [trial.predict_key() for entry in entries for trial in entry.trials],
            "limits": self.options.limits.model_dump(mode="json"),
            "scorer": SCORER_VERSION,
            "use_cache": self.options.use_cache,
        }
        return RunPlan(
            plan=content_key(keys),
            started=started,
            image=self.options.image,
            task=self.task.id,
            dataset=self.request.spec.name,
        )

    def _subject(self, entry: Entry, trial: Trial) -> str:
        return entry.role if len(entry.trials) == 1 else f"{entry.role} {trial.name}"

    def _tell(
        self, phase: Phase, began: float, *, subject: str = "", cached: bool = False, message: str = ""
    ) -> None:
        elapsed = time.monotonic() - began
        self.observer.on_event(PhaseEvent(phase, subject, elapsed, done=True, cached=cached, message=message))


def _is_fetched(asset: Asset) -> bool:
    """Tell whether a declared file is here and is what was declared; its name alone proves nothing."""
    path = cache_home() / "assets" / asset.sha256
    return path.is_file() and file_sha256(path) == asset.sha256


def _refuse_weak(info: EngineInfo) -> None:
    if info.weaknesses:
        raise EngineError(
            f"This engine can't hold a container to its limits:\n{listing(info.weaknesses)}",
            "`czrun doctor` says more. Untrusted code is not run without limits.",
        )
