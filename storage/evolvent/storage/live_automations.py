"""The live automations as whoever serves by them reads them: what changed first, documents only where they are new.

Reads the tables of `automation_rows.py`, a page at a time, so that ten thousand of them never hold up a loop.
Shown in use by tests/integration/test_serving_automations.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlmodel import col, select

from evolvent.storage.automation_rows import AutomationRow
from evolvent.storage.automations import AutomationStore
from evolvent.storage.database import Database

PAGE = 500
Key = tuple[str, int]


class LiveAutomations:
    """Reads what is live, and whether anything has changed."""

    def __init__(self, database: Database, store: AutomationStore) -> None:
        self._database = database
        self._store = store

    async def revision(self) -> int:
        """Return a number that grows with every change."""
        return await self._store.revision()

    async def keys(self) -> dict[Key, str]:
        """Return (automation_id, version) of every live automation, with the hash of its contents."""
        columns = select(AutomationRow.automation_id, AutomationRow.version, AutomationRow.content_hash)
        found: dict[Key, str] = {}
        last = ""
        while True:
            query = columns.where(col(AutomationRow.status) == "live", col(AutomationRow.automation_id) > last)
            async with self._database.reading() as session:
                rows = (await session.exec(query.order_by(col(AutomationRow.automation_id)).limit(PAGE))).all()
            found |= {(automation_id, version): content_hash for automation_id, version, content_hash in rows}
            if len(rows) < PAGE:
                return found
            last = rows[-1][0]

    async def documents(self, keys: Iterable[Key]) -> dict[Key, str]:
        """Return the stored documents of these versions, unread: one that is broken concerns no other."""
        wanted = sorted(keys)
        found: dict[Key, str] = {}
        for start in range(0, len(wanted), PAGE):
            page = set(wanted[start : start + PAGE])
            columns = select(AutomationRow.automation_id, AutomationRow.version, AutomationRow.document)
            query = columns.where(col(AutomationRow.automation_id).in_({name for name, _ in page}))
            async with self._database.reading() as session:
                rows = (await session.exec(query)).all()
            found |= {(name, version): document for name, version, document in rows if (name, version) in page}
        return found

    async def small_talk(self) -> list[dict[str, Any]]:
        """Return the templates of small talk of every scope."""
        return list(await self._store.small_talk())

    async def chains(self) -> list[dict[str, Any]]:
        """Return the reads that the runs of every scope begin with."""
        return list(await self._store.chains.all())
