"""Docker, and what speaks its API: the only module that imports the SDK, and where its errors stop."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker  # noqa: TID251 - the adapter
from docker.context import ContextAPI  # noqa: TID251 - the adapter
from docker.errors import (  # noqa: TID251 - the adapter
    APIError,
    NotFound,
)
from docker.utils import kwargs_from_env  # noqa: TID251 - the adapter

from czrun.contract.job import JOB_PATH
from czrun.engines import failures, inspected
from czrun.engines.base import EngineInfo, Exit, ImageInfo, Launch, Usage
from czrun.engines.connection import no_engine, refused_ssh, socket_candidates
from czrun.engines.container import TRANSPORT_ERRORS, Container, calling, said, status_of
from czrun.engines.handover import hand_over
from czrun.engines.logs import BoundedLog
from czrun.engines.policy import (
    HOSTS_FILE,
    OWNER_LABEL,
    LaunchPolicy,
    current_user,
    policy_for,
)
from czrun.engines.supervise import Supervisor
from czrun.engines.volumes import VolumeTransport
from czrun.engines.watch import Watch
from czrun.errors import EngineError

TIMEOUT_S = 60
"""For one answer of the engine. A hanging engine thereby ends in an error."""

_log = logging.getLogger(__name__)


class _FilesNotShared(Exception):  # noqa: N818 - a turn in the road, not a fault
    """The engine can't see the caller's files."""


def connect() -> DockerEngine:
    """Reach the engine: DOCKER_HOST, else the Docker context in use, else the usual sockets.

    Raises
    ------
    EngineError
        When none answers.
    """
    if address := os.environ.get("DOCKER_HOST"):
        return _reach(address, {**kwargs_from_env()})
    with calling("read the Docker context"):
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    if context is not None and context.Name != "default" and context.Host:
        return _reach(context.Host, {"base_url": context.Host, "tls": context.TLSConfig})
    tried = []
    for path in socket_candidates(os.environ, Path.home()):
        try:
            if not path.exists():
                continue
            return _open(f"unix://{path}", {"base_url": f"unix://{path}"})
        except TRANSPORT_ERRORS as error:
            tried.append(f"{path}: {said(error)}")
    raise no_engine(tried or ["no socket was found at any of the usual places"])


def _reach(address: str, options: dict[str, Any]) -> DockerEngine:
    if address.startswith("ssh://"):
        raise refused_ssh(address)
    try:
        return _open(address, options)
    except TRANSPORT_ERRORS as error:
        raise no_engine([f"{address}: {said(error)}"]) from error


def _open(address: str, options: dict[str, Any]) -> DockerEngine:
    _knock(address)
    # Asking for the version proves that the engine answers.
    return DockerEngine(docker.APIClient(version="auto", timeout=TIMEOUT_S, **options), address)


def _knock(address: str) -> None:
    """Raise OSError when nothing listens at a socket: docker-py leaks a descriptor there, and says less."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(TIMEOUT_S)
            probe.connect(address.removeprefix("unix://"))


