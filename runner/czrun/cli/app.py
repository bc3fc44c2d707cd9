"""The root of the command line, and the one place where errors become text and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from types import FrameType
from typing import Annotated, NoReturn

import typer

from czrun.cli import datasets, doctor, evaluate, export, runs, schema, score, tasks
from czrun.errors import CzrunError
from czrun.quantities import printable

# Rich help costs 0.15 s of imports at every start, and breaks lines where people search for words.
app = typer.Typer(
    name="czrun",
    help="Evaluate containerized cell-biology models: your image, real cells, hidden labels, honest scores.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("evaluate")(evaluate.evaluate)
app.command("score")(score.score)
app.add_typer(runs.app, name="runs")
app.command("export")(export.export)
app.add_typer(tasks.app, name="tasks")
app.add_typer(datasets.app, name="datasets")
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)


def _show_version(value: bool) -> None:
    if value:
        from czrun.version import __version__

        typer.echo(f"czrun {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Take the options that stand before a command; both are handled elsewhere."""
    del version, debug


def run() -> NoReturn:
    """Run the command line, then leave at once: taking the interpreter apart would take another 0.1 s."""
    code: int | str | None = 0
    try:
        main()
    except SystemExit as ending:
        code = ending.code
    for stream in (sys.stdout, sys.stderr):
        # stdout is None where the reader of a pipe has left.
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Run the command line and end the process with the right exit code."""
    debug = "--debug" in sys.argv or bool(os.environ.get("CZRUN_DEBUG"))
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    # Looking for plugins of pydantic's, which czrun has no use for, takes 30 ms at every start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(arguments, prog_name="czrun")
    except CzrunError as error:
        if debug:
            traceback.print_exc()
        _complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) left: nothing to say, and nobody to say it to.
        sys.stdout = None
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        _complain(
            f"Unexpected error, which is a fault of czrun: {type(error).__name__}: {error}",
            "Run the command again with --debug and report what it prints.",
        )
        sys.exit(1)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _complain(message: str, hint: str) -> None:
    paint = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    head = "\x1b[1;31mError:\x1b[0m" if paint else "Error:"
    # Messages quote images, files and logs, none of which may steer the terminal.
    typer.echo(f"{head} {printable(message)}", err=True)
    if hint:
        typer.echo(f"  → {printable(hint)}", err=True)
