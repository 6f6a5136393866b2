from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events import subjects
from evolvent.events.errors import InvalidSubject
from evolvent.events.streams import STREAMS, durables
from evolvent.events.subjects import Priority, Verb

TOKENS = st.text("abcXYZ019_-", min_size=1, max_size=64)


@given(st.sampled_from(list(Priority)), TOKENS)
def test_a_request_subject_reads_back(priority: Priority, goal: str) -> None:
    assert subjects.parse_request(subjects.request(priority, goal)) == (priority, goal)
    assert subjects.parse_request(subjects.request(priority, goal) + ".alice") == (priority, goal)


@given(st.text(max_size=80))
def test_a_goal_that_could_leave_its_place_is_refused(goal: str) -> None:
    if (
        not goal
        or len(goal) > 64
        or set(goal) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    ):
        with pytest.raises(InvalidSubject):
            subjects.request(Priority.MEDIUM, goal)


@pytest.mark.parametrize(
    "subject", ["evolvent.requests.urgent.x", "evolvent.requests.medium", "evolvent.requests.medium.a b"]
)
def test_a_subject_with_another_shape_is_refused(subject: str) -> None:
    with pytest.raises(InvalidSubject):
        subjects.parse_request(subject)


def test_a_command_subject_reads_back() -> None:
    assert subjects.parse_command(subjects.command(Verb.CANCEL, "abc") + ".bob") == (Verb.CANCEL, "abc")


def test_the_run_id_of_a_request_is_the_same_at_every_delivery() -> None:
    first = subjects.run_id_of("2026-11-21T00:00:00Z", 7)
    assert first == subjects.run_id_of("2026-11-21T00:00:00Z", 7)
    assert first != subjects.run_id_of("2026-11-21T00:00:00Z", 8)
    assert first != subjects.run_id_of("2026-11-22T00:00:00Z", 7)
    assert subjects.is_run_id(first)


def test_every_durable_reads_a_stream_that_exists_and_listens_on_its_subjects() -> None:
    names = {stream.name for stream in STREAMS}
    consumers = list(durables())
    assert {durable.stream for durable in consumers} == names
    assert len({durable.name for durable in consumers}) == len(consumers)


def test_work_is_never_dropped_silently_by_its_stream() -> None:
    by_name = {stream.name: stream for stream in STREAMS}
    assert by_name["REQUESTS"].discard == "new"
    assert by_name["REQUESTS"].retention == "workqueue"
    assert by_name["RUNS"].discard == "new"
