"""The law of a run: state + event -> state. What is to be done next is `decide` in `decisions.py`.

    NEW ─started▶ RUNNING ─suspended▶ SUSPENDED ─resumed▶ RUNNING ─completed|failed|cancelled▶ final
                     └─resumed (another owner)─▶ RUNNING

A run that has ended stays as it is: events after a final one change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from evolvent.events.language.approvals import apply_approval, pending_approvals
from evolvent.events.language.progress import Progress
from evolvent.events.language.state import Approval, RunState, RunStatus, load_state
from evolvent.events.messages.runs import (
    AnyRunEvent,
    ApprovalGiven,
    BudgetRefused,
    CancelRequested,
    Deoptimized,
    Final,
    SuspendReason,
    ToolClaimed,
    ToolRecord,
    Totals,
    TurnRecord,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)
from evolvent.events.principal import speaks_for

_FINAL = {
    "workflow_completed": RunStatus.COMPLETED,
    "workflow_failed": RunStatus.FAILED,
    "workflow_cancelled": RunStatus.CANCELLED,
}


def fold(run_id: str, entries: Iterable[tuple[int, AnyRunEvent]]) -> RunState:
    """Return the state after a journal's (sequence, event) pairs."""
    state = RunState(run_id)
    for sequence, event in entries:
        state = reduce(state, event, sequence)
    return state


def reduce(state: RunState, event: AnyRunEvent, sequence: int) -> RunState:
    """Return the state after one event that is stored under a sequence."""
    if state.started is None and not isinstance(event, WorkflowStarted):
        state = _beheaded(state, event)
    elif not state.status.is_final:
        state = _headline(absorb(state, event.turns, event.tools), event)
    return replace(state, last_seq=sequence, last_event_id=event.event_id)


def absorb(state: RunState, turns: tuple[TurnRecord, ...], tools: tuple[ToolRecord, ...]) -> RunState:
    """Return the state after model turns and tool calls ended."""
    if not turns and not tools:
        return state
    progress = Progress(state)
    for turn in turns:
        progress.turn(turn)
    for record in tools:
        progress.tool(record)
    return replace(progress.state(), totals=_add(state.totals, turns, tools))


def suspend(state: RunState, reason: SuspendReason, *, number: int, at: datetime) -> RunState:
    """Return the state of a run that waits from here. Who is asked for an approval is asked from now on."""
    tasks = state.tasks
    if reason is SuspendReason.APPROVAL:
        asked = {n: replace(tasks[n], asked_at=tasks[n].asked_at or at) for n in pending_approvals(state)}
        tasks = {**tasks, **asked}
    return replace(
        state,
        tasks=tasks,
        status=RunStatus.SUSPENDED,
        suspensions=number,
        suspend_reason=reason,
        suspended_at=at,
        refusal=None,
    )


def _beheaded(state: RunState, event: AnyRunEvent) -> RunState:
    """Return the state after an event of a journal whose beginning was purged, or is not yet written."""
    match event:
        case WorkflowSuspended() if event.state:
            return replace(load_state(event.state), status=RunStatus.SUSPENDED)
        case WorkflowResumed() | CancelRequested() | ApprovalGiven() | Final():
            return _headline(state, event)
        case _:
            return state


def _headline(state: RunState, event: AnyRunEvent) -> RunState:
    match event:
        case WorkflowStarted():
            return _start(state, event)
        case WorkflowResumed():
            return _resume(state, event)
        case WorkflowSuspended():
            return suspend(state, event.reason, number=event.suspension, at=event.occurred_at)
        case CancelRequested():
            return replace(state, cancel=event)
        case ApprovalGiven() if state.status is not RunStatus.RUNNING:
            answer = Approval(event.approved, event.principal, event.outcome, event.result, event.note, event.task_id)
            return replace(state, answers=(*state.answers, answer))
        case ToolClaimed():
            return _claim(state, event)
        case BudgetRefused():
            tasks = dict(state.tasks)
            tasks[event.task_id] = replace(tasks[event.task_id], model=event.model)
            return replace(state, tasks=tasks, refusal=None)
        case Deoptimized() if event.to == "fallback":
            return _fall_back(state)
        case Final():
            return replace(state, status=_FINAL[event.type])
        case _:
            return state


def _start(state: RunState, event: WorkflowStarted) -> RunState:
    is_ours = state.cancel is not None and speaks_for(state.cancel.principal, event.principal)
    state = replace(
        state,
        cancel=state.cancel if is_ours else None,
        answers=(),
        status=RunStatus.RUNNING,
        attempt=event.attempt,
        started=event,
        request_seq=event.request_seq,
    )
    progress = Progress(state)
    progress.begin(event.workflow)
    return progress.state()


def _fall_back(state: RunState) -> RunState:
    """Begin the fallback workflow; what was done before stays known under its own task ids."""
    assert state.started is not None
    if state.fell_back or state.started.fallback is None:
        return state
    state = replace(state, fell_back=True, deoptimized=None, failed=(), left=0, active={}, begun={}, missing={})
    progress = Progress(state)
    progress.begin(state.workflow)
    return progress.state()


def _resume(state: RunState, event: WorkflowResumed) -> RunState:
    if event.state is not None and state.started is None:
        restored = load_state(event.state)
        state = replace(restored, cancel=state.cancel or restored.cancel, answers=(*restored.answers, *state.answers))
    paused = state.paused_seconds
    if state.suspended_at is not None:
        paused += max(0.0, (event.occurred_at - state.suspended_at).total_seconds())
    state = replace(
        state,
        status=RunStatus.RUNNING,
        attempt=event.attempt,
        refusal=None,
        request_seq=event.request_seq,
        suspended_at=None,
        paused_seconds=paused,
    )
    return apply_approval(state, event.occurred_at)


def _claim(state: RunState, event: ToolClaimed) -> RunState:
    tasks = dict(state.tasks)
    for claim in event.claims:
        task = tasks[claim.task_id]
        calls = tuple(
            replace(c, claim=claim, claim_attempt=event.attempt, unknown_count=0, reconciled=False)
            if c.call.call_id == claim.call_id
            else c
            for c in task.calls
        )
        tasks[claim.task_id] = replace(task, calls=calls)
    begun = {**state.begun, **{claim.task_id: None for claim in event.claims}}
    return replace(state, tasks=tasks, begun=begun)


def _add(totals: Totals, turns: tuple[TurnRecord, ...], tools: tuple[ToolRecord, ...]) -> Totals:
    usages = [turn.reply.usage for turn in turns if turn.reply is not None]
    return totals.model_copy(
        update={
            "cost_microusd": totals.cost_microusd + sum(turn.cost_microusd for turn in turns),
            "prompt_tokens": totals.prompt_tokens + sum(u.prompt_tokens for u in usages),
            "completion_tokens": totals.completion_tokens + sum(u.completion_tokens for u in usages),
            "model_calls": totals.model_calls + sum(1 for turn in turns if turn.sent),
            "tool_calls": totals.tool_calls + len(tools),
        }
    )
