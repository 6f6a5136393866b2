"""Workflows through a real orchestrator on a real bus: versions, nesting, crashes, timeouts, sizes, approvals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.house import FAST, House, effects, types
from support.neighbours import PlayedLoader, PlayedResources, Say, request_body

from evolvent.events import subjects
from evolvent.events.clock import SystemClock
from evolvent.events.journal import Journal
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.reducer import fold
from evolvent.events.language.replay import replay
from evolvent.events.language.state import RunState, TaskStatus
from evolvent.events.language.workflow import ApprovalPolicy, Task, TaskKind, Workflow
from evolvent.events.messages.runs import Deoptimized, Final, RunEvent, WorkflowSuspended
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import signed
from evolvent.events.streams import RUNS
from evolvent.events.subjects import Verb
from evolvent.improvement.waking import Waker
from evolvent.orchestrator.agent_orchestrator import AgentOrchestrator
from evolvent.orchestrator.routing.router import Sources
from evolvent.orchestrator.tools import ToolContext, ToolRegistry, tool
from evolvent.storage.database import Databases
from evolvent.storage.projections import JournalEntry
from evolvent.storage.runs import RunStore
from evolvent.storage.workflows import WorkflowStore

AGENT = "worker_1"


class Later(SystemClock):
    """The machine's time, and a while later."""

    def now(self) -> Any:
        return super().now() + timedelta(days=2)


@dataclass
class Works:
    """An orchestrator that knows workflows, and what a test looks at."""

    house: House
    workflows: WorkflowStore
    runs: RunStore
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self, **settings: Any) -> AgentOrchestrator:
        registry = ToolRegistry()
        registry.load_modules(["support.effects"])

        @tool(effect="keyed")
        async def slow_post(text: str, *, ctx: ToolContext) -> str:
            """Post when the gate opens."""
            self.entered.set()
            await self.gate.wait()
            return f"posted {text}"

        registry.register(slow_post)
        sources, runs = self.house.stores
        orchestrator = AgentOrchestrator(
            self.house.bus, sources, runs, registry, settings=FAST.model_copy(update=settings)
        )
        self.house.orchestrators.append(orchestrator)
        await orchestrator.start()
        return orchestrator

    async def put(self, *tasks: Task, name: str = "flow", **more: Any) -> None:
        await self.workflows.put(Workflow(name=name, tasks=tasks, **more), by="test")

    async def run(self, name: str | None = "flow", message: str = "go", **more: Any) -> str:
        named = {"workflow": name} if name else {}
        return await self.house.publish(request_body(message, **named, **more))

    async def ended(self, run_id: str) -> list[RunEvent]:
        return await self.house.events(run_id)

    async def state(self, run_id: str) -> RunState:
        return fold(run_id, ((e.sequence, e.event) for e in await Journal(self.house.bus).read(run_id)))

    async def is_replayed(self, run_id: str) -> bool:
        entries = await Journal(self.house.bus).read(run_id)
        again = replay(run_id, [(e.sequence, e.event) for e in entries], {})
        assert again.is_identical, (again.undecided, [(e.type, e.difference) for e in again.events if not e.is_same])
        return True

    async def record(self, run_id: str) -> None:
        entries = await Journal(self.house.bus).read(run_id)
        await self.runs.record([JournalEntry(entry.sequence, entry.event, entry.event.encode()) for entry in entries])


@pytest.fixture
async def works(bus: NatsBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Works]:
    monkeypatch.setenv("EFFECTS_FILE", str(tmp_path / "effects"))
    (tmp_path / "effects").touch()
    databases = await Databases.open(tmp_path / "db")
    sources = Sources.of(databases, SystemClock())
    assert sources.workflows is not None
    spec = AgentSpec(agent_id=AGENT, specialty="worker", system_prompt="Work.", model="m", goal="default")
    await sources.agents.put(spec, created_by="test", source="user", spawned=False)
    script: list[Say] = ["done"]
    house = House(bus, (sources, RunStore(databases.records)), PlayedLoader(bus, script), PlayedResources(bus))  # type: ignore[arg-type]
    made = Works(house, sources.workflows, RunStore(databases.records))
    for service in (house.loader, house.resources):
        await service.start()
    yield made
    made.gate.set()
    for orchestrator in house.orchestrators:
        await orchestrator.stop(drain_seconds=0.2)
    for service in (house.loader, house.resources):
        await service.stop(drain_seconds=0)
    await databases.close()


