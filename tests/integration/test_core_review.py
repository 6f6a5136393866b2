"""What must not happen to runs, commands and money when messages repeat, come late, grow large or come from others."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from support.house import House, MakeHouse, types
from support.neighbours import request_body

from evolvent.events import subjects
from evolvent.events.errors import RemoteError
from evolvent.events.journal import Journal
from evolvent.events.messages.runs import CancelRequested, Final, RunEvent, WorkflowSuspended
from evolvent.events.principal import signed
from evolvent.events.streams import DEAD_LETTERS, REQUESTS, RUNS
from evolvent.events.subjects import Verb
from evolvent.storage.projections import JournalEntry


async def _record(here: House, run_id: str) -> None:
    """Record a run as the recorder would."""
    journal = Journal(here.bus)
    entries = [JournalEntry(e.sequence, e.event, e.event.encode()) for e in await journal.read(run_id)]
    await here.stores[1].record(entries)


async def _last_dead(here: House, stream: str) -> str | None:
    dead = await here.bus.last_of(DEAD_LETTERS, subjects.dead(stream))
    return None if dead is None else dead.headers["Evolvent-Error-Code"]


async def _until_dead(here: House, stream: str) -> str:
    for _ in range(200):
        if (code := await _last_dead(here, stream)) is not None:
            return code
        await asyncio.sleep(0.02)
    raise AssertionError(f"no dead letter of {stream}")


def _error(events: list[RunEvent]) -> str:
    last = events[-1]
    assert isinstance(last, Final)
    assert last.error is not None
    return last.error.code


async def test_asking_under_the_run_id_of_another_principal_tells_nothing(house: MakeHouse) -> None:
    here = await house("the secret of alice")
    run_id = str(uuid.uuid4())
    body = request_body("what is it", run_id=run_id)
    await here.publish(body, "evolvent.requests.medium.default.alice")
    await here.events(run_id)
    await here.until_acked()
    for asked in (body, request_body("something else", run_id=run_id)):
        with pytest.raises(RemoteError) as refused:
            await here.bus.call("evolvent.ask.default.bob", asked, timeout_seconds=5.0)
        assert refused.value.info().code == "not_found"
        assert "secret" not in str(refused.value)


async def test_asking_something_else_under_an_own_run_id_is_a_conflict_and_no_answer(house: MakeHouse) -> None:
    here = await house("yes")
    run_id = str(uuid.uuid4())
    asked = request_body("one", run_id=run_id)
    first = json.loads(await here.bus.call("evolvent.ask.default.bob", asked, timeout_seconds=5.0))
    again = json.loads(await here.bus.call("evolvent.ask.default.bob", asked, timeout_seconds=5.0))
    assert first == again
    with pytest.raises(RemoteError) as refused:
        await here.bus.call("evolvent.ask.default.bob", request_body("two", run_id=run_id), timeout_seconds=5.0)
    assert refused.value.info().code == "run_id_conflict"


async def test_a_request_under_the_run_id_of_another_principal_is_buried(house: MakeHouse) -> None:
    here = await house("hi")
    run_id = str(uuid.uuid4())
    body = request_body(run_id=run_id)
    await here.publish(body, "evolvent.requests.medium.default.alice")
    await here.events(run_id)
    await here.publish(body, "evolvent.requests.medium.default.bob")
    assert await _until_dead(here, REQUESTS) == "run_id_conflict"


async def test_a_principal_cannot_cancel_the_run_of_another(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("done", gate=gate)
    run_id = await here.publish(None, "evolvent.requests.medium.default.alice")
    await asyncio.wait_for(here.loader.called.wait(), 5)
    await here.bus.append(signed(subjects.command(Verb.CANCEL, run_id), "bob"), b"{}")
    code = await _until_dead(here, "COMMANDS")
    gate.set()
    assert types(await here.events(run_id))[-1] == "workflow_completed"
    assert code == "not_found"


async def test_a_command_that_was_stored_but_not_told_before_a_crash_wakes_its_run(house: MakeHouse) -> None:
    here = await house([("hang_and_pay", {"usd": 5})], "went on")
    run_id = await here.publish()
    events = await here.events(run_id)
    assert types(events)[-1] == "workflow_suspended"
    last = await Journal(here.bus).last(run_id)
    assert last is not None
    said = CancelRequested(  # what an orchestrator appended before it was killed
        event_id=str(uuid.uuid4()),
        run_id=run_id,
        correlation_id=run_id,
        occurred_at=events[-1].occurred_at,
        source="killed",
        prev_seq=last.sequence,
        principal="anonymous",
    )
    await Journal(here.bus).append(said)
    await here.bus.append(subjects.command(Verb.CANCEL, run_id), b"{}")  # its redelivery
    assert types(await here.events(run_id, until="workflow_cancelled"))[-1] in (
        "workflow_cancelled",
        "cancel_requested",
    )
    await here.until("workflow_cancelled", run_id)


async def test_an_answer_to_a_run_that_does_not_wait_is_refused(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("done", gate=gate)
    run_id = await here.publish()
    await asyncio.wait_for(here.loader.called.wait(), 5)
    await here.bus.append(subjects.command(Verb.APPROVE, run_id), b"{}")
    code = await _until_dead(here, "COMMANDS")
    gate.set()
    assert "approval_given" not in types(await here.events(run_id))
    assert code == "run.not_waiting"


async def test_commands_outlive_a_run_whose_journal_was_purged_in_the_middle(house: MakeHouse) -> None:
    here = await house([("look_up", {"key": "a"})], "done")
    run_id = await here.publish()
    await here.events(run_id)
    await here.until_acked()
    entries = await Journal(here.bus).read(run_id)
    await here.bus.admin.purge(RUNS, below_sequence=entries[1].sequence)
    await here.bus.append(subjects.command(Verb.CANCEL, run_id), b"{}")
    await here.bus.append(subjects.command(Verb.CANCEL, "not-a-run"), b"{}")
    assert await _until_dead(here, "COMMANDS") == "message.invalid"
    await here.until_commands_done()


async def test_a_suspended_run_whose_journal_was_purged_is_not_begun_again(house: MakeHouse) -> None:
    here = await house([("hang_and_pay", {"usd": 5})], "went on")
    run_id = str(uuid.uuid4())
    body = request_body(run_id=run_id)
    await here.publish(body)
    await here.events(run_id)
    await here.until_acked()
    await _record(here, run_id)
    await here.bus.admin.purge(RUNS, below_sequence=10**6)
    await here.publish(body)
    await here.until_acked()
    assert len(here.loader.asked[run_id]) == 1
    assert await Journal(here.bus).read(run_id) == []


async def test_a_command_for_an_ended_run_whose_journal_was_purged_changes_nothing(house: MakeHouse) -> None:
    here = await house("done")
    run_id = str(uuid.uuid4())
    body = request_body(run_id=run_id)
    await here.publish(body)
    await here.events(run_id)
    await here.until_acked()
    await _record(here, run_id)
    await here.bus.admin.purge(RUNS, below_sequence=10**6)
    await here.bus.append(subjects.command(Verb.CANCEL, run_id), b"{}")
    await here.until_commands_done()
    await here.publish(body)
    await here.until_acked()
    assert await Journal(here.bus).read(run_id) == []


async def test_a_woken_run_needs_nothing_from_before_it_was_woken(house: MakeHouse) -> None:
    gate = asyncio.Event()
    gate.set()
    here = await house([("hang_and_pay", {"usd": 5})], "went on", gate=gate)
    run_id = await here.publish()
    await here.events(run_id)
    await here.until_acked()
    gate.clear()
    here.loader.called.clear()
    await here.bus.append(subjects.command(Verb.APPROVE, run_id), b'{"outcome": "happened"}')
    await asyncio.wait_for(here.loader.called.wait(), 5)
    woken = next(e for e in await Journal(here.bus).read(run_id) if e.event.type == "workflow_resumed")
    await here.bus.admin.purge(RUNS, below_sequence=woken.sequence)  # by a recorder that lags behind
    await here.orchestrators[0].stop(drain_seconds=0)
    await here.open_orchestrator()
    gate.set()
    events = await here.events(run_id)
    assert types(events) == ["workflow_resumed", "workflow_resumed", "workflow_completed"]


async def test_a_copy_of_a_request_never_takes_the_run_from_its_living_owner(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("once", gate=gate)
    run_id = str(uuid.uuid4())
    body = request_body(run_id=run_id)
    await here.publish(body)
    await asyncio.wait_for(here.loader.called.wait(), 5)
    await here.open_orchestrator()
    await here.publish(body)
    await here.until_acked(left=1)  # the copy is acked while the run goes on
    gate.set()
    assert types(await here.events(run_id)) == ["workflow_started", "workflow_completed"]


async def test_results_too_large_for_one_event_are_told_in_several(house: MakeHouse) -> None:
    here = await house([("recite", {"size": 250_000})] * 5, "read")
    run_id = await here.publish()
    events = await here.events(run_id)
    assert types(events)[-1] == "workflow_failed"
    assert _error(events) == "payload.too_large"  # the next prompt is more than the bus carries
    assert sum(len(event.tools) for event in events) == 5
    assert len(here.loader.asked[run_id]) == 1
    await here.until_acked()


async def test_a_run_too_large_to_be_told_whole_waits_and_goes_on_from_its_journal(house: MakeHouse) -> None:
    here = await house([("hang_and_pay", {"usd": 1}), *[("recite", {"size": 3, "pad": "x" * 200_000})] * 4], "went on")
    run_id = await here.publish()
    waiting = (await here.events(run_id))[-1]
    assert isinstance(waiting, WorkflowSuspended)
    assert waiting.state == {}
    await here.until_acked()
    await here.bus.append(subjects.command(Verb.APPROVE, run_id), b'{"outcome": "happened"}')
    await here.until("workflow_completed", run_id)
    assert sum(len(event.tools) for event in await here.events(run_id)) == 5  # the lost payment, each reading once


async def test_a_run_that_was_cancelled_while_it_waits_for_its_first_lease_ends(house: MakeHouse) -> None:
    here = await house("never", lease_wait_seconds=0.2)
    here.resources.is_full = True
    run_id = await here.publish()
    await here.events(run_id, until="workflow_started")
    await here.bus.append(subjects.command(Verb.CANCEL, run_id), b"{}")
    assert types(await here.events(run_id))[-1] == "workflow_cancelled"


async def test_a_run_whose_journal_cannot_be_read_is_put_aside_after_a_while(house: MakeHouse) -> None:
    here = await house("hi", max_deliveries=2)
    run_id = str(uuid.uuid4())
    await here.bus.append(subjects.run_event(run_id, "workflow_started"), b'{"type": "workflow_of_tomorrow"}')
    await here.publish(request_body(run_id=run_id))
    assert await _until_dead(here, REQUESTS) == "journal.unreadable"
    await here.until_acked()


async def test_run_ids_follow_a_stream_that_was_made_anew_after_the_reconnect(house: MakeHouse) -> None:
    here = await house("hi")
    before = await here.publish()
    await here.events(before)
    await here.until_acked()
    await here.bus.call(f"$JS.API.STREAM.DELETE.{REQUESTS}", b"")
    await here.bus._reconnected()  # to a server whose store was deleted, and where no stream is yet
    await here.bus.admin.ensure_all(ack_wait_seconds=2.0)
    for pull in here.bus._pulls:
        pull.reset()  # as their watch does every ten seconds
    run_id = await here.publish()
    assert run_id != before
    assert types(await here.events(run_id))[-1] == "workflow_completed"


async def test_an_append_outwaits_a_stream_that_is_away(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("hi", gate=gate)
    run_id = await here.publish()
    await asyncio.wait_for(here.loader.called.wait(), 5)
    begun = (await Journal(here.bus).read(run_id))[0].event
    await here.bus.call(f"$JS.API.STREAM.DELETE.{RUNS}", b"")
    appending = asyncio.create_task(Journal(here.bus).append(begun))
    done, _ = await asyncio.wait([appending], timeout=0.3)
    assert not done
    await here.bus.admin.ensure_all(ack_wait_seconds=2.0)
    assert await asyncio.wait_for(appending, 5) == 1
