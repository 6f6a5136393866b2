"""A tick: what ended since the last event, and the one event that says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from evolvent.events.errors import ErrorInfo
from evolvent.events.language.approvals import silence_ends_at
from evolvent.events.language.conversation import ModelReply
from evolvent.events.language.decisions import decide
from evolvent.events.language.endings import success_rate, task_ends
from evolvent.events.language.places import IDLE, Going
from evolvent.events.language.reducer import absorb, suspend
from evolvent.events.language.state import CallState, Refusal, RunState, dump_state
from evolvent.events.language.steps import Finish, Suspend
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.runs import (
    AgentCompleted,
    AgentError,
    BudgetRefused,
    Deoptimized,
    Final,
    RunEvent,
    ServedBy,
    ToolClaimed,
    ToolCompleted,
    ToolRecord,
    TurnRecord,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
    WorkflowSuspended,
)

_FINALS: dict[str, type[Final]] = {
    "workflow_completed": WorkflowCompleted,
    "workflow_failed": WorkflowFailed,
    "workflow_cancelled": WorkflowCancelled,
}


@dataclass(slots=True)
class Tick:
    """What was observed since the last event. `reconciled` holds (task_id, call_id, happened)."""

    turns: list[TurnRecord] = field(default_factory=list)
    tools: list[ToolRecord] = field(default_factory=list)
    reconciled: list[tuple[str, str, bool | None]] = field(default_factory=list)
    refusal: Refusal | None = None
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who says it and when: the envelope of the next event."""

    event_id: str
    source: str
    now: datetime
    wake_at: datetime | None = None


def observe(state: RunState, tick: Tick) -> RunState:
    """Return the state as if the tick's event were stored."""
    state = absorb(state, tuple(tick.turns), tuple(tick.tools))
    for task_id, call_id, happened in tick.reconciled:
        state = _reconciled(state, task_id, call_id, happened)
    if tick.refusal is not None:
        state = replace(state, refusal=tick.refusal)
    return replace(state, is_late=state.is_late or tick.is_late)


def compose(
    state: RunState, tick: Tick, tools: Mapping[str, ToolSpec], stamp: Stamp, going: Going = IDLE
) -> RunEvent | None:
    """Return the one event that says a tick and what it decides, or None where nothing is to be said."""
    after = observe(state, tick)
    decision = decide(after, tools, going)
    common = _common(state, tick, stamp)
    if decision.finish is not None:
        return _final(after, decision.finish, common, stamp)
    if decision.suspend is not None:
        return _suspended(after, decision.suspend, common, stamp)
    if decision.fallback is not None:
        return Deoptimized(**common, to="fallback", reason=decision.fallback)
    if after.deoptimized is not None and state.deoptimized is None:
        return Deoptimized(**common, reason=after.deoptimized)
    if decision.claims:
        return ToolClaimed(**common, claims=tuple(step.claim for step in decision.claims))
    if tick.refusal is not None and (model := tick.refusal.goes_on_with) is not None:
        return BudgetRefused(**common, error=tick.refusal.error, task_id=tick.refusal.task_id, model=model)
    if tick.turns:
        failed = all(turn.reply is None for turn in tick.turns)
        return AgentError(**common) if failed else AgentCompleted(**common)
    return ToolCompleted(**common) if tick.tools else None


def split(tick: Tick) -> tuple[Tick | None, Tick]:
    """Return the first thing of a tick that ended as a tick of its own, or None where it has no two; and the rest."""
    if len(tick.turns) + len(tick.tools) < 2:
        return None, tick
    if tick.turns:
        return Tick(turns=tick.turns[:1]), replace(tick, turns=tick.turns[1:])
    return Tick(tools=tick.tools[:1]), replace(tick, tools=tick.tools[1:])


