"""Has runs taken up again that wait for a budget, once that budget has changed.

The request names the suspension that it ends, so asking twice does no harm.
"""

from __future__ import annotations

import asyncio

from evolvent.events import subjects
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import SuspendReason
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import signed
from evolvent.events.subjects import Priority
from evolvent.storage.budgets import ALL_GOALS
from evolvent.storage.ledger import Ledger
from evolvent.storage.runs import RunStore

Suspension = tuple[str, int]
"""A run_id and the number of its suspension."""
_AT_ONCE = 200
_RECORDED_SECONDS = (3.0, 27.0, 570.0)


class BudgetWaker:
    """Publishes the requests that resume runs."""

    def __init__(self, bus: NatsBus, ledger: Ledger, runs: RunStore) -> None:
        self._bus = bus
        self._ledger = ledger
        self._runs = runs

    async def resume(self, budget: str, *, but: frozenset[Suspension] = frozenset()) -> frozenset[Suspension]:
        """Resume the runs that wait for this budget, but for these; return the suspensions that this ends."""
        asked: set[Suspension] = set()
        after = ""
        while page := await self._runs.suspended(reason=SuspendReason.BUDGET, after=after, limit=_AT_ONCE):
            after = page[-1].run_id
            for run in page:
                key = run.run_id, run.suspension
                drawn_on = (await self._ledger.limits(run.goal)).goal
                if key in but or budget not in (ALL_GOALS, run.goal, drawn_on):
                    continue
                subject = signed(subjects.request(Priority(run.priority), run.goal), run.principal)
                await self._bus.append(subject, Request(run_id=run.run_id, resume=run.suspension).encode())
                asked.add(key)
        return frozenset(asked)

    async def resume_late(self, budget: str, *, but: frozenset[Suspension]) -> None:
        """Resume those that were suspended just before the change, and recorded after it: soon, or after an absence."""
        for seconds in _RECORDED_SECONDS:
            await asyncio.sleep(seconds)
            but |= await self.resume(budget, but=but)
