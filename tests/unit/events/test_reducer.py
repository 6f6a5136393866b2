from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import LEASE, NOW, RUN, TOOLS, Script, done, envelope, failed_turn, resumed, started, turn

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.decisions import decide
from evolvent.events.language.prompt import conversation, prompt_bytes
from evolvent.events.language.reducer import fold
from evolvent.events.language.state import Refusal, RunStatus, TaskStatus, dump_state, load_state
from evolvent.events.language.steps import CallTool, Claim, Reconcile, Suspend, TakeTurn
from evolvent.events.language.tools import Effect
from evolvent.events.language.workflow import Task, TaskKind, Workflow
from evolvent.events.messages.runs import (
    ApprovalGiven,
    BudgetRefused,
    CancelRequested,
    SuspendReason,
    ToolClaimed,
    ToolOutcome,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowResumed,
    WorkflowSuspended,
)


def activities(script: Script) -> tuple[Any, ...]:
    return decide(script.state, TOOLS).activities


def test_a_run_of_one_turn_and_no_tool_is_two_events() -> None:
    script = Script()
    assert activities(script) == (TakeTurn("answer", 0, 0),)
    last = script.tick(turn(0, text="hi"))
    assert isinstance(last, WorkflowCompleted)
    assert (last.answer, last.totals.model_calls, last.totals.cost_microusd) == ("hi", 1, 7)
    assert [e.type for e in script.events] == ["workflow_started", "workflow_completed"]
    assert script.state.status is RunStatus.COMPLETED