def shortened(event: RunEvent) -> Iterator[RunEvent]:
    """Give an event that is too large again, ever shorter, as long as it says the same about its run.

    A suspended run that is too large to be told whole goes on from its journal alone; a run that ended badly says why.
    """
    if isinstance(event, WorkflowSuspended):
        yield event.model_copy(update={"state": {}})
    if isinstance(event, Final) and event.error is not None:
        yield event.model_copy(update={"output": None})
        yield event.model_copy(update={"output": None, "task_ends": {}})


def give_up(state: RunState, tick: Tick, error: ErrorInfo, stamp: Stamp) -> RunEvent:
    """Return the event that ends a run whose next event is too large: what happened and what it cost, no contents."""
    turns = [turn.model_copy(update={"reply": turn.reply and _hollow(turn.reply)}) for turn in tick.turns]
    tools = [record.model_copy(update={"arguments": {}, "result": None}) for record in tick.tools]
    short = replace(tick, turns=turns, tools=tools)
    return _final(observe(state, short), Finish("workflow_failed", error=error), _common(state, short, stamp), stamp)


def _hollow(reply: ModelReply) -> ModelReply:
    return reply.model_copy(update={"text": None, "tool_calls": ()})


def _common(state: RunState, tick: Tick, stamp: Stamp) -> dict[str, Any]:
    return {
        "event_id": stamp.event_id,
        "run_id": state.run_id,
        "correlation_id": state.run_id,
        "causation_id": state.last_event_id,
        "occurred_at": stamp.now,
        "source": stamp.source,
        "attempt": state.attempt,
        "prev_seq": state.last_seq,
        "turns": tuple(tick.turns),
        "tools": tuple(tick.tools),
    }


def _final(state: RunState, finish: Finish, common: dict[str, Any], stamp: Stamp) -> Final:
    started = state.started
    totals = state.totals
    if started is not None:
        seconds = (stamp.now - started.occurred_at).total_seconds()
        totals = totals.model_copy(update={"duration_seconds": max(0.0, round(seconds, 6))})
        common |= {
            "served_by": _served_by(state, started),
            "user_id": started.request.user_id,
            "principal": started.principal,
            "goal": started.goal,
        }
    rate = {"success_rate": round(success_rate(state), 4)} if len(state.tasks) > 1 else {}
    scripted = any(t.reply is not None and t.reply.scripted for task in state.tasks.values() for t in task.turns)
    return _FINALS[finish.event_type](
        **common,
        **rate,
        task_ends=task_ends(state),
        answer=finish.answer,
        output=None if finish.answer is not None else finish.output,
        error=finish.error,
        scripted=scripted,
        totals=totals,
        cost_usd=totals.cost_microusd / 1e6,
    )


def _served_by(state: RunState, started: WorkflowStarted) -> ServedBy:
    """Say who served: an automation that handed over did not, its agent did."""
    routed = started.routing.served_by
    return ServedBy.AGENT if routed is ServedBy.AUTOMATION and state.deoptimized is not None else routed


def _suspended(state: RunState, wait: Suspend, common: dict[str, Any], stamp: Stamp) -> WorkflowSuspended:
    number = state.suspensions + 1
    kept = replace(suspend(state, wait.reason, number=number, at=stamp.now), status=state.status)
    return WorkflowSuspended(
        **common,
        reason=wait.reason,
        detail=wait.detail,
        wake_at=stamp.wake_at or silence_ends_at(kept),
        suspension=number,
        state=dump_state(kept),
    )


def _reconciled(state: RunState, task_id: str, call_id: str, happened: bool | None) -> RunState:  # noqa: FBT001
    """Apply what a tool's own hook said: not happened means free to claim again, None means it cannot tell."""

    def after(call: CallState) -> CallState:
        if call.call.call_id != call_id:
            return call
        if happened is False:
            return replace(call, claim=None, claim_attempt=0, unknown_count=0)
        return replace(call, reconciled=True)

    task = state.tasks[task_id]
    tasks = {**state.tasks, task_id: replace(task, calls=tuple(after(c) for c in task.calls))}
    return replace(state, tasks=tasks)
