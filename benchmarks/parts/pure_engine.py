"""The engine alone: decide, say, take in; no bus, no clock, nothing to wait for. What is left is its own work."""

from __future__ import annotations

import statistics
import time
from collections import deque
from datetime import UTC, datetime

from benchmarks.parts.shapes import TOOL

from evolvent.events.language.decisions import decide
from evolvent.events.language.places import Going
from evolvent.events.language.plan import plan
from evolvent.events.language.reducer import reduce
from evolvent.events.language.state import RunState, RunStatus
from evolvent.events.language.steps import Activity, CallTool
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.language.workflow import Workflow
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import (
    RoutingDecision,
    RunEvent,
    ServedBy,
    ToolOutcome,
    ToolRecord,
    WorkflowStarted,
    read_run_event,
)
from evolvent.events.subjects import Priority

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_TOOLS = {TOOL: ToolSpec(name=TOOL, effect=Effect.PURE)}


def plan_ms(workflow: Workflow, *, times: int = 5) -> float:
    """Return how long planning takes, with nothing known beforehand."""
    took = []
    for _ in range(times):
        fresh = workflow.model_copy()
        began = time.process_time()
        plan(fresh)
        took.append(time.process_time() - began)
    return statistics.median(took) * 1e3


def started_state(workflow: Workflow) -> RunState:
    """Return a run of a workflow that has just begun."""
    return _take(RunState("r"), _started(workflow), 1)


def engine_us(workflow: Workflow, state: RunState) -> float:
    """Return the microseconds that the engine works for a task of a begun run, its events written and read included."""
    under_way: deque[Activity] = deque()
    began = time.process_time()
    sequence = 1
    while state.status is RunStatus.RUNNING:
        tick = Tick()
        if under_way:
            tick.tools.append(_ended(under_way.popleft()))
        going = Going(frozenset(activity.task_id for activity in under_way))
        event = compose(state, tick, _TOOLS, Stamp(f"e{sequence}", "bench", _NOW), going)
        if event is not None:
            sequence += 1
            state = _take(state, event, sequence)
        for activity in decide(state, _TOOLS, going).activities:
            if activity not in under_way:
                under_way.append(activity)
    assert state.status is RunStatus.COMPLETED, state.status
    return (time.process_time() - began) / len(workflow.tasks) * 1e6


def _take(state: RunState, event: RunEvent, sequence: int) -> RunState:
    return reduce(state, read_run_event(event.encode()), sequence)


def _ended(activity: Activity) -> ToolRecord:
    assert isinstance(activity, CallTool)
    return ToolRecord(
        task_id=activity.task_id,
        call_id=activity.call_id,
        name=TOOL,
        effect=activity.effect,
        arguments={},
        outcome=ToolOutcome.OK,
        result=1,
        started_at=_NOW,
    )


def _started(workflow: Workflow) -> WorkflowStarted:
    return WorkflowStarted(
        event_id="e1",
        run_id="r",
        correlation_id="r",
        occurred_at=_NOW,
        source="bench",
        request=Request(message="go"),
        request_seq=1,
        request_hash="h",
        goal="default",
        priority=Priority.MEDIUM,
        owner="bench",
        routing=RoutingDecision(chosen=workflow.name, reason="named", served_by=ServedBy.WORKFLOW),
        workflow=workflow,
        workflow_hash=workflow.workflow_hash,
        deadline_at=_NOW,
        seed=1,
    )
