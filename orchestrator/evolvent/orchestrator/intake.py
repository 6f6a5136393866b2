"""Requests by priority, with ageing: the next one taken is the head with the greatest age times weight.

So a critical request overtakes at once, and a background one is never starved: its age grows until it wins.
Messages are asked for as slots are free, plus one head for each priority to compare.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime

from evolvent.events.bus import Delivery
from evolvent.events.nats_bus import NatsBus
from evolvent.events.nats_pull import Pull
from evolvent.events.streams import DurableSpec
from evolvent.events.subjects import Priority

WEIGHTS: Mapping[Priority, float] = {
    Priority.CRITICAL: 1000.0,
    Priority.HIGH: 100.0,
    Priority.MEDIUM: 20.0,
    Priority.LOW: 5.0,
    Priority.BACKGROUND: 1.0,
}
_HEAD_START_SECONDS = 0.05
"""Added to every age, so that weights decide among requests that came together."""


def choose(heads: Mapping[Priority, datetime], now: datetime) -> Priority | None:
    """Return the priority whose head has the greatest (age x weight), or None where there is no head.

    Args:
        heads: when the oldest waiting request of each priority was stored.
        now: the time to count ages from.
    """
    best: tuple[float, Priority] | None = None
    for priority, stored_at in heads.items():
        age = max(0.0, (now - stored_at).total_seconds()) + _HEAD_START_SECONDS
        score = age * WEIGHTS[priority]
        if best is None or score > best[0]:
            best = (score, priority)
    return best[1] if best else None


class Intake:
    """Pulls requests and starts them while there are free slots."""

    def __init__(self, *, slots: int, now: Callable[[], datetime], take: Callable[[Delivery], None]) -> None:
        self._slots = slots
        self._busy = 0
        self._now = now
        self._take = take
        self._waiting: dict[Priority, deque[Delivery]] = {p: deque() for p in Priority}
        self._pulls: list[Pull] = []
        self._open = True

    @property
    def busy(self) -> int:
        """Requests being served now."""
        return self._busy

    @property
    def free(self) -> int:
        """Slots that nothing uses."""
        return max(0, self._slots - self._busy)

    async def start(
        self, bus: NatsBus, durables: Mapping[Priority, DurableSpec], hold: Callable[[Delivery], None]
    ) -> None:
        """Begin to pull."""
        for priority, durable in durables.items():
            self._pulls.append(await bus.pull(durable, self._arrival(priority, hold), self._window(priority)))

    async def stop(self) -> list[Delivery]:
        """Take nothing more; return what was pulled and not started."""
        self._open = False
        for pull in self._pulls:
            await pull.stop()
        rest = [delivery for queue in self._waiting.values() for delivery in queue]
        for queue in self._waiting.values():
            queue.clear()
        return rest

    def done(self) -> None:
        """Give a slot back."""
        self._busy -= 1
        self._start_some()
        for pull in self._pulls:
            pull.top_up()

    def _arrival(self, priority: Priority, hold: Callable[[Delivery], None]) -> Callable[[Delivery], None]:
        def arrived(delivery: Delivery) -> None:
            hold(delivery)
            self._waiting[priority].append(delivery)
            self._start_some()

        return arrived

    def _window(self, priority: Priority) -> Callable[[], int]:
        return lambda: max(1, self.free) - len(self._waiting[priority]) if self._open else 0

    def _start_some(self) -> None:
        while self._open and self._busy < self._slots:
            heads = {p: queue[0].stored_at for p, queue in self._waiting.items() if queue}
            priority = choose(heads, self._now())
            if priority is None:
                return
            self._busy += 1
            self._take(self._waiting[priority].popleft())
