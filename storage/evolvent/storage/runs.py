"""Questions about recorded runs. Reads only: what is here was written by the recorder.

A recorded run may lag its journal by milliseconds. Shown in use by tests/integration/test_runs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, func
from sqlmodel import col, select

from evolvent.events.errors import NotFound
from evolvent.events.messages.runs import read_run_event
from evolvent.storage.database import Database
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.projections import JournalEntry
from evolvent.storage.recording import Recorded, record_runs
from evolvent.storage.run_records import (
    AgentTotals,
    DailyTotals,
    RunRecord,
    SuspendedRun,
    TaskRecord,
    ToolCallRecord,
    TurnSummary,
    read_row,
)
from evolvent.storage.run_rows import (
    AgentTotalsRow,
    DailyTotalsRow,
    FinishedRunRow,
    ModelTurnRow,
    RunEventRow,
    RunRow,
    TaskRow,
    ToolCallRow,
)
from evolvent.storage.statements import Statement

_EXISTS = Statement("SELECT status, request_hash FROM runs WHERE run_id = :run_id")
_OWNER = Statement("SELECT principal FROM runs WHERE run_id = :run_id")
_LAST_SEQ = Statement("SELECT last_seq FROM runs WHERE run_id = :run_id")
_RUNNING_FIRST = Statement(
    "SELECT MIN(first_seq) FROM runs WHERE status = 'running' OR (status = 'pending' AND EXISTS"
    " (SELECT 1 FROM run_events WHERE run_events.run_id = runs.run_id AND run_events.occurred_at >= :since))"
)
_FORGET = tuple(
    Statement(f"DELETE FROM {table} WHERE run_id IN :run_ids")  # noqa: S608 - the names are ours
    for table in ("run_events", "tasks", "model_turns", "tool_calls", "attempts", "finished_runs", "runs")
)
_OLD = Statement("SELECT run_id FROM runs WHERE finished_at < :before ORDER BY finished_at LIMIT :most")


class RunStore:
    """Records batches of journals, and answers questions about runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, entries: Sequence[JournalEntry], *, forgive: frozenset[str] = frozenset()) -> Recorded:
        """Record a batch in one transaction; return its gaps once that is committed."""
        return await self._database.writer.run(lambda conn: record_runs(conn, entries, forgive=forgive))

    async def get(self, run_id: str) -> RunRecord:
        """Return a run.

        Raises:
            NotFound: no such run is recorded (yet).
            CorruptRecord: its row cannot be read.
        """
        async with self._database.reading() as session:
            row = await session.get(RunRow, run_id)
        if row is None:
            raise NotFound(f"No run {run_id!r} is recorded; `evolvent runs list` shows the last ones.")
        return read_row(RunRecord, row)

    async def exists(self, run_id: str) -> tuple[str, str] | None:
        """Return (status, request hash) of a recorded run, or None."""
        rows = await self._database.look_up(lambda conn: _EXISTS.rows(conn, {"run_id": run_id}))
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    async def principal_of(self, run_id: str) -> str | None:
        """Return who started a recorded run, or None."""
        rows = await self._database.look_up(lambda conn: _OWNER.rows(conn, {"run_id": run_id}))
        return str(rows[0][0]) if rows else None

    async def latest(
        self,
        *,
        goal: str | None = None,
        status: str | None = None,
        principal: str | None = None,
        user_id: str | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[RunRecord]:
        """Return the latest runs first."""
        wanted = (("goal", goal), ("status", status), ("principal", principal), ("user_id", user_id))
        query = select(RunRow).where(*(getattr(RunRow, name) == value for name, value in wanted if value is not None))
        if before is not None:
            query = query.where(col(RunRow.started_at) < before)
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(RunRow.started_at).desc()).limit(limit))).all()
        return [read_row(RunRecord, row) for row in rows]

    async def events(self, run_id: str) -> list[JournalEntry]:
        """Return the recorded journal of a run, in order.

        Raises:
            CorruptRecord: an event cannot be read.
        """
        query = select(RunEventRow).where(col(RunEventRow.run_id) == run_id).order_by(col(RunEventRow.seq))
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        return [_entry(row) for row in rows]

    async def tasks(self, run_id: str) -> list[TaskRecord]:
        """Return the tasks of a run in the order of its workflow."""
        query = (
            select(TaskRow).where(col(TaskRow.run_id) == run_id).order_by(col(TaskRow.position), col(TaskRow.task_id))
        )
        async with self._database.reading() as session:
            return [read_row(TaskRecord, row) for row in (await session.exec(query)).all()]

    async def turns(self, run_id: str) -> list[TurnSummary]:
        """Return the model turns of a run in the order of its journal."""
        query = select(ModelTurnRow).where(col(ModelTurnRow.run_id) == run_id)
        query = query.order_by(col(ModelTurnRow.seq), col(ModelTurnRow.position))
        async with self._database.reading() as session:
            return [read_row(TurnSummary, row) for row in (await session.exec(query)).all()]

    async def tool_calls(self, run_ids: Sequence[str]) -> dict[str, list[ToolCallRecord]]:
        """Return the trace of each run: its tool calls in the order of its journal."""
        query = select(ToolCallRow).where(col(ToolCallRow.run_id).in_(run_ids))
        query = query.order_by(col(ToolCallRow.run_id), col(ToolCallRow.seq), col(ToolCallRow.position))
        traces: dict[str, list[ToolCallRecord]] = {run_id: [] for run_id in run_ids}
        async with self._database.reading() as session:
            for row in (await session.exec(query)).all():
                traces[row.run_id].append(read_row(ToolCallRecord, row))
        return traces

    async def last_run_of(self, principal: str, user_id: str | None = None) -> str | None:
        """Return the run_id of the last live run that a principal, or one user under it, started."""
        query = select(RunRow.run_id).where(col(RunRow.principal) == principal, col(RunRow.mode) == "live")
        if user_id is not None:
            query = query.where(col(RunRow.user_id) == user_id)
        query = query.order_by(col(RunRow.started_at).desc(), col(RunRow.last_seq).desc()).limit(1)
        async with self._database.reading() as session:
            return (await session.exec(query)).first()

    async def suspended(
        self,
        *,
        reason: str | None = None,
        due_before: datetime | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[SuspendedRun]:
        """Return runs that wait; with `due_before`, those whose `wake_at` has come by then.

        With `after` they come by run_id, from the one after it; so one page follows another.
        """
        query = select(RunRow).where(col(RunRow.status) == "suspended")
        if reason is not None:
            query = query.where(col(RunRow.suspended_reason) == reason)
        if due_before is not None:
            query = query.where(col(RunRow.wake_at) <= due_before)
        if after is not None:
            query = query.where(col(RunRow.run_id) > after).order_by(col(RunRow.run_id))
        query = query.order_by(col(RunRow.wake_at), col(RunRow.run_id)).limit(limit)
        async with self._database.reading() as session:
            return [read_row(SuspendedRun, row) for row in (await session.exec(query)).all()]

    async def state_of_suspended(self, run_id: str) -> dict[str, Any] | None:
        """Return the whole state of a run that waits, or None where it doesn't wait."""
        async with self._database.reading() as session:
            row = await session.get(RunRow, run_id)
        return None if row is None or row.status != "suspended" else read_row(SuspendedRun, row).state

    async def last_seq(self, run_id: str) -> int:
        """Return the stream sequence up to which a run is recorded; 0 for none."""
        rows = await self._database.look_up(lambda conn: _LAST_SEQ.rows(conn, {"run_id": run_id}))
        return int(rows[0][0]) if rows else 0

    async def running_first_seq(self, *, pending_since: datetime) -> int | None:
        """Return the first event's sequence of the oldest run that is neither ended nor suspended.

        Args:
            pending_since: a run of which there is nothing but a command counts only where that is not older; else
                anybody could hold every journal back, by cancelling what there never was.
        """
        rows = await self._database.look_up(lambda conn: _RUNNING_FIRST.rows(conn, {"since": pending_since}))
        return None if rows[0][0] is None else int(rows[0][0])

    async def finished_since(self, position: int, limit: int = 500) -> list[tuple[int, RunRecord]]:
        """Return runs that were recorded as ended after a position, each with its own, in that order."""
        query = (
            select(FinishedRunRow.position, RunRow)
            .join(RunRow, col(RunRow.run_id) == col(FinishedRunRow.run_id))
            .where(col(FinishedRunRow.position) > position)
            .order_by(col(FinishedRunRow.position))
            .limit(limit)
        )
        async with self._database.reading() as session:
            return [(int(at or 0), read_row(RunRecord, row)) for at, row in (await session.exec(query)).all()]

    async def summary(self) -> dict[str, int]:
        """Return how many runs stand in each status."""
        query = select(RunRow.status, func.count()).group_by(RunRow.status)
        async with self._database.reading() as session:
            return {status: int(n) for status, n in (await session.exec(query)).all()}

    async def daily_totals(self, *, since_day: str, goal: str | None = None) -> list[DailyTotals]:
        """Return what runs came to, for each UTC day and goal since a day (`2026-01-31`)."""
        query = select(DailyTotalsRow).where(col(DailyTotalsRow.day) >= since_day)
        if goal is not None:
            query = query.where(col(DailyTotalsRow.goal) == goal)
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(DailyTotalsRow.day), col(DailyTotalsRow.goal)))).all()
        return [read_row(DailyTotals, row) for row in rows]

    async def agent_totals(self, agent_ids: Sequence[str]) -> dict[str, AgentTotals]:
        """Return what these agents did so far; those that did nothing are missing."""
        query = select(AgentTotalsRow).where(col(AgentTotalsRow.agent_id).in_(agent_ids))
        async with self._database.reading() as session:
            return {row.agent_id: read_row(AgentTotals, row) for row in (await session.exec(query)).all()}

    async def agents_used_since(self, since: datetime) -> set[str]:
        """Return the agents that took a model turn since a moment."""
        query = select(ModelTurnRow.agent_id).where(col(ModelTurnRow.started_at) >= since).distinct()
        async with self._database.reading() as session:
            return set((await session.exec(query)).all())

    async def runs_of_user(self, user_id: str) -> list[str]:
        """Return the run_ids of a user, for unlearning what stands on them."""
        async with self._database.reading() as session:
            return list((await session.exec(select(RunRow.run_id).where(col(RunRow.user_id) == user_id))).all())

    async def forget_before(self, before: datetime, *, most: int = 500) -> int:
        """Delete up to `most` runs that ended before a moment, with all that belongs to them; totals stay."""

        def work(conn: Connection) -> int:
            run_ids = [run_id for (run_id,) in _OLD.rows(conn, {"before": before, "most": most})]
            for statement in _FORGET:
                statement.count(conn, {"run_ids": run_ids})
            return len(run_ids)

        return await self._database.writer.run(work)


def _entry(row: RunEventRow) -> JournalEntry:
    body = row.body.encode()
    try:
        return JournalEntry(row.seq, read_run_event(body), body)
    except ValidationError as error:
        raise CorruptRecord(
            f"Event {row.seq} of run {row.run_id!r} cannot be read; restore it from a backup."
        ) from error
