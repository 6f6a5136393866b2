from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from evolvent.events.messages.runs import AgentCompleted, AnyRunEvent, CancelRequested, ToolCompleted, WorkflowCompleted
from evolvent.platform.run_feed import RunFeed, Verdict

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def _event(event_id: str, prev_seq: int, causation: str | None = None, kind: Any = AgentCompleted) -> AnyRunEvent:
    made: AnyRunEvent = kind(
        event_id=event_id, run_id="r", occurred_at=NOW, source="t", prev_seq=prev_seq, causation_id=causation
    )
    return made


def _heard(feed: RunFeed, event: AnyRunEvent) -> Verdict:
    verdict = feed.judge(event)
    if verdict is Verdict.BELIEVE:
        feed.believe(event)
    return verdict


def test_a_chain_that_is_whole_is_believed_as_it_is_heard() -> None:
    feed = RunFeed()
    assert _heard(feed, _event("a", 0)) is Verdict.BELIEVE
    assert _heard(feed, _event("b", 7, "a")) is Verdict.BELIEVE
    assert _heard(feed, _event("c", 9, "b", ToolCompleted)) is Verdict.BELIEVE
    assert feed.sequence == 9


def test_a_rejected_append_of_a_fenced_off_owner_is_not_believed() -> None:
    feed = RunFeed()
    feed.take([(7, _event("a", 0)), (9, _event("b", 7, "a"))])
    assert _heard(feed, _event("stale", 7, "a")) is Verdict.DROP
    assert _heard(feed, _event("new", 9, "b")) is Verdict.BELIEVE
    assert _heard(feed, _event("stale too", 9, "b")) is Verdict.DROP


def test_a_gap_and_an_input_from_outside_are_looked_up() -> None:
    feed = RunFeed()
    feed.take([(7, _event("a", 0))])
    assert _heard(feed, _event("c", 12, "b")) is Verdict.LOOK_UP
    feed.believe(_event("b", 7, "a"))
    assert _heard(feed, _event("x", 9, "COMMANDS:3", CancelRequested)) is Verdict.LOOK_UP


def test_a_last_event_is_looked_up_however_well_it_fits() -> None:
    feed = RunFeed()
    feed.take([(7, _event("a", 0))])
    end = _event("z", 7, "a", WorkflowCompleted)
    assert _heard(feed, end) is Verdict.LOOK_UP
    assert feed.take([(8, end)]) == [end]
    assert feed.judge(end) is Verdict.DROP


def test_what_was_heard_is_not_told_again_by_the_journal() -> None:
    feed = RunFeed()
    first = _event("a", 0)
    assert _heard(feed, first) is Verdict.BELIEVE
    second = _event("b", 7, "a")
    assert feed.take([(7, first), (9, second)]) == [second]
    assert feed.sequence == 9
