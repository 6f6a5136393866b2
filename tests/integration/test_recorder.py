from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from support.databases import database_url, databases, postgres_server  # noqa: F401
from support.journals import completed_run, run_id_of, stream, suspended_run, workflow_run

from evolvent.events import subjects
from evolvent.events.errors import NotFound
from evolvent.events.journal import Journal
from evolvent.events.messages.runs import RunEvent
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import COMMANDS, EVENTS, RUNS
from evolvent.events.subjects import Verb
from evolvent.storage.database import Databases
from evolvent.storage.recorder import Recorder, purge_point


@pytest.fixture
async def recorder(bus: NatsBus, databases: Databases) -> AsyncIterator[Recorder]:  # noqa: F811
    made = Recorder(bus, databases.records, heartbeat_seconds=0.5, ack_wait_seconds=2.0, purge_margin=0)
    yield made
    await made.stop(drain_seconds=2)


async def append(bus: NatsBus, events: list[RunEvent]) -> list[int]:
    sequences = [0]
    for event in events:
        sequences.append(await Journal(bus).append(event.model_copy(update={"prev_seq": sequences[-1]})))
    return sequences[1:]


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(15):
        while not await is_so():
            await asyncio.sleep(0)


async def caught_up(bus: NatsBus, stream_name: str, durable: str) -> None:
    async def is_so() -> bool:
        last = (await bus.admin.stream_state(stream_name)).last_sequence
        return (await bus.admin.consumer_state(stream_name, durable)).ack_floor == last

    await until(is_so)


async def test_every_run_ends_up_in_sql_before_its_events_are_acked(bus: NatsBus, recorder: Recorder) -> None:
    await append(bus, completed_run(0))
    await recorder.start()
    for number in range(1, 20):
        await append(bus, workflow_run(number) if number % 2 else completed_run(number))
    await caught_up(bus, RUNS, "recorder_runs")
    assert await recorder.runs.summary() == {"completed": 10, "failed": 10}
    assert (await recorder.runs.get(run_id_of(0))).answer == "42"


async def test_a_gap_is_mended_from_the_journal(bus: NatsBus, recorder: Recorder) -> None:
    sequences = await append(bus, completed_run(0))
    (last,) = await Journal(bus).read(run_id_of(0), after=sequences[1])
    behind = stream(completed_run(0))[2]
    await recorder._record([type(behind)(last.sequence, last.event, last.event.encode())])
    assert (await recorder.runs.get(run_id_of(0))).status == "completed"
    assert len(await recorder.runs.events(run_id_of(0))) == 3


async def test_a_hole_in_a_journal_and_an_unreadable_event_stop_nothing(bus: NatsBus, recorder: Recorder) -> None:
    sequences = await append(bus, completed_run(0))
    await bus.admin.delete(RUNS, sequences[1])
    await bus.append(subjects.run_event(run_id_of(7), "workflow_started"), b"not an event")
    await append(bus, completed_run(1))
    await recorder.start()
    await caught_up(bus, RUNS, "recorder_runs")
    assert await recorder.runs.summary() == {"completed": 2}
    with pytest.raises(NotFound):
        await recorder.runs.get(run_id_of(7))

    async def is_kept() -> bool:
        return await recorder.archive.dead_count() == 1

    await until(is_kept)


async def test_commands_and_events_are_kept_with_who_said_them(bus: NatsBus, recorder: Recorder) -> None:
    await recorder.start()
    subject = f"{subjects.command(Verb.CANCEL, run_id_of(0))}.alice"
    await bus.append(subject, b'{"reason": "enough"}')
    await bus.append(subjects.event("agent_spawned"), b'{"run_id": "r9"}')
    await caught_up(bus, COMMANDS, "recorder_commands")
    await caught_up(bus, EVENTS, "recorder_events")
    (command,) = await recorder.archive.commands_for(run_id_of(0))
    assert (command.verb, command.principal, command.body) == ("cancel", "alice", '{"reason": "enough"}')
    assert [event.type for event in await recorder.archive.events(run_id="r9")] == ["agent_spawned"]


async def test_journals_are_purged_only_where_nobody_needs_them(bus: NatsBus, recorder: Recorder) -> None:
    await append(bus, completed_run(0))
    running = (await append(bus, completed_run(1)[:1]))[0]
    await append(bus, suspended_run(2, ends=False))
    await recorder.start()
    await caught_up(bus, RUNS, "recorder_runs")
    await recorder.purge_journals()
    assert (await bus.admin.stream_state(RUNS)).first_sequence == 1

    resources = next(d for d in recorder._durables.values() if d.name == "resources_runs")
    seen: list[int] = []
    pull = await bus.pull(resources, lambda delivery: (seen.append(1), recorder.spawn(delivery.ack()))[0], lambda: 100)
    await caught_up(bus, RUNS, "resources_runs")
    await pull.stop()
    await recorder.purge_journals()
    assert (await bus.admin.stream_state(RUNS)).first_sequence == running


def test_the_purge_point_is_below_everything_that_somebody_needs() -> None:
    assert purge_point([10, 20], None, margin=0) == 11
    assert purge_point([10, 20], 5, margin=0) == 5
    assert purge_point([10, 20], 5, margin=100) == 0
