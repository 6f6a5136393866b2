"""The life of a service: start, ready, handle, heartbeat, drain, stop. Every service of Evolvent is one of these.

    created ──start()──▶ starting ──▶ ready ──stop()──▶ draining ──▶ stopped

A service says what it does in three tables: `endpoints` (calls that it answers), `consumers` (durable consumers
that it works off) and `listeners` (core subjects that it hears). A delivery is acked after its handler returned
(ack after commit), kept by heartbeats meanwhile, given back with a delay when the handler failed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog

from evolvent.events import subjects
from evolvent.events.bus import Call, CoreMessage, Delivery
from evolvent.events.clock import Clock, SystemClock
from evolvent.events.errors import EvolventError
from evolvent.events.messages.platform import PlatformEvent
from evolvent.events.nats_bus import NatsBus
from evolvent.events.nats_endpoints import EndpointHost
from evolvent.events.nats_pull import Pull
from evolvent.events.streams import DurableSpec

_log = structlog.get_logger(__name__)
VERSION = "0.1.0"

Endpoint = Callable[[Call], Awaitable[bytes]]
Listener = Callable[[CoreMessage], None]


@dataclass(frozen=True, slots=True)
class Consume:
    """How a durable consumer is worked off.

    The handler gets a batch of up to `batch` deliveries, at most `concurrency` batches at a time, and each delivery is
    acked when it returns. Those at hand are taken at once, or, where nobody waits for the handler, a full batch or what
    came within `linger_seconds`: one transaction then serves many.
    """

    durable: DurableSpec
    handler: Callable[[Sequence[Delivery]], Awaitable[None]]
    batch: int = 1
    concurrency: int = 1
    retry_seconds: float = 1.0
    linger_seconds: float = 0.0


class Service:
    """Base of every service; subclasses fill the tables and, if they must, `on_start` and `on_stop`."""

    name: ClassVar[str]
    description: ClassVar[str] = ""

    def __init__(self, bus: NatsBus, *, clock: Clock | None = None, heartbeat_seconds: float = 3.0) -> None:
        self.bus = bus
        self.clock: Clock = clock or SystemClock()
        self.instance = f"{self.name}-{self.clock.new_id()[:8]}"
        self.ready = asyncio.Event()
        self.failed: asyncio.Future[None] | None = None
        self._heartbeat_seconds = heartbeat_seconds
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pulls: list[Pull] = []
        self._unsubscribe: list[Callable[[], Awaitable[None]]] = []
        self._hosts: list[EndpointHost] = []
        self._stopping = False
        self._in_hand: dict[int, Delivery] = {}
        self.log = structlog.get_logger(self.name).bind(service=self.name, instance=self.instance)

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return the calls that any instance answers, by name: `evolvent.<service>.<name>`."""
        return {}

    def own_endpoints(self) -> Mapping[str, Endpoint]:
        """Return the calls that only this instance answers: `evolvent.<service>.<instance>.<name>`."""
        return {}

    def consumers(self) -> Sequence[Consume]:
        """Return the durable consumers that this service works off."""
        return ()

    def listeners(self) -> Mapping[str, Listener]:
        """Return the core subjects that this service hears, and what it does then."""
        return {}

    async def on_start(self) -> None:
        """Prepare, before the first message comes."""

    async def on_stop(self) -> None:
        """Let go of what was held, after the last message."""

    async def start(self) -> None:
        """Start and become ready. Starting twice does nothing."""
        if self.ready.is_set() or self._stopping:
            return
        await self.on_start()
        await self._open_endpoints()
        for subject, listener in self.listeners().items():
            self._unsubscribe.append(await self.bus.subscribe(subject, listener))
        for consume in self.consumers():
            await self._work_off(consume)
        self.spawn(self._keep_deliveries())
        await self.bus.flush()
        self.ready.set()
        self.log.info("ready")

    async def stop(self, *, drain_seconds: float = 10.0) -> None:
        """Take nothing new, finish what is in hand, let go. Stopping twice, or before the start, does nothing."""
        if self._stopping:
            return
        self._stopping = True
        for pull in self._pulls:
            await pull.stop()
        for unsubscribe in self._unsubscribe:
            await unsubscribe()
        for host in self._hosts:
            await host.close_doors()
        await self._drain(drain_seconds)
        for host in self._hosts:
            await host.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.on_stop()
        self.ready.clear()
        self.log.info("stopped")

    @property
    def is_stopping(self) -> bool:
        """Say whether the service takes no more work."""
        return self._stopping

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside the handlers, for as long as the service lives."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def hold(self, delivery: Delivery) -> None:
        """Keep a delivery by heartbeats until it is settled."""
        self._in_hand[id(delivery)] = delivery

    def let_go(self, delivery: Delivery) -> None:
        """Stop the heartbeats of a delivery."""
        self._in_hand.pop(id(delivery), None)

    async def emit(self, event: PlatformEvent) -> None:
        """Append an event of the platform."""
        await self.bus.append(subjects.event(event.TYPE), event.encode())

    def envelope(self, *, run_id: str | None = None, causation_id: str | None = None) -> dict[str, Any]:
        """Return the envelope fields of a new event of this service."""
        return {
            "event_id": self.clock.new_id(),
            "run_id": run_id,
            "correlation_id": run_id,
            "causation_id": causation_id,
            "occurred_at": self.clock.now(),
            "source": self.instance,
        }

    async def every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again; a failure is logged and the next time comes."""
        while not self._stopping:
            await asyncio.sleep(seconds * random.uniform(0.9, 1.1))  # noqa: S311  # spreads replicas, guards nothing
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # a periodic job must outlive one bad day
                self.log.warning("periodic work failed", work=work.__name__, error=_said(error))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.error("task failed", error=_said(error), exc_info=error)

    async def host(self, name: str, description: str) -> EndpointHost:
        """Open a micro service that closes with this one."""
        host = await self.bus.host(name, version=VERSION, description=description)
        self._hosts.append(host)
        return host

    async def _open_endpoints(self) -> None:
        host = await self.host(f"evolvent-{self.name}", self.description)
        for name, handler in self.endpoints().items():
            await host.add(name.replace(".", "-"), subjects.endpoint(self.name, name), handler, queue=self.name)
        for name, handler in {**self.own_endpoints(), "health": self._health}.items():
            subject = subjects.endpoint(self.name, name, self.instance)
            await host.add(f"{name}-own", subject, handler, queue=self.instance)

    async def _health(self, call: Call) -> bytes:
        ready = b"true" if self.ready.is_set() and not self._stopping else b"false"
        return b'{"service":"%s","ready":%s}' % (self.instance.encode(), ready)

    async def _work_off(self, consume: Consume) -> None:
        waiting: list[Delivery] = []
        running = 0
        timer: asyncio.TimerHandle | None = None
        capacity = consume.batch * consume.concurrency

        def arrived(delivery: Delivery) -> None:
            waiting.append(delivery)
            self.hold(delivery)
            start_soon()

        def start_soon() -> None:
            nonlocal timer
            if not consume.linger_seconds or len(waiting) >= consume.batch:
                start_some()
            elif timer is None:
                timer = asyncio.get_running_loop().call_later(consume.linger_seconds, start_some)

        def start_some() -> None:
            nonlocal running, timer
            timer = None
            while waiting and running < consume.concurrency:
                batch, waiting[:] = waiting[: consume.batch], waiting[consume.batch :]
                running += 1
                self.spawn(self._handle(consume, batch)).add_done_callback(ended)

        def ended(_: asyncio.Task[Any]) -> None:
            nonlocal running
            running -= 1
            if not self._stopping:
                if waiting:
                    start_soon()
                pull.top_up()

        pull = await self.bus.pull(
            consume.durable, arrived, lambda: max(0, 2 * capacity - len(waiting) - running * consume.batch)
        )
        self._pulls.append(pull)

    async def _handle(self, consume: Consume, batch: Sequence[Delivery]) -> None:
        try:
            await consume.handler(batch)
            for delivery in batch:
                await delivery.ack()
        except Exception as error:  # noqa: BLE001  # given back, so that nothing is lost whatever it was
            self.log.warning("given back", durable=consume.durable.name, count=len(batch), error=_said(error))
            for delivery in batch:
                await delivery.nak(consume.retry_seconds)
        finally:
            for delivery in batch:
                self.let_go(delivery)

    async def _keep_deliveries(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            for delivery in list(self._in_hand.values()):
                if delivery.settled:
                    self.let_go(delivery)
                else:
                    await delivery.in_progress()

    def _is_busy(self) -> bool:
        return any(not d.settled for d in self._in_hand.values()) or any(host.busy for host in self._hosts)

    async def _drain(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._is_busy() and loop.time() < end:
            await asyncio.sleep(0.02)
        for delivery in self._in_hand.values():
            await delivery.nak()


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, EvolventError) else f"{type(error).__name__}: {error}"