def call(task_id: str, *needs: str, name: str = "look_up", **arguments: Any) -> Task:
    given = arguments or {"key": task_id}
    return Task(task_id=task_id, kind=TaskKind.TOOL, tool=name, dependencies=needs, arguments=given)


def ask(task_id: str, *needs: str, **more: Any) -> Task:
    return Task(task_id=task_id, agent_id=AGENT, dependencies=needs, **more)


def gate(task_id: str, *needs: str, **policy: Any) -> Task:
    return Task(task_id=task_id, kind=TaskKind.APPROVAL, dependencies=needs, approval=ApprovalPolicy(**policy))


def final(events: list[RunEvent]) -> Final:
    last = events[-1]
    assert isinstance(last, Final), types(events)
    return last


async def test_a_workflow_that_is_meant_runs_with_the_one_inside_it_and_is_recorded_task_by_task(works: Works) -> None:
    await works.open()
    takes = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
    inner = [call("find", key="${params.key}"), ask("judge", "find", instructions="${tasks.find.output.value}")]
    await works.put(*inner, name="inner", parameters=takes)
    nested = Task(task_id="report", kind=TaskKind.WORKFLOW, workflow="inner", arguments={"key": "disk"})
    outer = [nested, gate("ok", "report", prompt="${tasks.report.output}?"), call("after", "ok")]
    intents = ("why is the disk full", "the disk is full again", "check the full disk")
    await works.put(*outer, name="outer", intents=intents)
    run_id = await works.run(None, "why is the disk full")
    waiting = (await works.ended(run_id))[-1]
    assert isinstance(waiting, WorkflowSuspended), waiting
    assert "done?" in waiting.detail
    await works.house.bus.append(subjects.command(Verb.DENY, run_id), b'{"note": "no"}')
    await works.house.until("workflow_failed", run_id)
    state = await works.state(run_id)
    await works.record(run_id)
    rows = {row.task_id: row.status for row in await works.runs.tasks(run_id)}
    said = {TaskStatus.DONE: "completed", TaskStatus.FAILED: "failed", TaskStatus.SKIPPED: "skipped"}
    assert rows == {name: said[task.status] for name, task in state.tasks.items()}
    assert await works.is_replayed(run_id)


async def test_a_run_stays_on_the_version_with_which_it_began(works: Works) -> None:
    await works.open()
    await works.put(gate("ok"), call("old", "ok"), output="${tasks.old.output.value}")
    run_id = await works.run()
    assert (await works.ended(run_id))[-1].type == "workflow_suspended"
    await works.put(gate("ok"), call("new", "ok"), output="${tasks.new.output.value}")
    await works.house.orchestrators[0].stop(drain_seconds=0)
    await works.open()
    await works.house.bus.append(subjects.command(Verb.APPROVE, run_id), b"{}")
    await works.house.until("workflow_completed", run_id)
    assert final(await works.ended(run_id)).answer == "value of old"
    later = await works.run()
    await works.ended(later)
    await works.house.bus.append(subjects.command(Verb.APPROVE, later), b"{}")
    await works.house.until("workflow_completed", later)
    assert final(await works.ended(later)).answer == "value of new"


