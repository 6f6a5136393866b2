"""What people and the world say about runs. What says that a run went wrong is kept for the learner as a dispute.

Owns the tables feedback, outcomes and positions (records).
Shown in use by tests/integration/test_improvements.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from sqlalchemy import BigInteger, Connection, Index
from sqlmodel import Field, col, select

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.complaints import is_complaint
from evolvent.storage.database import Database
from evolvent.storage.rows import LONG, RecordsRow
from evolvent.storage.run_parts import clean
from evolvent.storage.statements import Statement, insert

FeedbackStatus = Literal["received", "noted", "suspended", "proposing", "proposed", "applied", "declined", "failed"]
OPEN: tuple[FeedbackStatus, ...] = ("proposing", "proposed")
"""What somebody still works on, or a person has to decide."""


class FeedbackRow(RecordsRow, table=True):
    """What a user said about a run."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index("ix_feedback_run", "run_id"),
        Index("ix_feedback_created", "created_at"),
        Index("ix_feedback_status", "status", "created_at"),
    )
    feedback_id: str = Field(primary_key=True)
    run_id: str
    user_id: str | None = None
    principal: str = "anonymous"
    text: str = Field(default="", sa_type=LONG)
    rating: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    is_dispute: bool = False
    status: str = "received"
    detail: str = Field(default="", sa_type=LONG)
    target: str = ""
    improver_run: str | None = None


class OutcomeRow(RecordsRow, table=True):
    """Whether a run did what was wanted; the last word of each principal counts."""

    __tablename__ = "outcomes"
    run_id: str = Field(primary_key=True)
    principal: str = Field(primary_key=True)
    ok: bool
    note: str | None = Field(default=None, sa_type=LONG)
    created_at: datetime = Field(sa_type=UtcDateTime)


class PositionRow(RecordsRow, table=True):
    """How far an incremental job has come."""

    __tablename__ = "positions"
    name: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)


@dataclass(frozen=True, slots=True)
class StoredFeedback:
    """What a user said about a run, and what came of it.

    `target` is what was changed or shall be, as KIND:ID@VERSION; `improver_run` the run that proposes it.
    """

    feedback_id: str
    run_id: str
    user_id: str | None
    principal: str
    text: str
    rating: int | None
    created_at: datetime
    is_dispute: bool = False
    status: str = "received"
    detail: str = ""
    target: str = ""
    improver_run: str | None = None


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """Whether a run did what was wanted, in the words of one principal."""

    run_id: str
    principal: str
    ok: bool
    note: str | None
    created_at: datetime


_FEEDBACK = insert(
    "feedback",
    StoredFeedback.__slots__,
    conflict="ON CONFLICT (feedback_id) DO NOTHING",
)
_OUTCOME = insert(
    "outcomes",
    StoredOutcome.__slots__,
    conflict="ON CONFLICT (run_id, principal) DO UPDATE SET ok = excluded.ok, note = excluded.note,"
    " created_at = excluded.created_at WHERE excluded.created_at >= outcomes.created_at",
)
_DISPUTE = insert("disputes", ("run_id",), conflict="ON CONFLICT (run_id) DO NOTHING")
_DISPUTED = Statement(
    "SELECT run_id FROM outcomes WHERE run_id IN :run_ids AND ok = :no"
    " UNION SELECT run_id FROM feedback WHERE run_id IN :run_ids AND is_dispute"
)
_TURN = Statement(
    "UPDATE feedback SET status = :status, detail = :detail, target = :target, improver_run = :improver_run"
    " WHERE feedback_id = :feedback_id AND status = :before"
)


class ImprovementStore:
    """Keeps feedback and outcomes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_feedback(self, feedback: StoredFeedback, *, may_dispute: bool = True) -> bool:
        """Keep what a user said; False where it was kept before. `may_dispute`: they have a say in this run."""
        row = {name: getattr(feedback, name) for name in StoredFeedback.__slots__}
        row["text"] = clean(feedback.text)
        row["is_dispute"] = may_dispute and is_complaint(feedback.text, feedback.rating)

        def work(conn: Connection) -> bool:
            is_new = _FEEDBACK.count(conn, row) > 0
            if is_new and row["is_dispute"]:
                _DISPUTE.many(conn, [{"run_id": feedback.run_id}])
            return is_new

        return await self._database.writer.run(work)

    async def put_outcome(self, outcome: StoredOutcome) -> None:
        """Keep what became of a run; a later word of the same principal replaces the earlier."""
        row = {name: getattr(outcome, name) for name in StoredOutcome.__slots__}
        row["note"] = clean(outcome.note)

        def work(conn: Connection) -> None:
            _OUTCOME.many(conn, [row])
            if not outcome.ok:
                _DISPUTE.many(conn, [{"run_id": outcome.run_id}])

        await self._database.writer.run(work)

    async def disputed(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Return those of these runs of which somebody says that they went wrong."""
        values = {"run_ids": run_ids, "no": False}
        return frozenset(
            run_id for (run_id,) in await self._database.look_up(lambda conn: _DISPUTED.rows(conn, values))
        )

    async def turn(self, feedback: StoredFeedback, *, before: str) -> bool:
        """Keep what came of feedback, if nobody else has taken it on from that status."""
        names = ("feedback_id", "status", "detail", "target", "improver_run")
        row = {name: getattr(feedback, name) for name in names}
        row["detail"] = clean(feedback.detail)
        return await self._database.writer.run(lambda conn: _TURN.count(conn, {**row, "before": before}) > 0)

    async def close(self, feedback: StoredFeedback, status: FeedbackStatus, detail: str) -> bool:
        """End what feedback asked for, if it stands where it stood."""
        return await self.turn(replace(feedback, status=status, detail=detail), before=feedback.status)

    async def close_proposals(self, target: str, status: FeedbackStatus, detail: str) -> None:
        """End all feedback that asked for a proposed version."""
        for each in await self.feedback(target=target, status="proposed"):
            await self.close(each, status, detail)

    async def feedback(
        self,
        *,
        run_id: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
        **wanted: str | None,
    ) -> list[StoredFeedback]:
        """Return feedback, latest first; `wanted` are values of `feedback_id`, `principal`, `status` and `target`."""
        query = select(FeedbackRow)
        for name, value in {**wanted, "run_id": run_id}.items():
            if value is not None:
                query = query.where(getattr(FeedbackRow, name) == value)
        if since is not None:
            query = query.where(col(FeedbackRow.created_at) >= since)
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(FeedbackRow.created_at).desc()).limit(limit))).all()
        return [StoredFeedback(*(getattr(row, name) for name in StoredFeedback.__slots__)) for row in rows]

    async def outcomes(self, run_ids: Sequence[str]) -> dict[str, list[StoredOutcome]]:
        """Return what is known of these runs; those without a word are missing."""
        found: dict[str, list[StoredOutcome]] = {}
        query = select(OutcomeRow).where(col(OutcomeRow.run_id).in_(run_ids)).order_by(col(OutcomeRow.created_at))
        async with self._database.reading() as session:
            for row in (await session.exec(query)).all():
                found.setdefault(row.run_id, []).append(
                    StoredOutcome(row.run_id, row.principal, row.ok, row.note, row.created_at)
                )
        return found
