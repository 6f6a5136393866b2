"""Agent specs and their versions. An agent is this document; activations live elsewhere.

Works on the tables of `agent_rows.py`. Does not know who may spawn. Shown by tests/integration/test_agents.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentRow
from evolvent.storage.agent_roster import AgentRoster
from evolvent.storage.agent_rows import AgentDefinitionRow, AgentVersionRow
from evolvent.storage.agent_versions import Origin, enter, read_spec, stored_spec
from evolvent.storage.database import Database
from evolvent.storage.errors import AgentLimitReached
from evolvent.storage.statements import Statement
from evolvent.storage.versions import next_version

_CURRENT = Statement(
    "SELECT v.spec_json FROM agents a JOIN agent_versions v ON v.agent_id = a.agent_id AND v.spec_hash = a.spec_hash"
    " WHERE a.agent_id = :agent_id"
)
_ACTIVE = Statement(
    "SELECT v.spec_json, a.status FROM agents a"
    " JOIN agent_versions v ON v.agent_id = a.agent_id AND v.spec_hash = a.spec_hash WHERE a.agent_id = :agent_id"
)
_PINNED = Statement("SELECT spec_json FROM agent_versions WHERE agent_id = :agent_id AND spec_hash = :spec_hash")
_BY_KEY = Statement("SELECT agent_id FROM agents WHERE key = :key AND status = 'active'")


class AgentStore(AgentRoster):
    """Puts, finds and retires agent specs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database)
        self._clock = clock

    async def put(
        self,
        spec: AgentSpec,
        *,
        created_by: str,
        key: str | None = None,
        source: str = "system",
        spawned: bool = True,
        most: int | None = None,
    ) -> AgentSpec:
        """Store a spec: a new agent, or a new version of one; the same spec again changes nothing.

        Args:
            spec: what to store.
            created_by: the principal or service behind it.
            key: where an agent was put with this key before, that one is returned, active again if it was
                retired, and nothing is stored.
            source: `user`, `system` or `automated`.
            spawned: whether the platform made it, so that it counts against its goal's limit.
            most: how many spawned agents its goal may have; counted as it is stored.

        Raises:
            AgentLimitReached: there are so many already.
        """
        now = self._clock.now()

        async def work(session: AsyncSession) -> AgentSpec:
            if key is not None and (known := await _of_key(session, key, most)) is not None:
                return known
            row = await session.get(AgentDefinitionRow, spec.agent_id, with_for_update=True)
            before = row.version if row is not None else None
            if row is None:
                await _check_room(session, spec.goal, most)
                row = AgentDefinitionRow(
                    agent_id=spec.agent_id,
                    specialty=spec.specialty,
                    goal=spec.goal,
                    model=spec.model,
                    spec_hash=spec.spec_hash,
                    spawned=spawned,
                    key=key,
                    created_by=created_by,
                    created_at=now,
                )
            elif row.spec_hash == spec.spec_hash:
                return spec
            else:
                row.version = await next_version(session, "agent", spec.agent_id)
            await enter(session, row, spec, Origin(before, source, created_by, now))
            return spec

        return await self._database.write(work)

    async def get(self, agent_id: str, spec_hash: str | None = None) -> AgentSpec:
        """Return the current spec, or the one that a run is pinned to.

        Raises:
            NotFound: there is no such agent or version.
            CorruptRecord: the stored spec cannot be read.
        """

        def work(conn: Connection) -> list[tuple[Any, ...]]:
            if spec_hash is None:
                return _CURRENT.rows(conn, {"agent_id": agent_id})
            return _PINNED.rows(conn, {"agent_id": agent_id, "spec_hash": spec_hash})

        rows = await self._database.look_up(work)
        if not rows:
            version = f" with spec {spec_hash}" if spec_hash else ""
            raise NotFound(f"There is no agent {agent_id!r}{version}; `evolvent agents list` shows them all.")
        return read_spec(agent_id, rows[0][0])

    async def get_active(self, agent_id: str) -> AgentSpec:
        """Return the current spec of an agent that takes work.

        Raises:
            NotFound: there is no such agent, or it is retired.
        """
        rows = await self._database.look_up(lambda conn: _ACTIVE.rows(conn, {"agent_id": agent_id}))
        if not rows:
            raise NotFound(f"There is no agent {agent_id!r}; `evolvent agents list` shows them all.")
        if rows[0][1] != "active":
            raise NotFound(f"Agent {agent_id!r} is {rows[0][1]} and takes no more work; name another one, or none.")
        return read_spec(agent_id, rows[0][0])

    async def find_by_key(self, key: str) -> AgentSpec | None:
        """Return the active agent that was put with this key."""
        rows = await self._database.look_up(lambda conn: _BY_KEY.rows(conn, {"key": key}))
        return await self.get(rows[0][0]) if rows else None

    async def find_by_specialty(self, goal: str, specialty: str, *, limit: int = 20) -> list[AgentSpec]:
        """Return active specialists of a goal, by agent_id."""
        where = (
            col(AgentDefinitionRow.goal) == goal,
            col(AgentDefinitionRow.specialty) == specialty,
            col(AgentDefinitionRow.status) == "active",
        )
        return [await self.get(row.agent_id, row.spec_hash) for row in await self._rows(where, limit=limit, offset=0)]

    async def list(
        self, goal: str | None = None, status: str | None = None, *, limit: int = 100, offset: int = 0
    ) -> list[AgentRow]:
        """Return agents by agent_id."""
        where = []
        if goal is not None:
            where.append(col(AgentDefinitionRow.goal) == goal)
        if status is not None:
            where.append(col(AgentDefinitionRow.status) == status)
        return [_listed(row) for row in await self._rows(where, limit=limit, offset=offset)]

    async def retire(self, agent_id: str) -> bool:
        """Let an agent take no more work; False where it had none already.

        Raises:
            NotFound: there is no such agent.
        """
        now = self._clock.now()

        async def work(session: AsyncSession) -> bool:
            row = await session.get(AgentDefinitionRow, agent_id)
            if row is None:
                raise NotFound(f"There is no agent {agent_id!r}; `evolvent agents list` shows them all.")
            if row.status == "retired":
                return False
            row.status, row.retired_at = "retired", now
            session.add(row)
            return True

        return await self._database.write(work)

    async def spawned_before(self, before: datetime) -> Sequence[str]:
        """Return the active agents that the platform itself made before a moment, by agent_id."""
        query = select(AgentDefinitionRow.agent_id).where(
            col(AgentDefinitionRow.status) == "active",
            col(AgentDefinitionRow.spawned).is_(True),
            col(AgentDefinitionRow.created_at) < before,
        )
        async with self._database.reading() as session:
            return (await session.exec(query.order_by(col(AgentDefinitionRow.agent_id)))).all()

    async def count_active(self, goal: str, *, spawned_only: bool = True) -> int:
        """Return how many agents of a goal nobody retired."""
        query = (
            select(func.count())
            .select_from(AgentDefinitionRow)
            .where(col(AgentDefinitionRow.goal) == goal, col(AgentDefinitionRow.status) == "active")
        )
        if spawned_only:
            query = query.where(col(AgentDefinitionRow.spawned).is_(True))
        async with self._database.reading() as session:
            return (await session.exec(query)).one()

    async def versions(self, agent_id: str) -> Sequence[tuple[int, str, str, datetime]]:
        """Return (version, spec_hash, source, created_at) of an agent, oldest first."""
        query = (
            select(AgentVersionRow)
            .where(col(AgentVersionRow.agent_id) == agent_id)
            .order_by(col(AgentVersionRow.version), col(AgentVersionRow.created_at))
        )
        async with self._database.reading() as session:
            rows = (await session.exec(query)).all()
        return [(row.version, row.spec_hash, row.source, row.created_at) for row in rows]

    async def _rows(
        self, where: Sequence[ColumnElement[bool]], *, limit: int, offset: int
    ) -> Sequence[AgentDefinitionRow]:
        query = select(AgentDefinitionRow).where(*where).order_by(col(AgentDefinitionRow.agent_id))
        async with self._database.reading() as session:
            return (await session.exec(query.limit(limit).offset(offset))).all()


