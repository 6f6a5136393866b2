"""The recorded journals of many runs at once, for those who read whole runs. Reads only.

Shown in use by tests/integration/test_learner.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from evolvent.events.messages.runs import AnyRunEvent, read_run_event
from evolvent.storage.database import Database
from evolvent.storage.statements import Statement

_BODIES = Statement("SELECT run_id, seq, body FROM run_events WHERE run_id IN :run_ids ORDER BY run_id, seq")
_TOKENS = Statement("SELECT COUNT(*), SUM(prompt_tokens + completion_tokens) FROM runs WHERE run_id IN :run_ids")

_NEWEST = Statement(
    "SELECT f.run_id FROM finished_runs f JOIN runs r ON r.run_id = f.run_id WHERE r.goal = :goal"
    " AND r.agent_id = :agent_id AND r.status = 'completed' AND r.mode = 'live' AND r.tool_calls > 0"
    " AND r.served_by = 'agent' ORDER BY f.position DESC LIMIT :most"
)


class JournalStore:
    """Gives journals by run_id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bodies(self, run_ids: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
        """Return (sequence, body) of each run's events in order; a run without recorded events is missing."""
        found: dict[str, list[tuple[int, str]]] = {}
        for run_id, seq, body in await self._database.look_up(lambda conn: _BODIES.rows(conn, {"run_ids": run_ids})):
            found.setdefault(run_id, []).append((int(seq), body))
        return found

    async def newest(self, scope: tuple[str, str], most: int) -> list[str]:
        """Return the last completed live runs in which the agent of a scope, (goal, agent_id), called tools."""
        values = {"goal": scope[0], "agent_id": scope[1], "most": most}
        return [str(run_id) for (run_id,) in await self._database.look_up(lambda conn: _NEWEST.rows(conn, values))]

    async def mean_tokens(self, run_ids: Sequence[str]) -> int:
        """Return how many tokens these runs took on the mean; 0 where none is recorded any more."""
        ((runs, tokens),) = await self._database.look_up(lambda conn: _TOKENS.rows(conn, {"run_ids": run_ids}))
        return round(int(tokens) / int(runs)) if runs else 0


def read_events(bodies: Sequence[tuple[int, str]]) -> list[tuple[int, AnyRunEvent]] | None:
    """Return the events of one run, or None where one cannot be read."""
    try:
        return [(seq, read_run_event(body.encode())) for seq, body in bodies]
    except ValidationError:
        return None
