"""Scheduled jobs: each planned time is claimed by exactly one runner, however many processes tick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Field, col, select

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.rows import LONG, RecordsRow
from evolvent.storage.run_parts import clean
from evolvent.storage.statements import Statement, insert


class JobRunRow(RecordsRow, table=True):
    """A planned time of a job: who claimed it, and how it went."""

    __tablename__ = "job_runs"
    job: str = Field(primary_key=True)
    planned_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    claimed_by: str
    claimed_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ok: bool | None = None
    detail: str = Field(default="", sa_type=LONG)


@dataclass(frozen=True, slots=True)
class JobRun:
    """How one planned time of a job went; `ok` is None while it runs, or if its runner died."""

    job: str
    planned_at: datetime
    claimed_by: str
    claimed_at: datetime
    finished_at: datetime | None
    ok: bool | None
    detail: str


_CLAIM = insert(
    "job_runs", ("job", "planned_at", "claimed_by", "claimed_at", "detail"), conflict="ON CONFLICT DO NOTHING"
)
_FINISH = Statement(
    "UPDATE job_runs SET finished_at = :finished_at, ok = :ok, detail = :detail"
    " WHERE job = :job AND planned_at = :planned_at"
)
_FORGET = Statement("DELETE FROM job_runs WHERE planned_at < :before")


class JobStore:
    """Claims planned times and remembers how they went."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, job: str, planned_at: datetime, *, by: str, now: datetime) -> bool:
        """Say whether this planned time is the caller's to run; it is for exactly one."""
        row = {"job": job, "planned_at": planned_at, "claimed_by": by, "claimed_at": now, "detail": ""}
        return await self._database.writer.run(lambda conn: _CLAIM.count(conn, row) == 1)

    async def finish(self, job: str, planned_at: datetime, *, now: datetime, ok: bool, detail: str = "") -> None:
        """Remember how it went."""
        row = {"job": job, "planned_at": planned_at, "finished_at": now, "ok": ok, "detail": clean(detail)}
        await self._database.writer.run(lambda conn: _FINISH.count(conn, row))

    async def last(self, job: str) -> JobRun | None:
        """Return the latest planned time of a job that was claimed."""
        found = await self.history(job, limit=1)
        return found[0] if found else None

    async def history(self, job: str, *, limit: int = 20) -> list[JobRun]:
        """Return how a job went, latest first."""
        query = select(JobRunRow).where(col(JobRunRow.job) == job).order_by(col(JobRunRow.planned_at).desc())
        async with self._database.reading() as session:
            rows = (await session.exec(query.limit(limit))).all()
        return [JobRun(r.job, r.planned_at, r.claimed_by, r.claimed_at, r.finished_at, r.ok, r.detail) for r in rows]

    async def forget_before(self, before: datetime) -> int:
        """Delete what was planned before a moment."""
        return await self._database.writer.run(lambda conn: _FORGET.count(conn, {"before": before}))
