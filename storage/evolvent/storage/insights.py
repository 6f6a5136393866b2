"""What is counted from ended runs: each run once, in one commit with the position up to which they are counted.

Shown in use by tests/integration/test_insights.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection

from evolvent.storage.columns import read_moment
from evolvent.storage.database import Database
from evolvent.storage.insight_rows import (
    AgentHour,
    EndedRun,
    EndedRuns,
    FailurePattern,
    HourTotals,
    PartOfRun,
)
from evolvent.storage.run_parts import clean, json_text
from evolvent.storage.statements import Statement, insert

_POSITION_NAME = "insights"
_RUNS = Statement(
    "SELECT f.position, r.run_id, r.goal, r.status, r.mode, COALESCE(r.served_by, 'nothing'), r.agent_id, r.workflow,"
    " r.error, r.cost_microusd, r.prompt_tokens + r.completion_tokens, r.duration_seconds,"
    " COALESCE(r.started_at, r.finished_at), r.finished_at FROM finished_runs f JOIN runs r ON r.run_id = f.run_id"
    " WHERE f.position > :after AND r.finished_at IS NOT NULL ORDER BY f.position LIMIT :most"
)
_TURNS = Statement(
    "SELECT run_id, model, agent_id, error_code, COUNT(*), MIN(started_at), MAX(started_at) FROM model_turns"
    " WHERE run_id IN :run_ids GROUP BY run_id, model, agent_id, error_code"
)
_FAILED_CALLS = Statement(
    "SELECT run_id, name, NULL, error_code, COUNT(*), MIN(started_at), MAX(started_at) FROM tool_calls"
    " WHERE run_id IN :run_ids AND error_code IS NOT NULL GROUP BY run_id, name, error_code"
)
_POSITION = Statement("SELECT position FROM positions WHERE name = :name")
_START = insert("positions", ("name", "position"), conflict="ON CONFLICT (name) DO NOTHING")
_ADVANCE = Statement("UPDATE positions SET position = :after WHERE name = :name AND position = :before")
_HOUR_KEY = ("hour", "goal", "served_by")
_SUMS = ("runs", "completed", "failed", "tokens", "cost_microusd", "duration_seconds")
_ADD_HOURS = insert(
    "hourly_totals",
    (*_HOUR_KEY, *_SUMS),
    conflict="ON CONFLICT (hour, goal, served_by) DO UPDATE SET "
    + ", ".join(f"{name} = hourly_totals.{name} + excluded.{name}" for name in _SUMS),
)
_ADD_AGENTS = insert(
    "hourly_agents",
    ("hour", "agent_id", "runs"),
    conflict="ON CONFLICT (hour, agent_id) DO UPDATE SET runs = hourly_agents.runs + excluded.runs",
)
_HOURS = Statement(
    f"SELECT {', '.join((*_HOUR_KEY, *_SUMS))} FROM hourly_totals WHERE hour >= :since ORDER BY hour, goal, served_by"  # noqa: S608
)
_AGENTS = Statement("SELECT hour, agent_id, runs FROM hourly_agents WHERE hour >= :since ORDER BY hour, agent_id")
_PATTERN = FailurePattern.__slots__
_COLUMNS = ", ".join(_PATTERN)
_GET = Statement(f"SELECT {_COLUMNS} FROM failure_patterns WHERE pattern_id IN :ids ORDER BY pattern_id", lock=True)  # noqa: S608
_PUT = insert(
    "failure_patterns",
    _PATTERN,
    conflict="ON CONFLICT (pattern_id) DO UPDATE SET "
    + ", ".join(
        f"{name} = excluded.{name}"
        for name in ("failures", "failed_runs", "first_seen", "last_seen", "goals", "runs", "hours")
    ),
)
_LISTED = Statement(
    f"SELECT {_COLUMNS} FROM failure_patterns WHERE failures >= :min_failures AND last_seen >= :since"  # noqa: S608
    " ORDER BY last_seen DESC, pattern_id LIMIT :most"
)
_BEGINNING = Statement(
    f"SELECT {_COLUMNS} FROM failure_patterns WHERE pattern_id >= :low AND pattern_id < :high"  # noqa: S608
    " ORDER BY pattern_id LIMIT 2"
)
_UNTOLD = Statement(
    f"SELECT {_COLUMNS} FROM failure_patterns WHERE is_told = :no AND failures >= :min_failures"  # noqa: S608
    " ORDER BY first_seen, pattern_id LIMIT 100"
)
_TELL = Statement("UPDATE failure_patterns SET is_told = :yes WHERE pattern_id = :pattern_id")
_PUT_INSIGHT = insert(
    "insights",
    ("name", "computed_at", "document"),
    conflict="ON CONFLICT (name) DO UPDATE SET computed_at = excluded.computed_at, document = excluded.document",
)
_INSIGHTS = Statement("SELECT name, document FROM insights WHERE name IN :names")
_FORGET = (
    Statement("DELETE FROM hourly_totals WHERE hour < :before"),
    Statement("DELETE FROM hourly_agents WHERE hour < :before"),
    Statement("DELETE FROM failure_patterns WHERE last_seen < :before"),
)
Known = Mapping[str, FailurePattern]


class InsightStore:
    """Reads ended runs in their order, and keeps what is counted of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self) -> int:
        """Return up to which position runs are counted."""
        rows = await self._database.look_up(lambda conn: _POSITION.rows(conn, {"name": _POSITION_NAME}))
        return int(rows[0][0]) if rows else 0

    async def ended_after(self, position: int, *, most: int) -> EndedRuns:
        """Return the next runs that ended, with their turns and failed calls."""

        def work(conn: Connection) -> EndedRuns:
            runs = tuple(_run(row) for row in _RUNS.rows(conn, {"after": position, "most": most}))
            ids = {"run_ids": [run.run_id for run in runs if run.mode == "live"]}
            turns, calls = _TURNS.rows(conn, ids), _FAILED_CALLS.rows(conn, ids)
            return EndedRuns(runs, tuple(map(_part, turns)), tuple(map(_part, calls)))

        return await self._database.look_up(work)

    async def count(
        self,
        *,
        before: int,
        after: int,
        hours: Sequence[HourTotals],
        agents: Sequence[AgentHour],
        failing: Collection[str],
        merged: Callable[[Known], Sequence[FailurePattern]],
    ) -> bool:
        """Add what runs came to, and put what `merged` makes of the patterns that are known, in one commit.

        Args:
            before: the position at which the caller found the counting.
            after: the position up to which it is now counted.
            hours: what is added to the hours.
            agents: what is added to the hours of agents.
            failing: ids of the patterns that failed.
            merged: pure; gets those of them that are known, and gives what they are now.

        Returns:
            False, with nothing changed, where somebody else has counted on from `before`.
        """

        def work(conn: Connection) -> bool:
            _START.many(conn, [{"name": _POSITION_NAME, "position": 0}])
            if _ADVANCE.count(conn, {"name": _POSITION_NAME, "before": before, "after": after}) != 1:
                return False
            _ADD_HOURS.many(conn, [asdict(each) for each in hours])
            _ADD_AGENTS.many(conn, [asdict(each) for each in agents])
            known = {found.pattern_id: found for found in map(_pattern, _GET.rows(conn, {"ids": sorted(failing)}))}
            _PUT.many(conn, [_pattern_row(pattern) for pattern in merged(known)])
            return True

        return await self._database.writer.run(work)

    async def hours(self, since: datetime) -> list[HourTotals]:
        """Return what runs came to, by hour, goal and what served them, oldest first."""
        rows = await self._database.look_up(lambda conn: _HOURS.rows(conn, {"since": since}))
        return [HourTotals(read_moment(hour), *rest) for hour, *rest in rows]

    async def agent_hours(self, since: datetime) -> list[AgentHour]:
        """Return which agents were used in which hours, oldest first."""
        rows = await self._database.look_up(lambda conn: _AGENTS.rows(conn, {"since": since}))
        return [AgentHour(read_moment(hour), agent_id, runs) for hour, agent_id, runs in rows]

    async def patterns(self, *, since: datetime, min_failures: int = 1, limit: int = 100) -> list[FailurePattern]:
        """Return patterns of failures that were seen since a moment, the latest first."""
        values = {"since": since, "min_failures": min_failures, "most": limit}
        return [_pattern(row) for row in await self._database.look_up(lambda conn: _LISTED.rows(conn, values))]

    async def patterns_beginning(self, beginning: str) -> list[FailurePattern]:
        """Return up to two patterns whose id begins so: one is the one that is meant."""
        values = {"low": beginning, "high": f"{beginning}g"}  # ids are hexadecimal
        return [_pattern(row) for row in await self._database.look_up(lambda conn: _BEGINNING.rows(conn, values))]

    async def untold(self, *, min_failures: int) -> list[FailurePattern]:
        """Return patterns of which nobody was told, and that failed often enough."""
        values = {"no": False, "min_failures": min_failures}
        return [_pattern(row) for row in await self._database.look_up(lambda conn: _UNTOLD.rows(conn, values))]

    async def told(self, pattern_id: str) -> None:
        """Remember that this pattern was told of."""
        await self._database.writer.run(lambda conn: _TELL.count(conn, {"yes": True, "pattern_id": pattern_id}))

    async def put(self, name: str, document: Mapping[str, Any], *, now: datetime) -> None:
        """Keep what a job found, in place of what it found before."""
        row = {"name": name, "computed_at": now, "document": json_text(dict(document))}
        await self._database.writer.run(lambda conn: _PUT_INSIGHT.count(conn, row))

    async def get(self, *names: str) -> dict[str, dict[str, Any]]:
        """Return what jobs found last, by name; those that found nothing yet are missing."""
        rows = await self._database.look_up(lambda conn: _INSIGHTS.rows(conn, {"names": names}))
        return {name: from_json(document) for name, document in rows}

    async def forget_before(self, before: datetime) -> None:
        """Delete hours before a moment, and patterns that were not seen since."""
        await self._database.writer.run(lambda conn: [each.count(conn, {"before": before}) for each in _FORGET])


