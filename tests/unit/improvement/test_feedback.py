from __future__ import annotations

from datetime import UTC, datetime

import pytest

from evolvent.events.bus import Delivery
from evolvent.events.errors import InvalidMessage
from evolvent.events.messages.calls import FeedbackCall
from evolvent.improvement.feedback import answer, command_id, opinion_of_call, opinion_of_command, received, stored

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
RUN = "11111111-1111-4111-8111-111111111111"


async def _ack(_reply: str, _word: bytes) -> None: ...


def delivery(data: bytes, *, run: str = "_", signed_by: str = ".alice", sequence: int = 7) -> Delivery:
    subject = f"evolvent.commands.feedback.{run}{signed_by}"
    return Delivery(subject, data, {"principal": "mallory"}, sequence, 1, NOW, "reply", _ack)


def test_a_command_is_spoken_by_whom_its_subject_names() -> None:
    opinion = opinion_of_command(delivery(b'{"text": "Shorter", "rating": 2, "user_id": "bob"}', run=RUN))
    assert (opinion.principal, opinion.user_id, opinion.run) == ("alice", "bob", RUN)
    assert (opinion.text, opinion.rating, opinion.said_at) == ("Shorter", 2, NOW)


@pytest.mark.parametrize("data", [b"", b"{}"])
def test_an_empty_command_asks_to_make_the_last_run_better(data: bytes) -> None:
    opinion = opinion_of_command(delivery(data, signed_by=""))
    assert (opinion.text, opinion.run, opinion.principal) == ("Make it better", "_", "anonymous")


@pytest.mark.parametrize("data", [b"not json", b'{"rating": 6}', b'{"stars": 5}', b'{"text": "\\u0000"}', b"[]"])
def test_a_command_that_cannot_be_read_says_why(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        opinion_of_command(delivery(data))


def test_a_command_has_one_id_at_every_delivery_and_no_other_command_has_it() -> None:
    assert command_id(delivery(b"{}")) == command_id(delivery(b"{}"))
    assert command_id(delivery(b"{}")) != command_id(delivery(b"{}", sequence=8))


def test_what_is_kept_told_and_answered_names_the_run_that_was_found() -> None:
    opinion = opinion_of_command(delivery(b'{"text": "Shorter"}'))
    assert stored(opinion, RUN).run_id == RUN
    event = received(opinion, RUN, source="improvement-1", now=NOW)
    assert (event.run_id, event.feedback_id, event.event_id) == (RUN, opinion.feedback_id, opinion.feedback_id)
    assert answer(opinion, RUN, stored(opinion, RUN)).status == "received"
    assert answer(opinion, RUN, None).status == "known"


def test_feedback_on_no_run_keeps_what_was_said() -> None:
    assert stored(opinion_of_command(delivery(b"")), None).run_id == "_"


def test_a_call_may_bring_its_own_id() -> None:
    call = FeedbackCall(feedback_id="mine", principal="alice", text="Shorter")
    assert opinion_of_call(call, new_id="new", now=NOW).feedback_id == "mine"
    assert opinion_of_call(FeedbackCall(), new_id="new", now=NOW).feedback_id == "new"
    assert opinion_of_call(FeedbackCall(), new_id="new", now=NOW).run == "_"
