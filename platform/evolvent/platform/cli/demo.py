"""`evolvent demo`: the platform at work, told in about a minute."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import BAD_USAGE, FAILED, INTERRUPTED, examples, print_json, say

if TYPE_CHECKING:
    from evolvent.platform.demo.telling import Teller


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog=examples("evolvent demo", "evolvent demo --keep", "OPENAI_API_KEY=... evolvent demo"))(demo)


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder, and say how to start it again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the story's numbers as one JSON object.")] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Use and keep this folder.", show_default="a temporary one")
    ] = None,
) -> None:
    """Show the whole platform at work on this machine's files, in about a minute.

    Answers come from a script, and are labelled so, unless OPENAI_API_KEY or OPENAI_BASE_URL name a real model.
    """
    from evolvent.platform.demo.telling import teller
    from evolvent.platform.running import run_until_stopped

    folder = data_dir.absolute() if data_dir else Path(tempfile.mkdtemp(prefix="evolvent-demo-"))
    keep = keep or data_dir is not None
    numbers: dict[str, Any] = {}
    try:
        code = run_until_stopped(_play(folder, teller(as_json=as_json), numbers, keep=keep))
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json and numbers:
        print_json(numbers)
    if code:
        raise typer.Exit(code)


async def _play(folder: Path, tell: Teller, numbers: dict[str, Any], *, keep: bool) -> int:
    """Play the story until it ends or somebody stops it; return the exit code."""
    from evolvent.events.errors import EvolventError
    from evolvent.platform.demo.stage import LOG_FILE
    from evolvent.platform.demo.story import play
    from evolvent.platform.logs import set_up_logs
    from evolvent.platform.running import stop_signal

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        secrets = [value for name, value in os.environ.items() if name.endswith("API_KEY")]
        set_up_logs(style="console", level="info", secrets=secrets, stream=log)
        stopping = asyncio.ensure_future(stop_signal().wait())
        playing = asyncio.ensure_future(play(folder, os.environ, tell, keep=keep))
        await asyncio.wait((stopping, playing), return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            await asyncio.wait((playing,))
            return INTERRUPTED
        stopping.cancel()
        try:
            numbers.update(playing.result())
        except EvolventError as error:
            where = f"The log is {folder / LOG_FILE}." if keep else "`evolvent demo --keep` keeps the log."
            say(f"evolvent: {error} {where}")
            numbers.update({"ok": False, "error": error.info().model_dump(mode="json")})
            return BAD_USAGE if error.info().code == "config.invalid" else FAILED
    return 0
