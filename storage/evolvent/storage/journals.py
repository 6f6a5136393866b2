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