class DockerEngine:
    """An engine behind Docker's API.

    Parameters
    ----------
    client
        docker-py's low-level client: the high-level one asks more than once for the same thing.
    address
        Where it was reached.
    """

    def __init__(self, client: docker.APIClient, address: str) -> None:
        self._client = client
        self._address = address
        self._info: EngineInfo | None = None
        self._remote_files = ""

    def info(self) -> EngineInfo:
        """Describe the engine; asked once per connection."""
        if self._info is None:
            with calling("describe itself"):
                answers = self._client.info(), self._client.version()
            self._info = inspected.engine_info(*answers, self._address)
            self._remote_files = self._info.remote_files
        return self._info

    def resolve(self, reference: str) -> ImageInfo:
        """Look an image up by reference; ContractError with the nearest local names when there is none."""
        if not inspected.is_reference(reference):
            raise inspected.no_image(reference, ())
        with calling(f"look up image {reference}"):
            try:
                return inspected.image_info(reference, self._inspect_image(reference))
            except APIError as error:
                # 404: none such. 400: it can't be a reference.
                if status_of(error) not in {400, 404}:
                    raise
                tags = [tag for image in self._client.images() for tag in image.get("RepoTags") or ()]
        raise inspected.no_image(reference, tags)

    def run(self, launch: Launch, on_tick: Callable[[Usage], None]) -> Exit:
        """Run one container to its end, whatever that is, and leave nothing of it behind."""
        info = self.info()
        if not launch.image.entrypoint and not launch.image.command:
            return inspected.never_started("the image has neither ENTRYPOINT nor CMD")
        if not self._remote_files:
            try:
                return self._run_bound(launch, info, on_tick)
            except _FilesNotShared as error:
                self._remote_files = str(error)
        return self._run_through_volumes(launch, info, on_tick)

    def reap(self, is_alive: Callable[[str], bool]) -> int:
        """Remove containers and volumes whose owner is not alive; return how many containers."""
        ours = {"label": [OWNER_LABEL]}
        with calling("list what earlier runs left"):
            containers = self._client.containers(all=True, filters=ours)
            volumes = self._client.volumes(filters=ours).get("Volumes") or []
        dead = [entry["Id"] for entry in containers if not is_alive(entry["Labels"][OWNER_LABEL])]
        for container in dead:
            self.remove_container(container)
        for volume in volumes:
            if not is_alive(volume["Labels"][OWNER_LABEL]):
                self.remove_volume(volume["Name"])
        return len(dead)

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    # What the volume transport needs (volumes.Carriage).

    def create_volume(self, name: str, labels: Mapping[str, str]) -> Path:
        """Create a volume and return where it lies on the engine's machine."""
        with calling("create a volume"):
            return Path(self._client.create_volume(name, labels=dict(labels))["Mountpoint"])

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if it exists."""
        with calling("remove a volume"), suppress(NotFound):
            self._client.remove_volume(name, force=True)

    def create_carrier(self, name: str, policy: LaunchPolicy, mounts: list[dict[str, Any]]) -> None:
        """Create a container that is never started."""
        with calling("create a container"):
            self._create(name, policy, mounts)

    def remove_container(self, name: str) -> None:
        """Kill and remove a container with its anonymous volumes, if it exists."""
        with calling("remove a container"):
            try:
                self._client.remove_container(name, force=True, v=True)
            except APIError as error:
                # 404: gone. 409: somebody else is removing it.
                if status_of(error) not in {404, 409}:
                    raise

    def put(self, container: str, path: str, stream: Iterable[bytes]) -> None:
        """Unpack a tar stream into a folder of a container."""
        with calling("take files"):
            self._client.put_archive(container, path, stream)

    def get(self, container: str, path: str) -> Iterator[bytes]:
        """Return a folder of a container as a tar stream."""
        with calling("hand files back"):
            yield from self._client.get_archive(container, path, chunk_size=1024**2)[0]

    def _inspect_image(self, reference: str) -> dict[str, Any]:
        return self._client.inspect_image(reference)  # type: ignore[no-untyped-call,no-any-return]

    def _run_bound(self, launch: Launch, info: EngineInfo, on_tick: Callable[[Usage], None]) -> Exit:
        caller = current_user()
        hosts = _beside_job(launch) / "hosts"
        # Podman sets up no network of its own accord for `none`, and ignores the shorter way.
        quick = info.product == "docker"
        policy = policy_for(launch, info, caller, hosts if quick else None)
        watch = Watch.of((mount.source for mount in launch.mounts if mount.writable), launch.limits)
        watch.require_free_disk()
        if caller.uid == 0:
            hand_over(launch.mounts, policy.user)
        hosts.parent.mkdir(parents=True, exist_ok=True)
        hosts.write_text(HOSTS_FILE)
        hosts.chmod(0o644)
        try:
            return self._execute(launch, policy, None, watch, on_tick)
        finally:
            hosts.unlink()

    def _run_through_volumes(
        self, launch: Launch, info: EngineInfo, on_tick: Callable[[Usage], None]
    ) -> Exit:
        policy = policy_for(launch, info, current_user())
        transport = VolumeTransport(self, policy)
        try:
            transport.send()
            watch = Watch.of(transport.watchable(), launch.limits)
            watch.require_free_disk()
            exit_ = self._execute(launch, policy, transport.mounts(), watch, on_tick)
            if exit_.stopped_by is None and exit_.exit_code is not None:
                return replace(exit_, stopped_by=transport.fetch(launch.limits))
            return exit_
        finally:
            transport.remove()

    def _execute(
        self,
        launch: Launch,
        policy: LaunchPolicy,
        mounts: list[dict[str, Any]] | None,
        watch: Watch,
        on_tick: Callable[[Usage], None],
    ) -> Exit:
        # Named here, not by the engine: what an interrupted request created can then still be removed.
        name = f"czrun-{secrets.token_hex(8)}"
        with BoundedLog(launch.log_path) as log, closing(Container(self._client, name, log)) as container:
            try:
                if fault := self._try(lambda: self._create(name, policy, mounts), "create", policy, mounts):
                    return inspected.never_started(fault)
                container.attach()
                if fault := self._try(container.start, "start", policy, mounts):
                    return inspected.never_started(fault, inspected.settings(container.inspect()))
                meter = container.meter()
                supervisor = Supervisor(container, launch.limits.wall_s, watch, meter, log.last_line, on_tick)
                supervised = supervisor.run()
                container.finish()
                return inspected.exit_of(container.inspect(), supervised, log)
            finally:
                self._clear(name)

    def _create(self, name: str, policy: LaunchPolicy, mounts: list[dict[str, Any]] | None) -> None:
        host_config = self._client.create_host_config(**policy.host_config(mounts))
        answer = self._client.create_container(
            name=name, host_config=host_config, **policy.container_config()
        )
        dropped = [text for text in answer.get("Warnings") or () if "discarded" in text.lower()]
        if dropped:
            raise EngineError(
                f"The engine drops a limit of the container: {' '.join(dropped)}",
                "Run `czrun doctor` for what to change; czrun doesn't run a model without limits.",
            )

    def _try(
        self,
        step: Callable[[], None],
        verb: str,
        policy: LaunchPolicy,
        mounts: list[dict[str, Any]] | None,
    ) -> str:
        """Take a step; return the engine's message when it fails through the image's fault."""
        with calling(f"{verb} the container"):
            try:
                step()
            except APIError as error:
                text = said(error)
                if mounts is None and failures.is_unshared(text, [str(m.source) for m in policy.mounts]):
                    raise _FilesNotShared("the engine can't see this machine's files") from error
                if failures.is_image_fault(text):
                    return text
                raise
        return ""

    def _clear(self, name: str) -> None:
        try:
            self.remove_container(name)
        except EngineError as error:
            # The next start reaps it by its label; how the container ended is worth more now.
            _log.warning("Container %s stays behind for now: %s", name, error)


def _beside_job(launch: Launch) -> Path:
    """Return a private folder of this launch; a container sees its path, so it must say nothing."""
    jobs = [mount.source.parent for mount in launch.mounts if mount.target == JOB_PATH]
    return jobs[0] if jobs else launch.log_path.parent
