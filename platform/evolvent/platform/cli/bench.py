"""`evolvent bench`: the benchmarks of a source tree. They are not in the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from evolvent.platform.cli.frame import BAD_USAGE, examples, fail

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    epilog = examples(
        "evolvent bench", "evolvent bench requests --rounds 5 --seconds 5 --json", "evolvent bench --list"
    )
    app.command(epilog=epilog, context_settings=_PASS_ON)(bench)


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which benchmark; what follows is passed on to it.")] = "requests",
    only_list: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
) -> None:
    """Measure this machine, beside a hand-written minimum in the same run. Needs the source tree."""
    folder = Path(__file__).resolve().parents[4] / "benchmarks"
    names = sorted(path.stem for path in folder.glob("*.py"))
    if not names:
        fail("evolvent: there are no benchmarks here; they come with the source tree and not with the package.")
    if only_list:
        for each in names:
            typer.echo(each)
        return
    if name not in names:
        fail(f"evolvent: there is no benchmark {name!r}; there are {', '.join(names)}.", BAD_USAGE)
    command = [sys.executable, "-m", f"benchmarks.{name}", *context.args]
    # A path among the arguments is meant from where the person stands, not from the source tree.
    environment = {**os.environ, "PWD": str(Path.cwd())}
    code = subprocess.call(command, cwd=folder.parent, env=environment)  # noqa: S603
    if code:
        raise typer.Exit(code)
