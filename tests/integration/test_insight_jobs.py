"""The jobs that find out what ended runs say, on recorded runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.databases import FixedClock
from support.journals import completed_run, run_id_of, stream, suspended_run, workflow_run
from support.runs import AGENT, NOW
from support.servers import bus_on, nats_server

from evolvent.events import subjects
from evolvent.events.bus import Call
from evolvent.events.errors import NotFound
from evolvent.events.messages.calls import AgentQuery, Empty
from evolvent.events.messages.insight_calls import (
    FailureList,
    FailureQuery,
    FailuresQuery,
    FailureView,
    Insights,
)
from evolvent.events.messages.platform import ImprovementAvailable, PlatformEvent
from evolvent.events.nats_bus import NatsBus
from evolvent.improvement.daily_budgets import DailyBudgets
from evolvent.improvement.insight_desk import InsightDesk
from evolvent.improvement.insight_settings import InsightSettings
from evolvent.improvement.insights import InsightJobs
from evolvent.improvement.waking import Waker
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.improvements import ImprovementStore, StoredFeedback, StoredOutcome
from evolvent.storage.insight_rows import AgentHour
from evolvent.storage.insights import InsightStore
from evolvent.storage.runs import RunStore

LATER = NOW + timedelta(hours=2)


@dataclass
class World:
    """Databases, a bus, and what was told."""

    bus: NatsBus
    databases: Databases
    clock: FixedClock = field(default_factory=lambda: FixedClock(LATER))
    told: list[PlatformEvent] = field(default_factory=list)

    @property
    def runs(self) -> RunStore:
        return RunStore(self.databases.records)

    @property
    def store(self) -> InsightStore:
        return InsightStore(self.databases.records)

    def jobs(self, **settings: object) -> InsightJobs:
        async def emit(event: PlatformEvent) -> None:
            self.told.append(event)

        return InsightJobs(
            self.bus,
            self.databases.records,
            self.databases.definitions,
            settings=InsightSettings.model_validate({"batch": 3, "failure_pattern_min": 2, **settings}),
            min_support=3,
            clock=self.clock,
            emit=emit,
        )

    async def ask(self, name: str, data: bytes = b"{}") -> bytes:
        desk = InsightDesk(self.databases.records, InsightSettings(), clock=self.clock)
        return await desk.endpoints()[name](Call("s", data, {}))

    async def insights(self) -> Insights:
        return Insights.decode(await self.ask("insights"))


@pytest.fixture
async def world(databases: Databases, tmp_path: Path) -> AsyncIterator[World]:
    async with nats_server(tmp_path) as url, bus_on(url) as bus:
        yield World(bus, databases)


async def test_failures_become_patterns_that_are_told_of_once(world: World) -> None:
    await world.runs.record(stream(*(workflow_run(n) for n in range(4)), completed_run(9)))
    jobs = world.jobs()
    assert await jobs.mine_failures(LATER) == "5 runs counted, 1 new patterns of failures"
    assert await jobs.mine_failures(LATER) == "0 runs counted, 0 new patterns of failures"
    (told,) = world.told
    assert isinstance(told, ImprovementAvailable)
    (row,) = FailureList.decode(await world.ask("failures")).patterns
    assert told.target == f"failure:{row.pattern_id}"
    assert "other_model" in told.detail
    assert (row.category, row.code, row.failures, row.failed_runs, row.trend) == (
        *("network", "model.unavailable", 4, 4),
        "new",
    )
    assert (row.kind, row.subject, row.remedy, row.goals) == ("agent", AGENT.agent_id, "other_model", {"default": 4})
    view = FailureView.decode(await world.ask("failure", FailureQuery(pattern_id=row.pattern_id[:6]).encode()))
    assert view.runs == tuple(run_id_of(n) for n in (3, 2, 1, 0))
    with pytest.raises(NotFound, match="failures list"):
        await world.ask("failure", FailureQuery(pattern_id="ffffffffff").encode())


async def test_a_pattern_that_was_not_told_of_is_told_of_by_the_next(world: World) -> None:
    await world.runs.record(stream(workflow_run(0), workflow_run(1)))
    jobs = world.jobs(failure_pattern_min=3)
    await jobs.mine_failures(LATER)
    assert world.told == []
    await world.jobs(failure_pattern_min=2).mine_failures(LATER)
    assert len(world.told) == 1


async def test_of_two_who_count_the_same_runs_one_counts(world: World) -> None:
    await world.runs.record(stream(completed_run(0), completed_run(1)))
    one = await world.store.ended_after(0, most=10)
    jobs = world.jobs()
    assert await jobs._counted(one, 0)
    assert not await world.jobs()._counted(one, 0)
    (hour,) = await world.store.hours(NOW - timedelta(days=1))
    assert (hour.goal, hour.served_by, hour.runs, hour.completed, hour.cost_microusd) == (
        *("default", "agent", 2, 2),
        28,
    )
    assert [(row.agent_id, row.runs) for row in await world.store.agent_hours(NOW)] == [(AGENT.agent_id, 2)]


async def test_a_number_without_rows_says_so(world: World) -> None:
    assert (await world.insights()).analytics.mission == ()
    assert await world.jobs().analyse(LATER) == "5 of 12 numbers have data"
    found = (await world.insights()).analytics
    values = {measure.name: measure.value for measure in found.mission}
    assert list(values) == [
        *("agents_spawned_today", "active_agents", "patterns_discovered", "automations_created"),
        *("user_feedback_items", "cost_optimization", "avg_response_time", "user_satisfaction"),
    ]
    assert [name for name, value in values.items() if value is None] == [
        *("cost_optimization", "avg_response_time", "user_satisfaction"),
    ]
    assert all(measure.means.endswith(".") for measure in (*found.mission, *found.learning))


async def test_the_numbers_come_from_what_was_recorded(world: World) -> None:
    agents = AgentStore(world.databases.definitions, world.clock)
    await agents.put(AGENT, created_by="test")
    await world.runs.record(stream(*(completed_run(n) for n in range(3)), workflow_run(3), suspended_run(4)))
    said = ImprovementStore(world.databases.records)
    for number, rating in enumerate((5, 3, 1, None)):
        await said.put_feedback(
            StoredFeedback(f"f{number}", run_id_of(number), None, "alice", "This is wrong", rating, NOW)
        )
    await said.put_outcome(StoredOutcome(run_id_of(0), "alice", True, None, NOW))
    await world.jobs().analyse(LATER)
    found = (await world.insights()).analytics
    mission = {measure.name: measure.value for measure in found.mission}
    assert mission["agents_spawned_today"] == 1
    assert mission["active_agents"] == 1
    assert mission["user_feedback_items"] == 4
    assert mission["cost_optimization"] == 0
    assert mission["user_satisfaction"] == pytest.approx(3 / 4)
    ended = [*await world.runs.latest(limit=10)]
    assert mission["avg_response_time"] == pytest.approx(sum(run.duration_seconds for run in ended) / len(ended))
    learning = {measure.name: measure.value for measure in found.learning}
    assert learning["cost_efficiency"] == pytest.approx(3 / 42e-6)
    assert learning["automation_success"] is None
    assert {m.name: m.value for m in found.specialties} == {"assistant": 0.6}
    assert {s.served_by: (s.runs, s.tokens_per_run) for s in found.serving}["agent"] == (4, 22.5)
    assert found.counts["disputed_24h"] == 2
    assert [(share.category, share.trend, share.patterns) for share in found.failures] == [("network", "new", 1)]


async def test_forecasts_are_kept_with_how_far_they_err(world: World) -> None:
    runs = stream(*(completed_run(n) for n in range(300)))
    await world.runs.record(runs)
    world.clock.time = NOW + timedelta(hours=5, minutes=30)
    assert await world.jobs(batch=500).foresee(world.clock.time) == "1 goals forecast"
    found = {said.what: said for said in (await world.insights()).forecasts.goals}
    load = found["runs"]
    assert (load.goal, load.basis, load.from_hour) == ("default", "mean", (NOW + timedelta(hours=5)).isoformat())
    assert load.expected[0] == pytest.approx(60)
    assert found["cost_microusd"].expected[9] == pytest.approx(10 * 60 * 14)


async def test_a_history_that_is_too_short_gives_no_forecast(world: World) -> None:
    await world.runs.record(stream(completed_run(0)))
    assert await world.jobs().foresee(LATER) == "1 goals forecast, 1 have too short a history"
    assert {said.basis for said in (await world.insights()).forecasts.goals} == {"none"}


async def test_loaders_are_asked_to_hold_who_the_coming_hour_needs_if_that_is_on(world: World) -> None:
    warmed: list[str] = []

    async def warm(call: Call) -> bytes:
        agent_id = AgentQuery.decode(call.data).agent_id
        if agent_id == "gone":
            raise NotFound
        warmed.append(agent_id)
        return Empty().encode()

    host = await world.bus.host("evolvent-loader", version="0.1.0", description="warms")
    await host.add("warm", subjects.endpoint("loader", "warm"), warm, queue="loader")
    days = [NOW - timedelta(days=day) for day in (1, 2, 3)]
    hours = [AgentHour(day, agent_id, 2) for day in days for agent_id in ("busy", "gone")]
    await world.store.count(before=0, after=1, hours=(), agents=hours, failing=(), merged=lambda _: ())
    at: datetime = NOW - timedelta(minutes=15)
    assert await world.jobs().prewarm(at) == "off"
    assert await world.jobs(prewarm=True).prewarm(at) == "1 of 2 agents warmed for 12:00"
    assert await world.jobs(prewarm=True).prewarm(NOW + timedelta(hours=1)) == "0 of 0 agents warmed for 13:00"
    assert warmed == ["busy"]


async def test_the_new_day_says_what_the_old_one_came_to(world: World) -> None:
    await world.runs.record(stream(completed_run(0), completed_run(1), workflow_run(2)))
    waker = Waker(world.bus, world.runs, clock=world.clock, again_seconds=1)
    said = await DailyBudgets(waker, world.runs).turn(NOW + timedelta(days=1))
    assert said.endswith("3 runs of 1 goals cost 0.00 USD on 2026-11-21")
    assert "no run ended on 2026-11-24" in await DailyBudgets(waker, world.runs).turn(NOW + timedelta(days=4))


async def test_what_is_older_than_is_kept_goes(world: World) -> None:
    await world.runs.record(stream(workflow_run(0), workflow_run(1)))
    await world.jobs().mine_failures(LATER)
    world.clock.time = NOW + timedelta(days=100)
    await world.jobs().mine_failures(world.clock.time)
    assert await world.store.hours(NOW - timedelta(days=1)) == []
    assert FailureList.decode(await world.ask("failures", FailuresQuery(days=1000).encode())).patterns == ()
