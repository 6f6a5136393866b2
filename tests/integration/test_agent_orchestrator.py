from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from support.house import House, MakeHouse, effects, types
from support.neighbours import PlayedLoader, request_body
from support.runs import AGENT

from evolvent.events import subjects
from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.journal import Journal
from evolvent.events.messages.calls import RunQuery
from evolvent.events.messages.runs import FINAL_TYPES, RunEvent, WorkflowStarted
from evolvent.events.streams import DEAD_LETTERS
from evolvent.events.subjects import Verb


async def test_a_bare_request_is_two_events_and_is_acked(house: MakeHouse) -> None:
    here = await house("hi there")
    run_id = await here.publish()
    events = await here.events(run_id)
    assert types(events) == ["workflow_started", "workflow_completed"]
    last = events[-1]
    assert (last.answer, last.totals.cost_microusd, last.cost_usd) == ("hi there", 300, 0.0003)  # type: ignore[attr-defined]
    assert isinstance(events[0], WorkflowStarted)
    assert events[0].lease is not None
    await here.until_acked()
    assert here.resources.settled == {events[0].lease.lease_id: 300}


async def test_tools_run_between_turns_and_effects_are_claimed(house: MakeHouse, tmp_path: Path) -> None:
    here = await house([("look_up", {"key": "a"}), ("look_up", {"key": "b"})], [("pay", {"usd": 5})], "paid")
    run_id = await here.publish()
    events = await here.events(run_id)
    assert types(events) == [
        "workflow_started",
        "agent_completed",
        "tool_completed",
        "tool_claimed",
        "tool_completed",
        "workflow_completed",
    ]
    assert sorted(line.split()[0] for line in effects(tmp_path)) == ["paid", "read", "read"]
    conversation = here.loader.asked[run_id][2].conversation
    assert [m.role for m in conversation] == ["user", "assistant", "tool", "tool", "assistant", "tool"]
    assert json.loads(conversation[-1].content or "") == {"paid": 5}


async def test_the_same_run_id_is_one_run_and_another_request_under_it_is_a_conflict(house: MakeHouse) -> None:
    here = await house("once")
    run_id = str(uuid.uuid4())
    body = request_body(run_id=run_id)
    await here.publish(body)
    await here.events(run_id)
    await here.publish(body)
    await here.publish(request_body("something else", run_id=run_id))
    await here.until_acked()
    assert len(here.loader.asked[run_id]) == 1
    dead = await here.bus.last_of(DEAD_LETTERS, "evolvent.dead.REQUESTS")
    assert dead is not None
    assert dead.headers["Evolvent-Error-Code"] == "run_id_conflict"


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        ("evolvent.requests.medium.default", b"{not json", "message.invalid"),
        ("evolvent.requests.medium.default", b'{"message": "a", "colour": 1}', "message.invalid"),
        ("evolvent.requests.medium.default", b'{"message": "\\u0000"}', "message.invalid"),
        ("evolvent.requests.medium.a b".replace(" ", "%"), b'{"message": "a"}', "subject.invalid"),
    ],
)
async def test_a_malformed_request_is_dead_lettered_at_once_and_its_neighbour_is_served(
    house: MakeHouse, subject: str, body: bytes, code: str
) -> None:
    here = await house("fine")
    await here.publish(body, subject)
    run_id = await here.publish()
    assert types(await here.events(run_id))[-1] == "workflow_completed"
    await here.until_acked()
    dead = await here.bus.last_of(DEAD_LETTERS, "evolvent.dead.REQUESTS")
    assert dead is not None
    assert (dead.data, dead.headers["Evolvent-Error-Code"]) == (body, code)


