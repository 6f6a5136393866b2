"""What the metrics service remembers, all of it bounded: events that it heard, runs, and values of labels.

A publish on a stream's subject is heard on core NATS even when the stream refuses it, so a fenced-off owner can
be heard ending a run that goes on elsewhere. Whoever speaks with an earlier attempt than the last is not counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from evolvent.events.messages.runs import FINAL_TYPES, Mode, RunEvent
from evolvent.platform.metric_names import LABEL_LIMITS, OTHER

V = TypeVar("V")
_INPUTS = frozenset({"cancel_requested", "approval_given"})
"""Events that any orchestrator may append, with whatever attempt it knows."""
MAX_LABEL_LENGTH = 64


class Recent(Generic[V]):
    """A mapping of the last `limit` keys that were touched."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[str, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> V | None:
        """Return what is held under a key, which makes it the youngest."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: str, value: V) -> None:
        """Hold a value; the oldest goes when there are too many."""
        self._held[key] = value
        self._held.move_to_end(key)
        if len(self._held) > self._limit:
            self._held.popitem(last=False)


@dataclass(slots=True)
class RunNote:
    """What later events of a run are told by."""

    attempt: int = 1
    priority: str = "unknown"
    mode: Mode = Mode.LIVE
    started: bool = False
    ended: bool = False
    workflow: str | None = None
    """Its name, where it has several tasks."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kinds of these tasks; nothing any more once the run has ended."""
    began: dict[str, datetime] = field(default_factory=dict)


class RunMemory:
    """Says which events of runs count, each once."""

    def __init__(self, *, events: int = 50_000, runs: int = 20_000) -> None:
        self._heard: Recent[bool] = Recent(events)
        self._runs: Recent[RunNote] = Recent(runs)

    def admit(self, event: RunEvent) -> RunNote | None:
        """Return what is known of the event's run, or None where the event does not count."""
        if self._heard.get(event.event_id):
            return None
        self._heard.put(event.event_id, True)
        note = self._runs.get(event.run_id)
        if note is None:
            note = RunNote(attempt=event.attempt)
            self._runs.put(event.run_id, note)
        elif not _counts(event, note):
            return None
        note.attempt = max(note.attempt, event.attempt)
        note.started = note.started or event.type == "workflow_started"
        note.ended = event.type in FINAL_TYPES
        return note


def _counts(event: RunEvent, note: RunNote) -> bool:
    if event.type in _INPUTS:
        return not note.ended
    if event.type == "workflow_resumed":
        return event.attempt > note.attempt and not note.ended
    if event.type == "workflow_started" and note.started:
        return False
    return event.attempt >= note.attempt and not note.ended


class BoundedLabels:
    """Keeps labels whose values others choose from growing without end."""

    def __init__(self, limits: Mapping[str, int] = LABEL_LIMITS) -> None:
        self._limits = limits
        self._known: dict[str, set[str]] = {name: set() for name in limits}

    def bound(self, name: str, value: str) -> str:
        """Return the value to count under: itself, or `other` once there are too many."""
        limit = self._limits.get(name)
        if limit is None:
            return value
        value, known = value[:MAX_LABEL_LENGTH], self._known[name]
        if value in known:
            return value
        if len(known) >= limit:
            return OTHER
        known.add(value)
        return value

    def forget(self, name: str, value: str) -> None:
        """Make room: nothing is counted under this value any more."""
        if name in self._known:
            self._known[name].discard(value)
