"""Limits and usage of goals, in integer micro-dollars per UTC day. Goal `*` is the whole platform.

A goal that nobody gave limits draws on the budget of `default`, so inventing goals gives nobody more money.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from evolvent.events.errors import InvalidMessage
from evolvent.events.messages.calls import BudgetView
from evolvent.storage.statements import Statement, insert

ALL_GOALS = "*"
DEFAULT_GOAL = "default"
POLICIES = ("queue", "cheaper_model", "automation_only", "ask", "stop")
MAX_MICROUSD = 10**15


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one budget. `goal` is the budget's own name; None means no limit (for `*` only)."""

    goal: str = DEFAULT_GOAL
    max_agents: int = 100
    max_concurrent: int = 10
    max_daily_microusd: int | None = 10_000_000
    policy: str = "queue"
    platform_daily_microusd: int | None = None


_BUDGETS = Statement(
    "SELECT goal, max_agents, max_concurrent, max_daily_microusd, policy FROM budgets WHERE goal IN :goals"
)
_ALL_BUDGETS = Statement("SELECT goal FROM budgets WHERE goal <> '*' ORDER BY goal")
_USAGE = Statement("SELECT goal, spent_microusd, leased_microusd FROM usage WHERE day = :day AND goal IN :goals")
_IN_USE = Statement("SELECT goal, in_use FROM slots WHERE goal IN :goals")
_CLOSED = Statement("SELECT goal, model FROM closed_models WHERE goal IN :goals")
_REOPEN = Statement("DELETE FROM closed_models WHERE goal = :goal AND model = :model")
_SET = insert(
    "budgets",
    ("goal", "max_agents", "max_concurrent", "max_daily_microusd", "policy", "updated_at", "updated_by"),
    conflict="ON CONFLICT (goal) DO UPDATE SET "
    + ", ".join(
        f"{name} = COALESCE(excluded.{name}, budgets.{name})"
        for name in ("max_agents", "max_concurrent", "max_daily_microusd", "policy")
    )
    + ", updated_at = excluded.updated_at, updated_by = excluded.updated_by",
)


def limits_of(conn: Connection, goals: Iterable[str], *, defaults: Limits) -> dict[str, Limits]:
    """Return the limits that each of these goals draws on, and those of `*`."""
    asked = set(goals)
    rows = {row[0]: row for row in _BUDGETS.rows(conn, {"goals": sorted({*asked, DEFAULT_GOAL, ALL_GOALS})})}
    platform = replace(defaults, goal=ALL_GOALS, max_daily_microusd=defaults.platform_daily_microusd)
    found = {
        ALL_GOALS: _overlaid(platform, rows.get(ALL_GOALS)),
        DEFAULT_GOAL: _overlaid(replace(defaults, goal=DEFAULT_GOAL), rows.get(DEFAULT_GOAL)),
    }
    for goal in asked - {DEFAULT_GOAL, ALL_GOALS}:
        row = rows.get(goal)
        found[goal] = found[DEFAULT_GOAL] if row is None else _overlaid(replace(defaults, goal=goal), row)
    return found


def limits(conn: Connection, goal: str, *, defaults: Limits) -> Limits:
    """Return the limits that a goal draws on."""
    return limits_of(conn, [goal], defaults=defaults)[goal]


def set_limits(
    conn: Connection,
    goal: str,
    *,
    now: datetime,
    by: str,
    max_agents: int | None = None,
    max_concurrent: int | None = None,
    max_daily_microusd: int | None = None,
    policy: str | None = None,
) -> None:
    """Change the limits that are given; a goal without any gets a budget of its own.

    Raises:
        InvalidMessage: a limit below zero or beyond counting, or a policy that does not exist.
    """
    for name, value in (("max_agents", max_agents), ("max_concurrent", max_concurrent)):
        if value is not None and not 0 <= value <= 1_000_000:
            raise InvalidMessage(f"{name} must be between 0 and 1000000, not {value}.")
    if max_daily_microusd is not None and not 0 <= max_daily_microusd <= MAX_MICROUSD:
        raise InvalidMessage(f"The daily cost must be between 0 and {MAX_MICROUSD} micro-dollars.")
    if policy is not None and policy not in POLICIES:
        raise InvalidMessage(f"{policy!r} is no policy; use one of {', '.join(POLICIES)}.")
    values = {"max_agents": max_agents, "max_concurrent": max_concurrent, "max_daily_microusd": max_daily_microusd}
    _SET.many(conn, [{"goal": goal, **values, "policy": policy, "updated_at": now, "updated_by": by}])


def closed_models(conn: Connection, goals: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Return the (goal, model) pairs that an overrun closed."""
    return frozenset((goal, model) for goal, model in _CLOSED.rows(conn, {"goals": goals}))


def reopen_model(conn: Connection, goal: str, model: str) -> bool:
    """Let a goal use a model again; False where it was not closed."""
    return _REOPEN.count(conn, {"goal": goal, "model": model}) > 0


def usage(conn: Connection, goal: str, *, day: str, defaults: Limits) -> BudgetView:
    """Return a goal's limits and use on a day. `agents` is counted elsewhere."""
    return _views(conn, [goal], day=day, defaults=defaults)[0]


def list_budgets(conn: Connection, *, day: str, defaults: Limits) -> list[BudgetView]:
    """Return every budget and its use on a day: `*` first, then `default`, then the goals by name."""
    named = [goal for (goal,) in _ALL_BUDGETS.rows(conn, {}) if goal != DEFAULT_GOAL]
    return _views(conn, [ALL_GOALS, DEFAULT_GOAL, *named], day=day, defaults=defaults)


def _views(conn: Connection, goals: Sequence[str], *, day: str, defaults: Limits) -> list[BudgetView]:
    drawn_on = limits_of(conn, goals, defaults=defaults)
    budgets = sorted({found.goal for found in drawn_on.values()})
    used = {row[0]: row[1:] for row in _USAGE.rows(conn, {"day": day, "goals": budgets})}
    in_use = dict(_IN_USE.rows(conn, {"goals": budgets}))
    return [_view(goal, drawn_on[goal], used, in_use, day=day) for goal in goals]


def _view(
    goal: str, found: Limits, used: dict[str, tuple[int, ...]], in_use: dict[str, int], *, day: str
) -> BudgetView:
    spent, leased = used.get(found.goal, (0, 0))
    cap = found.max_daily_microusd
    return BudgetView(
        goal=goal,
        day=day,
        max_agents=found.max_agents,
        max_concurrent=found.max_concurrent,
        max_daily_microusd=MAX_MICROUSD if cap is None else cap,
        policy=found.policy,
        concurrent=in_use.get(found.goal, sum(in_use.values()) if goal == ALL_GOALS else 0),
        spent_microusd=spent,
        leased_microusd=leased,
        is_default=goal not in (found.goal, ALL_GOALS),
    )


def _overlaid(base: Limits, row: tuple[Any, ...] | None) -> Limits:
    """Return the defaults with what the row sets."""
    if row is None:
        return base
    names = ("max_agents", "max_concurrent", "max_daily_microusd", "policy")
    return replace(base, **{name: value for name, value in zip(names, row[1:], strict=True) if value is not None})
