"""Every slot busy for ever: who waits how long, in a time that the test makes. The bus is played, the intake real."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any

from evolvent.events.streams import REQUESTS, DurableSpec
from evolvent.events.subjects import Priority
from evolvent.orchestrator.intake import Intake

BEGIN = datetime(2026, 11, 21, tzinfo=UTC)
SECONDS = 600
OTHERS = (Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM, Priority.LOW)
RUN_SECONDS, SLOTS = (2, 3, 4, 5, 6), 4


@dataclass(frozen=True)
class Asked:
    priority: Priority
    stored_at: datetime


class PlayedPull:
    """A queue of the stream, from which the intake is given what it has room for."""

    def __init__(self, arrived: Callable[[Any], None], window: Callable[[], int]) -> None:
        self.waiting: deque[Asked] = deque()
        self._arrived, self._window = arrived, window

    def top_up(self) -> None:
        while self.waiting and self._window() > 0:
            self._arrived(self.waiting.popleft())


class Office:
    """As many requests a second as can be served, and a pile of background work from before."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.chance = random.Random(7)
        self.waits: defaultdict[Priority, list[float]] = defaultdict(list)
        self.busy_until: list[datetime] = []
        self.pulls: dict[Priority, PlayedPull] = {}
        self.intake = Intake(slots=SLOTS, now=lambda: self.now, take=self.take)  # type: ignore[arg-type]

    async def pull(self, spec: DurableSpec, arrived: Callable[[Any], None], window: Callable[[], int]) -> PlayedPull:
        made = self.pulls[Priority(spec.name.removeprefix("orchestrator_"))] = PlayedPull(arrived, window)
        return made

    async def open(self) -> None:
        specs = {p: DurableSpec(f"orchestrator_{p}", REQUESTS, (f"evolvent.requests.{p}.>",)) for p in Priority}
        await self.intake.start(self, specs, lambda _: None)  # type: ignore[arg-type]

    def take(self, asked: Asked) -> None:
        self.waits[asked.priority].append((self.now - asked.stored_at).total_seconds())
        self.busy_until.append(self.now + timedelta(seconds=self.chance.choice(RUN_SECONDS)))

    def ask(self, priority: Priority) -> None:
        self.pulls[priority].waiting.append(Asked(priority, self.now))
        self.pulls[priority].top_up()

    def pass_a_second(self) -> None:
        self.now += timedelta(seconds=1)
        ended = [end for end in self.busy_until if end <= self.now]
        self.busy_until = [end for end in self.busy_until if end > self.now]
        for _ in ended:
            self.intake.done()


async def test_critical_requests_wait_a_fraction_and_the_oldest_background_request_is_served() -> None:
    office = Office()
    await office.open()
    for _ in range(20):
        office.ask(Priority.BACKGROUND)
    for second in range(SECONDS):
        office.ask(OTHERS[second % len(OTHERS)])
        office.pass_a_second()
    assert len(office.busy_until) == SLOTS
    waits = office.waits
    assert max(waits[Priority.CRITICAL]) < fmean(waits[Priority.BACKGROUND]) / 10
    assert fmean(waits[Priority.CRITICAL]) < fmean(waits[Priority.MEDIUM]) < fmean(waits[Priority.LOW])
    assert fmean(waits[Priority.HIGH]) < fmean(waits[Priority.MEDIUM])
    assert len(waits[Priority.BACKGROUND]) > SLOTS, "none but those that found a free slot were ever served"