async def _of_key(session: AsyncSession, key: str, most: int | None) -> AgentSpec | None:
    """Return the agent that was put with this key, active again."""
    same = (await session.exec(select(AgentDefinitionRow).where(AgentDefinitionRow.key == key))).first()
    if same is None:
        return None
    if same.status != "active":
        await _check_room(session, same.goal, most)
    same.status, same.retired_at = "active", None
    session.add(same)
    return await stored_spec(session, same.agent_id, same.spec_hash)


async def _check_room(session: AsyncSession, goal: str, most: int | None) -> None:
    if most is None:
        return
    connection = await session.connection()
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        await connection.execute(text("SELECT pg_advisory_xact_lock(1163284305, hashtext(:goal))"), {"goal": goal})
    query = select(func.count()).where(
        col(AgentDefinitionRow.goal) == goal,
        col(AgentDefinitionRow.status) == "active",
        col(AgentDefinitionRow.spawned).is_(True),
    )
    if (await session.exec(query)).one() >= most:
        raise AgentLimitReached


def _listed(row: AgentDefinitionRow) -> AgentRow:
    return AgentRow(
        agent_id=row.agent_id,
        specialty=row.specialty,
        goal=row.goal,
        model=row.model,
        status=row.status,
        spec_hash=row.spec_hash,
        created_at=row.created_at.isoformat(),
    )
