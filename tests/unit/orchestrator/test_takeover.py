from __future__ import annotations

from dataclasses import replace

import pytest
from support.runs import RUN, Script, done, resumed, turn

from evolvent.events.language.state import RunState
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import ToolOutcome
from evolvent.orchestrator.takeover import PATIENCE_DELIVERIES, Meeting, Met, meet


def met(*, sequence: int = 1, content: str = "h", delivered: int = 2, resume: int | None = None) -> Met:
    return Met(Request(message="hello", resume=resume), sequence, content, delivered)


def suspended() -> RunState:
    script = Script()
    script.tick(turn(0, ("pay", {})))
    script.tick(done("c0_0", "pay", outcome=ToolOutcome.UNKNOWN))
    return script.state


def finished() -> RunState:
    script = Script()
    script.tick(turn(0, text="hi"))
    return script.state


@pytest.mark.parametrize(
    ("state", "delivery", "expected"),
    [
        (RunState(RUN), met(), Meeting.BEGIN),
        (RunState(RUN), met(resume=1), Meeting.RESTORE),
        (Script().state, met(), Meeting.TAKE_OVER),
        (Script().state, met(sequence=9), Meeting.LATER),
        (Script().state, met(sequence=9, delivered=PATIENCE_DELIVERIES + 1), Meeting.TAKE_OVER),
        (Script().state, met(sequence=9, content="other"), Meeting.CONFLICT),
        (Script().state, met(sequence=9, resume=1), Meeting.NOTHING_TO_DO),
        (suspended(), met(), Meeting.NOTHING_TO_DO),
        (suspended(), met(sequence=9, resume=1), Meeting.WAKE),
        (suspended(), met(sequence=9, resume=2), Meeting.NOTHING_TO_DO),
        (finished(), met(), Meeting.NOTHING_TO_DO),
        (finished(), met(sequence=9, content="other"), Meeting.CONFLICT),
        (finished(), met(sequence=9, resume=1), Meeting.NOTHING_TO_DO),
    ],
)
def test_a_delivery_meets_its_run(state: RunState, delivery: Met, expected: Meeting) -> None:
    assert meet(state, delivery) is expected


def test_a_woken_run_belongs_to_the_request_that_woke_it() -> None:
    state = suspended()
    script = Script()
    script.state = replace(state)
    script.add(resumed(state).model_copy(update={"request_seq": 9}))
    assert meet(script.state, met(sequence=9, resume=1)) is Meeting.TAKE_OVER
    assert meet(script.state, met(sequence=1)) is Meeting.LATER
