"""What else came over the bus, kept as it came: the platform's events, commands and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, Index, LargeBinary, func
from sqlmodel import Field, col, select

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.rows import LONG, RecordsRow
from evolvent.storage.run_parts import json_text
from evolvent.storage.statements import Statement, insert


class PlatformEventRow(RecordsRow, table=True):
    """An event of the platform."""

    __tablename__ = "platform_events"
    __table_args__ = (Index("ix_platform_events_type", "type", "stored_at"), Index("ix_platform_events_run", "run_id"))
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    stored_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    type: str
    run_id: str | None = None
    body: str = Field(sa_type=LONG)


class CommandRow(RecordsRow, table=True):
    """What somebody said about a run."""

    __tablename__ = "commands"
    __table_args__ = (Index("ix_commands_run", "run_id"), Index("ix_commands_stored", "stored_at"))
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    stored_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    verb: str
    run_id: str
    principal: str = "anonymous"
    body: str = Field(sa_type=LONG)


class DeadLetterRow(RecordsRow, table=True):
    """A message that nobody could handle, with its bytes and why."""

    __tablename__ = "dead_letters"
    __table_args__ = (Index("ix_dead_letters_stored", "stored_at"),)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    stored_at: datetime = Field(primary_key=True, sa_type=UtcDateTime)
    stream: str
    subject: str = ""
    error_code: str = ""
    reason: str = Field(default="", sa_type=LONG)
    headers: str = Field(default="{}", sa_type=LONG)
    body: bytes = Field(sa_type=LargeBinary)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the platform as it stands in the EVENTS stream."""

    seq: int
    stored_at: datetime
    type: str
    run_id: str | None
    body: str


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A command as it stands in the COMMANDS stream; `principal` is who said it, as the bus knows."""

    seq: int
    stored_at: datetime
    verb: str
    run_id: str
    principal: str
    body: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the DEAD_LETTERS stream."""

    seq: int
    stored_at: datetime
    stream: str
    subject: str
    error_code: str
    reason: str
    headers: dict[str, str]
    body: bytes


_SEEN = "ON CONFLICT (seq, stored_at) DO NOTHING"
_EVENT = insert("platform_events", ("seq", "stored_at", "type", "run_id", "body"), conflict=_SEEN)
_COMMAND = insert("commands", ("seq", "stored_at", "verb", "run_id", "principal", "body"), conflict=_SEEN)
_DEAD = insert(
    "dead_letters",
    ("seq", "stored_at", "stream", "subject", "error_code", "reason", "headers", "body"),
    conflict=_SEEN,
)

_FORGET = tuple(
    Statement(f"DELETE FROM {table} WHERE stored_at < :before")  # noqa: S608 - the names are ours
    for table in ("platform_events", "commands", "dead_letters")
)


class Archive:
    """Keeps the messages of the other streams; the same message twice is kept once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_events(self, events: Sequence[StoredEvent]) -> None:
        """Keep a batch of platform events."""
        rows = [{name: getattr(event, name) for name in StoredEvent.__slots__} for event in events]
        await self._database.writer.run(lambda conn: _EVENT.many(conn, rows))

    async def keep_commands(self, commands: Sequence[StoredCommand]) -> None:
        """Keep a batch of commands."""
        rows = [{name: getattr(command, name) for name in StoredCommand.__slots__} for command in commands]
        await self._database.writer.run(lambda conn: _COMMAND.many(conn, rows))

    async def keep_dead(self, letters: Sequence[DeadLetter]) -> None:
        """Keep a batch of dead letters."""
        rows = [{name: getattr(letter, name) for name in DeadLetter.__slots__} for letter in letters]
        for row in rows:
            row["headers"] = json_text(row["headers"])
        await self._database.writer.run(lambda conn: _DEAD.many(conn, rows))

    async def events(
        self, *, type_: str | None = None, run_id: str | None = None, limit: int = 100
    ) -> list[StoredEvent]:
        """Return the latest platform events first."""
        query = select(PlatformEventRow)
        if type_ is not None:
            query = query.where(col(PlatformEventRow.type) == type_)
        if run_id is not None:
            query = query.where(col(PlatformEventRow.run_id) == run_id)
        query = query.order_by(col(PlatformEventRow.stored_at).desc(), col(PlatformEventRow.seq).desc()).limit(limit)
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        return [StoredEvent(row.seq, row.stored_at, row.type, row.run_id, row.body) for row in rows]

    async def commands_for(self, run_id: str) -> list[StoredCommand]:
        """Return what was said about a run, oldest first."""
        query = select(CommandRow).where(col(CommandRow.run_id) == run_id).order_by(col(CommandRow.seq))
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        return [StoredCommand(r.seq, r.stored_at, r.verb, r.run_id, r.principal, r.body) for r in rows]

    async def dead_count(self) -> int:
        """Return how many dead letters are kept."""
        async with self._database.reading() as session:
            return (await session.exec(select(func.count()).select_from(DeadLetterRow))).one()

    async def forget_before(self, before: datetime) -> None:
        """Delete what was stored before a moment."""

        def work(conn: Connection) -> None:
            for statement in _FORGET:
                statement.count(conn, {"before": before})

        await self._database.writer.run(work)
