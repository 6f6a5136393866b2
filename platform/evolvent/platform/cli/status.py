"""`evolvent status`: the platform on one screen."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from evolvent.platform.cli.frame import (
    FAILED,
    AsJson,
    DataDir,
    connect,
    databases,
    examples,
    execute,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from evolvent.platform.client import Client

T = TypeVar("T")
_PING_SECONDS = 0.3


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(epilog=examples("evolvent status", "evolvent status --watch", "evolvent status --json"))(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again every two seconds, until Ctrl-C.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show services, runs, agents, budgets and what they will come to, the numbers of learning, and jobs."""
    while True:
        found = execute(lambda: read_status(data_dir))
        if watch and not as_json:
            typer.echo("\x1b[2J\x1b[H", nl=False)
        print_json(found) if as_json else _print(found)
        if not watch:
            break
        time.sleep(2)
    if not found["services"]:
        raise typer.Exit(FAILED)


async def read_status(data_dir: Any) -> dict[str, Any]:
    """Return how the platform stands; what cannot be asked is None."""
    from evolvent.events import subjects
    from evolvent.events.messages.calls import BudgetList, Empty, JobList, LoaderStats
    from evolvent.events.messages.insight_calls import Insights
    from evolvent.events.streams import DEAD_LETTERS, REQUESTS
    from evolvent.platform.cli.budget import row_of
    from evolvent.platform.cli.insights import insight_rows
    from evolvent.storage.runs import RunStore

    async with connect(data_dir, operator=True) as client:
        services = await _services(client)
        budgets = await _or_none(client.bus.call(subjects.endpoint("resources", "budgets"), Empty().encode()))
        jobs = await _or_none(client.bus.call(subjects.endpoint("improvement", "jobs"), Empty().encode()))
        insights = await _or_none(client.bus.call(subjects.endpoint("improvement", "insights"), Empty().encode()))
        dead = await _or_none(client.bus.admin.stream_state(DEAD_LETTERS))
        waiting = await _or_none(client.bus.admin.stream_state(REQUESTS))
        loaders = []
        for service in services:
            if service["service"] == "loader" and service["instance"]:
                subject = subjects.endpoint("loader", "stats", service["instance"])
                stats = await _or_none(client.bus.call(subject, Empty().encode()))
                loaders += [LoaderStats.decode(stats).model_dump()] if stats else []
    opened = await databases(data_dir)
    try:
        runs = await RunStore(opened.records).summary()
    finally:
        await opened.close()
    views = BudgetList.decode(budgets).budgets if budgets else None
    return {
        "services": services,
        "runs": runs,
        "requests_in_stream": waiting.messages if waiting else None,
        "dead_letters": dead.messages if dead else None,
        "loaders": loaders,
        "budgets": [row_of(view) for view in views] if views is not None else None,
        "jobs": [row.model_dump(mode="json") for row in JobList.decode(jobs).jobs] if jobs else None,
        **insight_rows(Insights.decode(insights) if insights else None, views or ()),
    }


async def _services(client: Client) -> list[dict[str, Any]]:
    """Ask every service to say that it is there, and what its endpoints are."""
    replies = await client.bus.request_many("$SRV.INFO", b"", window_seconds=_PING_SECONDS)
    found = []
    for reply in replies:
        info = json.loads(reply.data)
        name = str(info["name"]).removeprefix("evolvent-")
        if name == "ask":
            continue
        own = [e["subject"] for e in info.get("endpoints", []) if e["subject"].endswith(".health")]
        instance = own[0].split(".")[2] if own else None
        found.append({"service": name, "instance": instance, "version": info["version"], "what": info["description"]})
    return sorted(found, key=lambda row: (row["service"], row["instance"] or ""))


async def _or_none(asking: Awaitable[T]) -> T | None:
    from evolvent.events.errors import EvolventError

    try:
        return await asking
    except EvolventError:
        return None


def _print(found: dict[str, Any]) -> None:
    print_rows(found["services"], ("service", "instance", "what"), as_json=False, empty="No service answers.")
    runs = ", ".join(f"{count} {name}" for name, count in sorted(found["runs"].items())) or "none yet"
    typer.echo(f"\nruns: {runs}; in the queue {found['requests_in_stream']}; dead letters {found['dead_letters']}")
    for loader in found["loaders"]:
        typer.echo(
            f"{loader['loader']}: {loader['resident']} of {loader['max_active_agents']} agents resident, "
            f"{loader['in_use']} in use, {loader['evictions']} evicted"
        )
    if found["budgets"]:
        typer.echo("")
        columns = ("goal", "spent_usd", "leased_usd", "max_daily_usd", "concurrent", "max_concurrent", "policy")
        print_rows(found["budgets"], columns, as_json=False)
    for outlook in found["outlooks"] or ():
        typer.echo(outlook["says"])
    if found["mission"] is not None:
        from evolvent.platform.cli.insights import in_lines

        typer.echo("\n" + "\n".join(in_lines(found)))
    if found["jobs"]:
        typer.echo("")
        print_rows(found["jobs"], ("job", "next_at", "last_at", "last_ok"), as_json=False)
