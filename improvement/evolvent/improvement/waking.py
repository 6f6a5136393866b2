"""Wakes suspended runs whose time has come, by publishing the request that resumes them.

A run that was woken and still sleeps has its request in a queue somewhere; it is left alone for a while, so that
requests do not pile up while no orchestrator takes them. Waking twice does no harm: the request names the
suspension that it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import SuspendReason
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import signed
from evolvent.events.subjects import Priority
from evolvent.storage.run_records import SuspendedRun
from evolvent.storage.runs import RunStore


class Waker:
    """Looks for runs to wake, and remembers whom it woke."""

    def __init__(self, bus: NatsBus, runs: RunStore, *, clock: Clock, again_seconds: float) -> None:
        self._bus = bus
        self._runs = runs
        self._clock = clock
        self._again = timedelta(seconds=again_seconds)
        self._woken: dict[tuple[str, int], datetime] = {}

    async def wake_due(self, _planned_at: datetime) -> str:
        """Wake every run whose `wake_at` has come; say how many."""
        return await self._wake(await self._runs.suspended(due_before=self._clock.now()))

    async def wake_for_new_day(self, _planned_at: datetime) -> str:
        """Wake the runs that waited for the day's new budget; say how many."""
        now = self._clock.now()
        return await self._wake(await self._runs.suspended(reason=SuspendReason.BUDGET, due_before=now))

    async def _wake(self, due: Sequence[SuspendedRun]) -> str:
        now = self._clock.now()
        self._woken = {key: at for key, at in self._woken.items() if at > now - self._again}
        count = 0
        for run in due:
            key = run.run_id, run.suspension
            if key in self._woken:
                continue
            await self._resume(run)
            self._woken[key] = now
            count += 1
        return f"{count} woken, {len(due) - count} on their way"

    async def _resume(self, run: SuspendedRun) -> None:
        subject = signed(subjects.request(Priority(run.priority), run.goal), run.principal)
        await self._bus.append(subject, Request(run_id=run.run_id, resume=run.suspension).encode())
