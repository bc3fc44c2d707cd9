"""The command line. Modules here import typer and the standard library at the top, stages where they run."""
