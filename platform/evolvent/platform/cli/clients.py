"""`evolvent clients`: who else may ask this platform, each under a name of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, examples, group, load, print_json, print_rows

commands = group("clients", "Who may ask this platform, each under a name of its own.")
Name = Annotated[str, typer.Argument(help="Its name: letters, digits, _ and -.")]


@commands.command(epilog=examples("evolvent clients add alice"))
def add(name: Name, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let one more client in; a running platform does so at once."""
    from evolvent.platform.nats_server import add_client

    folder = load(data_dir).data_dir
    add_client(folder, name)
    path = folder / "clients" / f"{name}.json"
    print_json({"name": name, "file": str(path)}) if as_json else typer.echo(f"{name} connects with what {path} says.")


@commands.command("list", epilog=examples("evolvent clients list", "evolvent clients list --json"))
def list_clients(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the clients that were added."""
    from evolvent.platform.nats_folder import NatsFolder

    folder = NatsFolder(load(data_dir).data_dir)
    rows = ({"name": name, "file": str(folder.clients_dir / f"{name}.json")} for name in folder.clients())
    print_rows(rows, ("name", "file"), as_json=as_json, empty="None was added; `evolvent clients add NAME` adds one.")


@commands.command(epilog=examples("evolvent clients remove alice"))
def remove(name: Name, data_dir: DataDir = None) -> None:
    """Shut a client out, its open connections too."""
    from evolvent.platform.nats_server import remove_client

    remove_client(load(data_dir).data_dir, name)
    typer.echo(f"{name} is shut out.")
