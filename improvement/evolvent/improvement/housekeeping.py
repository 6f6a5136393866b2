"""Jobs that keep the house small: old records go, and agents that nobody uses retire, where settings say so."""

from __future__ import annotations

from datetime import datetime, timedelta

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.messages.calls import AgentQuery
from evolvent.events.nats_bus import NatsBus
from evolvent.improvement.settings import ImprovementSettings
from evolvent.storage.agents import AgentStore
from evolvent.storage.archive import Archive
from evolvent.storage.jobs import JobStore
from evolvent.storage.runs import RunStore
from evolvent.storage.schedules import ScheduleStore

_JOB_RUNS_KEPT = timedelta(days=14)
"""Longer than the longest time between two planned times: a claim that is forgotten could be made again."""


class Retention:
    """Deletes what is older than the settings want kept, a batch at a time."""

    def __init__(
        self,
        runs: RunStore,
        archive: Archive,
        jobs: JobStore,
        schedules: ScheduleStore,
        *,
        settings: ImprovementSettings,
        clock: Clock,
    ) -> None:
        self._runs = runs
        self._archive = archive
        self._jobs = jobs
        self._schedules = schedules
        self._settings = settings
        self._clock = clock

    async def forget_old(self, _planned_at: datetime) -> str:
        """Delete ended runs with their events, platform events, commands and dead letters; say how much."""
        now = self._clock.now()
        claims = await self._jobs.forget_before(now - _JOB_RUNS_KEPT)
        await self._schedules.forget_before(now - _JOB_RUNS_KEPT)
        if self._settings.retention_days is None:
            return f"off for runs; {claims} job runs forgotten"
        before = now - timedelta(days=self._settings.retention_days)
        most = self._settings.retention_batch
        runs = 0
        while (gone := await self._runs.forget_before(before, most=most)) > 0:
            runs += gone
        await self._archive.forget_before(before)
        return f"{runs} runs and {claims} job runs forgotten"


class IdleAgents:
    """Retires spawned agents that nobody used for long; the lazy loader does it and tells of it."""

    def __init__(
        self, bus: NatsBus, agents: AgentStore, runs: RunStore, *, settings: ImprovementSettings, clock: Clock
    ) -> None:
        self._bus = bus
        self._agents = agents
        self._runs = runs
        self._settings = settings
        self._clock = clock

    async def retire(self, _planned_at: datetime) -> str:
        """Retire every spawned agent that is older than the setting and was not used since; say how many."""
        days = self._settings.retire_idle_days
        if days is None:
            return "off"
        since = self._clock.now() - timedelta(days=days)
        candidates = await self._agents.spawned_before(since)
        used = await self._runs.agents_used_since(since)
        idle = [agent_id for agent_id in candidates if agent_id not in used]
        for agent_id in idle:
            query = AgentQuery(agent_id=agent_id, reason=f"unused for {days} days")
            await self._bus.call(subjects.endpoint("loader", "retire"), query.encode())
        return f"{len(idle)} of {len(candidates)} retired"
