"""What the SDK and the command line say about schedules, and to whom."""

from __future__ import annotations

from datetime import timedelta

from pydantic_core import from_json, to_json

from evolvent.events import subjects
from evolvent.events.envelope import Message
from evolvent.events.messages.schedules import (
    AddSchedule,
    Missed,
    ScheduleList,
    ScheduleQuery,
    ScheduleRow,
    SchedulesQuery,
)
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import ANONYMOUS, signed
from evolvent.platform.asking import Ask, request_of

_PAGE = 300
_CALL_SECONDS = 10.0


class Planned(Ask, total=False):
    """When, and what else may be said of the request. Just one of `cron` and `every`.

    `cron` has five fields, in the wall-clock time of `timezone`; `every` is a time, or seconds. `missed` says what
    becomes of times that passed while no platform ran: `coalesce` runs once for all of them, `all` each, `skip` none.
    """

    cron: str | None
    every: timedelta | int | None
    timezone: str
    missed: Missed


class Schedules:
    """The endpoint of schedules, as one principal reaches it.

    Args:
        bus: the connection.
        owner: whose schedules are meant, for an operator, who has none.
    """

    def __init__(self, bus: NatsBus, *, owner: str = ANONYMOUS) -> None:
        self._bus = bus
        self._owner = owner

    async def add(self, name: str, message: str, planned: Planned) -> ScheduleRow:
        """Add a schedule, or find that it is there."""
        return ScheduleRow.decode(await self._call("add", _added(name, message, planned)))

    async def all(self) -> tuple[ScheduleRow, ...]:
        """Return every schedule that may be seen."""
        found: list[ScheduleRow] = []
        while True:
            page = await self._call("list", SchedulesQuery(limit=_PAGE, offset=len(found)))
            rows = ScheduleList.decode(page).schedules
            found.extend(rows)
            if len(rows) < _PAGE:
                return tuple(found)

    async def tell(self, verb: str, name: str) -> ScheduleRow:
        """Show, remove, pause, resume or run a schedule."""
        return ScheduleRow.decode(await self._call(verb, ScheduleQuery(name=name)))

    async def _call(self, verb: str, message: Message) -> bytes:
        subject = signed(subjects.schedules(verb), self._owner)
        return await self._bus.call(subject, message.encode(), timeout_seconds=_CALL_SECONDS)


def _added(name: str, message: str, planned: Planned) -> AddSchedule:
    """Return the call.

    Raises:
        InvalidMessage, InvalidSubject: it cannot be sent as it is.
    """
    subject, body = request_of(message, None, stream=False, ask=planned)
    every = planned.get("every")
    priority, goal = subjects.parse_request(subject)
    fields = {
        "name": name,
        "cron": planned.get("cron"),
        "every_seconds": every.total_seconds() if isinstance(every, timedelta) else every,
        "timezone": planned.get("timezone", "UTC"),
        "missed": planned.get("missed", "coalesce"),
        "goal": goal,
        "priority": priority,
        "request": from_json(body),
    }
    return AddSchedule.decode(to_json(fields))
