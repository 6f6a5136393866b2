"""The counter of changes of what is learnt: whoever changes anything raises it first, in the same transaction.

Owns the table automation_revision (definitions). Its row is what writers queue on, on every database.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.storage.database import Database
from evolvent.storage.statements import Statement

_NAME = "automations"
_RAISE = text(
    "INSERT INTO automation_revision (name, revision) VALUES (:name, 1)"
    " ON CONFLICT (name) DO UPDATE SET revision = automation_revision.revision + 1"
)
_READ = Statement("SELECT revision FROM automation_revision WHERE name = :name")


async def raise_revision(session: AsyncSession) -> None:
    """Say that something changes in this transaction."""
    await (await session.connection()).execute(_RAISE, {"name": _NAME})


async def read_revision(database: Database) -> int:
    """Return a number that grows with every change; cheap enough to ask for each second."""
    rows = await database.look_up(lambda conn: _READ.rows(conn, {"name": _NAME}))
    return int(rows[0][0]) if rows else 0
