"""Prometheus numbers, derived from events: one more subscriber, and the only door to prometheus_client.

No other service knows of metrics. What is heard on core NATS may have gaps (counters then count less, never
twice), and what no event tells is asked for every few seconds. Start one instance: two would each count everything.
Shown in use by tests/integration/test_metrics.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import ClassVar, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from pydantic import ValidationError

from evolvent.events import subjects
from evolvent.events.bus import CoreMessage
from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError
from evolvent.events.messages.platform import BY_TYPE
from evolvent.events.messages.runs import Mode, ServedBy, SuspendReason, read_run_event
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import VERSION, Listener, Service
from evolvent.events.streams import COMMANDS, REQUESTS
from evolvent.events.subjects import Priority
from evolvent.platform import metric_names as names
from evolvent.platform.metric_memory import BoundedLabels, Recent, RunMemory
from evolvent.platform.metric_names import METRICS, Kind, Metric, Sample
from evolvent.platform.metric_polls import Part, PlatformPolls
from evolvent.platform.metric_samples import (
    AUTOMATION_EVENTS,
    IMPROVEMENT_EVENTS,
    of_platform_event,
    of_run_event,
)
from evolvent.platform.metrics_http import MetricsServer
from evolvent.platform.settings import MetricsSettings

Instrument: TypeAlias = Counter | Gauge | Histogram
POLL_SECONDS = 5.0
STALE_SECONDS = 30.0
"""After so long without an answer a number is taken out: no number is better than an old one."""


class Instruments:
    """A registry of its own with every metric of the table, and its children, bound once."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nobody asks for them
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._bounds = BoundedLabels()
        self._made = {name: _made(metric, self.registry) for name, metric in METRICS.items()}
        self._children: dict[str, dict[tuple[str, ...], Instrument]] = {name: {} for name in METRICS}

    def record(self, samples: Iterable[Sample]) -> None:
        """Count, observe or set."""
        for metric, labels, value in samples:
            child = self._child(metric, labels)
            if isinstance(child, Counter):
                child.inc(value)
            elif isinstance(child, Gauge):
                child.set(value)
            else:
                child.observe(value)

    def replace(self, gauges: Iterable[Metric], samples: Iterable[Sample]) -> None:
        """Set these gauges to exactly these samples: series that are not among them go."""
        told = list(samples)
        kept = {(sample.metric.name, sample.labels) for sample in told}
        for metric in gauges:
            for labels in [known for known in self._children[metric.name] if (metric.name, known) not in kept]:
                self._drop(metric, labels)
        self.record(told)

    def open(self, metric: Metric, *values: tuple[str, ...]) -> None:
        """Show series at zero before anything is counted, so that the first event is seen as an increase."""
        for labels in values or ((),):
            self._child(metric, labels)

    def gauge(self, metric: Metric, *labels: str) -> Gauge:
        """Return one gauge, to be read when it is scraped."""
        child = self._child(metric, labels)
        assert isinstance(child, Gauge)
        return child

    def render(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text that an Accept header asks for."""
        encoder, content_type = choose_encoder(accept)
        return content_type, encoder(self.registry)

    def _child(self, metric: Metric, labels: tuple[str, ...]) -> Instrument:
        children = self._children[metric.name]
        if (child := children.get(labels)) is not None:
            return child
        parent = self._made[metric.name]
        if not metric.labels:
            children[()] = parent
            return parent
        bound = tuple(self._bounds.bound(name, value) for name, value in zip(metric.labels, labels, strict=True))
        child = parent.labels(*bound)
        if bound == labels:
            children[labels] = child
        return child

    def _drop(self, metric: Metric, labels: tuple[str, ...]) -> None:
        if not metric.labels:
            self.gauge(metric).set(float("nan"))
            return
        del self._children[metric.name][labels]
        self._made[metric.name].remove(*labels)
        if metric.labels == ("loader",):  # no counter bears this label, so its places can be given back
            self._bounds.forget("loader", labels[0])


def _made(metric: Metric, registry: CollectorRegistry) -> Instrument:
    if metric.kind is Kind.COUNTER:
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind is Kind.GAUGE:
        return Gauge(metric.name, metric.help, metric.labels, registry=registry)
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)


class Metrics(Service):
    """Hears every event, asks every few seconds, and tells Prometheus.

    Args:
        bus: a connection as the user `metrics`.
        settings: where to listen.
        clock: the time.
        max_concurrent_runs: what each orchestrator may drive at a time, for `evolvent_run_capacity`.
        poll_seconds: how often to ask.
    """

    name: ClassVar[str] = "metrics"
    description: ClassVar[str] = "Counts what happens, for Prometheus"

    def __init__(
        self,
        bus: NatsBus,
        settings: MetricsSettings,
        clock: Clock | None = None,
        *,
        max_concurrent_runs: int = 10,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        super().__init__(bus, clock=clock)
        self.url = ""
        """Where to scrape, once it is started: `http://127.0.0.1:PORT/metrics`."""
        self.instruments = Instruments()
        self._settings = settings
        self._poll_seconds = poll_seconds
        self._memory = RunMemory()
        self._heard: Recent[bool] = Recent(20_000)
        self._parts = PlatformPolls(bus, self.clock, max_concurrent_runs=max_concurrent_runs).parts()
        self._answered_at: dict[str, float] = {}
        self._server: MetricsServer | None = None

    def listeners(self) -> Mapping[str, Listener]:
        """Hear what happens to runs and on the platform."""
        return {subjects.ALL_RUNS: self._on_run_event, subjects.ALL_EVENTS: self._on_platform_event}

    async def on_start(self) -> None:
        """Open the port, and begin to ask."""
        self._open_known_series()
        began = self.clock.monotonic()
        self._answered_at = {part.name: began for part in self._parts}
        self.bus.on_reconnect.append(self._reconnected)
        settings = self._settings
        self._server = MetricsServer(
            settings.host, settings.port, render=self.instruments.render, health=self.what_is_wrong
        )
        self.url = f"{self._server.address}/metrics"
        self.spawn(self._poll_on())

    async def on_stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)

    def what_is_wrong(self) -> str | None:
        """Return why the numbers cannot be trusted now, or None."""
        if not self.ready.is_set() or self.is_stopping:
            return "The service is starting or stopping."
        if not self.bus.is_connected:
            return "There is no connection to the bus."
        if (age := self._age("queues")) > STALE_SECONDS:
            return f"The bus has not said how its queues stand for {age:.0f} s."
        return None

    async def poll(self) -> None:
        """Ask for everything that no event tells."""
        await asyncio.gather(*map(self._ask, self._parts))

    async def _poll_on(self) -> None:
        await self.ready.wait()  # so that it finds itself among the services
        await self.poll()
        await self.every(self._poll_seconds, self.poll)

    async def _ask(self, part: Part) -> None:
        try:
            samples = await part.ask()
        except Exception as error:  # noqa: BLE001  # one part's failure, whatever it was, stops no other
            self.instruments.record((Sample(names.POLL_FAILURES, (part.name,)),))
            self.log.debug("no answer", part=part.name, error=f"{type(error).__name__}: {error}")
            if self._age(part.name) > STALE_SECONDS:
                self.instruments.replace(part.gauges, ())
            return
        self.instruments.replace(part.gauges, samples)
        self._answered_at[part.name] = self.clock.monotonic()

    def _age(self, part: str) -> float:
        return self.clock.monotonic() - self._answered_at[part]

    def _on_run_event(self, message: CoreMessage) -> None:
        try:
            event = read_run_event(message.data)
        except ValidationError:
            self.instruments.record((Sample(names.UNREADABLE),))
            return
        if (note := self._memory.admit(event)) is not None:
            self.instruments.record(of_run_event(event, note))

    def _on_platform_event(self, message: CoreMessage) -> None:
        if (kind := BY_TYPE.get(message.subject.rsplit(".", 1)[1])) is None:
            return
        try:
            event = kind.decode(message.data)
        except EvolventError:
            self.instruments.record((Sample(names.UNREADABLE),))
            return
        if not self._heard.get(event.event_id):
            self._heard.put(event.event_id, True)
            self.instruments.record(of_platform_event(event))

    async def _reconnected(self) -> None:
        self.instruments.record((Sample(names.BUS_RECONNECTS),))

    def _open_known_series(self) -> None:
        shown = self.instruments
        statuses = ("completed", "failed", "cancelled")
        shown.record((Sample(names.BUILD, (VERSION,)),))
        shown.gauge(names.BUS_CONNECTED).set_function(lambda: float(self.bus.is_connected))
        for part in self._parts:
            shown.gauge(names.POLL_AGE, part.name).set_function(lambda name=part.name: self._age(name))  # type: ignore[misc]
            shown.open(names.POLL_FAILURES, (part.name,))
        shown.open(names.RUNS_ENDED, *(("default", status) for status in statuses))
        shown.open(names.RUN_SECONDS_HELD, *((priority.value,) for priority in Priority))
        shown.open(names.AGENTS_SPAWNED, ("default",))
        shown.open(names.RUNS_SERVED, *((by.value, status) for by in ServedBy for status in statuses))
        shown.open(names.RUN_COST, *((by.value,) for by in ServedBy))
        shown.open(names.RUNS_NOT_LIVE, *((mode.value,) for mode in Mode if mode is not Mode.LIVE))
        shown.open(names.RUNS_SUSPENDED, *((reason.value,) for reason in SuspendReason))
        shown.open(names.WORKFLOW_TASKS, ("done",), ("left",))
        shown.open(names.WORKFLOW_PROMPT, ("told",), ("monolith",))
        shown.open(names.RUNS_RESUMED, ("redelivered",))
        shown.open(names.DEAD_LETTERS, (REQUESTS,), (COMMANDS,))
        shown.open(names.AUTOMATIONS, *((what,) for what in AUTOMATION_EVENTS.values()))
        shown.open(names.IMPROVEMENTS, *((what,) for what in IMPROVEMENT_EVENTS.values()))
