"""What people and the world say about runs, which traces come back, and where incremental jobs stopped.

Owns the tables feedback, outcomes, variants and positions (records).
Shown in use by tests/integration/test_improvements.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json
from sqlalchemy import BigInteger, Connection, Index
from sqlmodel import Field, col, select

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.rows import LONG, RecordsRow
from evolvent.storage.run_parts import clean, json_text
from evolvent.storage.statements import Statement, insert

_KEPT_RUNS = 50


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


class VariantRow(RecordsRow, table=True):
    """A trace that was seen: how often, when last, and its latest runs."""

    __tablename__ = "variants"
    __table_args__ = (Index("ix_variants_support", "support", "variant"),)
    variant: str = Field(primary_key=True)
    signature: str = Field(sa_type=LONG)
    support: int = 0
    run_ids: str = Field(default="[]", sa_type=LONG)
    last_at: datetime = Field(sa_type=UtcDateTime)


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


@dataclass(frozen=True, slots=True)
class Sighting:
    """A run that showed a variant. `signature` is the readable form of it."""

    variant: str
    signature: str
    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Variant:
    """A trace, how many runs showed it, and the latest of them, oldest first."""

    variant: str
    signature: str
    support: int
    run_ids: tuple[str, ...]
    last_at: datetime


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
_VARIANTS = Statement(
    "SELECT variant, support, run_ids FROM variants WHERE variant IN :variants ORDER BY variant", lock=True
)
_PUT_VARIANT = insert(
    "variants",
    ("variant", "signature", "support", "run_ids", "last_at"),
    conflict="ON CONFLICT (variant) DO UPDATE SET support = excluded.support, run_ids = excluded.run_ids,"
    " last_at = excluded.last_at",
)
_POSITION = Statement("SELECT position FROM positions WHERE name = :name")
_START = insert("positions", ("name", "position"), conflict="ON CONFLICT (name) DO NOTHING")
_ADVANCE = Statement("UPDATE positions SET position = :after WHERE name = :name AND position = :before")


class ImprovementStore:
    """Keeps feedback, outcomes and variants, and the positions of those who count them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_feedback(self, feedback: StoredFeedback) -> bool:
        """Keep what a user said; False where it was kept before."""
        row = {name: getattr(feedback, name) for name in StoredFeedback.__slots__}
        row["text"] = clean(feedback.text)
        return await self._database.writer.run(lambda conn: _FEEDBACK.count(conn, row) > 0)

    async def put_outcome(self, outcome: StoredOutcome) -> None:
        """Keep what became of a run; a later word of the same principal replaces the earlier."""
        row = {name: getattr(outcome, name) for name in StoredOutcome.__slots__}
        row["note"] = clean(outcome.note)
        await self._database.writer.run(lambda conn: _OUTCOME.many(conn, [row]))

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

    async def position(self, name: str) -> int:
        """Return how far a job has come; 0 where it never ran."""
        rows = await self._database.look_up(lambda conn: _POSITION.rows(conn, {"name": name}))
        return int(rows[0][0]) if rows else 0

    async def advance(self, name: str, *, before: int, after: int, sightings: Sequence[Sighting] = ()) -> bool:
        """Move a job from one position to the next and count what it saw on the way, in one commit.

        Returns:
            False, with nothing counted, where the job is not at `before` any more: somebody else did that part.
        """

        def work(conn: Connection) -> bool:
            _START.many(conn, [{"name": name, "position": 0}])
            if _ADVANCE.count(conn, {"name": name, "before": before, "after": after}) != 1:
                return False
            _count(conn, sightings)
            return True

        return await self._database.writer.run(work)

    async def variants(self, *, min_support: int = 1, limit: int = 100) -> list[Variant]:
        """Return the variants seen most often."""
        query = select(VariantRow).where(col(VariantRow.support) >= min_support)
        query = query.order_by(col(VariantRow.support).desc(), col(VariantRow.variant)).limit(limit)
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        return [Variant(r.variant, r.signature, r.support, tuple(from_json(r.run_ids)), r.last_at) for r in rows]


def _count(conn: Connection, sightings: Sequence[Sighting]) -> None:
    by_variant: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        by_variant.setdefault(sighting.variant, []).append(sighting)
    known: Mapping[str, tuple[int, str]] = {
        variant: (support, run_ids)
        for variant, support, run_ids in _VARIANTS.rows(conn, {"variants": sorted(by_variant)})
    }
    rows = []
    for variant, seen in sorted(by_variant.items()):
        support, run_ids = known.get(variant, (0, "[]"))
        kept = [*from_json(run_ids), *(sighting.run_id for sighting in seen)][-_KEPT_RUNS:]
        rows.append(
            {
                "variant": variant,
                "signature": seen[-1].signature,
                "support": support + len(seen),
                "run_ids": json_text(kept),
                "last_at": max(sighting.at for sighting in seen),
            }
        )
    _PUT_VARIANT.many(conn, rows)
