"""`evolvent schedule`: requests that come again and again."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

import typer

from evolvent.platform.cli.ask import read_context
from evolvent.platform.cli.frame import (
    BAD_USAGE,
    AsJson,
    DataDir,
    connect,
    examples,
    execute,
    fail,
    group,
    print_json,
    print_rows,
    say,
)
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.events.messages.schedules import ScheduleRow
    from evolvent.platform.scheduling import Planned, Schedules

T = TypeVar("T")
commands = group("schedule", "Requests that come again and again: add, list, remove, pause, resume, run.")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COLUMNS = ("name", "when", "next_local", "next_utc", "missed", "goal", "priority", "last_run_id")


def complete_schedule(incomplete: str) -> list[str]:
    """Return the schedules whose names begin so, for the shell."""
    try:
        rows = _with(None, None, all_of_them=False, work=lambda schedules: schedules.all())
        return [row.name for row in rows if row.name.startswith(incomplete)]
    except Exception:  # noqa: BLE001  # a shell that completes must never show a trace
        return []


def complete_timezone(incomplete: str) -> list[str]:
    """Return the time zones whose names begin so, for the shell."""
    from zoneinfo import available_timezones

    return sorted(zone for zone in available_timezones() if zone.lower().startswith(incomplete.lower()))


def complete_missed(incomplete: str) -> list[str]:
    """Return the rules for missed times that begin so, for the shell."""
    return [rule for rule in ("coalesce", "all", "skip") if rule.startswith(incomplete)]


Name = Annotated[str, typer.Argument(help="Which schedule.", autocompletion=complete_schedule)]
Owner = Annotated[str | None, typer.Option(help="Whose it is, for the operator: the name of a client.")]


@commands.command(
    epilog=examples(
        "evolvent schedule add health 'Is every index alive?' --every 15m",
        "evolvent schedule add digest 'Sum up yesterday' --cron '30 7 * * mon-fri' --timezone Europe/Berlin",
        "evolvent schedule add audit 'Who logged in?' --cron @daily --missed all --priority background",
    )
)
def add(
    name: Annotated[str, typer.Argument(help="What to call it; letters, digits, _ and -.")],
    message: Annotated[str, typer.Argument(help="What is asked each time.")],
    cron: Annotated[
        str | None, typer.Option(help="Minute, hour, day of the month, month, day of the week; or @daily and the like.")
    ] = None,
    every: Annotated[str | None, typer.Option(help="Or an interval: 90s, 15m, 6h, 1d, 1w.")] = None,
    timezone: Annotated[
        str, typer.Option(help="The zone in which --cron is meant.", autocompletion=complete_timezone)
    ] = "UTC",
    missed: Annotated[
        str,
        typer.Option(
            help="Times that passed while no platform ran: coalesce (one run for all), all, or skip.",
            autocompletion=complete_missed,
        ),
    ] = "coalesce",
    goal: Annotated[str, typer.Option(help="Whose budget it is.")] = "default",
    priority: Annotated[str, typer.Option(help="critical, high, medium, low or background.")] = "medium",
    workflow: Annotated[str | None, typer.Option(help="A workflow to serve it.")] = None,
    agent: Annotated[str | None, typer.Option(help="An agent to serve it.")] = None,
    context: Annotated[str | None, typer.Option(help="Facts for the agent, as a JSON object.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asks, as a label.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that each run may take.")] = None,
    owner: Owner = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Have a request published at planned times, each once. Adding the same again changes nothing."""
    planned: Any = {
        "cron": cron,
        "every": None if every is None else _seconds(every),
        "timezone": timezone,
        "missed": missed,
        "goal": goal,
        "priority": priority,
        "workflow": workflow,
        "agent": agent,
        "context": read_context(context),
        "user_id": user,
        "timeout_seconds": timeout,
    }
    if (cron is None) == (every is None):
        fail("evolvent: say when: either --cron '30 7 * * mon-fri' or --every 15m. Nothing was stored.", BAD_USAGE)

    def work(schedules: Schedules) -> Awaitable[ScheduleRow]:
        asked: Planned = planned
        return schedules.add(name, message, asked)

    row = _with(data_dir, owner, all_of_them=False, work=work)
    if as_json:
        print_json(row.model_dump(mode="json"))
        return
    say(f"Schedule {row.name} of {row.principal}: {_when(row)}. Its next times are:")
    for moment in row.next_at:
        typer.echo(f"{_local(row, moment)} = {_utc(moment)}")


