from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.servers import free_port, nats_server

from evolvent.events.clock import SystemClock
from evolvent.events.leadership import Leadership
from evolvent.events.nats_bus import NatsBus
from evolvent.events.nats_keys import KeyBucket
from evolvent.events.streams import LOCKS_BUCKET

TTL = 1.5


class Candidate:
    """A candidate whose gains and losses can be awaited."""

    def __init__(self, bus: NatsBus, name: str, *, log: list[str]) -> None:
        self.gained, self.lost = asyncio.Event(), asyncio.Event()
        self.name, self._log = name, log
        self.lease = Leadership(
            bus, "test", holder=name, ttl_seconds=TTL, on_gained=self._on_gained, on_lost=self._on_lost
        )

    def _on_gained(self) -> None:
        self._log.append(f"+{self.name}")
        self.gained.set()

    def _on_lost(self) -> None:
        self._log.append(f"-{self.name}")
        self.lost.set()


class HeldClock(SystemClock):
    """A clock that stands still, as for a stopped process, until a test lets it jump."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
async def locks(tmp_path: Path) -> AsyncIterator[NatsBus]:
    async with nats_server(tmp_path) as url:
        bus = await NatsBus.connect(url, name="test")
        await bus.admin.ensure_bucket(LOCKS_BUCKET, ttl_seconds=TTL)
        yield bus
        await bus.close()


async def test_one_of_many_leads_and_the_next_follows_when_it_stops(locks: NatsBus) -> None:
    log: list[str] = []
    candidates = [Candidate(locks, name, log=log) for name in "abc"]
    for candidate in candidates:
        await candidate.lease.start()
    await _any([c.gained for c in candidates])
    first = next(c for c in candidates if c.lease.is_leading)
    rest = [c for c in candidates if c is not first]
    assert not any(c.lease.is_leading for c in rest)
    await first.lease.stop()
    assert not first.lease.is_leading
    await _any([c.gained for c in rest])
    second = next(c for c in rest if c.lease.is_leading)
    assert log == [f"+{first.name}", f"-{first.name}", f"+{second.name}"]
    assert second.lease.epoch > first.lease.epoch
    for candidate in rest:
        await candidate.lease.stop()


async def test_a_lease_outlives_its_time_to_live_while_it_is_renewed(locks: NatsBus) -> None:
    log: list[str] = []
    holder = Candidate(locks, "a", log=log)
    async with holder.lease:
        await asyncio.wait_for(holder.gained.wait(), 5)
        revisions = set()
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.5 * TTL
        while loop.time() < end:
            entry = await KeyBucket(locks, LOCKS_BUCKET).get("test")
            assert entry is not None
            revisions.add(entry.revision)
            assert holder.lease.is_leading
        assert len(revisions) > 3
    assert log == ["+a", "-a"]


async def test_a_superseded_leader_is_told_and_stands_again(locks: NatsBus) -> None:
    log: list[str] = []
    holder = Candidate(locks, "a", log=log)
    async with holder.lease:
        await asyncio.wait_for(holder.gained.wait(), 5)
        bucket = KeyBucket(locks, LOCKS_BUCKET)
        stolen = None
        while stolen is None:
            entry = await bucket.get("test")
            assert entry is not None
            stolen = await bucket.update("test", b"somebody else", entry.revision)
        await asyncio.wait_for(holder.lost.wait(), 5)
        assert not holder.lease.is_leading
        holder.gained.clear()
        await asyncio.wait_for(holder.gained.wait(), 10)
        assert holder.lease.epoch > stolen


async def test_a_leader_cut_off_from_the_server_stops_before_another_can_begin(tmp_path: Path) -> None:
    log: list[str] = []
    port = free_port()
    async with nats_server(tmp_path, port=port) as url:
        bus = await NatsBus.connect(url, name="test")
        await bus.admin.ensure_bucket(LOCKS_BUCKET, ttl_seconds=TTL)
        holder = Candidate(bus, "a", log=log)
        await holder.lease.start()
        await asyncio.wait_for(holder.gained.wait(), 5)
    cut_at = asyncio.get_running_loop().time()
    await asyncio.wait_for(holder.lost.wait(), 5)
    assert asyncio.get_running_loop().time() - cut_at < TTL
    async with nats_server(tmp_path, port=port):
        holder.gained.clear()
        await asyncio.wait_for(holder.gained.wait(), 15)
        await holder.lease.stop()
        await bus.close()
    assert log == ["+a", "-a", "+a", "-a"]


async def test_a_process_that_was_frozen_knows_at_once_that_its_time_is_over(locks: NatsBus) -> None:
    clock = HeldClock()
    gained = asyncio.Event()
    lease = Leadership(locks, "test", holder="a", ttl_seconds=TTL, on_gained=gained.set, clock=clock)
    async with lease:
        await asyncio.wait_for(gained.wait(), 5)
        assert lease.is_leading
        clock.seconds += TTL
        assert not lease.is_leading


async def _any(events: list[asyncio.Event]) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    done, pending = await asyncio.wait(waits, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    assert done
