"""Histories that a run meets when crashes, purges and repeated answers come together."""

from __future__ import annotations

from dataclasses import replace

from support.runs import NOW, RUN, TOOLS, Script, done, turn

from evolvent.events.language.decisions import decide
from evolvent.events.language.endings import MAX_ATTEMPTS
from evolvent.events.language.reducer import fold, reduce
from evolvent.events.language.state import RunStatus
from evolvent.events.language.steps import CallTool, Reconcile
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.messages.runs import ApprovalGiven, CancelRequested, RunEvent, ToolOutcome, WorkflowStarted


def _approval(*, outcome: str = "happened") -> ApprovalGiven:
    return ApprovalGiven(
        event_id="a", run_id=RUN, occurred_at=NOW, source="t", prev_seq=0, approved=True, outcome=outcome
    )


def test_a_call_that_certainly_did_not_happen_is_made_again_and_not_asked_about_for_ever() -> None:
    script = Script()
    script.tick(turn(0, ("send", {})))
    script.tick(done("c0_0", "send", outcome=ToolOutcome.UNKNOWN))
    assert [type(step) for step in decide(script.state, TOOLS).activities] == [Reconcile]
    asked = Tick(reconciled=[("answer", "c0_0", False)])
    event = compose(script.state, asked, TOOLS, Stamp("e", "t", NOW))
    assert event is not None
    state = reduce(script.state, event, script.state.last_seq + 1)  # type: ignore[arg-type]
    assert [type(step) for step in decide(state, TOOLS).activities] == [CallTool]


def test_an_answer_given_while_a_run_goes_on_settles_nothing_later() -> None:
    script = Script()
    script.tick(turn(0, ("pay", {})))
    script.add(_approval())
    assert script.state.answers == ()


def test_a_journal_without_its_beginning_is_read_from_the_state_that_its_suspension_holds() -> None:
    script = Script()
    events: list[RunEvent] = []
    for part in (turn(0, ("pay", {})), done("c0_0", "pay", outcome=ToolOutcome.UNKNOWN)):
        event = script.tick(part)
        assert event is not None
        events.append(event)
    whole = script.state
    assert whole.status is RunStatus.SUSPENDED
    torn = fold(RUN, [(whole.last_seq - 1, events[0]), (whole.last_seq, events[1])])  # type: ignore[list-item]
    assert torn.started == whole.started
    assert (torn.status, torn.suspensions, torn.last_seq) == (whole.status, whole.suspensions, whole.last_seq)
    assert torn.tasks == whole.tasks


def test_a_journal_without_its_beginning_still_tells_how_it_ended() -> None:
    script = Script()
    first = script.tick(turn(0, ("look", {})))
    second = script.tick(done("c0_0", "look"))
    last = script.tick(turn(1, text="hi"))
    events = [(i + 5, e) for i, e in enumerate((first, second, last)) if e is not None]
    assert fold(RUN, events).status is RunStatus.COMPLETED  # type: ignore[arg-type]


def test_waiting_is_no_crash_so_a_run_may_be_woken_as_often_as_it_waits() -> None:
    state = replace(Script().state, attempt=MAX_ATTEMPTS + 5, suspensions=MAX_ATTEMPTS + 3)
    assert decide(state, TOOLS).finish is None
    crashed = replace(state, suspensions=0)
    finish = decide(crashed, TOOLS).finish
    assert finish is not None
    assert finish.error is not None
    assert finish.error.code == "run.attempts"


def test_nobody_cancels_the_run_of_another_before_it_began() -> None:
    started = Script().state.started
    assert isinstance(started, WorkflowStarted)
    for principal, is_cancelled in (("bob", False), ("alice", True), ("anonymous", True)):
        said = CancelRequested(
            event_id="c",
            run_id=RUN,
            occurred_at=NOW,
            source="t",
            prev_seq=0,
            principal=principal,
        )
        state = fold(RUN, [(1, said), (2, started.model_copy(update={"principal": "alice"}))])
        assert (state.cancel is not None) is is_cancelled, principal