@pytest.mark.parametrize("kill_at", range(1, 8))
async def test_each_effect_of_a_run_is_made_once_wherever_its_owner_dies(
    works: Works, kill_at: int, tmp_path: Path
) -> None:
    tasks = [call("a"), call("b", name="post", text="b"), call("c", "a", name="post", text="${tasks.a.output.value}")]
    await works.put(*tasks, ask("d", "b", "c"), call("e", "d", name="post", text="e"))
    first = await works.open(ack_wait_seconds=0.6)
    run_id = await works.run()
    for _ in range(2000):
        entries = await Journal(works.house.bus).read(run_id)
        if len(entries) >= kill_at:
            break
        await asyncio.sleep(0)
    await first.stop(drain_seconds=0)
    await works.open(ack_wait_seconds=0.6)
    await works.house.until("workflow_completed", run_id)
    keys = {line.split()[2] for line in effects(tmp_path) if line.startswith("posted")}
    assert len(keys) == 3
    events = await works.ended(run_id)
    told = [record.task_id for event in events for record in event.tools]
    assert sorted(told) == ["a", "b", "c", "e"]
    assert len({turn.task_id for event in events for turn in event.turns if turn.reply is not None}) == 1
    assert await works.is_replayed(run_id)


async def test_a_cancelled_run_lets_claimed_calls_end_and_keeps_what_was_done(works: Works) -> None:
    works.house.loader.gate = asyncio.Event()
    await works.open()
    await works.put(call("a"), call("b", name="slow_post", text="b"), ask("c"))
    run_id = await works.run()
    await asyncio.wait_for(works.entered.wait(), 5)
    await asyncio.wait_for(works.house.loader.called.wait(), 5)
    await works.house.bus.append(subjects.command(Verb.CANCEL, run_id), b"{}")
    await works.house.until_commands_done()
    works.gate.set()
    await works.house.until("workflow_cancelled", run_id)
    last = final(await works.ended(run_id))
    assert last.output["b"] == "posted b"
    assert "a" in last.output
    assert await works.is_replayed(run_id)


async def test_a_turn_that_its_task_has_no_time_for_costs_its_lease_and_is_tried_under_another(works: Works) -> None:
    works.house.loader.gate = asyncio.Event()
    await works.open()
    await works.put(ask("slow", timeout_seconds=0.2, retry_count=1, retry_delay_seconds=0), call("other"))
    run_id = await works.run()
    last = final(await works.ended(run_id))
    assert last.error is not None
    assert (last.error.code, last.totals.cost_microusd) == ("task.timeout", 10_000)
    assert len({ask.lease_id for ask in works.house.resources.leases}) == 2
    assert await works.is_replayed(run_id)


async def test_an_irreversible_call_that_its_task_has_no_time_for_is_asked_about_and_not_repeated(works: Works) -> None:
    await works.open()
    pay = call("pay", name="hang_and_pay", usd=1).model_copy(update={"timeout_seconds": 0.05, "retry_count": 3})
    await works.put(pay, call("other"))
    run_id = await works.run()
    events = await works.ended(run_id)
    waiting = events[-1]
    assert isinstance(waiting, WorkflowSuspended)
    assert waiting.reason == "outcome_unknown"
    assert sum(1 for event in events for record in event.tools if record.task_id == "pay") == 1
    assert await works.is_replayed(run_id)


async def test_a_workflow_that_no_event_can_hold_fails_by_name_before_anything_is_begun(works: Works) -> None:
    await works.open()
    await works.put(*(ask(f"t{n}", instructions="x" * 400_000) for n in range(3)))
    events = await works.ended(await works.run())
    assert types(events) == ["workflow_started", "workflow_failed"]
    assert final(events).error.code == "workflow.too_large"  # type: ignore[union-attr]
    assert works.house.resources.released == {ask.lease_id for ask in works.house.resources.leases}
    await works.house.until_acked()


async def test_the_fallback_goes_on_under_ids_of_its_own(works: Works) -> None:
    await works.open()
    await works.put(call("a"), call("b", "a", name="post", text="plan b"), name="plan_b")
    broken = call("b", "a", key="${tasks.a.output.nothing}")
    await works.put(call("a"), broken, fallback_workflow="plan_b")
    run_id = await works.run()
    events = await works.ended(run_id)
    assert [event.to for event in events if isinstance(event, Deoptimized)] == ["fallback"]
    assert final(events).output == {"posted": "plan b"}
    assert set((await works.state(run_id)).tasks) == {"a", "b", "fallback/a", "fallback/b"}
    assert await works.is_replayed(run_id)


