"""The lazy loader on a real bus, with real storage and a real HTTP model server."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.databases import FixedClock

from evolvent.events import subjects
from evolvent.events.bus import CoreMessage
from evolvent.events.clock import Clock, SystemClock
from evolvent.events.errors import RemoteError
from evolvent.events.language.agents import AgentSpec, Capability
from evolvent.events.language.conversation import ChatMessage
from evolvent.events.messages.calls import (
    AgentList,
    AgentQuery,
    AgentReply,
    AgentsQuery,
    InvokeTurn,
    LoaderStats,
    RegisterAgent,
    SpawnAgent,
    TurnReply,
)
from evolvent.events.messages.platform import AgentSpawned
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.budgets import default_limits
from evolvent.orchestrator.lazy_loader import LazyLoader
from evolvent.orchestrator.llm.openai_client import OpenAIModel
from evolvent.orchestrator.resource_manager import ResourceManager
from evolvent.orchestrator.settings import LoaderSettings, ResourceSettings
from evolvent.platform.scripted_model.faults import Fault, FaultKind
from evolvent.platform.scripted_model.script import Latency, Script
from evolvent.platform.scripted_model.server import ScriptedModelServer
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.ledger import Ledger
from evolvent.storage.runs import RunStore

RUN = "3f6c1c5e-2f0b-4d3e-9a55-3d8d3a1f7e10"


@dataclass
class Stage:
    """One loader and everything real that it needs."""

    bus: NatsBus
    loader: LazyLoader
    agents: AgentStore
    server: ScriptedModelServer

    async def store(self, number: int, **changes: object) -> AgentSpec:
        document = {
            "agent_id": f"agent_{number:08x}",
            "specialty": "test",
            "system_prompt": f"You are number {number}.",
            "model": "scripted",
            **changes,
        }
        return await self.agents.put(AgentSpec.model_validate(document), created_by="test")

    async def invoke(self, spec: AgentSpec, text: str = "hello", **changes: object) -> TurnReply:
        turn = {
            "run_id": RUN,
            "task_id": "answer",
            "turn": 0,
            "lease_id": "l",
            "agent_id": spec.agent_id,
            "spec_hash": spec.spec_hash,
            "conversation": (ChatMessage(role="user", content=text),),
            "max_tokens": 64,
            "deadline_seconds": 5.0,
            **changes,
        }
        data = InvokeTurn.model_validate(turn).encode()
        return TurnReply.decode(await self.bus.call(subjects.endpoint("loader", "invoke"), data, timeout_seconds=20.0))

    async def stats(self) -> LoaderStats:
        subject = subjects.endpoint("loader", "stats", self.loader.instance)
        return LoaderStats.decode(await self.bus.call(subject, b""))

    async def spawn(self, **fields: object) -> AgentSpec:
        data = SpawnAgent.model_validate({"specialty": "research", **fields}).encode()
        return AgentReply.decode(await self.bus.call(subjects.endpoint("loader", "spawn"), data)).spec


@asynccontextmanager
async def staged(
    bus: NatsBus, folder: Path, *, latency_ms: float = 0.0, clock: Clock | None = None, **settings: object
) -> AsyncIterator[Stage]:
    clock = clock or SystemClock()
    server = ScriptedModelServer(Script({"default": {"text": "{{ user }}"}}), latency=Latency(fixed_ms=latency_ms))
    model = OpenAIModel(await server.start(), SecretStr(""))
    databases = await Databases.open(folder / "data", durability="process")
    agents = AgentStore(databases.definitions, clock)
    limits = ResourceSettings(max_agents=2)
    ledger = Ledger(databases.ledger, clock, defaults=default_limits(limits))
    resources = ResourceManager(bus, ledger, agents, RunStore(databases.records), limits)
    loader = LazyLoader(bus, agents, model, LoaderSettings.model_validate(settings), clock)
    await resources.start()
    await loader.start()
    try:
        yield Stage(bus, loader, agents, server)
    finally:
        await loader.stop()
        await resources.stop()
        await model.close()
        await server.stop()
        await databases.close()


@pytest.fixture
async def stage(bus: NatsBus, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(bus, tmp_path) as ready:
        yield ready


async def test_a_turn_carries_the_spec_and_brings_the_answer(stage: Stage) -> None:
    spec = await stage.store(1, temperature=0.2)
    reply = await stage.invoke(spec, "What is new?")
    assert reply.reply is not None
    assert reply.reply.text == "What is new?"
    assert reply.reply.scripted
    assert (reply.activated, reply.loader, len(reply.prompt_hash)) == (True, stage.loader.instance, 32)
    again = await stage.invoke(spec, "What is new?")
    assert (again.activated, again.prompt_hash) == (False, reply.prompt_hash)
    stats = await stage.stats()
    assert (stats.resident, stats.activations, stats.hits, stats.in_use) == (1, 1, 1, 0)
    assert stage.server.ledger.calls[-1].model == "scripted"


async def test_an_unknown_agent_is_an_answer_and_nothing_was_sent(stage: Stage) -> None:
    spec = await stage.store(1)
    reply = await stage.invoke(spec.model_copy(update={"agent_id": "nobody_00000000"}))
    assert reply.error is not None
    assert (reply.error.code, reply.sent) == ("not_found", False)


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (Fault(kind=FaultKind.RATE_LIMIT, retry_after=2), "model.rate_limited", True),
        (Fault(kind=FaultKind.HTML), "model.bad_response", True),
        (Fault(kind=FaultKind.HANG), "model.timeout", True),
        (Fault(kind=FaultKind.QUOTA), "model.quota_exhausted", False),
    ],
)
async def test_model_errors_are_answers(stage: Stage, fault: Fault, code: str, retryable: bool) -> None:
    spec = await stage.store(1)
    stage.server.faults.add(fault)
    reply = await stage.invoke(spec, deadline_seconds=0.5)
    assert reply.reply is None
    assert reply.error is not None
    assert (reply.error.code, reply.error.retryable, reply.sent) == (code, retryable, True)


async def test_a_dead_model_server_proves_that_nothing_was_sent(stage: Stage) -> None:
    spec = await stage.store(1)
    await stage.server.stop()
    reply = await stage.invoke(spec)
    assert reply.error is not None
    assert (reply.error.code, reply.sent) == ("model.unavailable", False)


async def test_text_streams_in_order_when_asked_for(stage: Stage) -> None:
    spec = await stage.store(1)
    heard: list[dict[str, object]] = []
    stop = await stage.bus.subscribe(subjects.stream(RUN), lambda m: heard.append(json.loads(m.data)))
    text = "one two three four five six seven " * 40
    await stage.invoke(spec, text)
    assert heard == []
    reply = await stage.invoke(spec, text, stream=True, turn=3, max_tokens=4000)
    await stage.bus.flush()
    await stop()
    assert reply.reply is not None
    assert "".join(str(piece["text"]) for piece in heard) == reply.reply.text
    assert [piece["seq"] for piece in heard] == list(range(len(heard)))
    assert {(piece["run_id"], piece["task_id"], piece["turn"]) for piece in heard} == {(RUN, "answer", 3)}


async def test_a_thousand_agents_share_fifty_places(bus: NatsBus, tmp_path: Path) -> None:
    async with staged(bus, tmp_path, max_active_agents=50) as stage:
        specs = [await stage.store(i) for i in range(1000)]
        most = 0
        for start in range(0, 1000, 100):
            replies = await asyncio.gather(*(stage.invoke(spec) for spec in specs[start : start + 100]))
            assert all(reply.reply is not None for reply in replies)
            most = max(most, (await stage.stats()).resident)
        stats = await stage.stats()
        assert most <= 50
        assert (stats.resident, stats.activations, stats.evictions) == (50, 1000, 950)


async def test_an_agent_in_use_is_never_evicted_and_newcomers_wait(bus: NatsBus, tmp_path: Path) -> None:
    async with staged(bus, tmp_path, max_active_agents=2) as stage:
        a, b, c = [await stage.store(i) for i in range(3)]
        stage.server.faults.add(Fault(kind=FaultKind.HANG, times=2))
        busy = [asyncio.create_task(stage.invoke(spec, deadline_seconds=1.0)) for spec in (a, b)]
        while (await stage.stats()).in_use < 2 or len(stage.server.ledger.calls) < 2:
            await asyncio.wait(busy, timeout=0.01)
        late = await stage.invoke(c, deadline_seconds=0.2)
        assert late.error is not None
        assert (late.error.code, late.error.retryable, late.sent) == ("loader.busy", True, False)
        stats = await stage.stats()
        assert (stats.resident, stats.in_use, stats.evictions) == (2, 2, 0)
        waited = await stage.invoke(c, deadline_seconds=5.0)
        assert waited.reply is not None
        assert all(reply.error is not None for reply in await asyncio.gather(*busy))
        assert (await stage.stats()).evictions == 1


async def test_an_agent_works_on_so_many_tasks_at_a_time(bus: NatsBus, tmp_path: Path) -> None:
    async with staged(bus, tmp_path, latency_ms=60) as stage:
        spec = await stage.store(1, max_concurrent_tasks=2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(stage.invoke(spec) for _ in range(6)))
        assert loop.time() - began >= 0.18
        stats = await stage.stats()
        assert (stats.activations, stats.hits) == (1, 5)


async def test_warming_takes_a_free_place_and_drives_nobody_out(bus: NatsBus, tmp_path: Path) -> None:
    async with staged(bus, tmp_path, max_active_agents=1) as stage:
        first, second = await stage.store(1), await stage.store(2)

        async def warm(spec: AgentSpec) -> LoaderStats:
            data = AgentQuery(agent_id=spec.agent_id).encode()
            return LoaderStats.decode(await bus.call(subjects.endpoint("loader", "warm"), data))

        for spec in (first, first, second):
            stats = await warm(spec)
        assert (stats.resident, stats.activations, stats.evictions) == (1, 1, 0)
        assert not (await stage.invoke(first)).activated
        with pytest.raises(RemoteError, match="There is no agent"):
            await warm(second.model_copy(update={"agent_id": "nobody"}))


async def test_eviction_frees_everything(bus: NatsBus, tmp_path: Path) -> None:
    async with staged(bus, tmp_path, max_active_agents=1) as stage:
        first, second = await stage.store(1), await stage.store(2)
        await stage.invoke(first)
        activation = next(iter(stage.loader._pool._active.values()))
        gone = weakref.ref(activation)
        del activation
        await stage.invoke(second)
        gc.collect()
        assert gone() is None


async def test_spawning_asks_the_budget_and_a_key_gives_the_same_agent(stage: Stage) -> None:
    spawned: asyncio.Queue[AgentSpawned] = asyncio.Queue()

    def heard(message: CoreMessage) -> None:
        spawned.put_nowait(AgentSpawned.decode(message.data))

    stop = await stage.bus.subscribe(subjects.event("agent_spawned"), heard)
    first = await stage.spawn(goal="g", key="k", context={"focus": "tides"})
    assert first == await stage.spawn(goal="g", key="k")
    assert "tides" in first.system_prompt
    event = await asyncio.wait_for(spawned.get(), 5)
    assert (event.agent_id, event.goal, event.spec_hash) == (first.agent_id, "g", first.spec_hash)
    await stage.spawn(goal="g")
    with pytest.raises(RemoteError, match="2 of its 2 agents") as refused:
        await stage.spawn(goal="g")
    assert refused.value.info().code == "budget.agents"
    await stage.bus.flush()
    assert spawned.qsize() == 1
    await stop()


async def test_a_retired_agent_leaves_every_loader_and_makes_room_in_the_budget(stage: Stage) -> None:
    other = LazyLoader(stage.bus, stage.agents, stage.loader._model, LoaderSettings())
    await other.start()
    spec = await stage.spawn(goal="g", key="k")
    await stage.spawn(goal="g")
    call = InvokeTurn.model_validate(
        {
            "run_id": RUN, "task_id": "t", "turn": 0, "lease_id": "l", "agent_id": spec.agent_id, "max_tokens": 5,
            "spec_hash": spec.spec_hash, "conversation": [{"role": "user", "content": "x"}], "deadline_seconds": 5,
        }
    )  # fmt: skip
    for loader in (stage.loader, other):
        assert (await loader.turn(call)).reply is not None
        assert loader.stats().resident == 1
    retired = asyncio.Event()
    await stage.bus.subscribe(subjects.event("agent_evicted"), lambda _: retired.set())
    await stage.bus.call(
        subjects.endpoint("loader", "retire"), AgentQuery(agent_id=spec.agent_id, reason="test").encode()
    )
    await asyncio.wait_for(retired.wait(), 5)
    while stage.loader.stats().resident + other.stats().resident:
        await stage.bus.flush()
    await stage.spawn(goal="g")
    listed = AgentList.decode(
        await stage.bus.call(subjects.endpoint("loader", "agents"), AgentsQuery(goal="g", status="active").encode())
    )
    assert len(listed.agents) == 2
    assert spec.agent_id not in {row.agent_id for row in listed.agents}
    with pytest.raises(RemoteError, match="2 of its 2 agents"):
        await stage.spawn(goal="g", key="k")
    await other.stop()


async def test_a_key_brings_a_retired_agent_back(stage: Stage) -> None:
    spec = await stage.spawn(goal="g", key="k")
    await stage.bus.call(subjects.endpoint("loader", "retire"), AgentQuery(agent_id=spec.agent_id).encode())
    assert await stage.agents.count_active("g") == 0
    assert await stage.spawn(goal="g", key="k") == spec
    assert await stage.agents.count_active("g") == 1


async def test_put_and_read_back_a_spec(stage: Stage) -> None:
    spec = AgentSpec(agent_id="mine_1", specialty="mine", system_prompt="Be mine.", model="m", goal="g")
    await stage.bus.call(subjects.endpoint("loader", "put"), AgentReply(spec=spec).encode())
    data = await stage.bus.call(subjects.endpoint("loader", "agent"), AgentQuery(agent_id="mine_1").encode())
    assert AgentReply.decode(data).spec == spec
    assert await stage.agents.count_active("g", spawned_only=True) == 0
    with pytest.raises(RemoteError, match="no agent"):
        await stage.bus.call(subjects.endpoint("loader", "agent"), AgentQuery(agent_id="nobody").encode())


async def test_idle_activations_are_dropped(bus: NatsBus, tmp_path: Path) -> None:
    clock = FixedClock()
    async with staged(bus, tmp_path, clock=clock) as stage:
        await stage.invoke(await stage.store(1))
        clock.time += timedelta(hours=23)
        await stage.loader.drop_idle()
        assert (await stage.stats()).resident == 1
        clock.time += timedelta(hours=2)
        await stage.loader.drop_idle()
        assert (await stage.stats()).resident == 0


async def test_an_agent_that_is_registered_is_listed_and_put_again_is_a_new_version(stage: Stage) -> None:
    ask = RegisterAgent(agent_id="ann", agent_type="research", capabilities=(Capability.MEMORY,))
    first = AgentReply.decode(await stage.bus.call(subjects.endpoint("loader", "register"), ask.encode())).spec
    again = ask.model_copy(update={"max_concurrent_tasks": 2})
    second = AgentReply.decode(await stage.bus.call(subjects.endpoint("loader", "register"), again.encode())).spec
    assert (first.max_concurrent_tasks, second.max_concurrent_tasks) == (5, 2)
    assert (await stage.agents.get("ann")).capabilities == (Capability.MEMORY,)
    assert [number for number, *_ in await stage.agents.versions("ann")] == [1, 2]
    refused = RegisterAgent(agent_id="bob", agent_type="x", config={"colour": 1})
    with pytest.raises(RemoteError, match="colour"):
        await stage.bus.call(subjects.endpoint("loader", "register"), refused.encode())
