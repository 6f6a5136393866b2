"""What ended runs say, found out on schedule: patterns of failures, the platform's numbers, forecasts, agents to warm.

    finished_runs ──counted once, by position──▶ hours, agents by hour, patterns of failures
    hours and what others keep ──▶ analytics · forecasts ──▶ evolvent status, Prometheus
    agents by hour ──▶ who the coming hour needs ──▶ loader.warm (off by default)

Every job may be repeated, by any process. Shown in use by tests/integration/test_insight_jobs.py.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError
from evolvent.events.messages.calls import AgentQuery
from evolvent.events.messages.insight_calls import Forecasts, GoalForecast
from evolvent.events.messages.platform import ImprovementAvailable, PlatformEvent
from evolvent.events.nats_bus import NatsBus
from evolvent.improvement.analytics import analytics_of, period_of
from evolvent.improvement.failure_mining import failures_of, hour_of, merged
from evolvent.improvement.forecasting import DAY, WEEK, forecast
from evolvent.improvement.hours import agent_hours_of, histories, hours_of
from evolvent.improvement.insight_settings import InsightSettings
from evolvent.improvement.planned_times import Every
from evolvent.improvement.prewarming import LOOK_BACK, agents_needed
from evolvent.improvement.remedies import ADVICE, remedy_for
from evolvent.improvement.schedule import Job
from evolvent.storage.database import Database
from evolvent.storage.insight_rows import EndedRuns, FailurePattern
from evolvent.storage.insights import InsightStore
from evolvent.storage.learning_facts import LearningFactsReader

Emit = Callable[[PlatformEvent], Awaitable[None]]
ANALYTICS, FORECASTS = "analytics", "forecasts"
_NAMESPACE = uuid.UUID("a9d2a2a8-6b0b-5f5e-8a9e-0a6c5a3b7d10")
_SOURCE = "failure_patterns"
_QUARTER = timedelta(minutes=15)
_FORECAST_HOURS = 6 * WEEK
_MOST_GOALS = 50
_SHOWN_PATTERNS = 1000


class InsightJobs:
    """Finds out, keeps, and tells.

    Args:
        bus: where loaders are asked to warm agents.
        records: the database of runs and of what is counted.
        definitions: the database of agents and automations.
        settings: how it works.
        min_support: successful runs that make a signature a pattern.
        clock: time.
        emit: tells the platform of an event.
    """

    def __init__(
        self,
        bus: NatsBus,
        records: Database,
        definitions: Database,
        *,
        settings: InsightSettings,
        min_support: int,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._bus = bus
        self._store = InsightStore(records)
        self._facts = LearningFactsReader(records, definitions)
        self._settings = settings
        self._min_support = min_support
        self._clock = clock
        self._emit = emit

    def jobs(self) -> tuple[Job, ...]:
        """Return the jobs."""
        settings = self._settings
        return (
            Job(
                "failure_patterns",
                Every(settings.count_every_seconds),
                self.mine_failures,
                "Counts ended runs, sorts failures into patterns, and tells of new ones with a remedy.",
            ),
            Job(
                "analytics",
                Every(settings.analytics_every_seconds),
                self.analyse,
                "Works out the numbers of the platform and of learning.",
            ),
            Job(
                "forecasts",
                Every(settings.forecast_every_seconds),
                self.foresee,
                "Forecasts cost and load of each goal for the coming day.",
            ),
            Job(
                "prewarm_agents",
                Every(int(_QUARTER.total_seconds())),
                self.prewarm,
                "Has loaders hold the agents that the coming hour will need; off by default.",
            ),
        )

    async def mine_failures(self, _planned_at: datetime) -> str:
        """Count ended runs, and tell of patterns that failed often enough; say how many."""
        runs = await self._count_all()
        now = self._clock.now()
        await self._store.forget_before(now - timedelta(days=self._settings.kept_days))
        untold = await self._store.untold(min_failures=self._settings.failure_pattern_min)
        for pattern in untold:
            await self._emit(self._told(pattern, now))
            await self._store.told(pattern.pattern_id)
        return f"{runs} runs counted, {len(untold)} new patterns of failures"

    async def analyse(self, _planned_at: datetime) -> str:
        """Work out the numbers and keep them; say how many there are."""
        await self._count_all()
        now = self._clock.now()
        facts = await self._facts.read(period_of(now), min_support=self._min_support)
        since = now - timedelta(days=self._settings.kept_days)
        patterns = await self._store.patterns(since=since, limit=_SHOWN_PATTERNS)
        found = analytics_of(facts, patterns, now)
        await self._store.put(ANALYTICS, found.model_dump(mode="json"), now=now)
        known = [measure for measure in (*found.mission, *found.learning) if measure.value is not None]
        return f"{len(known)} of {len(found.mission) + len(found.learning)} numbers have data"

    async def foresee(self, _planned_at: datetime) -> str:
        """Forecast cost and load of each goal and keep that; say of how many goals."""
        await self._count_all()
        now = self._clock.now()
        end = hour_of(now)
        totals = await self._store.hours(end - timedelta(hours=_FORECAST_HOURS))
        found = [
            goal_forecast
            for goal, (costs, runs) in histories(totals, end, most=_MOST_GOALS).items()
            for goal_forecast in await asyncio.to_thread(_forecasts, goal, end, costs, runs)
        ]
        document = Forecasts(computed_at=now.isoformat(), goals=tuple(found))
        await self._store.put(FORECASTS, document.model_dump(mode="json"), now=now)
        silent = sum(1 for each in found if each.basis == "none")
        return f"{len(found) // 2} goals forecast" + (f", {silent // 2} have too short a history" if silent else "")

    async def prewarm(self, planned_at: datetime) -> str:
        """Have loaders hold who the coming hour needs; say how many."""
        if not self._settings.prewarm:
            return "off"
        hour = hour_of(planned_at + _QUARTER)
        history = await self._store.agent_hours(hour - LOOK_BACK)
        settings = self._settings
        needed = agents_needed(history, hour, share=settings.prewarm_share, most=settings.prewarm_most)
        warmed = 0
        for agent in needed:
            query = AgentQuery(
                agent_id=agent.agent_id, reason=f"used in {agent.share:.0%} of the hours like {hour:%H}:00"
            )
            try:
                await self._bus.call(subjects.endpoint("loader", "warm"), query.encode())
            except EvolventError as error:
                if error.info().code != "not_found":
                    raise
                continue  # it was retired since
            warmed += 1
        return f"{warmed} of {len(needed)} agents warmed for {hour:%H}:00"

    async def _count_all(self) -> int:
        runs = 0
        while True:
            before = await self._store.position()
            ended = await self._store.ended_after(before, most=self._settings.batch)
            if not ended.runs:
                return runs
            runs += len(ended.runs) if await self._counted(ended, before) else 0

    async def _counted(self, ended: EndedRuns, before: int) -> bool:
        failures = failures_of(ended)
        return await self._store.count(
            before=before,
            after=ended.runs[-1].position,
            hours=hours_of(ended),
            agents=agent_hours_of(ended),
            failing={failure.pattern_id for failure in failures},
            merged=lambda known: merged(known, failures),
        )

    def _told(self, pattern: FailurePattern, now: datetime) -> ImprovementAvailable:
        remedy = remedy_for(pattern.category, pattern.code, self._settings.remedies)
        what = f"{pattern.kind} {pattern.subject} fails with {pattern.code} ({pattern.failures} times)"
        return ImprovementAvailable(
            event_id=str(uuid.uuid5(_NAMESPACE, pattern.pattern_id)),
            occurred_at=now,
            source=_SOURCE,
            target=f"failure:{pattern.pattern_id}",
            detail=f"{what}; {remedy}: {ADVICE[remedy]}",
        )


def _forecasts(goal: str, end: datetime, costs: list[float], runs: list[float]) -> list[GoalForecast]:
    found = []
    for what, history in (("cost_microusd", costs), ("runs", runs)):
        said = forecast(history, horizon=DAY)
        found.append(
            GoalForecast(
                goal=goal,
                what=what,
                from_hour=end.isoformat(),
                basis=said.basis,
                expected=tuple(round(value, 3) for value in said.expected),
                low=tuple(None if value is None else round(value, 3) for value in said.low),
                high=tuple(None if value is None else round(value, 3) for value in said.high),
            )
        )
    return found
