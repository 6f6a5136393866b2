"""The agents of a goal as whoever chooses among them sees them: their hashes first, then only the specs that are new.

Reads only. Shown in use by tests/integration/test_agent_pool.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from evolvent.events.language.agents import AgentSpec
from evolvent.storage.database import Database
from evolvent.storage.statements import Statement

_ROSTER = Statement(
    "SELECT agent_id, spec_hash FROM agents WHERE goal = :goal AND status = 'active'"
    " ORDER BY spawned, agent_id LIMIT :most"
)
_SPECS = Statement(
    "SELECT agent_id, spec_hash, spec_json FROM agent_versions WHERE agent_id IN :agent_ids AND spec_hash IN :hashes"
)


class AgentRoster:
    """Reads which agents a goal has."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def active(self, goal: str, *, most: int) -> dict[str, str]:
        """Return the spec_hash of each active agent of a goal, those that people put before those that were spawned."""
        return dict(await self._database.look_up(lambda conn: _ROSTER.rows(conn, {"goal": goal, "most": most})))

    async def specs(self, wanted: Mapping[str, str]) -> dict[str, AgentSpec]:
        """Return the specs of agents by their hashes; one that is missing or cannot be read is left out."""
        values = {"agent_ids": list(wanted), "hashes": sorted(set(wanted.values()))}
        rows = await self._database.look_up(lambda conn: _SPECS.rows(conn, values))
        found: dict[str, AgentSpec] = {}
        for agent_id, spec_hash, document in rows:
            if wanted.get(agent_id) != spec_hash:
                continue
            try:
                found[agent_id] = AgentSpec.model_validate_json(document)
            except ValidationError:
                continue  # whoever names it hears so; it must not keep others from being chosen
        return found
