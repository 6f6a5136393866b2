"""Reads made before the agent is asked: learnt from finished runs, made on a real bus, and never in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import orders
from support.databases import FixedClock, database_url, databases, postgres_server  # noqa: F401
from support.house import effects, types
from support.learning_journals import SCOPE, School, run_id
from support.neighbours import PlayedLoader, PlayedResources, Say
from support.servers import bus_on, nats_server
from support.shop import CLERK, Shop, routing_of

from evolvent.events.clock import SystemClock
from evolvent.events.language.learning.prefetching import Chains, chains_as_json, learn_chains, parse_chains
from evolvent.events.language.learning.traces import Trace
from evolvent.events.messages.runs import Final, ServedBy
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.improvements import ImprovementStore, StoredOutcome
from evolvent.storage.runs import RunStore

OpenShop = Callable[..., Coroutine[Any, Any, Shop]]
FREE = "Somehow nothing has come of o-23 for weeks, what is going on there?"
WORDS = (
    "Where on earth is {}?",
    "My neighbour says {} was stolen, is that so?",
    "I am waiting for {} and so is my dog.",
    "Has anybody thought of {} lately?",
)


def free(number: int) -> Trace:
    """A run whose request is worded as no other."""
    asked = orders.asking(number, agent_id=SCOPE[1])
    return replace(asked, message=WORDS[number % len(WORDS)].format(f"o-{number}"))


def stored(chains: list[dict[str, Any]]) -> list[Chains]:
    return [parse_chains(each) for each in chains]


@pytest.fixture
def school(databases: Databases) -> School:  # noqa: F811
    return School(databases)


async def test_what_runs_begin_with_is_learnt_from_enough_of_them_and_stored_once(school: School) -> None:
    await school.record([free(10), free(11)])
    await school.learner().learn()
    assert not await school.automations.chains.all()
    await school.record([free(12), free(13)])
    learner = school.learner()
    await learner.learn()
    [chains] = stored(list(await school.automations.chains.all()))
    assert (chains.scope, [(link.tool, link.argument) for link in chains.links]) == (
        SCOPE,
        [("find_order", "order_id")],
    )
    await learner.learn_again([SCOPE])
    before = await school.automations.revision()
    await school.automations.chains.put(SCOPE, chains_as_json(chains))
    assert await school.automations.revision() == before


async def test_runs_for_which_reads_were_made_and_disputed_ones_prove_nothing(school: School) -> None:
    for number in range(10, 16):
        await school.record([free(number)], **({"prefetched": 1} if number % 2 else {}))
    await school.learner().learn()
    [_] = await school.automations.chains.all()
    said = StoredOutcome(run_id(free(10)), "person", False, "wrong", school.clock.now())
    await ImprovementStore(school.databases.records).put_outcome(said)
    await school.learner().learn_again([SCOPE])
    assert not await school.automations.chains.all()


async def test_nothing_is_learnt_where_it_is_switched_off(school: School) -> None:
    await school.record([free(number) for number in range(10, 16)])
    await school.learner(prefetch=False).learn()
    assert not await school.automations.chains.all()


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenShop]:
    monkeypatch.setenv("EFFECTS_FILE", str(tmp_path / "effects"))
    (tmp_path / "effects").touch()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(nats_server(tmp_path))
        bus = await stack.enter_async_context(bus_on(url))
        own = await Databases.open(tmp_path / "db")
        stack.push_async_callback(own.close)
        agents = AgentStore(own.definitions, SystemClock())
        await agents.put(CLERK, created_by="test", source="user", spawned=False)

        async def opened(*script: Say) -> Shop:
            loader, resources = PlayedLoader(bus, list(script)), PlayedResources(bus)
            made = Shop(bus, (agents, RunStore(own.records)), loader, resources, databases=own, url=url)
            for service in (loader, resources):
                await service.start()
                stack.push_async_callback(service.stop, drain_seconds=0)
            chains = learn_chains([orders.asking(number) for number in range(10, 16)], ("default", "clerk"))
            await made.store.chains.put(chains.scope, chains_as_json(chains))
            stack.push_async_callback(_stop, made)
            await made.open_orchestrator()
            return made

        yield opened


async def _stop(shop: Shop) -> None:
    for orchestrator in shop.orchestrators:
        await orchestrator.stop(drain_seconds=0.2)


async def test_the_agent_begins_with_what_the_request_proves_that_it_would_read(shop: OpenShop, tmp_path: Path) -> None:
    here = await shop("It is at desk-3.")
    events = await here.ask(FREE)
    end = events[-1]
    assert isinstance(end, Final), types(events)
    assert (end.answer, end.served_by, end.totals.model_calls) == ("It is at desk-3.", ServedBy.AGENT, 1)
    assert (routing_of(events).prefetched, routing_of(events).chosen) == (1, "clerk")
    assert [line.split()[::2] for line in effects(tmp_path)] == [["read", "o-23"]]
    turn = here.loader.asked[events[0].run_id][0]
    assert [message.role for message in turn.conversation] == ["user", "assistant", "tool"]
    assert turn.conversation[0].content == FREE
    assert '"desk-3"' in (turn.conversation[2].content or "")


async def test_a_read_that_fails_leaves_the_request_to_the_agent(shop: OpenShop) -> None:
    here = await shop("There is no such order.")
    events = await here.ask(FREE.replace("o-23", "o-99"))
    end = events[-1]
    assert isinstance(end, Final), types(events)
    assert (end.answer, end.served_by, end.type) == ("There is no such order.", ServedBy.AGENT, "workflow_completed")
    assert end.totals.model_calls == 1


async def test_a_request_that_proves_nothing_goes_to_the_agent_as_ever(shop: OpenShop) -> None:
    here = await shop("Hello.")
    events = await here.ask("Hello there, how do you do?")
    assert routing_of(events).prefetched == 0
    assert [message.role for message in here.loader.asked[events[0].run_id][0].conversation] == ["user"]


async def test_chains_that_cannot_be_read_are_as_if_they_were_not_there(shop: OpenShop) -> None:
    here = await shop("I looked myself.")
    await here.store.chains.put(("default", "clerk"), {"links": "nonsense"})
    await here.teach()
    events = await here.ask(FREE)
    assert (routing_of(events).prefetched, events[-1].type) == (0, "workflow_completed")
