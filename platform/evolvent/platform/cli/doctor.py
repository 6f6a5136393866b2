"""`evolvent doctor`: every problem at once, with its remedy."""

from __future__ import annotations

import os
from dataclasses import asdict

import typer

from evolvent.platform.cli.frame import FAILED, AsJson, ConfigFile, DataDir, examples, load, print_json


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog=examples("evolvent doctor", "evolvent doctor --data-dir ./data --json"))(doctor)


def doctor(config: ConfigFile = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Look for problems in the configuration, the machine and the data folder."""
    from evolvent.platform.doctor import examine

    settings = load(data_dir, config)
    found = examine(settings, os.environ)
    for problem in found:
        if as_json:
            print_json(asdict(problem))
        else:
            typer.echo(f"{'note' if problem.is_warning else 'PROBLEM'}  {problem}")
    if any(not problem.is_warning for problem in found):
        raise typer.Exit(FAILED)
    if not as_json:
        typer.echo(f"{'Nothing else is wrong' if found else 'Nothing is wrong'}; data folder {settings.data_dir}.")
