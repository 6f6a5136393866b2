"""Reads what the platform's numbers are made of: sums over rows that others keep, none of them over single runs.

Shown in use by tests/integration/test_insight_jobs.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from evolvent.storage.complaints import WORST_RATING
from evolvent.storage.database import Database
from evolvent.storage.statements import Statement

LEARNER_GOAL = "improvement"
_SERVED = Statement(
    "SELECT served_by, SUM(runs), SUM(completed), SUM(tokens), SUM(cost_microusd), SUM(duration_seconds)"
    " FROM hourly_totals WHERE hour >= :since GROUP BY served_by ORDER BY served_by"
)
_ACTIVE = Statement("SELECT COUNT(DISTINCT agent_id) FROM hourly_agents WHERE hour >= :since")
_SAID = Statement("SELECT COUNT(*) FROM feedback WHERE created_at >= :since")
_RATED = Statement(
    "SELECT COUNT(*), COALESCE(SUM(CASE WHEN rating > :worst THEN 1 ELSE 0 END), 0) FROM feedback"
    " WHERE rating IS NOT NULL AND created_at >= :since"
)
_OUTCOMES = Statement(
    "SELECT COUNT(*), COALESCE(SUM(CASE WHEN ok THEN 1 ELSE 0 END), 0) FROM outcomes WHERE created_at >= :since"
)
_DISPUTED = Statement(
    "SELECT COUNT(*) FROM (SELECT run_id FROM outcomes WHERE ok = :no AND created_at >= :since UNION"
    " SELECT run_id FROM feedback WHERE is_dispute AND created_at >= :since) AS disputed"
)
_SIGNATURES = Statement(
    "SELECT COALESCE(SUM(CASE WHEN support >= :min_support THEN 1 ELSE 0 END), 0),"
    " COALESCE(SUM(CASE WHEN support >= :min_support THEN support ELSE 0 END), 0), COALESCE(SUM(support), 0)"
    " FROM signatures WHERE is_filler = :no"
)
_TOTALS = Statement(
    "SELECT COALESCE(SUM(served), 0), COALESCE(SUM(wrong), 0), COALESCE(SUM(deoptimized), 0),"
    " COALESCE(SUM(tokens_saved), 0) FROM automation_totals"
)
_SPENT = Statement(
    "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(cost_microusd), 0) FROM daily_totals"
    " WHERE (goal = :learner AND :of_learner = 1) OR (goal <> :learner AND :of_learner = 0)"
)
_AGENTS = Statement("SELECT agent_id, runs, successes FROM agent_totals WHERE runs > 0")
_SPAWNED = Statement("SELECT COUNT(*) FROM agents WHERE spawned = :yes AND created_at >= :since")
_SPECIALTIES = Statement("SELECT agent_id, specialty FROM agents WHERE agent_id IN :ids")
_STATUSES = Statement("SELECT status, COUNT(*) FROM automation_versions GROUP BY status ORDER BY status")
_AUTOMATIONS = Statement("SELECT COUNT(DISTINCT automation_id) FROM automation_versions")


@dataclass(frozen=True, slots=True)
class Served:
    """What runs came to that were served in one way."""

    served_by: str
    runs: int
    completed: int
    tokens: int
    cost_microusd: int
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class LearningFacts:
    """What the numbers are made of. What is of a period says so; the rest is of all time."""

    spawned_today: int
    active_agents_24h: int
    served_24h: tuple[Served, ...]
    said_24h: int
    disputed_24h: int
    opinions_30d: tuple[int, int]
    """How many said whether a run was good, and how many of them that it was."""
    signatures: tuple[int, int, int]
    """Signatures with enough support, the runs behind them, and the runs behind all signatures."""
    automations: int
    statuses: dict[str, int]
    served: int
    wrong: int
    deoptimized: int
    tokens_saved: int
    tokens_used: int
    learner_tokens: int
    learner_microusd: int
    specialties: dict[str, tuple[int, int]]
    """Runs and successes of the agents of each specialty."""


@dataclass(frozen=True, slots=True)
class Period:
    """Since when is counted."""

    midnight: datetime
    day: datetime
    month: datetime


class LearningFactsReader:
    """Reads the facts."""

    def __init__(self, records: Database, definitions: Database) -> None:
        self._records = records
        self._definitions = definitions

    async def read(self, period: Period, *, min_support: int) -> LearningFacts:
        """Return the facts of now."""
        recorded = await self._records.look_up(lambda conn: _recorded(conn, period, min_support))
        agents = recorded.pop("agents")
        defined = await self._definitions.look_up(lambda conn: _defined(conn, period, [row[0] for row in agents]))
        specialties: dict[str, tuple[int, int]] = {}
        names = defined.pop("names")
        for agent_id, runs, successes in agents:
            if agent_id in names:
                before = specialties.get(names[agent_id], (0, 0))
                specialties[names[agent_id]] = (before[0] + runs, before[1] + successes)
        return LearningFacts(**recorded, **defined, specialties=specialties)


def _recorded(conn: Connection, period: Period, min_support: int) -> dict[str, Any]:
    day = {"since": period.day}
    judged = {"worst": WORST_RATING, "no": False}
    opinions = [each.rows(conn, {"since": period.month, **judged})[0] for each in (_RATED, _OUTCOMES)]
    served, wrong, deoptimized, saved = map(int, _TOTALS.rows(conn, {})[0])
    learner, others = (_SPENT.rows(conn, {"learner": LEARNER_GOAL, "of_learner": which})[0] for which in (1, 0))
    return {
        "active_agents_24h": _one(_ACTIVE, conn, day),
        "served_24h": tuple(
            Served(by, int(runs), int(done), int(tokens), int(cost), float(seconds))
            for by, runs, done, tokens, cost, seconds in _SERVED.rows(conn, day)
        ),
        "said_24h": _one(_SAID, conn, day),
        "disputed_24h": _one(_DISPUTED, conn, {**day, **judged}),
        "opinions_30d": (sum(int(all_of) for all_of, _ in opinions), sum(int(good) for _, good in opinions)),
        "signatures": tuple(map(int, _SIGNATURES.rows(conn, {"min_support": min_support, "no": False})[0])),
        "served": served,
        "wrong": wrong,
        "deoptimized": deoptimized,
        "tokens_saved": saved,
        "tokens_used": int(others[0]),
        "learner_tokens": int(learner[0]),
        "learner_microusd": int(learner[1]),
        "agents": [(agent_id, int(runs), int(good)) for agent_id, runs, good in _AGENTS.rows(conn, {})],
    }


def _defined(conn: Connection, period: Period, agent_ids: list[str]) -> dict[str, Any]:
    return {
        "spawned_today": _one(_SPAWNED, conn, {"yes": True, "since": period.midnight}),
        "automations": _one(_AUTOMATIONS, conn, {}),
        "statuses": {status: int(count) for status, count in _STATUSES.rows(conn, {})},
        "names": dict(_SPECIALTIES.rows(conn, {"ids": agent_ids})),
    }


def _one(statement: Statement, conn: Connection, values: dict[str, Any]) -> int:
    return int(statement.rows(conn, values)[0][0])
