"""`evolvent jobs`: the scheduled work of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from evolvent.platform.cli.frame import (
    FAILED,
    AsJson,
    DataDir,
    connect,
    examples,
    execute,
    group,
    print_json,
    print_rows,
)
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.envelope import Message

commands = group("jobs", "The scheduled work of the platform.")
_RUN_SECONDS = 300.0


@commands.command("list", epilog=examples("evolvent jobs list", "evolvent jobs list --json"))
def list_jobs(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the jobs: when each runs next, and how it went last."""
    from evolvent.events.messages.calls import Empty, JobList

    found = JobList.decode(_call("jobs", Empty(), data_dir, 10.0))
    columns = ("job", "schedule", "next_at", "last_at", "last_ok", "last_detail")
    print_rows((row.model_dump(mode="json") for row in found.jobs), columns, as_json=as_json)


@commands.command(epilog=examples("evolvent jobs run retention", "evolvent jobs run forecasts --json"))
def run(
    job: Annotated[str, typer.Argument(help="Which job.")], as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Run a job now, wait until it is done, and say in one line how it went."""
    from evolvent.events.messages.calls import JobQuery, JobRow

    row = JobRow.decode(_call("run_job", JobQuery(job=job), data_dir, _RUN_SECONDS))
    if as_json:
        print_json(row.model_dump(mode="json"))
    else:
        typer.echo(visible(f"{row.job}: {'ok' if row.last_ok else 'failed'}: {row.last_detail}"))
    if not row.last_ok:
        raise typer.Exit(FAILED)


def _call(endpoint: str, message: Message, data_dir: DataDir, timeout_seconds: float) -> bytes:
    from evolvent.events import subjects

    async def work() -> bytes:
        subject = subjects.endpoint("improvement", endpoint)
        async with connect(data_dir, operator=True) as client:
            return await client.bus.call(subject, message.encode(), timeout_seconds=timeout_seconds)

    return execute(work)
