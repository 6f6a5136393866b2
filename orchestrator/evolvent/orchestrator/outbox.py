"""Events that nobody waits for: kept in order, sent beside the work, bounded while the bus is away."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from evolvent.events.errors import BusUnavailable, EvolventError
from evolvent.events.messages.platform import PlatformEvent
from evolvent.events.service import Service

_log = structlog.get_logger(__name__)
_PAUSE_SECONDS = 0.5


class EventOutbox:
    """Sends a service's platform events one after the other; when it is full, the newest are dropped and counted."""

    def __init__(self, service: Service, *, most: int = 2000) -> None:
        self._service = service
        self._most = most
        self._waiting: deque[PlatformEvent] = deque()
        self._sender: asyncio.Task[None] | None = None
        self.dropped = 0

    def put(self, event: PlatformEvent) -> None:
        """Send an event soon."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(event)
        if self._sender is None or self._sender.done():
            self._sender = self._service.spawn(self._send())

    async def flush(self, seconds: float = 2.0) -> None:
        """Send what waits, as long as that takes no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._send()
        except TimeoutError:
            _log.warning("events not sent", count=len(self._waiting))

    async def _send(self) -> None:
        while self._waiting:
            event = self._waiting[0]
            try:
                await self._service.emit(event)
            except BusUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            except EvolventError as error:
                _log.warning("event cannot be sent", type=event.TYPE, error=str(error))
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()
