"""Answers what principals say about their schedules: add, list, remove, pause, resume, run.

A principal reaches its own schedules only. Who speaks without a name is a service or the operator, and reaches all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from evolvent.events import subjects
from evolvent.events.bus import Call
from evolvent.events.clock import Clock
from evolvent.events.errors import Category, EvolventError, InvalidMessage, InvalidSubject, NotFound
from evolvent.events.messages.requests import read_request
from evolvent.events.messages.schedules import (
    AddSchedule,
    ScheduleList,
    ScheduleQuery,
    ScheduleRow,
    SchedulesQuery,
    ScheduleVerb,
)
from evolvent.events.principal import ANONYMOUS, principal_of
from evolvent.improvement.settings import ImprovementSettings
from evolvent.improvement.timetable import Timetable, planned_request, timing_for
from evolvent.improvement.timing import next_after, upcoming
from evolvent.storage.schedules import ScheduleStore, StoredSchedule

_SHOWN_TIMES = 3
_SHOWN_CHARACTERS = 300


class ScheduleExists(EvolventError):
    """Another schedule has this name; remove that one first or choose another name. Nothing was stored."""

    code, category = "schedule.exists", Category.VALIDATION


class TooManySchedules(EvolventError):
    """You have as many schedules as you may; remove some first. Nothing was stored."""

    code, category = "schedule.too_many", Category.RESOURCE


class ScheduleDesk:
    """The endpoint of schedules, at any instance."""

    def __init__(
        self, store: ScheduleStore, timetable: Timetable, *, settings: ImprovementSettings, clock: Clock
    ) -> None:
        self._store = store
        self._timetable = timetable
        self._settings = settings
        self._clock = clock

    async def answer(self, call: Call) -> bytes:
        """Do what was said.

        Raises:
            InvalidSubject: it is none of the verbs; or what the verb's own work raises.
        """
        verb, principal = subjects.parse_schedules(call.subject), principal_of(call.subject)
        if verb == ScheduleVerb.ADD:
            return (await self._add(AddSchedule.decode(call.data), principal)).encode()
        if verb == ScheduleVerb.LIST:
            return (await self._list(SchedulesQuery.decode(call.data), principal)).encode()
        does: Mapping[str, Callable[[StoredSchedule], Awaitable[StoredSchedule]]] = {
            ScheduleVerb.SHOW: self._again,
            ScheduleVerb.REMOVE: self._remove,
            ScheduleVerb.PAUSE: self._pause,
            ScheduleVerb.RESUME: self._resume,
            ScheduleVerb.RUN: self._run,
        }
        if verb not in does:
            raise InvalidSubject(f"{verb!r} is nothing to do with a schedule; use one of {', '.join(ScheduleVerb)}.")
        schedule = await self._named(ScheduleQuery.decode(call.data).name, principal)
        return _row(await does[verb](schedule)).encode()

    async def _add(self, asked: AddSchedule, principal: str) -> ScheduleRow:
        schedule = self._checked(asked, principal)
        if await self._store.add(schedule, most=self._settings.schedules_per_principal):
            self._timetable.wake()
            return _row(schedule)
        existing = await self._store.find(principal, asked.name)
        if existing is None:
            raise TooManySchedules
        if existing.asked != asked:
            raise ScheduleExists(
                f"There is another schedule {asked.name!r} already; remove it first (`evolvent schedule remove "
                f"{asked.name}`), or choose another name. Nothing was stored."
            )
        return _row(existing)

    async def _list(self, query: SchedulesQuery, principal: str) -> ScheduleList:
        found = await self._store.all(None if principal == ANONYMOUS else principal)
        part = found[query.offset : query.offset + query.limit]
        return ScheduleList(schedules=tuple(_short(_row(schedule)) for schedule in part))

    def _checked(self, asked: AddSchedule, principal: str) -> StoredSchedule:
        if asked.request.run_id is not None or asked.request.resume is not None:
            raise InvalidMessage("A schedule gives each run its own run_id; leave `run_id` and `resume` out.")
        now = self._clock.now().replace(microsecond=0)
        first = next_after(timing_for(asked, now), now)
        schedule = StoredSchedule(self._clock.new_id(), principal, asked, False, now, first)
        read_request(planned_request(schedule, first).body.encode())
        return schedule

    async def _named(self, name: str, principal: str) -> StoredSchedule:
        found = await self._store.find(principal, name)
        if found is not None:
            return found
        if principal != ANONYMOUS:
            raise NotFound(f"You have no schedule {name[:64]!r}; `evolvent schedule list` shows those that you have.")
        same = [schedule for schedule in await self._store.all() if schedule.asked.name == name]
        if len(same) > 1:
            owners = ", ".join(schedule.principal for schedule in same)
            raise NotFound(f"{owners} have a schedule {name!r} each; say whose (`--owner NAME`). Nothing was changed.")
        if not same:
            raise NotFound(f"There is no schedule {name[:64]!r}; `evolvent schedule list --all` shows those there are.")
        return same[0]

    async def _remove(self, schedule: StoredSchedule) -> StoredSchedule:
        await self._store.remove(schedule.schedule_id)
        return schedule

    async def _pause(self, schedule: StoredSchedule) -> StoredSchedule:
        return await self._turned(schedule, paused=True, next_at=schedule.next_at)

    async def _resume(self, schedule: StoredSchedule) -> StoredSchedule:
        if not schedule.paused:
            return schedule
        next_at = next_after(timing_for(schedule.asked, schedule.created_at), self._clock.now())
        return await self._turned(schedule, paused=False, next_at=next_at)

    async def _turned(self, schedule: StoredSchedule, *, paused: bool, next_at: datetime) -> StoredSchedule:
        if not await self._store.pause(schedule.schedule_id, paused=paused, next_at=next_at):
            raise NotFound(f"Schedule {schedule.asked.name!r} was removed meanwhile.")
        self._timetable.wake()
        return await self._again(schedule)

    async def _run(self, schedule: StoredSchedule) -> StoredSchedule:
        await self._store.keep(planned_request(schedule, self._clock.now()), now=self._clock.now())
        await self._timetable.publish()
        return await self._again(schedule)

    async def _again(self, schedule: StoredSchedule) -> StoredSchedule:
        return await self._store.find(schedule.principal, schedule.asked.name) or schedule


def _short(row: ScheduleRow) -> ScheduleRow:
    said = row.request.message
    cut = said if len(said) <= _SHOWN_CHARACTERS else f"{said[:_SHOWN_CHARACTERS]}…"
    return row.model_copy(update={"request": row.request.model_copy(update={"message": cut, "context": {}})})


def _row(schedule: StoredSchedule) -> ScheduleRow:
    asked = schedule.asked
    timing = timing_for(asked, schedule.created_at)
    times = [schedule.next_at, *upcoming(timing, schedule.next_at, count=_SHOWN_TIMES - 1)]
    return ScheduleRow(
        schedule_id=schedule.schedule_id,
        principal=schedule.principal,
        paused=schedule.paused,
        created_at=schedule.created_at.isoformat(),
        next_at=() if schedule.paused else tuple(moment.isoformat() for moment in times),
        last_at=schedule.last_at.isoformat() if schedule.last_at else None,
        last_run_id=schedule.last_run_id,
        **{name: getattr(asked, name) for name in AddSchedule.model_fields},
    )
