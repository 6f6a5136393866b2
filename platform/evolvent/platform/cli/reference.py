"""`evolvent asyncapi` and `evolvent config show`: what the platform says on the bus, and how it is set."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from evolvent.platform.cli.frame import AsJson, ConfigFile, DataDir, examples, group, load, print_rows

config_commands = group("config", "How this platform is set.")


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog=examples("evolvent asyncapi > asyncapi.json"))(asyncapi)
    app.add_typer(config_commands)


def asyncapi() -> None:
    """Print an AsyncAPI 3 document of everything that travels on the bus."""
    from evolvent.platform.asyncapi import document

    typer.echo(json.dumps(document(), indent=2, ensure_ascii=False))


@config_commands.callback()
def _group() -> None:
    """Keep `config` a group while it has one command."""


@config_commands.command(epilog=examples("evolvent config show", "evolvent config show --profile production --json"))
def show(
    profile: Annotated[str | None, typer.Option(help="development, staging or production.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show every setting as it stands and the environment name that sets it. Secrets are masked."""
    settings = load(data_dir, config, profile=profile)
    rows = _flat(settings.model_dump(mode="json"), ())
    print_rows(rows, ("setting", "value", "environment"), as_json=as_json)


def _flat(document: dict[str, Any], path: tuple[str, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, value in document.items():
        here = (*path, name)
        if isinstance(value, dict) and value and len(here) == 1 and name != "prices":
            rows.extend(_flat(value, here))
        else:
            rows.append(
                {"setting": ".".join(here), "value": value, "environment": f"EVOLVENT_{'__'.join(here).upper()}"}
            )
    return rows
