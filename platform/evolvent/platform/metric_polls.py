"""What no event tells, asked of the bus and the services every few seconds: queues, streams, instances, budgets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.messages.calls import BudgetList, BudgetView, Empty, LoaderStats
from evolvent.events.messages.insight_calls import Insights
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import REQUESTS, STREAMS, DurableSpec, durables
from evolvent.events.subjects import Priority
from evolvent.platform import metric_names as names
from evolvent.platform.metric_insights import INSIGHT_GAUGES, insight_samples
from evolvent.platform.metric_names import Metric, Sample
from evolvent.platform.metric_samples import USD
from evolvent.storage.budgets import ALL_GOALS, MAX_MICROUSD

DISCOVERY_SECONDS = 0.5
CALL_SECONDS = 2.0
KINDS = ("orchestrator", "loader", "resources", "improvement", "recorder")
"""Services of which there must be one; their gauge is there, at zero, where there is none."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something to ask for, and the gauges that the answer sets, all of them, each time."""

    name: str
    gauges: tuple[Metric, ...]
    ask: Callable[[], Awaitable[Sequence[Sample]]]


class PlatformPolls:
    """Asks; remembers nothing."""

    def __init__(self, bus: NatsBus, clock: Clock, *, max_concurrent_runs: int) -> None:
        self._bus = bus
        self._clock = clock
        self._runs_each = max_concurrent_runs

    def parts(self) -> tuple[Part, ...]:
        """Return everything that can be asked for; no part's failure touches another."""
        return (
            Part("queues", (names.QUEUE_PENDING, names.QUEUE_IN_HAND, names.QUEUE_AGE), self.queues),
            Part("consumers", (names.CONSUMER_PENDING, names.CONSUMER_IN_HAND), self.consumers),
            Part("streams", (names.STREAM_MESSAGES, names.STREAM_BYTES, names.STREAM_LIMIT), self.streams),
            Part(
                "services",
                (
                    names.SERVICE_INSTANCES,
                    names.RUN_CAPACITY,
                    names.LOADER_RESIDENT,
                    names.LOADER_IN_USE,
                    names.LOADER_LIMIT,
                ),
                self.services,
            ),
            Part("budgets", tuple(metric for metric, _ in _BUDGET_GAUGES), self.budgets),
            Part("insights", INSIGHT_GAUGES, self.insights),
        )

    async def queues(self) -> Sequence[Sample]:
        """How many requests of each priority wait, are held, and how long the oldest has waited."""
        return [sample for priority in Priority for sample in await self._queue(priority)]

    async def _queue(self, priority: Priority) -> Sequence[Sample]:
        state = await self._bus.admin.consumer_state(REQUESTS, f"orchestrator_{priority}")
        age = 0.0
        if state.pending:
            head = await self._bus.next_of(REQUESTS, subjects.requests_of(priority), state.delivered + 1)
            age = max(0.0, (self._clock.now() - head.time).total_seconds()) if head else 0.0
        return (
            Sample(names.QUEUE_PENDING, (priority.value,), state.pending),
            Sample(names.QUEUE_IN_HAND, (priority.value,), state.ack_pending),
            Sample(names.QUEUE_AGE, (priority.value,), age),
        )

    async def consumers(self) -> Sequence[Sample]:
        """How far every consumer but the queues' is behind."""
        behind = [spec for spec in durables() if spec.stream != REQUESTS]
        return [sample for pair in await asyncio.gather(*map(self._consumer, behind)) for sample in pair]

    async def _consumer(self, spec: DurableSpec) -> Sequence[Sample]:
        state = await self._bus.admin.consumer_state(spec.stream, spec.name)
        return (
            Sample(names.CONSUMER_PENDING, (spec.name,), state.pending),
            Sample(names.CONSUMER_IN_HAND, (spec.name,), state.ack_pending),
        )

    async def streams(self) -> Sequence[Sample]:
        """How full the streams are."""
        samples = []
        for spec in STREAMS:
            state = await self._bus.admin.stream_state(spec.name)
            samples.append(Sample(names.STREAM_MESSAGES, (spec.name,), state.messages))
            samples.append(Sample(names.STREAM_BYTES, (spec.name,), state.size_bytes))
            if spec.max_bytes > 0:
                samples.append(Sample(names.STREAM_LIMIT, (spec.name,), spec.max_bytes))
        return samples

    async def services(self) -> Sequence[Sample]:
        """Who answers on the bus, and what the loaders hold."""
        found = instances(
            reply.data for reply in await self._bus.request_many("$SRV.STATS", b"", window_seconds=DISCOVERY_SECONDS)
        )
        samples = [Sample(names.SERVICE_INSTANCES, (kind,), len(who)) for kind, who in found.items()]
        samples.append(Sample(names.RUN_CAPACITY, (), len(found["orchestrator"]) * self._runs_each))
        asked = await asyncio.gather(*map(self._loader, sorted(found["loader"])), return_exceptions=True)
        for stats in asked:
            if isinstance(stats, LoaderStats):
                samples.append(Sample(names.LOADER_RESIDENT, (stats.loader,), stats.resident))
                samples.append(Sample(names.LOADER_IN_USE, (stats.loader,), stats.in_use))
                samples.append(Sample(names.LOADER_LIMIT, (stats.loader,), stats.max_active_agents))
        return samples

    async def _loader(self, instance: str) -> LoaderStats:
        subject = subjects.endpoint("loader", "stats", instance)
        return LoaderStats.decode(await self._bus.call(subject, Empty().encode(), timeout_seconds=CALL_SECONDS))

    async def budgets(self) -> Sequence[Sample]:
        """What every goal may and does use; where there are too many, those nearest to a limit."""
        nearest = sorted(await self._budgets(), key=_room)[: names.LABEL_LIMITS["goal"]]
        return [sample for view in nearest for sample in _budget(view)]

    async def insights(self) -> Sequence[Sample]:
        """What the improvement service found out, and what budgets will come to."""
        subject = subjects.endpoint("improvement", "insights")
        reply = await self._bus.call(subject, Empty().encode(), timeout_seconds=CALL_SECONDS)
        budgets = sorted(await self._budgets(), key=_room)
        return insight_samples(Insights.decode(reply), budgets, self._clock.now())

    async def _budgets(self) -> Sequence[BudgetView]:
        subject = subjects.endpoint("resources", "budgets")
        return BudgetList.decode(await self._bus.call(subject, Empty().encode(), timeout_seconds=CALL_SECONDS)).budgets


