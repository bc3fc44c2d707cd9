"""``czrun schema``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from czrun.errors import ContractError, unknown_name


def schema(
    name: Annotated[
        str | None, typer.Argument(help="job, progress, result, model, dataset or record.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write all schemas into this folder.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Fail when the schemas in this folder are not current.")
    ] = None,
) -> None:
    """Print a JSON Schema of the contract's files, or write or check all of them."""
    from czrun.schemas import SCHEMAS, schema_text, stale_schemas, write_schemas

    if write:
        for path in write_schemas(write):
            typer.echo(path)
    elif check:
        if stale := stale_schemas(check):
            names = ", ".join(path.name for path in stale)
            raise ContractError(f"Not current: {names}.", f"Run `czrun schema --write {check}`.")
        typer.echo(f"The schemas in {check} are current.")
    elif name is None:
        typer.echo("\n".join(SCHEMAS))
    elif name in SCHEMAS:
        typer.echo(schema_text(name), nl=False)
    else:
        raise unknown_name("schema", name, SCHEMAS)
