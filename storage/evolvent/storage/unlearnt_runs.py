"""Runs that shall not be learnt from: forgotten in every signature, and never read again.

Owns the table unlearnt_runs (records). Forgetting is a commit of the learner like any other: a learner that had read
such a run, and did not yet write, starts anew. Shown in use by tests/integration/test_unlearning.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.database import Database
from evolvent.storage.rows import RecordsRow
from evolvent.storage.signatures import Lesson, SignatureRecord, SignatureRows
from evolvent.storage.statements import Statement, insert

PAGE = 100


class UnlearntRunRow(RecordsRow, table=True):
    """A run that teaches nothing any more."""

    __tablename__ = "unlearnt_runs"
    run_id: str = Field(primary_key=True)
    unlearnt_at: datetime = Field(sa_type=UtcDateTime)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What one commit forgets: runs, signatures as they are without them, and those of which nothing is left."""

    builds_on: int
    run_ids: Sequence[str]
    at: datetime
    left: Sequence[SignatureRecord] = ()
    gone: Sequence[str] = ()
    scopes: Sequence[tuple[str, str]] = ()
    """All signatures of these are looked at as if for the first time."""


_OF = {
    "user": Statement("SELECT run_id FROM runs WHERE user_id = :name ORDER BY run_id"),
    "principal": Statement("SELECT run_id FROM runs WHERE principal = :name ORDER BY run_id"),
    "session": Statement("SELECT run_id FROM runs WHERE session_id = :name ORDER BY run_id"),
    "tool": Statement("SELECT DISTINCT run_id FROM tool_calls WHERE name = :name ORDER BY run_id"),
}
SOURCES = tuple(_OF)
_KNOWN = Statement("SELECT run_id FROM unlearnt_runs WHERE run_id IN :run_ids")
_ADD = insert("unlearnt_runs", ("run_id", "unlearnt_at"), conflict="ON CONFLICT (run_id) DO NOTHING")
_DROP = Statement("DELETE FROM signatures WHERE signature IN :names")
_UNDISPUTE = Statement("DELETE FROM disputes WHERE run_id IN :run_ids")
_ANEW = Statement(
    "UPDATE signatures SET looked = -1, tried_support = 0, tried_disputed = 0, tried_with = ''"
    " WHERE goal = :goal AND agent_id = :agent_id"
)
_PAGE = Statement(
    "SELECT signature, goal, agent_id, document FROM signatures WHERE signature > :after ORDER BY signature LIMIT :most"
)
_IN_SCOPE = Statement(
    "SELECT f.run_id FROM finished_runs f JOIN runs r ON r.run_id = f.run_id WHERE r.goal = :goal ORDER BY f.position"
)


class UnlearntRuns:
    """Finds runs by where they come from, and forgets them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._signatures = SignatureRows(database)

    async def from_source(self, kind: str, name: str) -> list[str]:
        """Return the runs of a user, principal or session, or in which a tool was called."""
        return [str(run_id) for (run_id,) in await self._rows(_OF[kind], {"name": name})]

    async def among(self, run_ids: Iterable[str]) -> frozenset[str]:
        """Return those of these runs that shall not be learnt from."""
        return frozenset(str(run_id) for (run_id,) in await self._rows(_KNOWN, {"run_ids": list(run_ids)}))

    async def page(self, after: str) -> list[tuple[str, tuple[str, str], dict[str, Any]]]:
        """Return (signature, scope, dump) of the next signatures by name."""
        rows = await self._rows(_PAGE, {"after": after, "most": PAGE})
        return [(str(name), (str(goal), str(agent)), from_json(text)) for name, goal, agent, text in rows]

    async def finished_of(self, goal: str) -> list[str]:
        """Return the ended runs of a goal, in the order of their ends."""
        return [str(run_id) for (run_id,) in await self._rows(_IN_SCOPE, {"goal": goal})]

    async def forget(self, forgetting: Forgetting) -> bool:
        """Forget in one commit; False, with nothing forgotten, where a learner's commit came before it."""
        _, position = await self._signatures.stand()
        lesson = Lesson(forgetting.builds_on, position, forgetting.left)
        rows = [{"run_id": run_id, "unlearnt_at": forgetting.at} for run_id in forgetting.run_ids]

        def beside(conn: Connection) -> None:
            _ADD.many(conn, rows)
            _UNDISPUTE.count(conn, {"run_ids": list(forgetting.run_ids)})
            _DROP.count(conn, {"names": list(forgetting.gone)})
            for goal, agent_id in forgetting.scopes:
                _ANEW.count(conn, {"goal": goal, "agent_id": agent_id})

        return await self._signatures.keep(lesson, beside=beside)

    async def _rows(self, statement: Statement, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        return await self._database.look_up(lambda conn: statement.rows(conn, values))
