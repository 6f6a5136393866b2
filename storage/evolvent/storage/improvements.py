"""What people and the world say about runs. What says that a run went wrong is kept for the learner as a dispute.

Owns the tables feedback, outcomes and positions (records).
Shown in use by tests/integration/test_improvements.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, Index
from sqlmodel import Field, col, select

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.rows import LONG, RecordsRow
from evolvent.storage.run_parts import clean
from evolvent.storage.statements import Statement, insert

WORST_RATING = 2
"""Feedback without a rating, or with one up to this, wishes that the run had gone otherwise: no example to follow."""


class FeedbackRow(RecordsRow, table=True):
    """What a user said about a run."""

    __tablename__ = "feedback"
    __table_args__ = (Index("ix_feedback_run", "run_id"), Index("ix_feedback_created", "created_at"))
    feedback_id: str = Field(primary_key=True)
    run_id: str
    user_id: str | None = None
    principal: str = "anonymous"
    text: str = Field(default="", sa_type=LONG)
    rating: int | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)


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
    """What a user said about a run."""

    feedback_id: str
    run_id: str
    user_id: str | None
    principal: str
    text: str
    rating: int | None
    created_at: datetime


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
    " UNION SELECT run_id FROM feedback WHERE run_id IN :run_ids AND (rating IS NULL OR rating <= :worst)"
)


class ImprovementStore:
    """Keeps feedback and outcomes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_feedback(self, feedback: StoredFeedback) -> bool:
        """Keep what a user said; False where it was kept before."""
        row = {name: getattr(feedback, name) for name in StoredFeedback.__slots__}
        row["text"] = clean(feedback.text)
        is_complaint = feedback.rating is None or feedback.rating <= WORST_RATING

        def work(conn: Connection) -> bool:
            is_new = _FEEDBACK.count(conn, row) > 0
            if is_new and is_complaint:
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
        """Return those of these runs of which somebody says that they went wrong, or wishes that they were better."""
        values = {"run_ids": run_ids, "no": False, "worst": WORST_RATING}
        return frozenset(
            run_id for (run_id,) in await self._database.look_up(lambda conn: _DISPUTED.rows(conn, values))
        )

    async def feedback(
        self, *, run_id: str | None = None, since: datetime | None = None, limit: int = 200
    ) -> list[StoredFeedback]:
        """Return feedback, latest first."""
        query = select(FeedbackRow)
        if run_id is not None:
            query = query.where(col(FeedbackRow.run_id) == run_id)
        if since is not None:
            query = query.where(col(FeedbackRow.created_at) >= since)
        async with self._database.reading() as session:
            rows = (await session.exec(query.order_by(col(FeedbackRow.created_at).desc()).limit(limit))).all()
        return [
            StoredFeedback(r.feedback_id, r.run_id, r.user_id, r.principal, r.text, r.rating, r.created_at)
            for r in rows
        ]

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