def instances(replies: Iterable[bytes]) -> Mapping[str, set[str]]:
    """Return who is there, by kind, from what services say of themselves: each has a health call of its own."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for data in replies:
        for endpoint in json.loads(data).get("endpoints") or ():
            parts = str(endpoint.get("subject", "")).split(".")
            if len(parts) == 4 and parts[0] == "evolvent" and parts[3] == "health":
                found.setdefault(parts[1], set()).add(parts[2])
    return found


def _budget(view: BudgetView) -> Iterable[Sample]:
    """Say what a budget is and holds; a limit that does not bind is not shown, so that no share is made of it."""
    for metric, read in _BUDGET_GAUGES:
        if metric is names.BUDGET_LIMIT and view.max_daily_microusd >= MAX_MICROUSD:
            continue
        if view.goal == ALL_GOALS and metric in _OF_GOALS_ONLY:
            continue
        yield Sample(metric, (view.goal,), read(view))


def _room(view: BudgetView) -> tuple[bool, float]:
    """Return how far a budget is from its cap, the nearest first; the platform's own comes before all."""
    used = (view.spent_microusd + view.leased_microusd) / max(1, view.max_daily_microusd)
    return view.goal != ALL_GOALS, -used


_BUDGET_GAUGES: tuple[tuple[Metric, Callable[[BudgetView], float]], ...] = (
    (names.BUDGET_SPENT, lambda view: view.spent_microusd / USD),
    (names.BUDGET_LEASED, lambda view: view.leased_microusd / USD),
    (names.BUDGET_LIMIT, lambda view: view.max_daily_microusd / USD),
    (names.BUDGET_CONCURRENT, lambda view: view.concurrent),
    (names.BUDGET_MAX_CONCURRENT, lambda view: view.max_concurrent),
    (names.BUDGET_AGENTS, lambda view: view.agents),
    (names.BUDGET_MAX_AGENTS, lambda view: view.max_agents),
)
_OF_GOALS_ONLY = (names.BUDGET_MAX_CONCURRENT, names.BUDGET_AGENTS, names.BUDGET_MAX_AGENTS)
"""The platform as a whole has a cap on money and no other."""
