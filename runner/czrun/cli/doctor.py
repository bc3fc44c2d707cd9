"""``czrun doctor``."""

from __future__ import annotations

import typer

from czrun.errors import EngineError


def doctor() -> None:
    """Check this machine: engine, limits, disk, GPU, known holes; each with what to do."""
    from czrun.cli.render import print_checks
    from czrun.doctor import State, examine

    failed = [check for check in print_checks(examine()) if check.state is State.FAILED]
    if failed:
        raise EngineError(
            f"{len(failed)} check(s) failed: {', '.join(check.name for check in failed)}.", failed[0].advice
        )
    typer.echo("czrun can run here.")
