"""One leader among any number of processes: a lease on a key that vanishes unless it is renewed.

    follower ──create, or update of a released key──▶ leader ──released, superseded, or not renewed in time──▶ follower

The holder counts its own lease shorter than the server does, from before it asked, so it stops before another can
begin. A process that was frozen learns from `is_leading` that its time is over; what must never happen twice is
also claimed where it is stored, because a lease alone cannot hold back a write that is already on its way.
Shown in use by tests/integration/test_leadership.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from evolvent.events.clock import Clock, SystemClock
from evolvent.events.errors import BusUnavailable
from evolvent.events.nats_bus import NatsBus
from evolvent.events.nats_keys import KeyBucket
from evolvent.events.streams import LOCKS_BUCKET

_log = structlog.get_logger(__name__)
LOCK_TTL_SECONDS = 15.0
_RELEASED = b""
_USABLE_SHARE = 0.8
_RENEWALS = 5


class Leadership:
    """A standing candidate for one key, from `start` (or `async with`) to `stop`.

    Args:
        bus: where the bucket is; its user must be allowed to write it.
        key: what is led.
        holder: who stands; written into the key, made unique by an id.
        ttl_seconds: how long the bucket keeps an entry that nobody renews.
        on_gained: called when leading begins; must not block.
        on_lost: called at once when leading ends for any reason, also at `stop`; must not block.
        clock: time and identity.
    """

    def __init__(
        self,
        bus: NatsBus,
        key: str,
        *,
        holder: str,
        ttl_seconds: float = LOCK_TTL_SECONDS,
        on_gained: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._bucket = KeyBucket(bus, LOCKS_BUCKET)
        self._key = key
        self._value = f"{holder}:{self._clock.new_id()[:8]}".encode()
        self._ttl = ttl_seconds
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._revision: int | None = None
        self._epoch = 0
        self._usable_until = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_leading(self) -> bool:
        """Say whether the lease is ours at this very moment."""
        return self._revision is not None and self._clock.monotonic() < self._usable_until

    @property
    def epoch(self) -> int:
        """The fencing token of the present or last term: greater than that of every term before it, 0 before any."""
        return self._epoch

    async def start(self) -> None:
        """Stand for the key from now on. Starting twice does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stand())

    async def stop(self) -> None:
        """Stand no more, and release the key so that another need not wait for it to vanish."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        revision = self._revision
        self._end("stopped")
        if revision is not None:
            try:
                await self._bucket.update(self._key, _RELEASED, revision)
            except BusUnavailable as error:
                _log.debug("lease not released, it will vanish", key=self._key, error=str(error))

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def _stand(self) -> None:
        while True:
            try:
                if self._revision is None:
                    await self._campaign()
                else:
                    await asyncio.wait_for(self._renew(), max(0.0, self._usable_until - self._clock.monotonic()))
            except (BusUnavailable, TimeoutError) as error:
                _log.debug("lease not confirmed", key=self._key, error=str(error) or type(error).__name__)
            if self._revision is not None and not self.is_leading:
                self._end("not renewed in time")
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        pause = self._ttl / _RENEWALS
        if self._revision is None:
            return pause
        # Wakes at the end of the lease at the latest, so that losing it is noticed when it happens.
        return max(0.0, min(pause, self._usable_until - self._clock.monotonic()))

    async def _campaign(self) -> None:
        asked_at = self._clock.monotonic()
        entry = await self._bucket.get(self._key)
        if entry is None:
            revision = await self._bucket.create(self._key, self._value)
        elif entry.value in (_RELEASED, self._value):
            # Our own value means that an earlier answer was lost on its way.
            revision = await self._bucket.update(self._key, self._value, entry.revision)
        else:
            return
        if revision is None:
            return
        self._revision = self._epoch = revision
        self._usable_until = asked_at + self._ttl * _USABLE_SHARE
        _log.info("leading", key=self._key, holder=self._value.decode(), epoch=revision)
        if self._on_gained is not None:
            self._on_gained()

    async def _renew(self) -> None:
        asked_at = self._clock.monotonic()
        revision = await self._bucket.update(self._key, self._value, self._revision or 0)
        if revision is None:
            # Either somebody else leads, or our last renewal was stored and its receipt was lost.
            asked_at = self._clock.monotonic()
            entry = await self._bucket.get(self._key)
            if entry is None or entry.value != self._value:
                self._end("superseded")
                return
            revision = await self._bucket.update(self._key, self._value, entry.revision)
            if revision is None:
                self._end("superseded")
                return
        self._revision = revision
        self._usable_until = asked_at + self._ttl * _USABLE_SHARE

    def _end(self, reason: str) -> None:
        if self._revision is None:
            return
        self._revision = None
        _log.info("no longer leading", key=self._key, holder=self._value.decode(), reason=reason)
        if self._on_lost is not None:
            self._on_lost()
