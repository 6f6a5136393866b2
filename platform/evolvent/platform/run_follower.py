"""Follows one run on the bus: subscribes first, then asks the journal, then goes on live until the run's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

from pydantic import ValidationError
from pydantic_core import to_json

from evolvent.events import subjects
from evolvent.events.bus import CoreMessage
from evolvent.events.errors import CallTimeout, NoResponders, RemoteError
from evolvent.events.messages.calls import JournalPage, RunQuery
from evolvent.events.messages.runs import FINAL_TYPES, AnyRunEvent, read_run_event
from evolvent.events.nats_bus import NatsBus
from evolvent.platform.run_feed import RunFeed, Verdict

_JOURNAL = subjects.endpoint("orchestrator", "journal")
_LONGEST_PAGE_BYTES = 4 * 1024 * 1024
_QUIET_SECONDS = 5.0
_LOOK_UPS = 50
_LOOK_UP_PAUSE_SECONDS = 0.02


class RunFollower:
    """`async with` it before the run is published, and nothing of the run is missed."""

    def __init__(self, bus: NatsBus, run_id: str) -> None:
        self._bus = bus
        self._run_id = run_id
        self._heard: asyncio.Queue[AnyRunEvent | None] = asyncio.Queue()
        self._feed = RunFeed()
        self._stop: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Self:
        self._stop = await self._bus.subscribe(subjects.run_events(self._run_id), self._hear)
        self._bus.on_reconnect.append(self._reconnected)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.on_reconnect.remove(self._reconnected)
        if self._stop is not None:
            await self._stop()

    async def events(self, *, backlog: bool = True) -> AsyncIterator[AnyRunEvent]:
        """Yield the run's events until its last one.

        Args:
            backlog: ask the journal first; needless for a run that is not published yet.
        """
        async for batch in self.batches(backlog=backlog):
            for event in batch:
                yield event

    async def batches(self, *, backlog: bool = True) -> AsyncIterator[list[AnyRunEvent]]:
        """Yield the same events as they become known, together with what is known at the same time."""
        new = await self._look_up() if backlog else []
        while True:
            yield new
            if any(event.type in FINAL_TYPES for event in new):
                return
            new = await self._next()

    async def _next(self) -> list[AnyRunEvent]:
        try:
            heard = await asyncio.wait_for(self._heard.get(), _QUIET_SECONDS)
        except TimeoutError:
            heard = None
        if heard is None:
            return await self._look_up()
        match self._feed.judge(heard):
            case Verdict.BELIEVE:
                self._feed.believe(heard)
                return [heard]
            case Verdict.LOOK_UP:
                return await self._confirmed(heard)
            case Verdict.DROP:
                return []

    async def _confirmed(self, heard: AnyRunEvent) -> list[AnyRunEvent]:
        """Return what the journal says where this event would stand; it may be stored a moment after it is heard."""
        new: list[AnyRunEvent] = []
        for _ in range(_LOOK_UPS):
            new.extend(await self._look_up())
            if self._feed.judge(heard) is Verdict.DROP:
                break
            await asyncio.sleep(_LOOK_UP_PAUSE_SECONDS)
        return new

    async def _look_up(self) -> list[AnyRunEvent]:
        """Return what is new in the journal; nothing while nobody can be asked, since it is asked again."""
        try:
            return self._feed.take(await read_journal(self._bus, self._run_id, from_seq=self._feed.sequence + 1))
        except (NoResponders, CallTimeout, RemoteError):
            return []

    def _hear(self, message: CoreMessage) -> None:
        try:
            self._heard.put_nowait(read_run_event(message.data))
        except ValidationError:
            self._heard.put_nowait(None)

    async def _reconnected(self) -> None:
        self._heard.put_nowait(None)


async def read_journal(bus: NatsBus, run_id: str, *, from_seq: int = 1) -> list[tuple[int, AnyRunEvent]]:
    """Return (sequence, event) of a run's journal from a sequence on, as an orchestrator reads it.

    Raises:
        NoResponders, CallTimeout, RemoteError: no orchestrator could say.
    """
    entries: list[tuple[int, AnyRunEvent]] = []
    while True:
        query = RunQuery(run_id=run_id, from_seq=from_seq)
        page = JournalPage.decode(await bus.call(_JOURNAL, query.encode()), max_bytes=_LONGEST_PAGE_BYTES)
        events = [read_run_event(to_json(event)) for event in page.events]
        entries.extend(zip(page.sequences, events, strict=True))
        if not page.more or not entries:
            return entries
        from_seq = entries[-1][0] + 1