async def test_a_cancelled_run_stops_at_once(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("never", gate=gate)
    run_id = await here.publish()
    await asyncio.wait_for(here.loader.called.wait(), 5)
    await here.bus.append(subjects.command(Verb.CANCEL, run_id), b'{"reason": "enough"}')
    events = await here.events(run_id)
    assert types(events) == ["workflow_started", "cancel_requested", "workflow_cancelled"]
    await here.until_acked()


async def test_a_run_cancelled_before_it_began_never_calls_a_model(house: MakeHouse) -> None:
    here = await house("never")
    await here.orchestrators[0].stop()
    run_id = str(uuid.uuid4())
    await here.bus.append(subjects.command(Verb.CANCEL, run_id), b"")
    await here.publish(request_body(run_id=run_id))
    await here.open_orchestrator()
    events = await here.events(run_id, until="workflow_cancelled")
    assert types(events)[-1] == "workflow_cancelled" or "cancel_requested" in types(events)


async def test_a_late_run_fails_as_timeout(house: MakeHouse) -> None:
    here = await house("never", gate=asyncio.Event())
    run_id = await here.publish(request_body(timeout_seconds=0.3))
    events = await here.events(run_id)
    assert types(events)[-1] == "workflow_failed"
    assert events[-1].error.category is Category.TIMEOUT  # type: ignore[attr-defined]


async def test_an_orchestrator_that_stops_hands_its_run_to_another(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("end", gate=gate)
    run_id = await here.publish()
    await asyncio.wait_for(here.loader.called.wait(), 5)
    await here.orchestrators[0].stop(drain_seconds=0)
    gate.set()
    await here.open_orchestrator()
    events = await here.events(run_id)
    assert types(events) == ["workflow_started", "workflow_resumed", "workflow_completed"]
    assert events[-1].attempt == 2
    await here.until_acked()


async def test_a_fenced_off_owner_stops_and_only_one_final_event_is_stored(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("end", gate=gate)
    run_id = await here.publish()
    await asyncio.wait_for(here.loader.called.wait(), 5)
    stale = here.orchestrators[0]
    stale._in_hand.clear()  # a zombie: its heartbeats stop, its work goes on
    await here.open_orchestrator()
    entries = await here.events(run_id, until="workflow_resumed")
    assert types(entries)[-1] == "workflow_resumed"
    gate.set()
    events = await here.events(run_id)
    assert types(events).count("workflow_completed") == 1
    assert len(here.loader.asked[run_id]) == 2
    await here.until_acked()


async def test_an_unknown_outcome_waits_for_a_person_and_goes_on(house: MakeHouse) -> None:
    here = await house([("hang_and_pay", {"usd": 5})], "done")
    run_id = await here.publish()
    events = await here.events(run_id)
    assert types(events)[-1] == "workflow_suspended"
    assert events[-1].reason == "outcome_unknown"  # type: ignore[attr-defined]
    await here.until_acked()
    await here.bus.append(subjects.command(Verb.APPROVE, run_id), b'{"outcome": "happened", "result": {"paid": 5}}')
    events = await _finished(here, run_id)
    assert types(events)[-3:] == ["approval_given", "workflow_resumed", "workflow_completed"]
    assert '{"paid":5}' in (here.loader.asked[run_id][-1].conversation[-1].content or "")


async def _finished(here: House, run_id: str) -> list[RunEvent]:
    journal = Journal(here.bus)
    for _ in range(400):
        entries = await journal.read(run_id)
        if entries[-1].event.type in FINAL_TYPES:
            return [entry.event for entry in entries]
        await asyncio.sleep(0.02)
    raise AssertionError([e.event.type for e in entries])


@pytest.mark.parametrize(("policy", "last"), [("queue", "workflow_suspended"), ("stop", "workflow_failed")])
async def test_without_money_the_policy_decides(house: MakeHouse, policy: str, last: str) -> None:
    here = await house("never", policy=policy)
    run_id = await here.publish()
    events = await here.events(run_id)
    assert types(events) == ["workflow_started", last]
    assert not here.loader.asked


async def test_a_run_survives_a_loader_that_is_away_for_a_while(house: MakeHouse) -> None:
    here = await house("back")
    await here.events(await here.publish())
    await here.loader.stop()
    run_id = await here.publish()
    await _until(lambda: len(here.resources.leases) == 2)
    returned = PlayedLoader(here.bus, ["back"])
    await returned.start()
    assert types(await here.events(run_id))[-1] == "workflow_completed"
    await returned.stop()


async def test_a_model_that_fails_for_good_fails_the_run_with_its_error(house: MakeHouse) -> None:
    error = ErrorInfo(code="model.refused", category=Category.VALIDATION, message="no such model", retryable=False)
    here = await house(error)
    events = await here.events(await here.publish())
    assert types(events) == ["workflow_started", "workflow_failed"]
    assert events[-1].error.message == "no such model"  # type: ignore[attr-defined]
    assert events[-1].totals.cost_microusd == 0  # type: ignore[attr-defined]


async def test_an_unknown_agent_is_a_failed_run_with_a_clear_error(house: MakeHouse) -> None:
    here = await house("never")
    events = await here.events(await here.publish(request_body(agent_id="nobody_12345678")))
    assert types(events) == ["workflow_started", "workflow_failed"]
    assert "nobody_12345678" in events[-1].error.message  # type: ignore[attr-defined]


async def test_asking_gives_the_answer_in_one_reply(house: MakeHouse) -> None:
    here = await house("forty-two")
    reply = json.loads(await here.bus.call("evolvent.ask.default", request_body(), timeout_seconds=10))
    assert (reply["status"], reply["answer"], reply["served_by"]) == ("completed", "forty-two", "agent")
    page = json.loads(await here.bus.call("evolvent.orchestrator.journal", RunQuery(run_id=reply["run_id"]).encode()))
    assert [e["type"] for e in page["events"]] == ["workflow_started", "workflow_completed"]
    assert len(page["sequences"]) == 2


async def test_two_orchestrators_share_a_hundred_requests_and_each_ends_once(house: MakeHouse) -> None:
    here = await house("hi")
    await here.open_orchestrator()
    run_ids = [await here.publish() for _ in range(100)]
    for run_id in run_ids:
        assert types(await here.events(run_id)) == ["workflow_started", "workflow_completed"]
    assert all(len(here.loader.asked[run_id]) == 1 for run_id in run_ids)
    await here.until_acked()


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


async def test_invented_goals_share_the_default_generalist(house: MakeHouse) -> None:
    here = await house("hi")
    chosen = set()
    for goal in ("default", "invented", "another"):
        run_id = await here.publish(subject=f"evolvent.requests.medium.{goal}")
        first = (await here.events(run_id))[0]
        assert isinstance(first, WorkflowStarted)
        chosen.add(first.routing.chosen)
        assert first.goal == goal
    assert len(chosen) == 1


async def test_a_retired_agent_takes_no_more_work(house: MakeHouse) -> None:
    here = await house("never")
    agents = here.stores[0]
    await agents.put(AGENT, created_by="test")
    await agents.retire(AGENT.agent_id)
    events = await here.events(await here.publish(request_body(agent_id=AGENT.agent_id)))
    assert types(events)[-1] == "workflow_failed"
    assert "retired" in events[-1].error.message  # type: ignore[attr-defined]


async def test_a_request_that_no_consumer_takes_is_dead_lettered_by_the_sweep(house: MakeHouse) -> None:
    here = await house("hi")
    for subject in ("evolvent.requests.urgent.default", "evolvent.requests.medium", "evolvent.requests.a.b.c.d.e"):
        await here.bus.append(subject, request_body())
    await here.orchestrators[0].sweep()
    await here.until_acked()
    dead = await here.bus.last_of(DEAD_LETTERS, "evolvent.dead.REQUESTS")
    assert dead is not None
    assert dead.headers["Evolvent-Error-Code"] == "subject.invalid"
    assert (await here.bus.admin.stream_state(DEAD_LETTERS)).messages == 3
    assert not here.loader.asked
