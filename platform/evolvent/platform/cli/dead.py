"""`evolvent dead`: messages that nobody could handle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, connect, examples, execute, fail, group, print_json, print_rows
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.bus import Stored

commands = group("dead", "Messages that nobody could handle: list, look at, send again.")
Sequence = Annotated[int, typer.Argument(min=1, help="Its number in `evolvent dead list`.")]


@commands.command("list", epilog=examples("evolvent dead list", "evolvent dead list --json"))
def list_dead(
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest.")] = 50,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the dead letters that the bus still keeps (30 days), oldest first."""

    async def work() -> list[dict[str, Any]]:
        from evolvent.events import subjects
        from evolvent.events.streams import DEAD_LETTERS

        async with connect(data_dir, operator=True) as client:
            found = [_row(letter) async for letter in client.bus.read(DEAD_LETTERS, subjects.ALL_DEAD)]
        return found[-limit:]

    columns = ("sequence", "stored_at", "subject", "error_code", "reason")
    print_rows(execute(work), columns, as_json=as_json, empty="No dead letters.")


@commands.command(epilog=examples("evolvent dead show 3"))
def show(sequence: Sequence, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a dead letter with its payload."""
    letter = execute(lambda: _one(sequence, data_dir))
    document = {**_row(letter), "payload": letter.data.decode("utf-8", "backslashreplace")}
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        typer.echo(visible(f"{name}: {value}"))


@commands.command(epilog=examples("evolvent dead retry 3"))
def retry(sequence: Sequence, data_dir: DataDir = None) -> None:
    """Send a dead request or command again, as it was, under the operator's name."""

    async def work() -> str:
        from evolvent.events.streams import COMMANDS, DEAD_LETTERS, REQUESTS

        letter = await _one(sequence, data_dir)
        row = _row(letter)
        if row["stream"] not in (REQUESTS, COMMANDS):
            fail(
                f"evolvent: dead letter {sequence} is from {row['stream']}; only requests and commands are sent again."
            )
        async with connect(data_dir, operator=True) as client:
            await client.bus.append(str(row["subject"]), letter.data)
            await client.bus.admin.delete(DEAD_LETTERS, sequence)
        return str(row["subject"])

    typer.echo(f"Sent again to {execute(work)}; it is no longer among the dead letters.")


async def _one(sequence: int, data_dir: DataDir) -> Stored:
    from evolvent.events import subjects
    from evolvent.events.streams import DEAD_LETTERS

    async with connect(data_dir, operator=True) as client:
        found = await client.bus.next_of(DEAD_LETTERS, subjects.ALL_DEAD, sequence)
    if found is None or found.sequence != sequence:
        fail(f"evolvent: there is no dead letter {sequence}; `evolvent dead list` shows those there are.")
    return found


def _row(letter: Stored) -> dict[str, Any]:
    headers = letter.headers
    return {
        "sequence": letter.sequence,
        "stored_at": letter.time.isoformat(),
        "stream": letter.subject.rsplit(".", 1)[-1],
        "subject": headers.get("Evolvent-Subject", ""),
        "error_code": headers.get("Evolvent-Error-Code", ""),
        "reason": headers.get("Evolvent-Reason", ""),
        "run_id": headers.get("Evolvent-Run-Id") or None,
        "bytes": len(letter.data),
    }
