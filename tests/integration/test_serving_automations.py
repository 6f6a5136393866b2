"""Requests served by what was learnt, on a real bus; and every way in which the agent takes over."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support import orders
from support.house import effects, types
from support.neighbours import PlayedLoader, PlayedResources, Say, request_body
from support.processes import TESTS
from support.servers import bus_on, nats_server
from support.shop import CLERK, Shop, routing_of

from evolvent.events.clock import SystemClock
from evolvent.events.messages.runs import Deoptimized, Final, RunEvent, ServedBy
from evolvent.storage.agents import AgentStore
from evolvent.storage.database import Databases
from evolvent.storage.runs import RunStore

OpenShop = Callable[..., Coroutine[Any, Any, Shop]]
SPEC = CLERK.spec_hash
ASKED = [orders.asking(number, spec_hash=SPEC) for number in range(10, 18)]
CANCELLED = [orders.cancelling(number, spec_hash=SPEC) for number in range(10, 26, 2)]
CANCEL = "Please cancel order o-21 and pay it back."


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenShop]:
    monkeypatch.setenv("EFFECTS_FILE", str(tmp_path / "effects"))
    (tmp_path / "effects").touch()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(nats_server(tmp_path))
        bus = await stack.enter_async_context(bus_on(url))
        databases = await Databases.open(tmp_path / "db")
        stack.push_async_callback(databases.close)
        agents = AgentStore(databases.definitions, SystemClock())
        await agents.put(CLERK, created_by="test", source="user", spawned=False)

        async def opened(*script: Say, serving: bool = True) -> Shop:
            loader, resources = PlayedLoader(bus, list(script)), PlayedResources(bus)
            made = Shop(bus, (agents, RunStore(databases.records)), loader, resources, databases=databases, url=url)
            for service in (loader, resources):
                await service.start()
                stack.push_async_callback(service.stop, drain_seconds=0)
            stack.push_async_callback(_stop, made)
            if serving:
                await made.open_orchestrator()
            return made

        yield opened


async def _stop(shop: Shop) -> None:
    for orchestrator in shop.orchestrators:
        await orchestrator.stop(drain_seconds=0.2)


def end(events: list[RunEvent]) -> Final:
    assert isinstance(events[-1], Final), types(events)
    return events[-1]


def told(shop: Shop, events: list[RunEvent]) -> list[str]:
    """What the agent was told beside the request: the results of the calls made before it took over."""
    turn = shop.loader.asked[events[0].run_id][0]
    return [message.content or "" for message in turn.conversation if message.role == "tool"]


async def test_a_known_request_is_served_without_a_model_and_an_unknown_one_by_the_agent(
    shop: OpenShop, tmp_path: Path
) -> None:
    here = await shop("The agent says so.")
    await here.teach(*orders.learnt(*ASKED, *CANCELLED))
    known = await here.ask("Where is order o-23?")
    assert (end(known).answer, end(known).served_by) == ("Order o-23 is at desk-3.", ServedBy.AUTOMATION)
    assert end(known).totals.model_calls == 0
    routing = routing_of(known)
    [stored] = [each for each in await here.store.live() if each.name == "find_order"]
    assert routing.automations == (f"{stored.automation_id}@1",)
    assert routing.runner_up == "clerk"
    assert routing.match_seconds is not None
    done = await here.ask(CANCEL)
    assert end(done).answer == "Order o-21 is cancelled and 31 USD are paid back."
    assert [line.split()[0] for line in effects(tmp_path)] == ["read", "read", "cancelled", "refunded"]
    unknown = await here.ask("Where is order o-23, and why?")
    assert (end(unknown).answer, end(unknown).served_by) == ("The agent says so.", ServedBy.AGENT)
    assert routing_of(unknown).abstained == "unread"
    assert "no learnt clause reads `where is order" in routing_of(unknown).reason.lower()
    assert not here.resources.leases[1:]


async def test_an_end_that_comes_while_the_asker_looks_for_it_is_heard(shop: OpenShop) -> None:
    here = await shop("Nobody asks me.")
    await here.teach(*orders.learnt(*ASKED))
    for _ in range(20):
        data = await here.bus.call("evolvent.ask.default", request_body("Where is order o-23?"), timeout_seconds=10)
        assert json.loads(data)["served_by"] == "automation"


@pytest.mark.parametrize("more", [{"context": {"a": 1}}, {"agent_id": "clerk"}])
async def test_a_request_that_brings_more_than_words_goes_to_the_agent(shop: OpenShop, more: dict[str, Any]) -> None:
    here = await shop("The agent says so.")
    await here.teach(*orders.learnt(*ASKED))
    assert end(await here.ask("Where is order o-23?", **more)).served_by is ServedBy.AGENT


async def test_what_another_version_of_the_agent_taught_serves_no_more(shop: OpenShop) -> None:
    here = await shop("The agent says so.")
    await here.teach(*orders.learnt(*(orders.asking(number, spec_hash="older") for number in range(10, 18))))
    events = await here.ask("Where is order o-23?")
    assert end(events).served_by is ServedBy.AGENT
    assert routing_of(events).abstained == "agent_changed"


async def test_what_was_learnt_with_another_schema_of_a_tool_serves_no_more(shop: OpenShop) -> None:
    here = await shop("The agent says so.")
    [automation] = orders.learnt(*ASKED)
    await here.teach(automation.model_copy(update={"tools": {"find_order": "another"}}))
    events = await here.ask("Where is order o-23?")
    assert end(events).served_by is ServedBy.AGENT
    assert routing_of(events).abstained == "tool_changed"


async def test_a_request_that_writes_with_a_word_that_nothing_looks_at_goes_to_the_agent(shop: OpenShop) -> None:
    here = await shop("The agent says so.")
    [automation] = orders.learnt(*CANCELLED)
    await here.teach(automation.model_copy(update={"ignored_slots": ("a",)}))
    assert routing_of(await here.ask(CANCEL)).abstained == "unconfirmed"


async def test_one_that_cannot_be_read_concerns_no_other(shop: OpenShop) -> None:
    here = await shop("The agent says so.")
    asks, cancels = sorted(orders.learnt(*ASKED, *CANCELLED), key=lambda each: len(each.steps))
    await here.store.put(cancels, status="live")
    assert here.databases is not None
    async with here.databases.definitions.reading() as session:
        await session.exec(text("UPDATE automation_versions SET document = '{\"steps\": 7}'"))  # type: ignore[call-overload]
        await session.commit()
    await here.teach(asks)
    assert end(await here.ask("Where is order o-23?")).served_by is ServedBy.AUTOMATION
    assert end(await here.ask(CANCEL)).served_by is ServedBy.AGENT


async def test_what_cannot_be_read_any_more_stays_as_it_was(shop: OpenShop) -> None:
    here = await shop("The agent says so.")
    await here.teach(*orders.learnt(*ASKED))
    assert here.databases is not None
    async with here.databases.definitions.reading() as session:
        await session.exec(text("DROP TABLE automation_revision"))  # type: ignore[call-overload]
        await session.commit()
    for _ in range(2):
        await here.learnt[0].refresh()
    assert end(await here.ask("Where is order o-23?")).served_by is ServedBy.AUTOMATION


async def test_what_is_taken_back_serves_no_more(shop: OpenShop) -> None:
    here = await shop("The agent says so.")
    [automation] = orders.learnt(*ASKED)
    await here.teach(automation)
    assert end(await here.ask("Where is order o-23?")).served_by is ServedBy.AUTOMATION
    await here.store.set_status(automation.automation_id, 1, "rolled_back", by="test", reason="It was wrong.")
    await here.teach()
    events = await here.ask("Where is order o-23?")
    assert (end(events).served_by, routing_of(events).abstained) == (ServedBy.AGENT, None)


async def test_a_guard_that_fails_hands_over_before_any_write_with_the_reads_done(
    shop: OpenShop, tmp_path: Path
) -> None:
    here = await shop("It was sent, so it cannot be cancelled.")
    await here.teach(*orders.learnt(*CANCELLED))
    orders.world({"orders": {"o-21": orders.ORDERS["o-21"] | {"status": "sent"}}})
    events = await here.ask(CANCEL)
    assert routing_of(events).served_by is ServedBy.AUTOMATION
    [left] = [each for each in events if isinstance(each, Deoptimized)]
    assert left.to == "takeover"
    assert "sent" in left.reason
    assert (end(events).served_by, end(events).answer) == (ServedBy.AGENT, "It was sent, so it cannot be cancelled.")
    assert [line.split()[0] for line in effects(tmp_path)] == ["read"]
    [known] = told(here, events)
    assert '"status":"sent"' in known


async def test_a_read_that_fails_hands_over(shop: OpenShop, tmp_path: Path) -> None:
    here = await shop("There is no such order.")
    await here.teach(*orders.learnt(*CANCELLED))
    events = await here.ask("Please cancel order o-99 and pay it back.")
    assert "deoptimized" in types(events)
    assert (end(events).served_by, end(events).answer) == (ServedBy.AGENT, "There is no such order.")
    assert [line.split()[0] for line in effects(tmp_path)] == ["read"]
    assert "There is no order o-99" in told(here, events)[0]


async def test_a_write_that_fails_after_another_hands_over_what_was_done(shop: OpenShop, tmp_path: Path) -> None:
    here = await shop("It is cancelled; the money comes tomorrow.")
    await here.teach(*orders.learnt(*CANCELLED))
    orders.world({"till": "closed"})
    events = await here.ask(CANCEL)
    assert (end(events).served_by, "deoptimized" in types(events)) == (ServedBy.AGENT, True)
    assert [line.split()[0] for line in effects(tmp_path)] == ["read", "cancelled"]
    found, cancelled, refused = told(here, events)
    assert '"total":31' in found
    assert '"status":"cancelled"' in cancelled
    assert "The till is closed" in refused


@pytest.mark.parametrize("point", ["tool.claimed:1", "tool.called:2", "tool.before_call:3", "tool.called:3"])
async def test_each_effect_comes_once_though_the_owner_dies_between_the_writes(
    shop: OpenShop, tmp_path: Path, point: str
) -> None:
    here = await shop("Nobody asks me.", serving=False)
    await here.teach(*orders.learnt(*CANCELLED))
    environment = {**os.environ, "EVOLVENT_CRASH_AT": point, "PYTHONPATH": str(TESTS)}
    dying = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.shop", here.url, str(tmp_path / "db")),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert dying.stdout is not None
    while await dying.stdout.readline() != b'{"ready": 1}\n':
        assert dying.returncode is None
    run_id = await here.publish(request_body(CANCEL))
    assert await dying.wait() == -9
    await here.open_orchestrator()
    events = await here.events(run_id)
    assert end(events).answer == "Order o-21 is cancelled and 31 USD are paid back."
    assert (end(events).served_by, end(events).attempt) == (ServedBy.AUTOMATION, 2)
    keys = {tuple(line.split()) for line in effects(tmp_path) if not line.startswith("read")}
    assert sorted(key[0] for key in keys) == ["cancelled", "refunded"]  # a repeated call has the key of the first
    assert not here.loader.asked
