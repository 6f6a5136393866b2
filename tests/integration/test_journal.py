from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runs import RUN, Script, envelope, started, turn
from support.servers import bus_on, free_port, nats_server

from evolvent.events.errors import BusUnavailable, FenceLost, InvalidSubject, NoResponders, PayloadTooLarge
from evolvent.events.journal import Journal
from evolvent.events.language.reducer import fold
from evolvent.events.messages.runs import AgentCompleted, CancelRequested
from evolvent.events.nats_bus import NatsBus
from evolvent.events.nats_keys import KeyBucket
from evolvent.events.streams import LOCKS_BUCKET, RUNS


async def test_of_racing_writers_exactly_one_wins(bus: NatsBus) -> None:
    journal = Journal(bus)
    first = await journal.append(started())
    racers = [journal.append(AgentCompleted(**envelope(n), prev_seq=first)) for n in range(20)]
    results = await asyncio.gather(*racers, return_exceptions=True)
    assert sum(isinstance(r, int) for r in results) == 1
    assert sum(isinstance(r, FenceLost) for r in results) == 19
    assert len(await journal.read(RUN)) == 2


async def test_a_journal_folds_to_the_state_of_its_writer(bus: NatsBus) -> None:
    journal, script = Journal(bus), Script()
    script.tick(turn(0, ("look", {"a": 1})))
    sequence = 0
    for event in script.events:
        sequence = await journal.append(event.model_copy(update={"prev_seq": sequence}))
    entries = await journal.read(RUN)
    state = fold(RUN, ((e.sequence, e.event) for e in entries))
    assert replace(state, last_seq=0, started=None) == replace(script.state, last_seq=0, started=None)
    last = await journal.last(RUN)
    assert last is not None
    assert last.sequence == sequence


async def test_journals_of_two_runs_do_not_fence_each_other(bus: NatsBus) -> None:
    journal = Journal(bus)
    await journal.append(started())
    other = "22222222-2222-4222-8222-222222222222"
    await journal.append(started(run_id=other))
    assert await journal.last("33333333-3333-4333-8333-333333333333") is None
    assert len(await journal.read(other)) == 1


async def test_an_event_whose_receipt_was_lost_is_not_stored_twice(bus: NatsBus) -> None:
    """The second append of the same event finds the fence moved by its own first copy."""
    journal = Journal(bus)
    event = started()
    lossy = _Lossy(bus, lose=1)
    assert await Journal(lossy).append(event) == 1  # type: ignore[arg-type]
    assert lossy.lost == 1
    assert len(await journal.read(RUN)) == 1


class _Lossy:
    """A bus that stores, and loses the receipt."""

    def __init__(self, bus: NatsBus, *, lose: int) -> None:
        self._bus, self._lose, self.lost = bus, lose, 0

    async def append(self, subject: str, data: bytes, *, headers: Any = None) -> Any:
        receipt = await self._bus.append(subject, data, headers=headers)
        if self.lost < self._lose:
            self.lost += 1
            raise BusUnavailable
        return receipt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


async def test_an_append_waits_for_a_server_that_comes_back(tmp_path: Path) -> None:
    port = free_port()
    async with nats_server(tmp_path, port=port) as url:
        connection = bus_on(url)
        bus = await connection.__aenter__()
        sequence = await Journal(bus).append(started())
    appending = asyncio.create_task(Journal(bus).append(CancelRequested(**envelope(1), prev_seq=sequence)))
    async with nats_server(tmp_path, port=port):
        assert await asyncio.wait_for(appending, 20) > sequence
        assert [e.event.type for e in await Journal(bus).read(RUN)] == ["workflow_started", "cancel_requested"]
        await connection.__aexit__(None, None, None)


async def test_what_would_kill_the_connection_is_refused_before_it_is_sent(bus: NatsBus) -> None:
    with pytest.raises(PayloadTooLarge):
        await bus.publish("a.b", b"x" * (1024 * 1024))
    with pytest.raises(PayloadTooLarge):
        await bus.publish("a.b", b"x" * (1024 * 1024 - 600), headers={"k": "v" * 400})
    for subject in ("", "a b", "a..b", "x" * 5000, "a\r\nb"):
        with pytest.raises(InvalidSubject):
            await bus.publish(subject, b"")
    assert bus.is_connected


async def test_nobody_listening_is_told_at_once(bus: NatsBus) -> None:
    with pytest.raises(NoResponders):
        await asyncio.wait_for(bus.call("evolvent.nobody.here", b"", timeout_seconds=30), 2)


async def test_a_key_is_won_by_one_and_fenced_by_its_revision(bus: NatsBus) -> None:
    bucket = KeyBucket(bus, LOCKS_BUCKET)
    won = [r for r in await asyncio.gather(*(bucket.create("k", b"%d" % n) for n in range(5))) if r is not None]
    assert len(won) == 1
    newer = await bucket.update("k", b"again", won[0])
    assert newer is not None
    assert await bucket.update("k", b"stale", won[0]) is None
    entry = await bucket.get("k")
    assert entry is not None
    assert (entry.value, entry.revision) == (b"again", newer)
    assert await bucket.get("other") is None


async def test_purging_keeps_what_comes_after(bus: NatsBus) -> None:
    journal = Journal(bus)
    first = await journal.append(started())
    await journal.append(AgentCompleted(**envelope(1), prev_seq=first))
    assert await bus.admin.purge(RUNS, below_sequence=first + 1) == 1
    assert [e.event.type for e in await journal.read(RUN)] == ["agent_completed"]
