"""One container of an engine that speaks Docker's API: its output, its end, its figures."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker  # noqa: TID251 - the other half of the adapter
import requests
import urllib3
from docker.errors import APIError, DockerException  # noqa: TID251 - the other half of the adapter

from czrun.engines import failures
from czrun.engines.logs import BoundedLog, Frames
from czrun.engines.sampling import Meter, StatsMeter, cgroup_meter

RECONNECTS = 3
LAST_WORDS_S = 5.0
"""For the output that is still under way when a container has ended."""

TRANSPORT_ERRORS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@contextmanager
def calling(action: str) -> Iterator[None]:
    """Turn the SDK's and the transport's errors into EngineError."""
    try:
        yield
    except TRANSPORT_ERRORS as error:
        raise failures.engine_error(action, said(error)) from error


def status_of(error: APIError) -> int | None:
    """Return the HTTP status of an engine's refusal."""
    return None if error.response is None else int(error.response.status_code)


def said(error: BaseException) -> str:
    """Return what the engine, or the transport, said."""
    explanation = getattr(error, "explanation", None)
    return str(explanation or error)


class Container:
    """One container between its creation and its removal."""

    def __init__(self, client: docker.APIClient, name: str, log: BoundedLog) -> None:
        self._client = client
        self._name = name
        self._log = log
        self._ended = threading.Event()
        self._lost: BaseException | None = None
        self._stream: Any = None
        self._socket: Any = None
        self._reader = threading.Thread(target=self._read, name="czrun-log", daemon=True)

    def attach(self) -> None:
        """Take the container's output from its first byte on."""
        with calling("attach to the container"):
            self._stream = self._client.attach_socket(self._name, {"stdout": 1, "stderr": 1, "stream": 1})
        self._socket = getattr(self._stream, "_sock", self._stream)
        # docker-py leaves its request timeout on it, and a model may be silent for longer.
        self._socket.settimeout(None)
        self._reader.start()

    def start(self) -> None:
        """Start the container and wait for its end in the background."""
        self._client.start(self._name)
        threading.Thread(target=self._await_end, name="czrun-wait", daemon=True).start()

    def meter(self) -> Meter | None:
        """Find a way to see the container's memory and CPU; None when it has ended already."""
        state = self.inspect()
        pid = state["State"]["Pid"]
        if not pid:
            return None
        return cgroup_meter(pid, state["Id"]) or StatsMeter(
            lambda: self._client.stats(self._name, decode=True, stream=True)
        )

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end; raises EngineError when the engine is gone."""
        if not self._ended.wait(timeout_s):
            return False
        if self._lost is not None:
            raise failures.engine_error("say how the container ended", said(self._lost)) from self._lost
        return True

    def signal(self, name: str) -> None:
        """Send a signal; nothing happens when the container has ended."""
        with calling("stop the container"):
            try:
                self._client.kill(self._name, name)
            except APIError as error:
                # 409 from Docker, 500 from Podman for a container that isn't running any more.
                if not self._ended.wait(1) and "is not running" not in said(error):
                    raise

    def finish(self) -> None:
        """Take the last of the output, for a bounded time."""
        self._reader.join(LAST_WORDS_S)
        if self._reader.is_alive():
            self._hang_up()
            self._reader.join(LAST_WORDS_S)

    def inspect(self) -> dict[str, Any]:
        """Return what the engine knows."""
        with calling("inspect the container"):
            state: dict[str, Any] = self._client.inspect_container(self._name)
            return state

    def close(self) -> None:
        """Let go of the output; the reader ends with it."""
        if self._stream is not None:
            self._hang_up()
            self._reader.join(LAST_WORDS_S)
            self._stream.close()
            self._socket.close()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        frames = Frames()
        with suppress(OSError):
            while data := self._socket.recv(65536):
                for piece in frames.push(data):
                    self._log.feed(piece)

    def _await_end(self) -> None:
        for _ in range(RECONNECTS):
            try:
                # Without a timeout: docker-py's is for the answer, which comes when the container ends.
                self._client.wait(self._name, timeout=None)
                self._lost = None
                break
            except APIError as error:
                self._lost = error
                break
            except TRANSPORT_ERRORS as error:
                self._lost = error
        self._ended.set()
