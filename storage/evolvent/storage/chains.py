"""The reads that the runs of a scope begin with, as documents beside the automations.

Works on the table read_chains (definitions) of `automation_rows.py`.
Shown in use by tests/integration/test_prefetching.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.storage.automation_changes import raise_revision
from evolvent.storage.automation_rows import ReadChainsRow
from evolvent.storage.database import Database
from evolvent.storage.run_parts import json_text


class ChainStore:
    """Keeps one document for each scope, (goal, agent_id)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, scope: tuple[str, str], document: Mapping[str, Any] | None) -> None:
        """Replace what is known of a scope; None: nothing is."""
        goal, agent_id = scope
        text = json_text(dict(document)) if document is not None else ""

        async def work(session: AsyncSession) -> None:
            row = await session.get(ReadChainsRow, (goal, agent_id))
            if text == (row.document if row is not None else ""):
                return
            await raise_revision(session)
            if text:
                await session.merge(ReadChainsRow(goal=goal, agent_id=agent_id, document=text))
            else:
                await session.delete(row)

        await self._database.write(work)

    async def all(self) -> Sequence[dict[str, Any]]:
        """Return the documents of every scope."""
        query = select(ReadChainsRow).order_by(col(ReadChainsRow.goal), col(ReadChainsRow.agent_id))
        async with self._database.reading() as session:
            return [from_json(row.document) for row in (await session.exec(query)).all()]