def test_reads_of_a_turn_run_side_by_side_and_the_next_turn_sees_their_results() -> None:
    script = Script()
    script.tick(turn(0, ("look", {"at": 1}), ("look", {"at": 2})))
    assert {a.call_id for a in activities(script)} == {"c0_0", "c0_1"}
    script.tick(done("c0_1", "look", result={"b": 2}))
    assert [a.call_id for a in activities(script)] == ["c0_0"]
    script.tick(done("c0_0", "look", result="first"))
    assert activities(script) == (TakeTurn("answer", 1, 0),)
    messages = conversation(script.state, script.state.tasks["answer"])
    assert [m.role for m in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[2].content == "first"
    assert json.loads(messages[3].content or "") == {"b": 2}


def test_an_irreversible_call_is_claimed_in_the_event_of_the_turn_that_asked_for_it() -> None:
    script = Script()
    event = script.tick(turn(0, ("pay", {"usd": 5})))
    assert isinstance(event, ToolClaimed)
    assert len(event.turns) == 1
    assert event.claims[0].call_id == "c0_0"
    (call,) = activities(script)
    assert call == CallTool("answer", "c0_0", Effect.IRREVERSIBLE, event.claims[0].idempotency_key)


def test_an_effect_waits_for_the_reads_before_it_and_holds_back_what_follows() -> None:
    script = Script()
    script.tick(turn(0, ("look", {}), ("pay", {}), ("look", {})))
    assert [a.call_id for a in activities(script)] == ["c0_0"]
    assert isinstance(script.tick(done("c0_0", "look")), ToolClaimed)
    assert [a.call_id for a in activities(script)] == ["c0_1"]
    script.tick(done("c0_1", "pay"))
    assert [a.call_id for a in activities(script)] == ["c0_2"]


def test_a_claimed_irreversible_call_of_a_dead_owner_is_never_repeated() -> None:
    script = Script()
    script.tick(turn(0, ("pay", {})))
    script.add(resumed(script.state))
    decision = decide(script.state, TOOLS)
    assert decision.suspend is not None
    assert decision.suspend.reason is SuspendReason.OUTCOME_UNKNOWN
    assert "runs resume" in decision.suspend.detail
    assert not decision.activities


def test_a_claimed_keyed_call_of_a_dead_owner_is_repeated_with_its_key() -> None:
    script = Script()
    event = script.tick(turn(0, ("post", {})))
    assert isinstance(event, ToolClaimed)
    script.add(resumed(script.state))
    (call,) = activities(script)
    assert isinstance(call, CallTool)
    assert call.idempotency_key == event.claims[0].idempotency_key


def test_a_reconcilable_call_asks_its_tool_before_a_person() -> None:
    script = Script()
    script.tick(turn(0, ("send", {})))
    script.add(resumed(script.state))
    assert activities(script) == (Reconcile("answer", "c0_0"),)
    event = script.tick(reconciled=[("answer", "c0_0", False)])
    assert isinstance(event, ToolClaimed)
    assert event.attempt == 2
    script.add(resumed(script.state, 91))
    suspended = script.tick(reconciled=[("answer", "c0_0", None)])
    assert isinstance(suspended, WorkflowSuspended)


def unknown_outcome() -> Script:
    script = Script()
    script.tick(turn(0, ("pay", {"usd": 5})))
    assert isinstance(script.tick(done("c0_0", "pay", outcome=ToolOutcome.UNKNOWN)), WorkflowSuspended)
    return script


@pytest.mark.parametrize(
    ("outcome", "next_step"), [("happened", TakeTurn), ("failed", TakeTurn), ("did_not_happen", Claim)]
)
def test_a_person_settles_an_unknown_outcome(outcome: str, next_step: type) -> None:
    script = unknown_outcome()
    script.add(
        ApprovalGiven(**envelope(50), approved=True, principal="ops", outcome=outcome, result={"id": 9})  # type: ignore[arg-type]
    )
    script.add(resumed(script.state))
    decision = decide(script.state, TOOLS)
    assert isinstance((decision.claims + decision.activities)[0], next_step)
    record = script.state.tasks["answer"].calls[0].record
    if outcome == "happened":
        assert record is not None
        assert (record.result, record.decided_by) == ({"id": 9}, "ops")


def test_resuming_without_an_answer_waits_again() -> None:
    script = unknown_outcome()
    script.add(resumed(script.state))
    again = script.tick()
    assert isinstance(again, WorkflowSuspended)
    assert again.suspension == 2


def test_a_suspended_state_survives_json_and_goes_on_without_its_journal() -> None:
    script = unknown_outcome()
    suspended = script.events[-1]
    assert isinstance(suspended, WorkflowSuspended)
    kept = json.loads(suspended.encode())["state"]
    answer = ApprovalGiven(**envelope(60), approved=True, outcome="happened", result="ok")
    wake = WorkflowResumed(**envelope(61), attempt=2, prev_seq=1, owner="o", state=kept)
    state = fold(RUN, [(1, answer), (2, wake)])
    assert state.status is RunStatus.RUNNING
    assert state.tasks["answer"].calls[0].record is not None
    assert state.last_seq == 2
    assert load_state(dump_state(state)) == state


def test_waiting_does_not_count_against_the_timeout() -> None:
    script = unknown_outcome()
    script.add(resumed(script.state, number=90))
    assert script.state.paused_seconds == pytest.approx(88, abs=1)


def test_cancel_wins_over_everything() -> None:
    script = Script()
    script.tick(turn(0, ("pay", {})))
    script.add(CancelRequested(**envelope(70), principal="ann", reason="enough"))
    last = script.tick()
    assert isinstance(last, WorkflowCancelled)
    assert last.error is not None
    assert "ann: enough" in last.error.message
    before = script.state
    script.add(CancelRequested(**envelope(71)))
    assert script.state.status is before.status


def test_a_turn_is_retried_with_growing_delays_then_the_run_fails() -> None:
    script = Script()
    script.tick(failed_turn(0))
    (first,) = activities(script)
    script.tick(failed_turn(0))
    (second,) = activities(script)
    assert 0 < first.delay_seconds < second.delay_seconds <= 30
    assert (first.try_number, second.try_number) == (1, 2)
    last = script.tick(failed_turn(0))
    assert isinstance(last, WorkflowFailed)
    assert last.error is not None
    assert last.error.code == "model.unavailable"


def test_a_hopeless_turn_fails_at_once() -> None:
    assert isinstance(Script().tick(failed_turn(0, retryable=False)), WorkflowFailed)


def refusal(policy: str, cheaper: str | None = None) -> Refusal:
    info = ErrorInfo(code="budget.exceeded", category=Category.RESOURCE, message="No budget left.")
    return Refusal("answer", info, policy, cheaper)


def test_policies_decide_what_a_refused_lease_means() -> None:
    assert isinstance(Script().tick(refusal=refusal("queue")), WorkflowSuspended)
    assert isinstance(Script().tick(refusal=refusal("stop")), WorkflowFailed)
    assert isinstance(Script().tick(refusal=refusal("cheaper_model")), WorkflowFailed)
    script = Script()
    event = script.tick(refusal=refusal("cheaper_model", "small"))
    assert isinstance(event, BudgetRefused)
    assert script.state.tasks["answer"].model == "small"
    assert activities(script) == (TakeTurn("answer", 0, 0),)


def test_a_late_run_fails_with_what_it_has() -> None:
    last = Script().tick(is_late=True)
    assert isinstance(last, WorkflowFailed)
    assert last.error is not None
    assert last.error.category is Category.TIMEOUT


def test_a_tool_task_needs_no_model() -> None:
    workflow = Workflow(name="w", tasks=(Task(task_id="t", kind=TaskKind.TOOL, tool="look", arguments={"x": 1}),))
    script = Script(started(workflow))
    (call,) = activities(script)
    assert call == CallTool("t", "t", Effect.READ, None)
    last = script.tick(done("t", "look", result={"n": 3}).model_copy(update={"task_id": "t"}))
    assert isinstance(last, WorkflowCompleted)
    assert last.output == {"n": 3}


def test_a_task_waits_for_its_dependencies_and_reads_their_outputs() -> None:
    first = Task(task_id="a", kind=TaskKind.TOOL, tool="look")
    second = Task(task_id="b", agent_id="assistant_00000001", dependencies=("a",))
    script = Script(started(Workflow(name="w", tasks=(first, second))))
    assert script.state.tasks["b"].status is TaskStatus.WAITING
    script.tick(done("a", "look", result={"n": 3}).model_copy(update={"task_id": "a"}))
    assert activities(script) == (TakeTurn("b", 0, 0),)
    assert '{"n":3}' in (conversation(script.state, script.state.tasks["b"])[0].content or "")


def test_the_prompt_bound_covers_every_byte() -> None:
    script = Script(started())
    messages = conversation(script.state, script.state.tasks["answer"])
    from support.runs import AGENT

    bound = prompt_bytes(AGENT, messages, tuple(TOOLS.values()))
    assert bound > len("Help.") + len("hello") + 16 * (2 + len(TOOLS))


CALLS = st.lists(st.sampled_from(sorted(TOOLS)), max_size=3)


@given(st.lists(CALLS, max_size=4), st.integers(0, 40))
def test_a_run_killed_after_any_event_ends_like_one_that_was_not(plan: list[list[str]], kill_at: int) -> None:
    """Reads may be repeated; a claimed irreversible call waits for a person, who says that it happened."""

    def play(kill: int | None) -> tuple[Script, list[str]]:
        script, effects, turns = Script(), [], iter([*plan, []])
        number = 0
        while not script.state.status.is_final:
            if kill is not None and len(script.events) == kill:
                kill = None
                script.add(resumed(script.state, 100 + len(script.events)))
                decision = decide(script.state, TOOLS)
                if isinstance(decision.suspend, Suspend):
                    script.tick()
                    script.add(ApprovalGiven(**envelope(200), approved=True, outcome="happened", result="r"))
                    script.add(resumed(script.state, 201))
            decision = decide(script.state, TOOLS)
            if decision.claims or decision.finish:
                script.tick()
                continue
            step = decision.activities[0]
            match step:
                case TakeTurn():
                    wanted = next(turns)
                    script.tick(turn(number, *((name, {}) for name in wanted), text=None if wanted else "end"))
                    number += 1
                case CallTool():
                    name = next(
                        c.call.name for c in script.state.tasks["answer"].calls if c.call.call_id == step.call_id
                    )
                    effects.append(step.call_id)
                    script.tick(done(step.call_id, name))
                case Reconcile():
                    script.tick(done(step.call_id, "send"))
        return script, effects

    whole, effects = play(None)
    killed, again = play(kill_at)
    assert killed.state.status is whole.state.status
    assert killed.state.tasks["answer"].output == whole.state.tasks["answer"].output == "end"
    assert len(again) == len(set(again))
    assert set(again) <= set(effects)


def test_folding_twice_gives_the_same_state() -> None:
    script = Script()
    script.tick(turn(0, ("look", {})))
    script.tick(done("c0_0", "look"))
    entries = list(enumerate(script.events, 1))
    assert fold(RUN, entries) == fold(RUN, entries) == script.state  # type: ignore[arg-type]
    assert LEASE.held_microusd == 100
    assert script.state.started is not None
    assert script.state.started.occurred_at == NOW
