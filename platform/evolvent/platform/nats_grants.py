"""Who may say what on the bus: one grant per NATS user, as data.

Inside the services' account nobody but `bootstrap` may create, change or delete a stream or a consumer, and a
service reaches only its own durable consumers. Answers go to the callers' inboxes by name and not by the
server's `allow_responses`: that forgets a caller after its deadline, and remembers each one until then
(250 bytes a request for two hours). Clients live in an account each; see `nats_config`.
Shown in use by tests/integration/test_nats_permissions.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from evolvent.events import subjects
from evolvent.events.streams import (
    COMMANDS,
    DEAD_LETTERS,
    LOCKS_BUCKET,
    REQUESTS,
    RUNS,
    durables,
)

SYSTEM_USER = "system"
BOOTSTRAP_USER = "bootstrap"
OPERATOR_USER = "operator"
CLIENT_USER = "client"
SERVICES = ("orchestrator", "loader", "resources", "improvement", "recorder", "metrics", "gateway")
CALLERS = (BOOTSTRAP_USER, *SERVICES, OPERATOR_USER)
RESERVED_NAMES = frozenset({SYSTEM_USER, *CALLERS, CLIENT_USER, "anonymous"})

DISCOVERY = "$SRV.>"
JOURNAL_ENDPOINT = subjects.endpoint("orchestrator", "journal")
_LEARNT = ("patterns", "pattern", "automations", "automation")
CLIENT_CALLS = (
    JOURNAL_ENDPOINT,
    subjects.endpoint("orchestrator", "workflows.*"),
    *(subjects.endpoint("improvement", name) for name in _LEARNT),
)
"""What a client may ask the services: to read, and to have a plan made and checked. It stores nothing."""
ALL_STREAMED = subjects.stream(">")
_USUAL_INBOX = "_INBOX.>"


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user may publish and subscribe to; everything else is refused. Its own inbox comes by itself."""

    user: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()


def inbox_prefix(user: str) -> str:
    """Return the prefix of this user's reply subjects; no other user may listen there."""
    return f"_INBOX_{user}"


def client_grant(name: str) -> Grant:
    """Return what a client user may do inside the account that it has for itself."""
    return Grant(
        name,
        publish=(*subjects.SIGNED, *CLIENT_CALLS, DISCOVERY),
        # Nobody else lives in its account, so it may use the inbox that stock NATS clients use by themselves.
        subscribe=(subjects.ALL_RUNS, ALL_STREAMED, _USUAL_INBOX),
    )


