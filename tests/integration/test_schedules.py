from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from support.databases import database_url, databases, postgres_server  # noqa: F401

from evolvent.events.messages.requests import Request
from evolvent.events.messages.schedules import AddSchedule
from evolvent.storage.database import Databases
from evolvent.storage.schedules import PlannedRequest, ScheduleStore, StoredSchedule

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def schedule(name: str = "digest", *, of: str = "alice", next_at: datetime = NOON) -> StoredSchedule:
    asked = AddSchedule(name=name, every_seconds=3600, request=Request(message="Sum up"))
    return StoredSchedule(f"{of}-{name}", of, asked, False, NOON - HOUR, next_at)


def planned(of: StoredSchedule, at: datetime) -> PlannedRequest:
    return PlannedRequest(of.schedule_id, at, f"run-{at.isoformat()}", "evolvent.requests.medium.default", "{}")


async def test_a_name_is_taken_once_for_each_principal_and_there_is_a_most(databases: Databases) -> None:  # noqa: F811
    store = ScheduleStore(databases.definitions)
    assert await store.add(schedule(), most=2)
    assert not await store.add(schedule(), most=2)
    assert await store.add(schedule(of="bob"), most=2)
    assert await store.add(schedule("second"), most=2)
    assert not await store.add(schedule("third"), most=2)
    assert [(s.principal, s.asked.name) for s in await store.all()] == [
        ("alice", "digest"),
        ("alice", "second"),
        ("bob", "digest"),
    ]
    assert await store.all("bob") == [schedule(of="bob")]
    assert await store.find("bob", "second") is None


async def test_of_many_planners_one_moves_a_schedule_and_keeps_its_requests(databases: Databases) -> None:  # noqa: F811
    store, other = ScheduleStore(databases.definitions), ScheduleStore(databases.definitions)
    await store.add(schedule(), most=9)
    assert await store.next_at() == NOON
    assert await store.due(NOON - timedelta(microseconds=1)) == []
    [due] = await store.due(NOON)
    times = [planned(due, NOON), planned(due, NOON + HOUR)]
    won = await asyncio.gather(
        *(s.plan(due, times, following=NOON + 2 * HOUR, now=NOON + HOUR) for s in (store, other) * 5)
    )
    assert sorted(won) == [False] * 9 + [True]
    assert await store.unpublished(limit=9) == times
    [moved] = await store.all()
    assert (moved.next_at, moved.last_at, moved.last_run_id) == (NOON + 2 * HOUR, NOON + HOUR, times[1].run_id)
    await store.published(times[0], now=NOON + HOUR)
    assert await store.unpublished(limit=9) == times[1:]
    assert await store.forget_before(NOON + HOUR) == 0
    assert await store.forget_before(NOON + 2 * HOUR) == 1
    assert await store.unpublished(limit=9) == times[1:]


async def test_what_is_paused_is_not_due_and_cannot_be_planned(databases: Databases) -> None:  # noqa: F811
    store = ScheduleStore(databases.definitions)
    await store.add(schedule(), most=9)
    [due] = await store.due(NOON)
    assert await store.pause(due.schedule_id, paused=True, next_at=NOON)
    assert not await store.plan(due, [planned(due, NOON)], following=NOON + HOUR, now=NOON)
    assert (await store.due(NOON), await store.next_at(), await store.unpublished(limit=9)) == ([], None, [])
    assert await store.pause(due.schedule_id, paused=False, next_at=NOON + HOUR)
    assert await store.next_at() == NOON + HOUR


async def test_with_a_schedule_goes_what_nobody_published(databases: Databases) -> None:  # noqa: F811
    store = ScheduleStore(databases.definitions)
    await store.add(schedule(), most=9)
    await store.keep(planned(schedule(), NOON), now=NOON)
    assert await store.remove(schedule().schedule_id)
    assert not await store.remove(schedule().schedule_id)
    assert (await store.all(), await store.unpublished(limit=9)) == ([], [])
