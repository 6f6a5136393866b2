"""Pure: what ended runs come to by hour, and the hours of each goal as a history without gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from evolvent.improvement.failure_mining import hour_of
from evolvent.storage.insight_rows import AgentHour, EndedRuns, HourTotals

_HOUR = timedelta(hours=1)
_Key = tuple[datetime, str, str]


def hours_of(ended: EndedRuns) -> list[HourTotals]:
    """Return what live runs add to the hours in which they began."""
    found: dict[_Key, HourTotals] = {}
    for run in ended.runs:
        if run.mode != "live":
            continue
        key = hour_of(run.started_at), run.goal, run.served_by
        so_far = found.get(key) or HourTotals(*key)
        found[key] = replace(
            so_far,
            runs=so_far.runs + 1,
            completed=so_far.completed + int(run.status == "completed"),
            failed=so_far.failed + int(run.status == "failed"),
            tokens=so_far.tokens + run.tokens,
            cost_microusd=so_far.cost_microusd + run.cost_microusd,
            duration_seconds=so_far.duration_seconds + run.duration_seconds,
        )
    return list(found.values())


def agent_hours_of(ended: EndedRuns) -> list[AgentHour]:
    """Return in how many live runs each agent took its first turn, by hour."""
    first: dict[tuple[str, str], datetime] = {}
    for turn in ended.turns:
        if turn.agent_id:
            key = turn.run_id, turn.agent_id
            first[key] = min(first.get(key, turn.first_at), turn.first_at)
    counted = Counter((hour_of(at), agent_id) for (_, agent_id), at in first.items())
    return [AgentHour(hour, agent_id, runs) for (hour, agent_id), runs in sorted(counted.items())]


def histories(totals: Iterable[HourTotals], end: datetime, *, most: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return cost and runs of each goal for every hour from its first to the last before `end`.

    Args:
        totals: what hours came to, in any order.
        end: the hour that is not over yet.
        most: how many goals; those that cost and run most.
    """
    by_goal: dict[str, list[HourTotals]] = {}
    for row in totals:
        if row.hour < end:
            by_goal.setdefault(row.goal, []).append(row)
    largest = sorted(by_goal, key=lambda goal: (*(-total for total in _sums(by_goal[goal])), goal))[:most]
    return {goal: _history(by_goal[goal], end) for goal in sorted(largest)}


def _sums(rows: Sequence[HourTotals]) -> tuple[int, int]:
    return sum(row.cost_microusd for row in rows), sum(row.runs for row in rows)


def _history(rows: Sequence[HourTotals], end: datetime) -> tuple[list[float], list[float]]:
    start = min(row.hour for row in rows)
    hours = int((end - start) / _HOUR)
    costs, runs = [0.0] * hours, [0.0] * hours
    for row in rows:
        at = int((row.hour - start) / _HOUR)
        costs[at] += row.cost_microusd
        runs[at] += row.runs
    return costs, runs