async def test_a_budget_that_is_used_up_lets_others_end_then_waits_and_goes_on_with_all(works: Works) -> None:
    works.house.resources.is_full = True
    await works.open(lease_wait_seconds=0.1)
    await works.put(ask("a"), call("b", name="slow_post", text="b"), ask("c", "b"))
    run_id = await works.run()
    await asyncio.wait_for(works.entered.wait(), 5)
    works.house.resources.policy, works.house.resources.is_full = "queue", False
    await asyncio.wait_for(works.house.resources.refused.wait(), 5)
    works.gate.set()
    events = await works.ended(run_id)
    waiting = events[-1]
    assert isinstance(waiting, WorkflowSuspended)
    state = await works.state(run_id)
    assert (waiting.reason, state.tasks["b"].status) == ("budget", TaskStatus.DONE)
    works.house.resources.policy = None
    await works.house.publish(request_body("", run_id=run_id, resume=1))
    await works.house.until("workflow_completed", run_id)
    assert all(task.status is TaskStatus.DONE for task in (await works.state(run_id)).tasks.values())
    assert await works.is_replayed(run_id)


class TestApprovals:
    async def waiting(self, works: Works, **policy: Any) -> str:
        await works.open()
        one, two = gate("one", approvers=("alice",), **policy), gate("two", approvers=("bob",), **policy)
        await works.put(one, two, call("pay", "one", "two", name="post", text="paid"))
        run_id = await works.run()
        assert (await works.ended(run_id))[-1].type == "workflow_suspended"
        return run_id

    async def say(self, works: Works, who: str, run_id: str, body: bytes = b"{}") -> None:
        await works.house.bus.append(signed(subjects.command(Verb.APPROVE, run_id), who), body)

    async def test_answers_of_two_people_at_once_both_count(self, works: Works, tmp_path: Path) -> None:
        run_id = await self.waiting(works)
        await self.say(works, "alice", run_id)
        await self.say(works, "bob", run_id, b'{"task_id": "two"}')
        await works.house.until("workflow_completed", run_id)
        assert len(effects(tmp_path)) == 1
        outputs = {n: t.output["by"] for n, t in (await works.state(run_id)).tasks.items() if n != "pay"}
        assert outputs == {"one": "alice", "two": "bob"}
        assert await works.is_replayed(run_id)

    async def test_an_answer_outlives_the_journal(self, works: Works) -> None:
        run_id = await self.waiting(works)
        await works.record(run_id)
        await works.house.bus.admin.purge(RUNS, below_sequence=10**6)
        await works.house.until_acked()
        await self.say(works, "anonymous", run_id, b'{"task_id": "one"}')
        await works.house.until("workflow_suspended", run_id)
        await works.house.until_acked()
        await self.say(works, "anonymous", run_id, b'{"task_id": "two"}')
        await works.house.until("workflow_completed", run_id)

    async def test_silence_is_an_answer_once_its_time_has_come(self, works: Works) -> None:
        run_id = await self.waiting(works, on_timeout="deny", timeout_seconds=0.001)
        await works.record(run_id)
        waker = Waker(works.house.bus, works.runs, clock=Later(), again_seconds=60)
        assert await waker.wake_due(Later().now()) == "1 woken, 0 on their way"
        await works.house.until("workflow_failed", run_id)
        error = final(await works.ended(run_id)).error
        assert error is not None
        assert error.code == "approval.denied"

    async def test_nobody_answers_who_is_not_named_nor_while_nothing_is_asked(self, works: Works) -> None:
        run_id = await self.waiting(works)
        await self.say(works, "mallory", run_id)
        await works.house.until_commands_done()
        assert "approval_given" not in types(await works.ended(run_id))
