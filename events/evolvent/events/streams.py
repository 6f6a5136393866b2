"""Streams, durable consumers and key-value buckets, as data. `ensure` on the bus makes the server match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evolvent.events import subjects
from evolvent.events.subjects import Priority, Verb

DAY = 24 * 3600.0
MAX_REQUEST_BYTES = 256 * 1024
REQUESTS, RUNS, COMMANDS, EVENTS, DEAD_LETTERS = "REQUESTS", "RUNS", "COMMANDS", "EVENTS", "DEAD_LETTERS"
LOCKS_BUCKET = "evolvent_locks"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream as the server should hold it. Ages in seconds, sizes in bytes; -1 means no limit."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["limits", "workqueue"] = "limits"
    max_age_seconds: float = 0
    max_msg_size: int = -1
    max_bytes: int = -1
    discard: Literal["old", "new"] = "old"
    duplicate_window_seconds: float = 0.1
    """JetStream's deduplication is relied on nowhere, so its window is the smallest that the server takes."""


@dataclass(frozen=True, slots=True)
class DurableSpec:
    """A durable pull consumer. `ack_wait_seconds` is how long a silent handler keeps a message."""

    name: str
    stream: str
    filter_subjects: tuple[str, ...]
    ack_wait_seconds: float = 10.0
    max_ack_pending: int = 1000
    max_deliver: int = -1


GIB = 1024**3
STREAMS: Sequence[StreamSpec] = (
    StreamSpec(
        REQUESTS,
        (subjects.ALL_REQUESTS,),
        retention="workqueue",
        max_msg_size=MAX_REQUEST_BYTES,
        max_bytes=GIB,
        discard="new",
    ),
    StreamSpec(RUNS, (subjects.ALL_RUNS,), max_age_seconds=7 * DAY, max_bytes=8 * GIB, discard="new"),
    StreamSpec(
        COMMANDS,
        (subjects.ALL_COMMANDS,),
        max_age_seconds=30 * DAY,
        max_msg_size=MAX_REQUEST_BYTES,
        max_bytes=GIB,
    ),
    StreamSpec(EVENTS, (subjects.ALL_EVENTS,), max_age_seconds=30 * DAY, max_bytes=2 * GIB),
    StreamSpec(DEAD_LETTERS, (subjects.ALL_DEAD,), max_age_seconds=30 * DAY, max_bytes=GIB),
)

LONG_ACK_SECONDS = 30.0


def durables(ack_wait_seconds: float = 10.0) -> Sequence[DurableSpec]:
    """Return every durable consumer.

    Args:
        ack_wait_seconds: how long a request's silent owner keeps it before another takes over.
    """
    by_priority = tuple(
        DurableSpec(f"orchestrator_{p}", REQUESTS, (subjects.requests_of(p),), ack_wait_seconds, 20_000)
        for p in Priority
    )
    steering = tuple(subjects.commands_of(v) for v in (Verb.CANCEL, Verb.APPROVE, Verb.DENY))
    judging = tuple(subjects.commands_of(v) for v in (Verb.FEEDBACK, Verb.OUTCOME))
    return (
        *by_priority,
        DurableSpec("orchestrator_commands", COMMANDS, steering, ack_wait_seconds),
        DurableSpec("improvement_commands", COMMANDS, judging, LONG_ACK_SECONDS),
        DurableSpec("recorder_commands", COMMANDS, (subjects.ALL_COMMANDS,), LONG_ACK_SECONDS, 20_000),
        DurableSpec("recorder_runs", RUNS, (subjects.ALL_RUNS,), LONG_ACK_SECONDS, 20_000),
        DurableSpec("resources_runs", RUNS, (subjects.ALL_RUNS,), LONG_ACK_SECONDS, 20_000),
        DurableSpec("recorder_events", EVENTS, (subjects.ALL_EVENTS,), LONG_ACK_SECONDS, 20_000),
        DurableSpec("recorder_dead", DEAD_LETTERS, (subjects.ALL_DEAD,), LONG_ACK_SECONDS),
    )
