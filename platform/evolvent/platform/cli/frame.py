"""What every command shares: its options, how it runs, what it prints and how it ends.

Exit codes: 0 it worked, 1 what was asked for failed, 2 bad usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.platform.client import Client
    from evolvent.platform.settings import Settings
    from evolvent.storage.database import Databases

T = TypeVar("T")
FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="The platform's data folder.", show_default="EVOLVENT_DATA_DIR, else the usual one"
    ),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML or YAML settings file.", show_default="EVOLVENT_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout instead of a table.")]


def group(name: str, what: str) -> typer.Typer:
    """Return an empty group of commands."""
    return typer.Typer(name=name, help=what, no_args_is_help=True, rich_markup_mode=None)


def examples(*lines: str) -> str:
    """Return the end of a command's help: how it is used, one line each."""
    return "Examples:\n\n" + "\n\n".join(f"  {line}" for line in lines)


def execute(work: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine to its end on a fresh event loop."""

    async def whole() -> T:
        return await work()

    return asyncio.run(whole())


def load(data_dir: Path | None = None, config: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings of this command; logs go to stderr from here on."""
    from evolvent.platform.logs import set_up_logs
    from evolvent.platform.settings import load_settings

    settings = load_settings(config=config, overrides={"data_dir": data_dir, **overrides})
    level = settings.logs.level if "EVOLVENT_LOGS__LEVEL" in os.environ else "error"
    set_up_logs(style=settings.logs.format, level=level, secrets=settings.secrets())
    return settings


def connect(data_dir: Path | None, *, operator: bool = False) -> Client:
    """Return the client of the platform of a data folder, to enter with `async with`."""
    from evolvent.platform.client import Client

    return Client.connect(load(data_dir).data_dir, operator=operator)


async def databases(data_dir: Path | None) -> Databases:
    """Open the databases of a platform, to read what is recorded."""
    from evolvent.platform.connection import NotRunning, read_connection
    from evolvent.storage.database import Databases

    settings = load(data_dir)
    if settings.database is None and (settings.data_dir / "operator.json").exists():
        running = read_connection(settings.data_dir, "operator")
        if running.database is not None:
            return await Databases.open(running.database, durability=settings.durability)
    if settings.database is None and not settings.data_dir.is_dir():
        raise NotRunning(
            f"Nothing is recorded in {settings.data_dir}; start a platform with `evolvent up`, or name its --data-dir."
        )
    return await Databases.open(settings.database_url, durability=settings.durability)


def print_rows(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str = "Nothing yet."
) -> None:
    """Print a listing: every key as JSON Lines, or the columns as a table."""
    if as_json:
        for row in rows:
            print_json(row)
        return
    held = list(rows)
    if not held:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column.endswith("_id"))
    for row in held:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on a line of its own."""
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))


def say(text: str) -> None:
    """Tell the person at the terminal something, on stderr."""
    typer.echo(visible(text), err=True)


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Say in one sentence what went wrong and what to do, and end."""
    say(text)
    raise typer.Exit(code)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
    text = visible(str(value).replace("\n", " "))
    return text if len(text) <= 80 else text[:79] + "…"
