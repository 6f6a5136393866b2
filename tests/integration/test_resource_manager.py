"""The resource manager on a real bus with a real ledger: caps that hold, lines that move, journals that are booked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.databases import FixedClock
from support.runs import RUN, started

from evolvent.events import subjects
from evolvent.events.clock import Clock, SystemClock
from evolvent.events.errors import RemoteError
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ModelReply
from evolvent.events.messages.calls import (
    BudgetList,
    BudgetQuery,
    BudgetView,
    LeaseReply,
    LeaseRequest,
    ReleaseLease,
    SetBudget,
    SettleLease,
    SpawnPermit,
)
from evolvent.events.messages.runs import (
    AgentCompleted,
    LeaseInfo,
    RunEvent,
    SuspendReason,
    TurnRecord,
    WorkflowFailed,
    WorkflowResumed,
    WorkflowSuspended,
)
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import REQUESTS
from evolvent.events.subjects import Priority
from evolvent.orchestrator.budgets import default_limits, rate_limits
from evolvent.orchestrator.resource_manager import ResourceManager
from evolvent.orchestrator.settings import ResourceSettings
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.ledger import Ledger
from evolvent.storage.projections import JournalEntry
from evolvent.storage.runs import RunStore

PRICES = {"m": {"input": 1.0, "output": 1.0}, "cheap": {"input": 0.0, "output": 0.0}}
TURN = 1000
"""What a turn of 900 bytes and 100 tokens holds of model m, in micro-dollars."""


@dataclass
class Stage:
    bus: NatsBus
    databases: Databases
    managers: list[ResourceManager]
    ledger: Ledger

    async def call(self, name: str, body: bytes) -> bytes:
        return await self.bus.call(subjects.endpoint("resources", name), body, timeout_seconds=60.0)

    async def lease(self, number: int, **changes: object) -> LeaseReply:
        ask = {
            "lease_id": f"l{number}",
            "run_id": f"r{number}",
            "task_id": "answer",
            "turn": 0,
            "goal": "g",
            "model": "m",
            "prompt_bytes": 900,
            "max_tokens": 100,
            "wait_seconds": 0.0,
            **changes,
        }
        return LeaseReply.decode(await self.call("lease", LeaseRequest.model_validate(ask).encode()))

    async def settle(self, number: int, cost: int) -> None:
        await self.call("settle", SettleLease(lease_id=f"l{number}", cost_microusd=cost).encode())

    async def budget(self, goal: str = "g") -> BudgetView:
        return BudgetView.decode(await self.call("budget", BudgetQuery(goal=goal).encode()))

    async def limit(self, **limits: object) -> BudgetView:
        return BudgetView.decode(
            await self.call("set_budget", SetBudget.model_validate({"goal": "g", **limits}).encode())
        )

    async def append(self, event: RunEvent) -> None:
        await self.bus.append(subjects.run_event(event.run_id, event.type), event.encode())

    async def until(self, fits: Callable[[BudgetView], bool]) -> BudgetView:
        async with asyncio.timeout(10):
            while not fits(view := await self.budget()):
                await self.bus.flush()
        return view

    async def heard(self, event_type: str) -> asyncio.Queue[dict[str, object]]:
        queue: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        await self.bus.subscribe(subjects.event(event_type), lambda m: queue.put_nowait(json.loads(m.data)))
        return queue


@asynccontextmanager
async def staged(
    bus: NatsBus, folder: Path, *, managers: int = 1, clock: Clock | None = None, **changes: object
) -> AsyncIterator[Stage]:
    settings = ResourceSettings.model_validate({"prices": PRICES, **changes})
    made: list[ResourceManager] = []
    opened: list[Databases] = []
    for _ in range(managers):
        databases = await Databases.open(folder / "data", durability="process")
        opened.append(databases)
        at = clock or SystemClock()
        ledger = Ledger(databases.ledger, at, defaults=default_limits(settings), rates=rate_limits(settings))
        agents, runs = AgentStore(databases.definitions, at), RunStore(databases.records)
        made.append(ResourceManager(bus, ledger, agents, runs, settings, clock))
        await made[-1].start()
    try:
        yield Stage(bus, opened[0], made, ledger)
    finally:
        for manager in made:
            await manager.stop()
        for databases in opened:
            await databases.close()


@pytest.fixture
async def stage(bus: NatsBus, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(bus, tmp_path, max_concurrent=2, cheaper_model="cheap") as ready:
        await ready.limit(max_daily_usd=0.01)
        yield ready


def envelope(run_id: str, at: datetime | None = None) -> dict[str, object]:
    return {"event_id": "e", "run_id": run_id, "occurred_at": at or datetime.now(UTC), "source": "test"}


def turn(lease: LeaseInfo | None, *, cost: int, sent: bool = True) -> TurnRecord:
    about = {"task_id": "answer", "turn": 0, "agent_id": "a", "spec_hash": "h", "started_at": datetime.now(UTC)}
    return TurnRecord.model_validate(
        {**about, "reply": ModelReply(text="x"), "lease": lease, "cost_microusd": cost, "sent": sent}
    )


async def test_a_lease_holds_the_worst_case_and_settles_to_the_cost(stage: Stage) -> None:
    reply = await stage.lease(1)
    assert reply.lease is not None
    assert (reply.lease.held_microusd, reply.lease.goal, reply.lease.model) == (TURN, "g", "m")
    assert reply.lease.price is not None
    assert reply.lease.price.output == 1.0
    assert (await stage.lease(1)).lease == reply.lease
    view = await stage.budget()
    assert (view.leased_microusd, view.spent_microusd, view.concurrent) == (TURN, 0, 1)
    await stage.settle(1, 300)
    await stage.settle(1, 300)
    view = await stage.budget()
    assert (view.leased_microusd, view.spent_microusd, view.concurrent) == (0, 300, 0)
    await stage.lease(2)
    await stage.call("release", ReleaseLease(lease_id="l2").encode())
    assert (await stage.budget()).leased_microusd == 0
    listed = BudgetList.decode(await stage.call("budgets", b"{}")).budgets
    assert [b.goal for b in listed] == ["*", "default", "g"]
    assert listed[0].spent_microusd == 300


async def test_money_refused_says_what_to_do_and_is_told_once(stage: Stage) -> None:
    told = await stage.heard("budget_exceeded")
    await stage.limit(max_daily_usd=0.0005, policy="cheaper_model")
    for number in range(3):
        refused = await stage.lease(number)
        assert refused.error is not None
        assert (refused.error.code, refused.error.retryable) == ("budget.exceeded", False)
        assert "evolvent budget set g" in refused.error.message
        assert (refused.policy, refused.cheaper_model) == ("cheaper_model", "cheap")
    assert (await stage.lease(9, model="cheap")).lease is not None
    event = await asyncio.wait_for(told.get(), 5)
    assert (event["goal"], event["limit"], event["cap_microusd"]) == ("g", "daily_cost", 500)
    await stage.bus.flush()
    assert told.empty()


async def test_an_unknown_price_is_refused(stage: Stage) -> None:
    refused = await stage.lease(1, model="nobody-knows-this-model")
    assert refused.error is not None
    assert (refused.error.code, refused.policy) == ("price.unknown", "stop")
    assert (await stage.budget()).leased_microusd == 0


async def test_who_waits_for_a_slot_goes_by_priority_then_arrival(stage: Stage) -> None:
    await stage.limit(max_concurrent=1)
    assert (await stage.lease(0)).lease is not None
    order: list[int] = []

    async def wait(number: int, priority: str) -> None:
        reply = await stage.lease(number, priority=priority, wait_seconds=20.0)
        assert reply.lease is not None
        order.append(number)
        await stage.settle(number, 1)

    desk = stage.managers[0]._desk
    waiting = []
    for number, priority in enumerate(["low", "medium", "low", "critical", "medium"], start=1):
        waiting.append(asyncio.create_task(wait(number, priority)))
        while desk.waiting < number:
            await stage.bus.flush()
    timed_out = await stage.lease(9, wait_seconds=0.1)
    assert timed_out.error is not None
    assert (timed_out.error.code, timed_out.error.retryable) == ("budget.concurrent", True)
    await stage.settle(0, 1)
    await asyncio.gather(*waiting)
    assert order == [4, 2, 5, 1, 3]
    assert desk.waiting == 0


async def test_a_slot_freed_by_another_process_is_seen(stage: Stage) -> None:
    await stage.limit(max_concurrent=1)
    await stage.lease(0)
    waiting = asyncio.create_task(stage.lease(1, wait_seconds=20.0))
    while not stage.managers[0]._desk.waiting:
        await stage.bus.flush()
    await stage.ledger.release("l0")  # not through the manager
    assert (await asyncio.wait_for(waiting, 5)).lease is not None


async def test_rates_are_shared_and_waited_for(bus: NatsBus, tmp_path: Path) -> None:
    clock = FixedClock()
    async with staged(bus, tmp_path, clock=clock, rate_limits={"m": {"requests_per_minute": 2}}) as stage:
        for number in (1, 2):
            assert (await stage.lease(number)).lease is not None
        refused = await stage.lease(3)
        assert refused.error is not None
        assert (refused.error.code, refused.error.retry_after_seconds) == ("budget.rate", 60.0)
        waiting = asyncio.create_task(stage.lease(3, wait_seconds=20.0))
        while not stage.managers[0]._desk.waiting:
            await stage.bus.flush()
        clock.time += timedelta(seconds=61)
        assert (await asyncio.wait_for(waiting, 5)).lease is not None


async def test_the_journal_settles_what_the_short_cut_missed(stage: Stage) -> None:
    first, second = (await stage.lease(1)).lease, (await stage.lease(2)).lease
    await stage.append(AgentCompleted.model_validate({**envelope("r1"), "turns": (turn(first, cost=400),)}))
    await stage.append(AgentCompleted.model_validate({**envelope("r2"), "turns": (turn(second, cost=0, sent=False),)}))
    view = await stage.until(lambda v: not v.leased_microusd)
    assert (view.spent_microusd, view.concurrent) == (400, 0)
    await stage.append(AgentCompleted.model_validate({**envelope("r1"), "turns": (turn(first, cost=400),)}))
    await stage.lease(3, run_id="r3")
    await stage.append(WorkflowFailed.model_validate(envelope("r3")))
    view = await stage.until(lambda v: v.spent_microusd > 400)
    assert (view.spent_microusd, view.leased_microusd, view.concurrent) == (400 + TURN, 0, 0)


async def test_a_takeover_frees_slots_and_keeps_the_money_held(stage: Stage) -> None:
    await stage.lease(1, run_id="r")
    await stage.append(WorkflowResumed.model_validate({**envelope("r"), "owner": "o2"}))
    view = await stage.until(lambda v: v.concurrent == 0)
    assert view.leased_microusd == TURN
    await stage.lease(2, run_id="r")
    again = await stage.lease(3, run_id="r")  # the attempt before it died unseen
    assert again.lease is not None
    view = await stage.budget()
    assert (view.concurrent, view.leased_microusd) == (1, 3 * TURN)


async def test_a_bill_above_its_lease_is_booked_told_and_closes_the_model(stage: Stage) -> None:
    told = await stage.heard("budget_overrun")
    lease = (await stage.lease(1)).lease
    await stage.append(AgentCompleted.model_validate({**envelope("r1"), "turns": (turn(lease, cost=5000),)}))
    event = await asyncio.wait_for(told.get(), 5)
    assert (event["model"], event["held_microusd"], event["billed_microusd"]) == ("m", TURN, 5000)
    assert (await stage.budget()).spent_microusd == 5000
    refused = await stage.lease(2)
    assert refused.error is not None
    assert refused.error.code == "budget.model_closed"
    assert (await stage.lease(3, model="cheap")).lease is not None


async def test_an_operator_reopens_a_model_that_an_overrun_closed(stage: Stage) -> None:
    told = await stage.heard("budget_overrun")
    lease = (await stage.lease(1)).lease
    await stage.append(AgentCompleted.model_validate({**envelope("r1"), "turns": (turn(lease, cost=5000),)}))
    await asyncio.wait_for(told.get(), 5)
    reopen = SetBudget(goal="g", reopen_model="m").encode()
    await stage.bus.call(subjects.endpoint("resources", "set_budget"), reopen)
    assert (await stage.lease(2)).lease is not None
    with pytest.raises(RemoteError, match="not closed"):
        await stage.bus.call(subjects.endpoint("resources", "set_budget"), reopen)


async def test_a_new_utc_day_has_a_new_budget(bus: NatsBus, tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    async with staged(bus, tmp_path, clock=clock, max_daily_cost=0.001) as stage:
        assert (await stage.lease(1)).lease is not None
        assert (await stage.lease(2)).lease is None
        clock.time += timedelta(seconds=2)
        assert (await stage.lease(2)).lease is not None
        await stage.settle(1, 600)
        assert (await stage.budget()).spent_microusd == 0
        clock.time += timedelta(hours=30)
        await stage.managers[0].sweep()
        day = clock.time.replace(day=2)
        clock.time = day
        assert (await stage.budget()).spent_microusd == TURN


async def test_agents_are_permitted_up_to_the_limit(stage: Stage) -> None:
    agents = AgentStore(stage.databases.definitions, SystemClock())
    await stage.limit(max_agents=1)
    query = BudgetQuery(goal="g").encode()
    assert SpawnPermit.decode(await stage.call("can_spawn", query)).allowed
    spec = AgentSpec(agent_id="a_1", specialty="a", system_prompt="x", model="m", goal="g")
    await agents.put(spec, created_by="test")
    refused = SpawnPermit.decode(await stage.call("can_spawn", query))
    assert (refused.allowed, "1 of its 1 agents" in refused.reason) == (False, True)
    assert (await stage.budget()).agents == 1


async def test_a_raised_budget_resumes_the_runs_that_wait_for_it(stage: Stage) -> None:
    told = await stage.heard("budget_changed")
    runs = RunStore(stage.databases.records)
    begun = started(goal="g", priority=Priority.HIGH, principal="alice")
    waits = WorkflowSuspended.model_validate(
        {**envelope(RUN), "prev_seq": 1, "reason": SuspendReason.BUDGET, "suspension": 1, "state": {}}
    )
    await runs.record([JournalEntry(seq, event, event.encode()) for seq, event in ((1, begun), (2, waits))])
    await stage.limit(max_daily_usd=5.0)
    assert (await asyncio.wait_for(told.get(), 5))["max_daily_microusd"] == 5_000_000
    stored = await stage.bus.last_of(REQUESTS, "evolvent.requests.>")
    assert stored is not None
    assert stored.subject == "evolvent.requests.high.g.alice"
    request = json.loads(stored.data)
    assert (request["run_id"], request["resume"]) == (RUN, 1)


async def test_200_callers_of_two_managers_stay_within_cap_and_slots(bus: NatsBus, tmp_path: Path) -> None:
    async with staged(bus, tmp_path, managers=2, max_concurrent=7) as stage:
        await stage.limit(max_daily_usd=0.05, max_concurrent=7)  # fifty turns
        outcomes: list[str] = []
        running = most = 0

        async def caller(number: int) -> None:
            nonlocal running, most
            reply = await stage.lease(number, wait_seconds=30.0)
            if reply.lease is None:
                assert reply.error is not None
                outcomes.append(reply.error.code)
                return
            running += 1
            most = max(most, running)
            view = await stage.budget()
            assert view.concurrent <= 7
            assert view.spent_microusd + view.leased_microusd <= 50_000
            running -= 1
            await stage.settle(number, TURN)
            outcomes.append("paid")

        await asyncio.gather(*(caller(number) for number in range(200)))
        assert sorted(set(outcomes)) == ["budget.exceeded", "paid"]
        assert outcomes.count("paid") == 50
        assert most <= 7
        view = await stage.budget()
        assert (view.spent_microusd, view.leased_microusd, view.concurrent) == (50_000, 0, 0)
