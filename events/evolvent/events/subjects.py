"""Subjects: the only place where they are built and parsed.

evolvent.requests.<priority>.<goal>      evolvent.runs.<run_id>.<event_type>
evolvent.commands.<verb>.<run_id|_>      evolvent.events.<event_type>
evolvent.dead.<stream>                   evolvent.ask.<goal>
evolvent.stream.<run_id>                 evolvent.nudge.<run_id>
evolvent.<service>.<endpoint>            evolvent.<service>.<instance>.<endpoint>
evolvent.improvement.schedules.<verb>    evolvent.improvement.opinions.<verb>

Requests, commands, questions and what is said of schedules arrive with one token more when a client sent them: its
name, which the server adds (`principal.py`).
"""

from __future__ import annotations

import re
import uuid
from enum import StrEnum

from evolvent.events.errors import InvalidSubject

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

ALL_REQUESTS = "evolvent.requests.>"
ALL_RUNS = "evolvent.runs.>"
ALL_COMMANDS = "evolvent.commands.>"
ALL_EVENTS = "evolvent.events.>"
ALL_DEAD = "evolvent.dead.>"
ALL_ASK = "evolvent.ask.>"
ALL_NUDGES = "evolvent.nudge.*"
ALL_SCHEDULES = "evolvent.improvement.schedules.>"
ALL_OPINIONS = "evolvent.improvement.opinions.>"
LAST_RUN = "_"
SIGNED = (
    "evolvent.requests.*.*",
    "evolvent.commands.cancel.*",
    "evolvent.commands.feedback.*",
    "evolvent.commands.outcome.*",
    "evolvent.ask.*",
    "evolvent.improvement.schedules.*",
    "evolvent.improvement.opinions.*",
)
"""What a client may publish; on its way to the services the server adds the client's name as the last token."""
RUN_NAMESPACE = uuid.UUID("6f1c7c5e-2f0b-5d3e-9a55-3d8d3a1f7e10")


class Priority(StrEnum):
    """The five priorities, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    BACKGROUND = "background"


class Verb(StrEnum):
    """What may be said about a run over the bus."""

    CANCEL = "cancel"
    APPROVE = "approve"
    DENY = "deny"
    FEEDBACK = "feedback"
    OUTCOME = "outcome"


_PRIORITIES = frozenset(p.value for p in Priority)
_VERBS = frozenset(v.value for v in Verb)


def token(value: str) -> str:
    """Return the value if it can stand between two dots.

    Raises:
        InvalidSubject: it holds anything but letters, digits, `_` and `-`, or more than 64 of them.
    """
    if not _TOKEN.fullmatch(value):
        raise InvalidSubject(f"{value[:80]!r} cannot stand in a subject: use 1 to 64 of A-Z a-z 0-9 _ -.")
    return value


def request(priority: Priority, goal: str) -> str:
    """Where a request of this priority for this goal is published."""
    return f"evolvent.requests.{priority}.{token(goal)}"


def requests_of(priority: Priority) -> str:
    """Every request of one priority."""
    return f"evolvent.requests.{priority}.>"


def parse_request(subject: str) -> tuple[Priority, str]:
    """Return the priority and the goal of a request's subject.

    Raises:
        InvalidSubject: the subject has other parts or names no priority.
    """
    parts = subject.split(".")
    if len(parts) not in (4, 5) or parts[2] not in _PRIORITIES:
        raise InvalidSubject(
            f"{subject[:120]!r} is not evolvent.requests.<priority>.<goal>; use one of {', '.join(Priority)}."
        )
    return Priority(parts[2]), token(parts[3])


def run_event(run_id: str, event_type: str) -> str:
    """Where an event of a run's journal is appended."""
    return f"evolvent.runs.{run_id}.{event_type}"


def run_events(run_id: str) -> str:
    """All events of one run."""
    return f"evolvent.runs.{token(run_id)}.>"


def parse_run_event(subject: str) -> tuple[str, str]:
    """Return the run_id and the event type of a journal subject."""
    _, _, run_id, event_type = subject.split(".", 3)
    return run_id, event_type


def command(verb: Verb, run_id: str = LAST_RUN) -> str:
    """Where a command about a run is published; `_` means the user's last run."""
    return f"evolvent.commands.{verb}.{token(run_id)}"


def commands_of(verb: Verb) -> str:
    """Every command of one verb."""
    return f"evolvent.commands.{verb}.>"


def parse_command(subject: str) -> tuple[Verb, str]:
    """Return the verb and the run_id of a command's subject."""
    parts = subject.split(".")
    if len(parts) not in (4, 5) or parts[2] not in _VERBS:
        raise InvalidSubject(f"{subject[:120]!r} is not evolvent.commands.<verb>.<run_id>.")
    return Verb(parts[2]), token(parts[3])


def event(event_type: str) -> str:
    """Where an event of the platform is appended."""
    return f"evolvent.events.{event_type}"


def dead(stream: str) -> str:
    """Where a message of this stream that nobody can handle is kept."""
    return f"evolvent.dead.{stream}"


def ask(goal: str) -> str:
    """Where a request is asked so that the reply is its answer."""
    return f"evolvent.ask.{token(goal)}"


def parse_ask(subject: str) -> str:
    """Return the goal of a question's subject."""
    return token(subject.split(".")[2])


def schedules(verb: str) -> str:
    """Where something is said about the speaker's schedules."""
    return f"evolvent.improvement.schedules.{token(verb)}"


def parse_schedules(subject: str) -> str:
    """Return the verb of what is said about schedules."""
    return token(subject.split(".")[3])


def opinions(verb: str) -> str:
    """Where the speaker asks of their feedback."""
    return f"evolvent.improvement.opinions.{token(verb)}"


def parse_opinions(subject: str) -> str:
    """Return the verb of what is asked of feedback."""
    return token(subject.split(".")[3])


def stream(run_id: str) -> str:
    """Where a run's model tokens flow, when its client asked for them."""
    return f"evolvent.stream.{run_id}"


def nudge(run_id: str) -> str:
    """Where the owner of a run is told to look at its journal."""
    return f"evolvent.nudge.{run_id}"


def endpoint(service: str, name: str, instance: str | None = None) -> str:
    """Where a service, or one instance of it, answers."""
    return f"evolvent.{service}.{instance}.{name}" if instance else f"evolvent.{service}.{name}"


def run_id_of(stream_created_at: str, sequence: int) -> str:
    """Return the run_id of a request that brought none: the same at every delivery, and for its publisher.

    Args:
        stream_created_at: when the REQUESTS stream was created, as the server states it.
        sequence: the request's sequence in that stream (its PubAck).
    """
    return str(uuid.uuid5(RUN_NAMESPACE, f"{stream_created_at}:{sequence}"))


def is_run_id(value: str) -> bool:
    """Say whether a client's run_id is a UUID in its canonical form."""
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False
