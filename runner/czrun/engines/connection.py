"""Where an engine may be listening, and what to tell when none is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from czrun.errors import EngineError


def socket_candidates(environment: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Return the sockets to try, in this order, when the user named no engine.

    Parameters
    ----------
    environment
        For ``XDG_RUNTIME_DIR``.
    home
        The user's home folder, where desktop products keep theirs.
    """
    runtime = [Path(folder)] if (folder := environment.get("XDG_RUNTIME_DIR")) else []
    return (
        Path("/var/run/docker.sock"),
        home / ".docker/run/docker.sock",
        *(folder / "docker.sock" for folder in runtime),
        *(folder / "podman/podman.sock" for folder in runtime),
        Path("/run/podman/podman.sock"),
        home / ".local/share/containers/podman/machine/podman.sock",
    )


def no_engine(tried: Iterable[str], platform: str = sys.platform) -> EngineError:
    """Say that no engine answers, and what to start.

    Parameters
    ----------
    tried
        One line per address: what happened there.
    platform
        As in ``sys.platform``.
    """
    lines = list(tried)
    start = {
        "darwin": "Start Docker Desktop, or `podman machine start`",
        "linux": "Start one: `sudo systemctl start docker`, or `make engine` where no service manager runs",
    }.get(platform, "Start Docker or Podman")
    detail = "".join(f"\n  - {line}" for line in lines)
    return EngineError(
        f"No container engine answers.{detail}",
        f"{start}; if it listens elsewhere, set DOCKER_HOST. `czrun doctor` says more.",
    )


def refused_ssh(address: str) -> EngineError:
    """Say that czrun doesn't speak to an engine through ``ssh://``, and what works instead."""
    host = address.removeprefix("ssh://").split("/")[0]
    return EngineError(
        f"czrun can't attach to containers through {address}.",
        f"Forward the socket: ssh -nNT -L /tmp/czrun-docker.sock:/var/run/docker.sock {host}, then set "
        "DOCKER_HOST=unix:///tmp/czrun-docker.sock",
    )
