from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dags import dags
from support.runs import AGENT, RUN, TOOLS, Script, done, failed_turn, resumed, started, turn
from support.simulation import Simulation

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.learning.tracing import trace_of
from evolvent.events.language.replay import replay
from evolvent.events.language.state import Refusal
from evolvent.events.language.workflow import ExecutionMode, Task, TaskKind
from evolvent.events.messages.runs import CancelRequested


def entries(events: list[Any]) -> list[tuple[int, Any]]:
    return list(enumerate(events, start=1))


@given(dags(8), st.integers(0, 99), st.frozensets(st.integers(0, 20), max_size=3))
def test_an_unchanged_journal_gives_identical_event_hashes(workflow: Any, seed: int, crashes: frozenset[int]) -> None:
    tasks = tuple(
        Task(task_id=t.task_id, kind=TaskKind.TOOL, tool="look", dependencies=t.dependencies) for t in workflow.tasks
    )
    run = Simulation(workflow.model_copy(update={"tasks": tasks}), seed)
    run.run(crashes_at=crashes)
    again = replay(RUN, entries(run.events), TOOLS)
    assert again.is_identical, again
    assert len(again.events) == len(run.events)


@given(dags(8), st.integers(0, 99), st.frozensets(st.integers(0, 20), max_size=3), st.sampled_from(ExecutionMode))
def test_claims_come_out_the_same_however_many_places_there_are(
    workflow: Any, seed: int, crashes: frozenset[int], mode: ExecutionMode
) -> None:
    tasks = tuple(
        Task(task_id=t.task_id, kind=TaskKind.TOOL, tool="post" if n % 2 else "look", dependencies=t.dependencies)
        for n, t in enumerate(workflow.tasks)
    )
    run = Simulation(workflow.model_copy(update={"tasks": tasks, "mode": mode}), seed)
    run.run(crashes_at=crashes)
    again = replay(RUN, entries(run.events), TOOLS)
    assert again.is_identical, again


def story() -> Script:
    script = Script()
    script.tick(failed_turn(0))
    script.tick(turn(0, ("look", {"at": 1}), ("post", {"x": 2})))
    script.tick(done("c0_0", "look"))
    script.add(resumed(script.state, 40))
    script.tick(done("c0_1", "post"))
    script.tick(turn(1, text="there"))
    return script


def test_turns_calls_claims_crashes_and_failures_come_out_the_same() -> None:
    again = replay(RUN, entries(story().events), {})
    assert again.is_identical, again


def test_a_suspension_for_money_and_a_cancellation_come_out_the_same() -> None:
    script = Script()
    refusal = Refusal(
        "answer", ErrorInfo(code="budget.exceeded", category=Category.RESOURCE, message="no money"), "queue"
    )
    script.tick(refusal=refusal)
    assert replay(RUN, entries(script.events), TOOLS).is_identical
    script = Script()
    script.add(CancelRequested(event_id="x", run_id=RUN, source="test", occurred_at=script.events[0].occurred_at))
    script.tick()
    assert replay(RUN, entries(script.events), TOOLS).is_identical


@pytest.mark.parametrize(("happened", "said"), [(None, "workflow_suspended"), (False, "tool_claimed")])
def test_what_a_tool_said_of_its_own_call_comes_out_the_same(happened: bool | None, said: str) -> None:
    script = Script()
    script.tick(turn(0, ("send", {})))
    script.add(resumed(script.state, 40))
    assert script.tick(reconciled=[("answer", "c0_0", happened)]).type == said
    again = replay(RUN, entries(script.events), TOOLS)
    assert again.is_identical, again


def test_an_event_that_says_something_else_is_shown_with_what_differs() -> None:
    events = story().events
    events[-1] = events[-1].model_copy(update={"answer": "elsewhere"})
    again = replay(RUN, entries(events), TOOLS)
    assert not again.is_identical
    assert again.events[-1].difference == {"answer": ("elsewhere", "there")}


def test_a_call_that_nobody_asked_for_makes_it_undecided() -> None:
    events = story().events
    odd = events[3].model_copy(update={"tools": (done("c9_9", "look"),)})
    again = replay(RUN, entries([*events[:3], odd]), TOOLS)
    assert again.undecided is not None and "nobody asked for" in again.undecided


def test_a_trace_holds_what_was_asked_done_and_answered() -> None:
    trace = trace_of(story().state)
    assert trace is not None
    assert (trace.message, trace.answer, trace.agent_id, trace.succeeded) == ("hello", "there", AGENT.agent_id, True)
    assert [(call.name, call.result) for call in trace.calls] == [("look", "r"), ("post", "r")]
    assert trace.model_calls == 3
    assert trace_of(Script(started()).state) is not None
