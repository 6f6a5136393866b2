"""Versions of agents beside the current one: proposed, applied, declined, and gone back to.

Works on the tables of `agent_rows.py`. A spec is never changed: runs are pinned to its hash. Shown in use by
tests/integration/test_versions.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.storage.agent_rows import AgentDefinitionRow, AgentVersionRow
from evolvent.storage.database import Database
from evolvent.storage.errors import CorruptRecord
from evolvent.storage.versions import NewVersion, Receipt, VersionRow, add_receipt, add_version, next_version


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from: the one before it, and who made it when."""

    parent: int | None
    source: str
    by: str
    at: datetime
    note: str = ""


class AgentVersions:
    """Keeps proposed versions of agents, and makes one current."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def current(self, agent_id: str) -> tuple[int, AgentSpec]:
        """Return the number and the spec of the version in use.

        Raises:
            NotFound: there is no such agent.
        """
        async with self._database.reading() as session:
            row = await _agent(session, agent_id)
            return row.version, await stored_spec(session, agent_id, row.spec_hash)

    async def spec(self, agent_id: str, version: int) -> AgentSpec:
        """Return the spec of a version.

        Raises:
            NotFound: there is no such version.
        """
        async with self._database.reading() as session:
            return await stored_spec(session, agent_id, (await _version(session, agent_id, version)).content_hash)

    async def propose(
        self, spec: AgentSpec, *, parent: int, by: str, evidence: Mapping[str, Any], note: str = ""
    ) -> int:
        """Store a spec as a version that nobody uses yet; return its number."""
        now = self._clock.now()

        async def work(session: AsyncSession) -> int:
            await _agent(session, spec.agent_id)
            number = await next_version(session, "agent", spec.agent_id)
            origin = Origin(parent, "automated", by, now, note)
            await _add(session, spec, number, origin, Receipt("proposed", by, now, note, evidence))
            return number

        return await self._database.write(work)

    async def apply(self, agent_id: str, version: int, *, by: str, reason: str = "") -> AgentSpec:
        """Make a version current, as it is.

        Raises:
            NotFound: there is no such version.
        """
        now = self._clock.now()

        async def work(session: AsyncSession) -> AgentSpec:
            row = await _agent(session, agent_id)
            chosen = await _version(session, agent_id, version)
            spec = await stored_spec(session, agent_id, chosen.content_hash)
            if row.version != version:
                _point(session, row, spec, version)
                await add_receipt(session, "agent", agent_id, version, Receipt("applied", by, now, reason))
            return spec

        return await self._database.write(work)

    async def decline(self, agent_id: str, version: int, *, by: str, reason: str = "") -> None:
        """Note that a proposed version shall not be used.

        Raises:
            NotFound: there is no such version.
        """
        now = self._clock.now()

        async def work(session: AsyncSession) -> None:
            await _agent(session, agent_id)
            await _version(session, agent_id, version)
            await add_receipt(session, "agent", agent_id, version, Receipt("declined", by, now, reason))

        await self._database.write(work)

    async def roll_back(self, agent_id: str, *, to: int, by: str) -> int:
        """Make an older version's spec current again, as a new version; return its number.

        Raises:
            NotFound: there is no such version.
        """
        now = self._clock.now()

        async def work(session: AsyncSession) -> int:
            row = await _agent(session, agent_id)
            spec = await stored_spec(session, agent_id, (await _version(session, agent_id, to)).content_hash)
            if row.spec_hash == spec.spec_hash:
                return row.version
            parent, row.version = row.version, await next_version(session, "agent", agent_id)
            await enter(session, row, spec, Origin(parent, "user", by, now, f"rolled back to version {to}"))
            return row.version

        return await self._database.write(work)


async def enter(session: AsyncSession, row: AgentDefinitionRow, spec: AgentSpec, origin: Origin) -> None:
    """Store a spec as the version that the row counts, and point the row at it."""
    await _add(session, spec, row.version, origin)
    _point(session, row, spec, row.version)


async def stored_spec(session: AsyncSession, agent_id: str, spec_hash: str) -> AgentSpec:
    """Return a spec that must be there.

    Raises:
        CorruptRecord: it is not, or cannot be read.
    """
    row = await session.get(AgentVersionRow, (agent_id, spec_hash))
    if row is None:
        raise CorruptRecord(f"Agent {agent_id!r} has no spec {spec_hash}; restore the definitions from a backup.")
    return read_spec(agent_id, row.spec_json)


def read_spec(agent_id: str, spec_json: str) -> AgentSpec:
    """Return a spec as it was stored.

    Raises:
        CorruptRecord: it cannot be read.
    """
    try:
        return AgentSpec.model_validate_json(spec_json)
    except ValidationError as error:
        raise CorruptRecord(
            f"The stored spec of agent {agent_id!r} cannot be read ({error.error_count()} problems); put it again."
        ) from error


def _point(session: AsyncSession, row: AgentDefinitionRow, spec: AgentSpec, version: int) -> None:
    row.version, row.spec_hash = version, spec.spec_hash
    row.specialty, row.goal, row.model = spec.specialty, spec.goal, spec.model
    session.add(row)


async def _add(session: AsyncSession, spec: AgentSpec, version: int, origin: Origin, *receipts: Receipt) -> None:
    documents = None
    if origin.parent is not None:
        known = await session.get(VersionRow, ("agent", spec.agent_id, origin.parent))
        with contextlib.suppress(CorruptRecord):  # what cannot be read is put again, and then nothing is compared
            if known is not None:
                before = await stored_spec(session, spec.agent_id, known.content_hash)
                documents = document_of(before), document_of(spec)
    new = NewVersion(
        *("agent", spec.agent_id, version, spec.spec_hash, origin.source, origin.by, origin.at),
        parent=origin.parent,
        note=origin.note,
        documents=documents,
    )
    await add_version(session, new, *receipts)
    if await session.get(AgentVersionRow, (spec.agent_id, spec.spec_hash)) is None:
        session.add(
            AgentVersionRow(
                agent_id=spec.agent_id,
                spec_hash=spec.spec_hash,
                version=version,
                spec_json=spec.model_dump_json(),
                source=origin.source,
                created_at=origin.at,
            )
        )


def document_of(spec: AgentSpec) -> dict[str, Any]:
    """Return a spec as versions are compared."""
    return spec.model_dump(mode="json", exclude_defaults=True)


async def _agent(session: AsyncSession, agent_id: str) -> AgentDefinitionRow:
    row = await session.get(AgentDefinitionRow, agent_id, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no agent {agent_id!r:.80}; `evolvent agents list` shows them all.")
    return row


async def _version(session: AsyncSession, agent_id: str, version: int) -> VersionRow:
    row = await session.get(VersionRow, ("agent", agent_id, version))
    if row is None:
        raise NotFound(
            f"There is no agent {agent_id!r:.80} in version {version}; `evolvent versions list agent` shows them all."
        )
    return row
