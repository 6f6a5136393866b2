"""Hints: learnt of what cannot be compiled, told to the agent on a real bus, and taken back by a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support import orders
from support.databases import FixedClock, database_url, databases, postgres_server  # noqa: F401
from support.house import types
from support.learning_journals import SCOPE, School
from support.neighbours import PlayedLoader, PlayedResources
from support.servers import bus_on, nats_server
from support.shop import CLERK, Shop, routing_of

from evolvent.events.clock import SystemClock
from evolvent.events.language.learning.traces import Trace
from evolvent.events.messages.runs import Final, ServedBy
from evolvent.storage.agents import AgentStore
from evolvent.storage.automations import StoredAutomation
from evolvent.storage.database import Databases
from evolvent.storage.runs import RunStore

SUMS = (310, 7, 4999, 62, 815, 1203)
LINE = (
    "For requests like `please cancel order {order_id} and pay it back`: usually find_order -> cancel_order -> refund."
)


def judged(number: int, agent_id: str = SCOPE[1]) -> Trace:
    """A run that paid back what only its agent can have thought of."""
    run = orders.cancelling(number, agent_id=agent_id)
    calls = tuple(
        replace(call, arguments={**call.arguments, "usd": SUMS[number % len(SUMS)]}, result={"done": True})
        if call.name == "refund"
        else call
        for call in run.calls
    )
    return replace(run, calls=calls, answer="It is done.")


@pytest.fixture
def school(databases: Databases) -> School:  # noqa: F811
    return School(databases)


async def hints(school: School) -> list[StoredAutomation]:
    return [each for each in await school.automations.list() if each.automation.kind == "hint"]


async def test_what_cannot_be_compiled_becomes_a_hint_only_where_that_is_wanted(school: School) -> None:
    await school.record([judged(number) for number in range(10, 15)])
    await school.learner().learn()
    assert not await hints(school)
    await school.learner(hints=True).learn()
    [found] = await hints(school)
    assert (found.status, found.automation.principals, found.automation.effect) == ("live", 5, "read")
    key = found.automation.automation_id, found.automation.version
    await school.automations.set_status(*key, "disabled", by="operator")
    await school.record([judged(number) for number in range(15, 35)])
    await school.learner(hints=True).learn()
    assert not [each for each in await hints(school) if each.status == "live"]


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setenv("EFFECTS_FILE", str(tmp_path / "effects"))
    (tmp_path / "effects").touch()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(nats_server(tmp_path))
        bus = await stack.enter_async_context(bus_on(url))
        own = await Databases.open(tmp_path / "db")
        stack.push_async_callback(own.close)
        agents = AgentStore(own.definitions, SystemClock())
        await agents.put(CLERK, created_by="test", source="user", spawned=False)
        loader, resources = PlayedLoader(bus, ["Done.", "Done.", "Done."]), PlayedResources(bus)
        made = Shop(bus, (agents, RunStore(own.records)), loader, resources, databases=own, url=url, tells=True)
        for service in (loader, resources):
            await service.start()
            stack.push_async_callback(service.stop, drain_seconds=0)
        yield made
        for orchestrator in made.orchestrators:
            await orchestrator.stop(drain_seconds=0.2)


async def test_the_agent_is_told_the_hint_and_the_decision_says_so(
    shop: Shop,
    school: School,
) -> None:
    await school.record([judged(number) for number in range(10, 15)])
    await school.learner(hints=True).learn()
    [stored] = await hints(school)
    await shop.open_orchestrator()
    await shop.teach(stored.automation.model_copy(update={"agent_id": "clerk"}))
    events = await shop.ask("Could you cancel my order o-21 and pay it back, please?")
    end = events[-1]
    assert isinstance(end, Final), types(events)
    assert (end.answer, end.served_by) == ("Done.", ServedBy.AGENT)
    assert routing_of(events).hints == (f"{stored.automation.automation_id}@1",)
    opening = shop.loader.asked[events[0].run_id][0].conversation[0].content or ""
    assert opening.startswith(f"{LINE}\n\nCould you cancel")
    other = await shop.ask("Where is order o-21?")
    assert not routing_of(other).hints
    assert LINE not in (shop.loader.asked[other[0].run_id][0].conversation[0].content or "")
