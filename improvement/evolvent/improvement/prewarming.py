"""Pure: which agents an hour will need, by the hours that were like it: of the same weekday, and of any day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from evolvent.storage.insight_rows import AgentHour

_WEEKS, _DAYS = 4, 7
_LEAST_TIMES = 2
LOOK_BACK = timedelta(weeks=_WEEKS)


@dataclass(frozen=True, slots=True)
class Needed:
    """An agent that an hour will probably need: in which share of the hours like it it was used, and for how much."""

    agent_id: str
    share: float
    runs: float


def agents_needed(history: Iterable[AgentHour], hour: datetime, *, share: float, most: int) -> list[Needed]:
    """Return who was used in so large a share of the hours like this one, the surest first.

    Like it are the same hour of the same weekday in four weeks and the same hour of the last seven days, as far as
    there is history; used once is no pattern.
    """
    used: dict[str, dict[datetime, int]] = {}
    first: datetime | None = None
    for row in history:
        if row.hour < hour:
            first = row.hour if first is None else min(first, row.hour)
            used.setdefault(row.agent_id, {})[row.hour] = row.runs
    if first is None:
        return []
    weekly = [at for week in range(1, _WEEKS + 1) if (at := hour - timedelta(weeks=week)) >= first]
    daily = [at for day in range(1, _DAYS + 1) if (at := hour - timedelta(days=day)) >= first]
    found = [
        max((_of(agent_id, hours, weekly), _of(agent_id, hours, daily)), key=lambda needed: needed.share)
        for agent_id, hours in used.items()
    ]
    sure = [needed for needed in found if needed.share >= share]
    return sorted(sure, key=lambda needed: (-needed.share, -needed.runs, needed.agent_id))[:most]


def _of(agent_id: str, hours: dict[datetime, int], like: list[datetime]) -> Needed:
    seen = [hours[at] for at in like if at in hours]
    if len(seen) < _LEAST_TIMES:
        return Needed(agent_id, 0.0, 0.0)
    return Needed(agent_id, len(seen) / len(like), sum(seen) / len(like))
