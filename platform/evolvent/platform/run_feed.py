"""The events of one run in the order of its journal, from what is heard live and what the journal says.

Live events come at once and may lie: a fenced-off owner's rejected append is heard like any other, and what was
sent during a reconnect is not heard. So an event is believed only if it continues the chain of those before it;
everything else, and every last event, is looked up in the journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from evolvent.events.messages.runs import FINAL_TYPES, AnyRunEvent


class Verdict(Enum):
    """What to do with an event that was heard live."""

    BELIEVE = "believe"
    LOOK_UP = "look_up"
    DROP = "drop"


class RunFeed:
    """How far one follower has come in one run's journal."""

    def __init__(self) -> None:
        self._last_event_id: str | None = None
        self._last_prev = -1
        self._seen: set[str] = set()
        self.sequence = 0
        """The stream sequence up to which everything is known."""

    def judge(self, event: AnyRunEvent) -> Verdict:
        """Say what to do with an event that was heard live."""
        if event.event_id in self._seen or event.prev_seq <= self._last_prev:
            return Verdict.DROP
        is_first = event.prev_seq == 0 and self._last_event_id is None
        continues = event.prev_seq == self.sequence or event.causation_id == self._last_event_id
        if event.type in FINAL_TYPES or not (is_first or (continues and self._last_event_id is not None)):
            return Verdict.LOOK_UP
        return Verdict.BELIEVE

    def believe(self, event: AnyRunEvent) -> None:
        """Go on by an event that was heard live; its predecessor's sequence is known from it."""
        self._advance(event)
        self.sequence = max(self.sequence, event.prev_seq)

    def take(self, entries: Iterable[tuple[int, AnyRunEvent]]) -> list[AnyRunEvent]:
        """Go on by what the journal says; return the events that are new."""
        new = []
        for sequence, event in entries:
            if event.event_id not in self._seen:
                new.append(event)
                self._advance(event)
            self.sequence = max(self.sequence, sequence)
        return new

    def _advance(self, event: AnyRunEvent) -> None:
        self._seen.add(event.event_id)
        self._last_event_id = event.event_id
        self._last_prev = max(self._last_prev, event.prev_seq)