@commands.command("list", epilog=examples("evolvent schedule list", "evolvent schedule list --all --json"))
def list_schedules(
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's, as the operator sees them.")] = False,
    owner: Owner = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List your schedules by name, with the next time of each."""
    found = _with(data_dir, owner, all_of_them=everybody, work=lambda schedules: schedules.all())
    if as_json:
        print_rows((row.model_dump(mode="json") for row in found), (), as_json=True)
        return
    columns = ("principal", *_COLUMNS) if everybody else _COLUMNS
    print_rows(
        (_cells(row) for row in found), columns, as_json=False, empty="No schedule yet; `evolvent schedule add`."
    )


@commands.command(epilog=examples("evolvent schedule show digest"))
def show(name: Name, owner: Owner = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a schedule with its whole request."""
    row = _tell("show", name, owner, data_dir)
    if as_json:
        print_json(row.model_dump(mode="json"))
        return
    for key, value in {**_cells(row), "message": row.request.message, "context": row.request.context}.items():
        typer.echo(visible(f"{key}: {'-' if value is None else value}"))


@commands.command(epilog=examples("evolvent schedule remove digest", "evolvent schedule remove digest --owner alice"))
def remove(name: Name, owner: Owner = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Remove a schedule. Runs that it began go on."""
    _told("removed", _tell("remove", name, owner, data_dir), as_json=as_json)


@commands.command(epilog=examples("evolvent schedule pause digest"))
def pause(name: Name, owner: Owner = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let a schedule rest until it is resumed; the times in between are not made up for."""
    _told("paused", _tell("pause", name, owner, data_dir), as_json=as_json)


@commands.command(epilog=examples("evolvent schedule resume digest"))
def resume(name: Name, owner: Owner = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Let a paused schedule go on with its next time."""
    _told("resumed", _tell("resume", name, owner, data_dir), as_json=as_json)


@commands.command(epilog=examples("evolvent schedule run digest"))
def run(name: Name, owner: Owner = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Publish a schedule's request now, once more, and print the run_id."""
    row = _tell("run", name, owner, data_dir)
    print_json(row.model_dump(mode="json")) if as_json else typer.echo(row.last_run_id)


def _tell(verb: str, name: str, owner: str | None, data_dir: DataDir) -> ScheduleRow:
    return _with(data_dir, owner, all_of_them=False, work=lambda schedules: schedules.tell(verb, name))


def _with(data_dir: DataDir, owner: str | None, *, all_of_them: bool, work: Callable[[Schedules], Awaitable[T]]) -> T:
    """Work as the client, or as the operator where somebody else's schedules are meant."""
    from evolvent.events.principal import ANONYMOUS
    from evolvent.platform.scheduling import Schedules

    async def whole() -> T:
        async with connect(data_dir, operator=all_of_them or owner is not None) as client:
            return await work(Schedules(client.bus, owner=owner or ANONYMOUS))

    return execute(whole)


def _told(done: str, row: ScheduleRow, *, as_json: bool) -> None:
    if as_json:
        print_json(row.model_dump(mode="json"))
        return
    then = f" Its next time is {_local(row, row.next_at[0])} = {_utc(row.next_at[0])}." if done == "resumed" else ""
    say(f"Schedule {row.name} of {row.principal} is {done}.{then}")


def _cells(row: ScheduleRow) -> dict[str, Any]:
    rest = "paused" if row.paused else None
    return {
        **row.model_dump(mode="json", exclude={"request", "next_at"}),
        "when": _when(row),
        "next_local": _local(row, row.next_at[0]) if row.next_at else rest,
        "next_utc": _utc(row.next_at[0]) if row.next_at else rest,
    }


def _when(row: ScheduleRow) -> str:
    if row.cron is not None:
        return f"{row.cron} {row.timezone}"
    seconds = row.every_seconds or 0
    unit = next(unit for unit, size in reversed(_UNITS.items()) if seconds % size == 0)
    return f"every {seconds // _UNITS[unit]}{unit}"


def _local(row: ScheduleRow, moment: str) -> str:
    """Return the moment in the schedule's zone, or in this machine's where the schedule has none of its own."""
    zone = ZoneInfo(row.timezone) if row.timezone != "UTC" else None
    return datetime.fromisoformat(moment).astimezone(zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def _utc(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text.strip())
    if found is None or int(found[1]) == 0:
        fail(f"evolvent: {text!r} is no interval; write a number and s, m, h, d or w, such as 15m.", BAD_USAGE)
    return int(found[1]) * _UNITS[found[2]]
