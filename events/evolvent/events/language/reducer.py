"""The law of a run: state + event -> state. What is to be done next is `decide` in `decisions.py`.

    NEW ─started▶ RUNNING ─suspended▶ SUSPENDED ─resumed▶ RUNNING ─completed|failed|cancelled▶ final
                     └─resumed (another owner)─▶ RUNNING

A run that has ended stays as it is: events after a final one change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.state import (
    Approval,
    CallState,
    RunState,
    RunStatus,
    TaskState,
    TaskStatus,
    load_state,
)
from evolvent.events.language.workflow import Task, TaskKind
from evolvent.events.messages.runs import (
    AnyRunEvent,
    ApprovalGiven,
    BudgetRefused,
    CancelRequested,
    Final,
    SuspendReason,
    ToolClaimed,
    ToolOutcome,
    ToolRecord,
    Totals,
    TurnRecord,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)
from evolvent.events.principal import speaks_for

_EPOCH = datetime.fromtimestamp(0, UTC)
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
    tasks = dict(state.tasks)
    for turn in turns:
        tasks[turn.task_id] = _after_turn(tasks[turn.task_id], turn)
    for record in tools:
        tasks[record.task_id] = _after_call(tasks[record.task_id], record)
    totals = _add(state.totals, turns, tools)
    return replace(state, tasks=_unblock(tasks), totals=totals)


def _beheaded(state: RunState, event: AnyRunEvent) -> RunState:
    """Return the state after an event of a journal whose beginning was purged, or is not yet written."""
    match event:
        case WorkflowSuspended():
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
            return replace(
                state,
                status=RunStatus.SUSPENDED,
                suspensions=event.suspension,
                suspend_reason=event.reason,
                suspended_at=event.occurred_at,
                refusal=None,
            )
        case CancelRequested():
            return replace(state, cancel=event)
        case ApprovalGiven() if state.status is not RunStatus.RUNNING:
            answer = Approval(event.approved, event.principal, event.outcome, event.result, event.note)
            return replace(state, approval=answer)
        case ToolClaimed():
            return _claim(state, event)
        case BudgetRefused():
            tasks = dict(state.tasks)
            tasks[event.task_id] = replace(tasks[event.task_id], model=event.model)
            return replace(state, tasks=tasks, refusal=None)
        case Final():
            return replace(state, status=_FINAL[event.type])
        case _:
            return state


def _start(state: RunState, event: WorkflowStarted) -> RunState:
    tasks = {task.task_id: _new_task(task) for task in event.workflow.tasks}
    is_ours = state.cancel is not None and speaks_for(state.cancel.principal, event.principal)
    return replace(
        state,
        cancel=state.cancel if is_ours else None,
        status=RunStatus.RUNNING,
        attempt=event.attempt,
        started=event,
        tasks=_unblock(tasks),
        request_seq=event.request_seq,
    )


def _new_task(task: Task) -> TaskState:
    if task.kind is TaskKind.TOOL and task.tool is not None:
        call = ToolCall(call_id=task.task_id, name=task.tool, arguments=task.arguments)
        return TaskState(task, calls=(CallState(call),))
    return TaskState(task)


def _resume(state: RunState, event: WorkflowResumed) -> RunState:
    if event.state is not None and state.started is None:
        restored = load_state(event.state)
        state = replace(restored, cancel=state.cancel or restored.cancel, approval=state.approval or restored.approval)
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
    return _apply_approval(state)


def _apply_approval(state: RunState) -> RunState:
    """Settle the calls whose end was unknown, as a person said."""
    if state.approval is None or state.suspend_reason is not SuspendReason.OUTCOME_UNKNOWN:
        return replace(state, approval=None)
    tasks = {
        name: replace(task, calls=tuple(_settle(call, state.approval) for call in task.calls))
        for name, task in state.tasks.items()
    }
    return replace(state, approval=None, tasks=_unblock(tasks), suspend_reason=None)


def _settle(call: CallState, answer: Approval) -> CallState:
    if call.claim is None or call.record is not None:
        return call
    outcome = answer.outcome or ("happened" if answer.approved else "failed")
    if outcome == "did_not_happen":
        return replace(call, claim=None, claim_attempt=0, unknown_count=0, reconciled=False)
    return replace(call, record=_told(call, answer, happened=outcome == "happened"))


def _told(call: CallState, answer: Approval, *, happened: bool) -> ToolRecord:
    from_claim = call.claim
    assert from_claim is not None
    return ToolRecord(
        task_id=from_claim.task_id,
        call_id=call.call.call_id,
        name=call.call.name,
        effect=from_claim.effect,
        arguments=call.call.arguments or {},
        outcome=ToolOutcome.OK if happened else ToolOutcome.ERROR,
        result=answer.result if happened else {"error": answer.note or "A person treats this call as failed."},
        idempotency_key=from_claim.idempotency_key,
        decided_by=answer.principal,
        started_at=_EPOCH,
    )


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
    return replace(state, tasks=tasks)


def _after_turn(task: TaskState, turn: TurnRecord) -> TaskState:
    reply = turn.reply
    if reply is None:
        return replace(task, tries=task.tries + 1, turns=(*task.turns, turn))
    calls = tuple(CallState(call) for call in reply.tool_calls)
    task = replace(task, tries=0, turns=(*task.turns, turn), calls=(*task.calls, *calls))
    return task if calls else replace(task, status=TaskStatus.DONE, output=reply.text or "")


def _after_call(task: TaskState, record: ToolRecord) -> TaskState:
    calls = tuple(_with_record(c, record) if c.call.call_id == record.call_id else c for c in task.calls)
    task = replace(task, calls=calls)
    if task.task.kind is TaskKind.AGENT or record.outcome is ToolOutcome.UNKNOWN:
        return task
    if record.outcome is ToolOutcome.ERROR:
        return replace(task, status=TaskStatus.FAILED, error=record.error)
    return replace(task, status=TaskStatus.DONE, output=record.result)


def _with_record(call: CallState, record: ToolRecord) -> CallState:
    if call.record is not None:
        return call
    if record.outcome is ToolOutcome.UNKNOWN:
        return replace(call, unknown_count=call.unknown_count + 1)
    return replace(call, record=record)


def _unblock(tasks: dict[str, TaskState]) -> dict[str, TaskState]:
    """Set every waiting task running whose dependencies are all done."""
    for name, task in tasks.items():
        if task.status is TaskStatus.WAITING and all(
            tasks[d].status is TaskStatus.DONE for d in task.task.dependencies
        ):
            tasks[name] = replace(task, status=TaskStatus.RUNNING)
    return tasks


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
