"""`evolvent up` and `evolvent serve`: run the platform, or one service of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolvent.platform.cli.frame import FAILED, ConfigFile, DataDir, examples, fail, say

if TYPE_CHECKING:
    from evolvent.platform.settings import Settings

Nats = Annotated[str | None, typer.Option("--nats", help="An external NATS server's URL.", show_default="our own")]
Database = Annotated[
    str | None, typer.Option("--database", help="postgresql://...", show_default="SQLite in the data folder")
]
Profile = Annotated[str | None, typer.Option("--profile", help="development, staging or production.")]


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(
        epilog=examples(
            "evolvent up",
            "evolvent up --data-dir ./data --processes --scale orchestrator=2,loader=2",
            "evolvent up --nats nats://user:password@host:4222 --database postgresql://host/evolvent",
        )
    )(up)
    app.command(epilog=examples("evolvent serve loader", "evolvent serve orchestrator --data-dir ./data"))(serve)


def up(
    data_dir: DataDir = None,
    nats: Nats = None,
    database: Database = None,
    only: Annotated[str | None, typer.Option(help="Only these services, with commas between.")] = None,
    processes: Annotated[bool, typer.Option("--processes", help="One process for each service.")] = False,
    scale: Annotated[str | None, typer.Option(help="With --processes: how many of each, like loader=2.")] = None,
    config: ConfigFile = None,
    profile: Profile = None,
) -> None:
    """Start everything, and run until Ctrl-C or SIGTERM."""
    from evolvent.platform.bootstrap import all_services, check_services
    from evolvent.platform.running import run_together, run_until_stopped
    from evolvent.platform.supervisor import parse_scale, run_processes

    settings = _settings(data_dir, nats, database, config, profile)
    names = check_services([name.strip() for name in only.split(",")] if only else all_services(settings))
    counts = parse_scale(scale)
    if counts and not processes:
        fail("evolvent: --scale needs --processes: in one process there is one of each service.", 2)
    _tell_problems(settings)
    if processes:
        environment = _environment(data_dir, nats, database, config, profile)
        code = run_until_stopped(run_processes(settings, names, counts, environment, typer.echo))
    else:
        code = run_until_stopped(run_together(settings, names, typer.echo))
    if code:
        raise typer.Exit(code)
    say("evolvent has stopped.")


def serve(
    service: Annotated[str, typer.Argument(help="recorder, resources, loader, improvement, metrics or orchestrator.")],
    data_dir: DataDir = None,
    nats: Nats = None,
    database: Database = None,
    config: ConfigFile = None,
    profile: Profile = None,
) -> None:
    """Run one service alone, beside a platform's nats-server."""
    from evolvent.platform.supervisor import READY, die_with_parent

    die_with_parent()
    from evolvent.platform.bootstrap import check_services
    from evolvent.platform.running import run_alone, run_until_stopped

    check_services([service])
    settings = _settings(data_dir, nats, database, config, profile)
    if run_until_stopped(run_alone(settings, service, lambda found: typer.echo(READY + json.dumps(found)))):
        raise typer.Exit(FAILED)


def _settings(
    data_dir: Path | None, nats: str | None, database: str | None, config: Path | None, profile: str | None
) -> Settings:
    from evolvent.platform.logs import set_up_logs
    from evolvent.platform.settings import load_settings

    overrides = {"data_dir": data_dir, "nats": nats, "database": database, "profile": profile}
    settings = load_settings(config=config, overrides=overrides)
    set_up_logs(style=settings.logs.format, level=settings.logs.level, secrets=settings.secrets())
    return settings


def _environment(
    data_dir: Path | None, nats: str | None, database: str | None, config: Path | None, profile: str | None
) -> dict[str, str]:
    """Return the same as environment names: a URL with a password in it must not stand in a process list."""
    said = {
        "EVOLVENT_DATA_DIR": str(data_dir.absolute()) if data_dir else None,
        "EVOLVENT_NATS": nats,
        "EVOLVENT_DATABASE": database,
        "EVOLVENT_CONFIG": str(config.absolute()) if config else None,
        "EVOLVENT_PROFILE": profile,
    }
    return {name: value for name, value in said.items() if value is not None}


def _tell_problems(settings: Settings) -> None:
    from evolvent.platform.settings_check import problems

    found = problems(settings, os.environ)
    for problem in found:
        say(f"{'note' if problem.is_warning else 'problem'}: {problem}")
    if any(not problem.is_warning for problem in found):
        fail("evolvent: correct these and start again; `evolvent doctor` shows them with more.", 2)
