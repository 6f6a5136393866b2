"""The journal of a run: an append-only log on the bus, fenced by the run's own last sequence.

    the journal is empty ──workflow_started──▶ running ──workflow_suspended──▶ suspended
                                                 ▲  │                            │
                                  workflow_resumed  └──completed|failed|cancelled─▶ ended (for ever)

Invariant: an append is stored only if its writer has seen the run's last event, so of any number of writers
exactly one wins, and a stale owner is stopped by the log itself.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydantic import ValidationError

from evolvent.events import subjects
from evolvent.events.bus import Stored
from evolvent.events.errors import BusUnavailable, EvolventError, FenceLost
from evolvent.events.messages.runs import AnyRunEvent, RunEvent, read_run_event
from evolvent.events.nats_bus import NatsBus
from evolvent.events.streams import RUNS

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
_APPEND_TRIES = 60
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it stands in the journal."""

    sequence: int
    event: AnyRunEvent


class UnreadableJournal(EvolventError):
    """An event of this run cannot be read; a newer version wrote it, or it is damaged. Nothing was changed."""

    code = "journal.unreadable"


class Journal:
    """Appends to and reads the journals of runs."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    async def append(self, event: RunEvent) -> int:
        """Append an event after `event.prev_seq` and return its sequence.

        A lost receipt is made good: the same event is sent again, and if it turns out to be stored already, its
        sequence is returned.

        Raises:
            FenceLost: the run has moved on since `prev_seq`; nothing was stored.
            BusUnavailable: the server stayed away; the event may or may not be stored.
        """
        subject = subjects.run_event(event.run_id, event.type)
        headers = {_EXPECTED: str(event.prev_seq), _EXPECTED_SUBJECT: subjects.run_events(event.run_id)}
        data = event.encode()
        for attempt in range(_APPEND_TRIES):
            try:
                return (await self._bus.append(subject, data, headers=headers)).sequence
            except FenceLost:
                if attempt and (stored := await self._find(event)) is not None:
                    return stored
                raise
            except BusUnavailable:
                if attempt + 1 == _APPEND_TRIES:
                    raise
                # A server that starts, or whose disk is full, says no at once.
                await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, 0.05 * 2**attempt))
        raise BusUnavailable

    async def read(self, run_id: str, *, after: int = 0) -> list[Entry]:
        """Return the run's events after a sequence, in order."""
        found = self._bus.read(RUNS, subjects.run_events(run_id), from_sequence=after + 1)
        return [_entry(stored) async for stored in found]

    async def last(self, run_id: str) -> Entry | None:
        """Return the run's last event, or None where its journal is empty."""
        stored = await self._bus.last_of(RUNS, subjects.run_events(run_id))
        return _entry(stored) if stored else None

    async def _find(self, event: RunEvent) -> int | None:
        for entry in await self.read(event.run_id, after=event.prev_seq):
            if entry.event.event_id == event.event_id:
                return entry.sequence
        return None


def _entry(stored: Stored) -> Entry:
    try:
        return Entry(stored.sequence, read_run_event(stored.data))
    except ValidationError as error:
        raise UnreadableJournal(f"Event {stored.sequence} on {stored.subject} cannot be read.") from error
