"""The claim check: results too large for the journal, kept once under their hash."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.rows import RecordsRow
from evolvent.storage.statements import Statement, insert


class BlobRow(RecordsRow, table=True):
    """Bytes under their SHA-256."""

    __tablename__ = "blobs"
    __table_args__ = (Index("ix_blobs_used", "used_at"),)
    sha256: str = Field(primary_key=True)
    body: bytes = Field(sa_type=LargeBinary)
    used_at: datetime = Field(sa_type=UtcDateTime)


_PUT = insert(
    "blobs", ("sha256", "body", "used_at"), conflict="ON CONFLICT (sha256) DO UPDATE SET used_at = excluded.used_at"
)
_GET = Statement("SELECT body FROM blobs WHERE sha256 = :sha256")
_FORGET = Statement("DELETE FROM blobs WHERE used_at < :before")


class BlobStore:
    """Puts and gets bytes by hash."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def put(self, body: bytes) -> str:
        """Keep the bytes and return their SHA-256 once that is committed; the same bytes are kept once."""
        sha256 = hashlib.sha256(body).hexdigest()
        row = {"sha256": sha256, "body": body, "used_at": self._clock.now()}
        await self._database.writer.run(lambda conn: _PUT.many(conn, [row]))
        return sha256

    async def get(self, sha256: str) -> bytes:
        """Return the bytes.

        Raises:
            NotFound: nothing is kept under this hash.
            CorruptRecord: what is kept no longer has this hash.
        """
        rows = await self._database.look_up(lambda conn: _GET.rows(conn, {"sha256": sha256}))
        if not rows:
            raise NotFound(f"Nothing is stored under {sha256[:16]}...; it may be older than the retention.")
        body = bytes(rows[0][0])
        if hashlib.sha256(body).hexdigest() != sha256:
            raise CorruptRecord(f"The bytes stored under {sha256[:16]}... have changed; restore them from a backup.")
        return body

    async def forget_before(self, before: datetime) -> int:
        """Delete what nobody has put since then; how many."""
        return await self._database.writer.run(lambda conn: _FORGET.count(conn, {"before": before}))
