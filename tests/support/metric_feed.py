"""A small day on the platform, as events: enough that every number of the metrics moves."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from support.runs import NOW, RUN, done, failed_turn, started, turn

from evolvent.events import subjects
from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.conversation import ModelReply, Usage
from evolvent.events.language.workflow import Task, Workflow
from evolvent.events.messages import platform as happened
from evolvent.events.messages.platform import PlatformEvent
from evolvent.events.messages.runs import (
    AgentCompleted,
    BudgetRefused,
    Deoptimized,
    Mode,
    RoutingDecision,
    RunEvent,
    ServedBy,
    SuspendReason,
    ToolOutcome,
    Totals,
    TurnRecord,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowResumed,
    WorkflowSuspended,
)
from evolvent.events.subjects import Priority

_numbers = itertools.count()
ERROR = ErrorInfo(code="model.unavailable", category=Category.NETWORK, message="away")


def new_run() -> str:
    return str(uuid.uuid4())


def stamp(run_id: str | None = None, **fields: Any) -> dict[str, Any]:
    number = next(_numbers)
    at = NOW + timedelta(milliseconds=number)
    return {"event_id": f"feed-{number}", "run_id": run_id, "occurred_at": at, "source": "feed", **fields}


def begun(run_id: str, **fields: Any) -> RunEvent:
    return started(**stamp(run_id, **fields))


def completed(run_id: str = RUN, **fields: Any) -> WorkflowCompleted:
    return WorkflowCompleted(**stamp(run_id, **{"totals": totals(), "answer": "42", **fields}))


def totals(seconds: float = 1.5, cost: int = 700) -> Totals:
    return Totals(cost_microusd=cost, prompt_tokens=10, completion_tokens=5, model_calls=1, duration_seconds=seconds)


def slow_turn(number: int, seconds: float = 0.7) -> TurnRecord:
    usage = Usage(prompt_tokens=100, completion_tokens=20, cached_tokens=30)
    reply = ModelReply(text="so", usage=usage, model="what-the-server-says")
    return turn(number).model_copy(update={"reply": reply, "duration_seconds": seconds, "cost_microusd": 700})


def a_run_by_agent() -> Iterator[RunEvent]:
    run = new_run()
    decided = RoutingDecision(
        served_by=ServedBy.AGENT, chosen="assistant_00000001", reason="best", abstained="unread", match_seconds=0.0004
    )
    yield begun(run, priority=Priority.HIGH, routing=decided)
    tools = (done("c1", "look"), done("c2", "pay", outcome=ToolOutcome.UNKNOWN))
    yield WorkflowResumed(**stamp(run, attempt=2, owner="other"))
    yield BudgetRefused(**stamp(run, attempt=2, error=ErrorInfo(code="budget.daily", category="resource", message="x")))
    yield Deoptimized(**stamp(run, attempt=2, reason="shape"))
    yield WorkflowSuspended(**stamp(run, attempt=2, reason=SuspendReason.APPROVAL))
    yield WorkflowResumed(**stamp(run, attempt=3, owner="third", cause="approved"))
    yield completed(run, attempt=3, turns=(slow_turn(1), failed_turn(2)), tools=tools, scripted=True)


def a_run_by_automation() -> Iterator[RunEvent]:
    run = new_run()
    yield begun(run)
    yield completed(run, served_by=ServedBy.AUTOMATION, totals=totals(0.02, 50), tools=(done("c1", "look"),))


def runs_that_end_otherwise() -> Iterator[RunEvent]:
    failed, cancelled, replayed = new_run(), new_run(), new_run()
    yield begun(failed, goal="support")
    yield WorkflowFailed(**stamp(failed, error=ERROR, totals=totals(), goal="support"))
    yield begun(cancelled)
    yield WorkflowCancelled(**stamp(cancelled, totals=totals()))
    yield begun(replayed, mode=Mode.REPLAY)
    yield completed(replayed)


def run_events() -> list[RunEvent]:
    """Two runs that go well and three that end otherwise."""
    return [*a_run_by_agent(), *a_run_by_automation(), *runs_that_end_otherwise()]


def a_workflow() -> list[RunEvent]:
    """A workflow of two tasks, both done, of another goal and with another model than the runs above."""
    run_id = new_run()
    pair = Workflow(name="pair", tasks=tuple(Task(task_id=name, agent_id="a") for name in ("one", "two")))
    fields = {"prompt_bytes": 1, "monolith_bytes": 4, "lease": None, "cost_microusd": 0}
    one, two = (slow_turn(0).model_copy(update={"task_id": name, **fields}) for name in ("one", "two"))
    first = AgentCompleted(**stamp(run_id), turns=(one,))
    return [begun(run_id, goal="teams", workflow=pair), first, completed(run_id, goal="teams", turns=(two,))]


def platform_events() -> list[PlatformEvent]:
    """One of every kind, most of them as they would come."""
    agent = {"agent_id": "assistant_00000001"}
    automation = {"automation_id": "auto_1", "version": 1}
    return [
        happened.AgentSpawned(**stamp(), **agent, specialty="assistant", goal="default", spec_hash="s"),
        happened.AgentActivated(**stamp(), **agent, loader="loader-1", resident=1),
        happened.AgentEvicted(**stamp(), **agent, loader="loader-1", reason="idle", resident=0),
        happened.AgentRetired(**stamp(), **agent, goal="default"),
        happened.PatternDiscovered(**stamp(), pattern_id="p", signature="s", support=3),
        happened.AutomationProposed(**stamp(), **automation),
        happened.AutomationCreated(**stamp(), **automation),
        happened.AutomationPromoted(**stamp(), **automation, stage="live"),
        happened.AutomationRolledBack(**stamp(), **automation, reason="wrong"),
        happened.ImprovementAvailable(**stamp(), target="workflow"),
        happened.ImprovementApplied(**stamp(), target="workflow"),
        happened.FeedbackReceived(**stamp(), feedback_id="f1", rating=5),
        happened.FeedbackReceived(**stamp(), feedback_id="f2", rating=4),
        happened.FeedbackReceived(**stamp(), feedback_id="f3", text="Make it better"),
        happened.BudgetExceeded(**stamp(), goal="support", limit="daily", policy="stop"),
        happened.BudgetOverrun(
            **stamp(), goal="support", model="m", lease_id="l", held_microusd=100, billed_microusd=1_000_100
        ),
        happened.BudgetChanged(
            **stamp(), goal="support", max_agents=1, max_concurrent=1, max_daily_microusd=10_000_000
        ),
        happened.CircuitOpened(**stamp(), target="model:m", failures=5),
        happened.CircuitClosed(**stamp(), target="model:m"),
        happened.SchedulerRan(**stamp(), job="learn", planned_at="2026-11-21T12:00:00Z"),
        happened.SchedulerRan(**stamp(), job="learn", planned_at="2026-11-21T13:00:00Z", ok=False),
        happened.DeadLettered(
            **stamp(), stream="REQUESTS", sequence=1, subject="evolvent.requests.medium.x", error=ERROR
        ),
    ]


def messages() -> list[tuple[str, bytes]]:
    """Everything above, as (subject, bytes)."""
    runs = [
        (subjects.run_event(str(event.run_id), event.type), event.encode()) for event in (*run_events(), *a_workflow())
    ]
    return runs + [(subjects.event(event.TYPE), event.encode()) for event in platform_events()]
