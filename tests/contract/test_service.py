"""The life of a service: what every service may rely on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence

import pytest

from evolvent.events import subjects
from evolvent.events.bus import Call, CoreMessage, Delivery
from evolvent.events.errors import CallTimeout, NotFound, RemoteError
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import Consume, Endpoint, Listener, Service
from evolvent.events.streams import durables

DURABLE = next(d for d in durables(2.0) if d.name == "recorder_events")


class Probe(Service):
    """A service that does what a test tells it to."""

    name = "probe"

    def __init__(self, bus: NatsBus, *, batch: int = 1, concurrency: int = 1, fail_first: int = 0) -> None:
        super().__init__(bus, heartbeat_seconds=0.3)
        self.batches: list[list[int]] = []
        self.seen: list[int] = []
        self.heard: list[str] = []
        self.changed = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self._fail = fail_first
        self._shape = (batch, concurrency)
        self.most_at_once = 0
        self._now = 0

    def endpoints(self) -> Mapping[str, Endpoint]:
        return {"echo": self._echo, "broken": self._broken, "missing": self._missing, "slow": self._slow}

    def listeners(self) -> Mapping[str, Listener]:
        return {"evolvent.nudge.*": self._on_nudge}

    def consumers(self) -> Sequence[Consume]:
        return (Consume(DURABLE, self._on_batch, batch=self._shape[0], concurrency=self._shape[1], retry_seconds=0.1),)

    async def _on_batch(self, deliveries: Sequence[Delivery]) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await self.gate.wait()
            if self._fail:
                self._fail -= 1
                raise RuntimeError("not now")
            self.batches.append([d.sequence for d in deliveries])
            self.seen.extend(d.sequence for d in deliveries)
            self.changed.set()
        finally:
            self._now -= 1

    def _on_nudge(self, message: CoreMessage) -> None:
        self.heard.append(message.subject)
        self.changed.set()

    async def _echo(self, call: Call) -> bytes:
        return call.data

    async def _broken(self, call: Call) -> bytes:
        raise RuntimeError("password=hunter2")

    async def _missing(self, call: Call) -> bytes:
        raise NotFound("There is no such thing.")

    async def _slow(self, call: Call) -> bytes:
        await self.gate.wait()
        return b"at last"

    async def until(self, count: int) -> None:
        while len(self.seen) < count:
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)


async def publish(bus: NatsBus, count: int) -> None:
    for number in range(count):
        await bus.append(subjects.event("test"), b"%d" % number)


async def test_a_message_is_acked_after_its_handler_and_not_before(bus: NatsBus) -> None:
    probe = Probe(bus)
    probe.gate.clear()
    await probe.start()
    await publish(bus, 1)
    while not probe.most_at_once:
        await asyncio.sleep(0)
    assert (await bus.admin.consumer_state("EVENTS", DURABLE.name)).ack_pending == 1
    probe.gate.set()
    await probe.until(1)
    await probe.stop()
    await bus.flush()
    assert (await bus.admin.consumer_state("EVENTS", DURABLE.name)).ack_floor == 1


async def test_a_slow_handler_keeps_its_message(bus: NatsBus) -> None:
    """The durable's ack_wait is short here; heartbeats outlast it, so nothing is delivered twice."""
    short = next(d for d in durables(1.0) if d.name == "orchestrator_medium")
    got: list[Delivery] = []
    arrived = asyncio.Event()

    class Slow(Service):
        name = "slow"

        def consumers(self) -> Sequence[Consume]:
            return (Consume(short, self._take),)

        async def _take(self, deliveries: Sequence[Delivery]) -> None:
            got.extend(deliveries)
            arrived.set()
            await asyncio.wait_for(asyncio.Event().wait(), 2.5) if len(got) == 1 else None

    await bus.admin.ensure_durable(short)
    service = Slow(bus, heartbeat_seconds=0.3)
    await service.start()
    await bus.append("evolvent.requests.medium.default", b"{}")
    await asyncio.wait_for(arrived.wait(), 5)
    second = next(d for d in durables(1.0) if d.name == "orchestrator_medium")
    assert second.ack_wait_seconds == 1.0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_another(got), 2.2)
    await service.stop(drain_seconds=0)


