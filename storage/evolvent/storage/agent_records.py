"""What is on record about agents, for whoever chooses among them: how they did, what they cost, how they were rated.

Reads only. Shown in use by tests/integration/test_agent_pool.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from evolvent.storage.database import Database
from evolvent.storage.statements import Statement

_TOTALS = Statement(
    "SELECT agent_id, runs, successes, turns, failed_turns, cost_microusd, busy_seconds FROM agent_totals"
    " WHERE agent_id IN :agent_ids"
)
_RATINGS = Statement(
    "SELECT r.agent_id, f.user_id, f.rating"
    " FROM (SELECT run_id, user_id, rating FROM feedback ORDER BY created_at DESC LIMIT :most) f"
    " JOIN runs r ON r.run_id = f.run_id WHERE f.rating IS NOT NULL AND r.agent_id IS NOT NULL"
)
MOST_RATINGS = 2_000


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What an agent did so far. `runs` and `successes` count live runs that it led."""

    runs: int = 0
    successes: int = 0
    turns: int = 0
    failed_turns: int = 0
    cost_microusd: int = 0
    busy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rating:
    """What one user said about a run that an agent led, from 1 to 5."""

    agent_id: str
    user_id: str | None
    rating: int


class AgentRecords:
    """Reads the records of agents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def totals(self, agent_ids: Sequence[str]) -> dict[str, AgentRecord]:
        """Return the records of these agents; those that did nothing are missing."""

        def work(conn: Connection) -> list[tuple[object, ...]]:
            return _TOTALS.rows(conn, {"agent_ids": list(agent_ids)})

        rows = await self._database.look_up(work)
        return {str(row[0]): AgentRecord(*row[1:]) for row in rows}  # type: ignore[arg-type]  # as the table has them

    async def ratings(self, *, most: int = MOST_RATINGS) -> list[Rating]:
        """Return the latest ratings, those of runs without an agent left out."""
        rows = await self._database.look_up(lambda conn: _RATINGS.rows(conn, {"most": most}))
        return [Rating(*row) for row in rows]