def service_account_grants() -> tuple[Grant, ...]:
    """Return the grants of the services' account, one per user."""
    return (
        Grant(BOOTSTRAP_USER, publish=(">",), subscribe=(">",)),
        _service(
            "orchestrator",
            publish=(
                subjects.ALL_RUNS,
                subjects.ALL_REQUESTS,
                subjects.ALL_EVENTS,
                subjects.ALL_DEAD,
                _ALL_NUDGES,
                ALL_STREAMED,
                *_calls("loader", "resources"),
                *_reads(RUNS),
                *_reads(REQUESTS),
                # The sweep takes out what no consumer's filter matches.
                f"$JS.API.STREAM.MSG.DELETE.{REQUESTS}",
                f"$JS.API.STREAM.INFO.{COMMANDS}",
            ),
            subscribe=(
                *(subjects.ALL_ASK, subjects.ALL_RUNS, _ALL_NUDGES),
                # What comes into use, or goes out of it, serves or stops serving at once.
                *(subjects.event("automation_promoted"), subjects.event("automation_rolled_back")),
            ),
        ),
        _service(
            "loader",
            publish=(ALL_STREAMED, subjects.ALL_EVENTS, *_calls("resources")),
            # An agent that was retired anywhere leaves the memory of every loader.
            subscribe=(subjects.event("agent_retired"),),
        ),
        _service(
            "resources", publish=(subjects.ALL_EVENTS, subjects.ALL_REQUESTS, *_informs(RUNS), *_informs(REQUESTS))
        ),
        _service(
            "improvement",
            publish=(
                subjects.ALL_EVENTS,
                subjects.ALL_REQUESTS,
                subjects.ALL_COMMANDS,
                subjects.ALL_DEAD,
                subjects.endpoint("loader", "retire"),
                subjects.endpoint("loader", "warm"),
                *_informs(REQUESTS),
                *_holds_locks(),
            ),
        ),
        _service(
            "recorder",
            publish=(
                subjects.ALL_EVENTS,
                subjects.ALL_DEAD,
                *_reads(RUNS),
                *_reads(DEAD_LETTERS),
                f"$JS.API.STREAM.PURGE.{RUNS}",
                # Purging stops at the slowest of the consumers that must have seen an event.
                f"$JS.API.CONSUMER.INFO.{RUNS}.*",
                *_holds_locks(),
            ),
        ),
        _service(
            "metrics",
            publish=(
                "$JS.API.STREAM.INFO.*",
                "$JS.API.CONSUMER.INFO.>",
                # How old a queue's head is stands on the message itself.
                f"$JS.API.STREAM.MSG.GET.{REQUESTS}",
                subjects.endpoint("resources", "budgets"),
                subjects.endpoint("improvement", "insights"),
                subjects.endpoint("loader", "stats", "*"),
                DISCOVERY,
            ),
            subscribe=(subjects.ALL_RUNS, subjects.ALL_EVENTS),
        ),
        _service(
            "gateway",
            publish=(
                subjects.ALL_REQUESTS,
                subjects.ALL_COMMANDS,
                subjects.ALL_ASK,
                JOURNAL_ENDPOINT,
                *_informs(REQUESTS),
                DISCOVERY,
            ),
            subscribe=(subjects.ALL_RUNS, ALL_STREAMED),
        ),
        _operator(),
    )


_ALL_NUDGES = subjects.nudge(">")
_SERVICE_IMPORT_REPLIES = "_R_.>"


def _operator() -> Grant:
    """A person's hands: everything that the command line does, and nothing that rewrites a journal."""
    return Grant(
        OPERATOR_USER,
        publish=(
            subjects.ALL_REQUESTS,
            subjects.ALL_COMMANDS,
            subjects.ALL_ASK,
            *_calls(*SERVICES),
            *_reads(DEAD_LETTERS),
            f"$JS.API.STREAM.MSG.DELETE.{DEAD_LETTERS}",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.CONSUMER.INFO.>",
            DISCOVERY,
        ),
        subscribe=(subjects.ALL_RUNS, subjects.ALL_EVENTS, subjects.ALL_DEAD, ALL_STREAMED),
    )


def _service(name: str, *, publish: tuple[str, ...], subscribe: tuple[str, ...] = ()) -> Grant:
    """A service's own rights, its durable consumers, and the right to answer who calls it."""
    answers = (*(f"{inbox_prefix(caller)}.>" for caller in CALLERS), _SERVICE_IMPORT_REPLIES)
    return Grant(
        name,
        publish=(*publish, *_consumes(name), *answers),
        subscribe=(subjects.endpoint(name, ">"), DISCOVERY, *subscribe),
    )


def _calls(*services: str) -> tuple[str, ...]:
    return tuple(subjects.endpoint(service, ">") for service in services)


def _consumes(user: str) -> tuple[str, ...]:
    """Fetching from, looking at and acknowledging the durable consumers that bear this user's name."""
    return tuple(
        subject
        for durable in durables()
        if durable.name.startswith(f"{user}_")
        for subject in (
            f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}",
            f"$JS.API.CONSUMER.INFO.{durable.stream}.{durable.name}",
            f"$JS.ACK.{durable.stream}.{durable.name}.>",
        )
    )


def _informs(stream: str) -> tuple[str, ...]:
    return (f"$JS.API.STREAM.INFO.{stream}",)


def _reads(stream: str) -> tuple[str, ...]:
    """Looking at a stream and reading its messages one by one or in batches, without a consumer."""
    return (
        *_informs(stream),
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
    )


def _holds_locks() -> tuple[str, ...]:
    return (f"$KV.{LOCKS_BUCKET}.>", *_reads(f"KV_{LOCKS_BUCKET}"))
