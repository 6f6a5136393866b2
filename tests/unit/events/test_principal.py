"""Whose name a subject bears."""

import pytest

from evolvent.events import subjects
from evolvent.events.principal import ANONYMOUS, principal_of, signed
from evolvent.events.subjects import Priority, Verb


@pytest.mark.parametrize(
    ("subject", "principal"),
    [
        ("evolvent.requests.medium.default.alice", "alice"),
        ("evolvent.commands.cancel._.bob", "bob"),
        ("evolvent.ask.default.alice", "alice"),
        ("evolvent.improvement.schedules.add.alice", "alice"),
        ("evolvent.improvement.schedules.add", ANONYMOUS),
        ("evolvent.improvement.improvement-1a2b3c4d.health", ANONYMOUS),
        ("evolvent.requests.medium.default", ANONYMOUS),
        ("evolvent.commands.cancel._", ANONYMOUS),
        ("evolvent.ask.default", ANONYMOUS),
        ("evolvent.requests.medium.default.alice.bob", ANONYMOUS),
        ("evolvent.runs.r.workflow_started.alice", ANONYMOUS),
        ("other.requests.medium.default.alice", ANONYMOUS),
        ("evolvent", ANONYMOUS),
        ("", ANONYMOUS),
    ],
)
def test_reads_the_principal_from_the_last_token_of_a_signed_subject(subject: str, principal: str) -> None:
    assert principal_of(subject) == principal


def test_a_subject_signed_for_somebody_gives_that_name_back_and_still_parses() -> None:
    request = signed(subjects.request(Priority.HIGH, "ops"), "alice")
    assert (principal_of(request), subjects.parse_request(request)) == ("alice", (Priority.HIGH, "ops"))
    command = signed(subjects.command(Verb.FEEDBACK), "alice")
    assert (principal_of(command), subjects.parse_command(command)) == ("alice", (Verb.FEEDBACK, "_"))
    assert principal_of(signed(subjects.ask("ops"), "alice")) == "alice"


def test_signing_as_anonymous_leaves_the_subject_alone() -> None:
    assert signed("evolvent.ask.default", ANONYMOUS) == "evolvent.ask.default"
