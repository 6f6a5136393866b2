"""The turn of the UTC day: budgets are new, so runs that waited for one go on, and the day that ended is summed up.

What a goal used is kept by day, so nothing has to be set back. Shown in use by tests/integration/test_insight_jobs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from evolvent.improvement.waking import Waker
from evolvent.storage.run_records import DailyTotals
from evolvent.storage.runs import RunStore

_DAY = timedelta(days=1)
_USD = 1_000_000


class DailyBudgets:
    """Wakes, and sums up."""

    def __init__(self, waker: Waker, runs: RunStore) -> None:
        self._waker = waker
        self._runs = runs

    async def turn(self, planned_at: datetime) -> str:
        """Wake the runs that waited for the new day; say how many, and what the day before came to."""
        woken = await self._waker.wake_for_new_day(planned_at)
        yesterday = (planned_at - _DAY).date().isoformat()
        totals = await self._runs.daily_totals(since_day=yesterday)
        return f"{woken}; {report(yesterday, [each for each in totals if each.day == yesterday])}"


def report(day: str, totals: Sequence[DailyTotals]) -> str:
    """Return what a day came to, in one line."""
    if not totals:
        return f"no run ended on {day}"
    spent = sum(each.cost_microusd for each in totals) / _USD
    runs = sum(each.runs for each in totals)
    most = max(totals, key=lambda each: (each.cost_microusd, each.runs))
    line = f"{runs} runs of {len(totals)} goals cost {spent:.2f} USD on {day}"
    return line if len(totals) == 1 else f"{line}, {most.goal} most ({most.cost_microusd / _USD:.2f})"