def _run(row: tuple[Any, ...]) -> EndedRun:
    values = dict(zip(EndedRun.__slots__, row, strict=True))
    return EndedRun(**{**values, **{name: read_moment(values[name]) for name in ("started_at", "finished_at")}})


def _part(row: tuple[Any, ...]) -> PartOfRun:
    values = dict(zip(PartOfRun.__slots__, row, strict=True))
    return PartOfRun(**{**values, **{name: read_moment(values[name]) for name in ("first_at", "last_at")}})


def _pattern(row: tuple[Any, ...]) -> FailurePattern:
    values = dict(zip(_PATTERN, row, strict=True))
    values |= {name: read_moment(values[name]) for name in ("first_seen", "last_seen")}
    values |= {"goals": from_json(values["goals"]), "runs": tuple(from_json(values["runs"]))}
    values["hours"] = {read_moment(hour): count for hour, count in from_json(values["hours"]).items()}
    values["is_told"] = bool(values["is_told"])
    return FailurePattern(**values)


def _pattern_row(pattern: FailurePattern) -> dict[str, Any]:
    hours = {hour.isoformat(): count for hour, count in pattern.hours.items()}
    return {
        **{name: getattr(pattern, name) for name in _PATTERN},
        "message": clean(pattern.message),
        "goals": json_text(dict(pattern.goals)),
        "runs": json_text(list(pattern.runs)),
        "hours": json_text(hours),
    }
