"""Users' schedules: what is planned, and the requests of times that have come, kept until they are published.

Owns the tables schedules and schedule_times (definitions). Planning moves a schedule to its next time and keeps the
requests of those that have come in one commit, and only from where the planner saw it: so each time is planned once
by whoever comes first, and what was planned outlives its planner. Shown in use by tests/integration/test_schedules.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Index, UniqueConstraint
from sqlmodel import Field, col, select

from evolvent.events.messages.schedules import AddSchedule
from evolvent.storage.columns import UtcDateTime, read_moment
from evolvent.storage.database import Database
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.rows import LONG, DefinitionsRow
from evolvent.storage.statements import Statement, insert


class ScheduleTableRow(DefinitionsRow, table=True):
    """One schedule of one principal. `next_at` is the first time that nobody planned yet."""

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("principal", "name", name="uq_schedules_principal_name"),
        Index("ix_schedules_next", "next_at"),
    )
    schedule_id: str = Field(primary_key=True)
    principal: str
    name: str
    document: str = Field(sa_type=LONG)
    paused: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime)
    next_at: datetime = Field(sa_type=UtcDateTime)
    last_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_run_id: str | None = None


class ScheduleTimeRow(DefinitionsRow, table=True):
    """One planned time: the request that it is, and whether that is on the bus."""

    __tablename__ = "schedule_times"
    __table_args__ = (Index("ix_schedule_times_published", "published_at", "planned_at"),)
    schedule_id: str = Field(primary_key=True)
    planned_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    run_id: str
    subject: str
    body: str = Field(sa_type=LONG)
    claimed_at: datetime = Field(sa_type=UtcDateTime)
    published_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """A schedule as it stands."""

    schedule_id: str
    principal: str
    asked: AddSchedule
    paused: bool
    created_at: datetime
    next_at: datetime
    last_at: datetime | None = None
    last_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """The request of one planned time."""

    schedule_id: str
    planned_at: datetime
    run_id: str
    subject: str
    body: str


_ADD = insert(
    "schedules",
    ("schedule_id", "principal", "name", "document", "paused", "created_at", "next_at"),
    conflict="ON CONFLICT DO NOTHING",
)
_COUNT = Statement("SELECT count(*) FROM schedules WHERE principal = :principal")
_FORGET_PLANS = Statement("DELETE FROM schedule_times WHERE schedule_id = :schedule_id")
_REMOVE = Statement("DELETE FROM schedules WHERE schedule_id = :schedule_id")
_PAUSE = Statement("UPDATE schedules SET paused = :paused, next_at = :next_at WHERE schedule_id = :schedule_id")
_MOVE = Statement(
    "UPDATE schedules SET next_at = :following"
    " WHERE schedule_id = :schedule_id AND next_at = :before AND paused = :paused"
)
_KEEP = insert(
    "schedule_times",
    ("schedule_id", "planned_at", "run_id", "subject", "body", "claimed_at"),
    conflict="ON CONFLICT DO NOTHING",
)
_LAST = Statement("UPDATE schedules SET last_at = :planned_at, last_run_id = :run_id WHERE schedule_id = :schedule_id")
_PUBLISHED = Statement(
    "UPDATE schedule_times SET published_at = :now WHERE schedule_id = :schedule_id AND planned_at = :planned_at"
)
_FORGET = Statement("DELETE FROM schedule_times WHERE published_at < :before")
_NEXT = Statement("SELECT min(next_at) FROM schedules WHERE paused = :paused")


class ScheduleStore:
    """Keeps schedules and the requests of their planned times."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, schedule: StoredSchedule, *, most: int) -> bool:
        """Store a schedule; False where its principal has one of this name, or has too many."""
        row: dict[str, Any] = {
            "schedule_id": schedule.schedule_id,
            "principal": schedule.principal,
            "name": schedule.asked.name,
            "document": schedule.asked.model_dump_json(),
            "paused": schedule.paused,
            "created_at": schedule.created_at,
            "next_at": schedule.next_at,
        }

        def work(conn: Connection) -> bool:
            [[count]] = _COUNT.rows(conn, {"principal": schedule.principal})
            return count < most and _ADD.count(conn, row) == 1

        return await self._database.writer.run(work)

    async def all(self, principal: str | None = None) -> list[StoredSchedule]:
        """Return the schedules of one principal or of all, by name."""
        query = select(ScheduleTableRow).order_by(col(ScheduleTableRow.principal), col(ScheduleTableRow.name))
        if principal is not None:
            query = query.where(col(ScheduleTableRow.principal) == principal)
        async with self._database.reading() as session:
            return [_stored(row) for row in (await session.exec(query)).all()]

    async def find(self, principal: str, name: str) -> StoredSchedule | None:
        """Return a principal's schedule of this name, or None."""
        query = select(ScheduleTableRow).where(
            col(ScheduleTableRow.principal) == principal, col(ScheduleTableRow.name) == name
        )
        async with self._database.reading() as session:
            row = (await session.exec(query)).first()
        return _stored(row) if row else None

    async def remove(self, schedule_id: str) -> bool:
        """Delete a schedule, and what it planned and nobody published; False where somebody did so before."""

        def work(conn: Connection) -> bool:
            _FORGET_PLANS.count(conn, {"schedule_id": schedule_id})
            return _REMOVE.count(conn, {"schedule_id": schedule_id}) == 1

        return await self._database.writer.run(work)

    async def pause(self, schedule_id: str, *, paused: bool, next_at: datetime) -> bool:
        """Let a schedule rest or go on; False where there is none."""
        row = {"schedule_id": schedule_id, "paused": paused, "next_at": next_at}
        return await self._database.writer.run(lambda conn: _PAUSE.count(conn, row) == 1)

    async def due(self, now: datetime) -> list[StoredSchedule]:
        """Return the schedules with a time that has come and that nobody planned, the longest waiting first."""
        query = select(ScheduleTableRow).where(
            col(ScheduleTableRow.next_at) <= now, col(ScheduleTableRow.paused).is_(False)
        )
        async with self._database.reading() as session:
            return [_stored(row) for row in (await session.exec(query.order_by(col(ScheduleTableRow.next_at)))).all()]

    async def next_at(self) -> datetime | None:
        """Return when the next schedule is due."""
        rows = await self._database.look_up(lambda conn: _NEXT.rows(conn, {"paused": False}))
        return read_moment(rows[0][0]) if rows and rows[0][0] is not None else None

    async def plan(
        self, schedule: StoredSchedule, requests: Sequence[PlannedRequest], *, following: datetime, now: datetime
    ) -> bool:
        """Move a schedule to its following time and keep the requests of those that have come, in one commit.

        Returns:
            False, with nothing changed, where the schedule is not as it was read any more: somebody else planned.
        """
        move = {
            "schedule_id": schedule.schedule_id,
            "before": schedule.next_at,
            "following": following,
            "paused": False,
        }

        def work(conn: Connection) -> bool:
            if _MOVE.count(conn, move) != 1:
                return False
            _keep(conn, requests, now)
            return True

        return await self._database.writer.run(work)

    async def keep(self, request: PlannedRequest, *, now: datetime) -> None:
        """Keep a request that no plan made, to be published like those that one did."""
        await self._database.writer.run(lambda conn: _keep(conn, [request], now))

    async def unpublished(self, *, limit: int) -> list[PlannedRequest]:
        """Return requests that nobody said are on the bus, oldest first."""
        query = select(ScheduleTimeRow).where(col(ScheduleTimeRow.published_at).is_(None))
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(ScheduleTimeRow.planned_at)).limit(limit))).all()
        return [PlannedRequest(r.schedule_id, r.planned_at, r.run_id, r.subject, r.body) for r in rows]

    async def published(self, request: PlannedRequest, *, now: datetime) -> None:
        """Remember that a request is on the bus."""
        row = {"schedule_id": request.schedule_id, "planned_at": request.planned_at, "now": now}
        await self._database.writer.run(lambda conn: _PUBLISHED.count(conn, row))

    async def forget_before(self, before: datetime) -> int:
        """Delete what was published before a moment."""
        return await self._database.writer.run(lambda conn: _FORGET.count(conn, {"before": before}))


def _keep(conn: Connection, requests: Sequence[PlannedRequest], now: datetime) -> None:
    rows = [
        {name: getattr(request, name) for name in PlannedRequest.__slots__} | {"claimed_at": now}
        for request in requests
    ]
    _KEEP.many(conn, rows)
    for row in rows[-1:]:
        _LAST.count(conn, row)


def _stored(row: ScheduleTableRow) -> StoredSchedule:
    try:
        asked = AddSchedule.model_validate_json(row.document)
    except ValidationError as error:
        raise CorruptRecord(
            f"Schedule {row.name!r} of {row.principal!r} cannot be read: {error.error_count()} problems."
        ) from error
    return StoredSchedule(
        row.schedule_id,
        row.principal,
        asked,
        row.paused,
        row.created_at,
        row.next_at,
        row.last_at,
        row.last_run_id,
    )