async def _another(got: list[Delivery]) -> None:
    while len(got) < 2:
        await asyncio.sleep(0.05)


async def test_a_failed_handler_gets_its_message_again(bus: NatsBus) -> None:
    probe = Probe(bus, fail_first=2)
    await probe.start()
    await publish(bus, 3)
    await probe.until(3)
    assert sorted(set(probe.seen)) == [1, 2, 3]
    await probe.stop()


async def test_concurrency_is_bounded_and_batches_take_what_is_at_hand(bus: NatsBus) -> None:
    await publish(bus, 200)
    probe = Probe(bus, batch=20, concurrency=2)
    await probe.start()
    await probe.until(200)
    assert probe.most_at_once <= 2
    assert max(map(len, probe.batches)) <= 20
    assert len(probe.seen) == 200
    await probe.stop()


async def test_stopping_lets_the_work_in_hand_finish(bus: NatsBus) -> None:
    probe = Probe(bus)
    probe.gate.clear()
    await probe.start()
    await publish(bus, 1)
    while not probe.most_at_once:
        await asyncio.sleep(0)
    stopping = asyncio.create_task(probe.stop())
    await asyncio.sleep(0)
    probe.gate.set()
    await stopping
    assert probe.seen == [1]


async def test_it_survives_being_started_and_stopped_in_any_order(bus: NatsBus) -> None:
    never = Probe(bus)
    await never.stop()
    await never.start()
    assert not never.ready.is_set()
    probe = Probe(bus)
    await asyncio.gather(*(probe.start() for _ in range(1)))
    await probe.start()
    await asyncio.gather(*(probe.stop() for _ in range(10)))
    await probe.stop()


async def test_calls_run_side_by_side_and_errors_keep_their_names(bus: NatsBus) -> None:
    probe = Probe(bus)
    await probe.start()
    probe.gate.clear()
    slow = asyncio.create_task(bus.call("evolvent.probe.slow", b"", timeout_seconds=20, silence_seconds=1.6))
    assert await bus.call("evolvent.probe.echo", b"hi") == b"hi"
    with pytest.raises(RemoteError) as missing:
        await bus.call("evolvent.probe.missing", b"")
    assert missing.value.info().code == "not_found"
    with pytest.raises(RemoteError) as broken:
        await bus.call("evolvent.probe.broken", b"")
    assert "hunter2" not in str(broken.value)
    await asyncio.wait([slow], timeout=2.5)
    probe.gate.set()
    assert await slow == b"at last"
    await probe.stop()


async def test_a_silent_service_is_given_up_before_the_deadline(bus: NatsBus) -> None:
    await bus.subscribe("evolvent.void.end", lambda message: None)
    with pytest.raises(CallTimeout, match="silent"):
        await bus.call("evolvent.void.end", b"", timeout_seconds=30, silence_seconds=0.2)


async def test_it_is_seen_by_the_nats_service_protocol(bus: NatsBus) -> None:
    probe = Probe(bus)
    await probe.start()
    replies = await bus.request_many("$SRV.INFO", b"", window_seconds=0.3)
    names = {json.loads(reply.data)["name"] for reply in replies}
    assert "evolvent-probe" in names
    await bus.publish(subjects.nudge("r1"), b"")
    while not probe.heard:
        await asyncio.wait_for(probe.changed.wait(), 5)
    await probe.stop()


async def test_a_caller_that_was_busy_itself_does_not_take_a_living_service_for_dead(bus: NatsBus) -> None:
    probe = Probe(bus)
    await probe.start()
    probe.gate.clear()
    slow = asyncio.create_task(bus.call("evolvent.probe.slow", b"", timeout_seconds=20, silence_seconds=1.2))
    while not bus.is_connected or slow.done():
        await asyncio.sleep(0)
    await bus.flush()
    time.sleep(1.5)  # the whole process stands still: no beat is sent, none is read
    await asyncio.wait([slow], timeout=0.1)
    probe.gate.set()
    assert await slow == b"at last"
    await probe.stop()
