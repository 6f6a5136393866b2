"""A journal run again: recorded answers, no effects, no cost. The same law gives the same events.

Each event that an owner said is said anew from what ended in its tick, and compared by content: everything but ids,
times and who said it. What others said (cancel, approval, a takeover) is taken as it is. A turn or call that the law
did not ask for, or asks for and the journal does not hold, makes the replay not decidable; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evolvent.events.errors import Category, ErrorInfo
from evolvent.events.language.decisions import decide
from evolvent.events.language.hashing import content_hash
from evolvent.events.language.places import Going, Order, by_estimates
from evolvent.events.language.reducer import reduce
from evolvent.events.language.state import CallState, Refusal, RunState, RunStatus, TaskStatus
from evolvent.events.language.steps import Activity, CallTool, Reconcile, TakeTurn
from evolvent.events.language.ticks import Stamp, Tick, compose
from evolvent.events.language.tools import Effect, ToolSpec
from evolvent.events.messages.runs import (
    AnyRunEvent,
    ApprovalGiven,
    BudgetRefused,
    CancelRequested,
    Final,
    RunEvent,
    SuspendReason,
    WorkflowFailed,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
)

_INPUTS = (WorkflowStarted, WorkflowResumed, CancelRequested, ApprovalGiven)
_NOT_CONTENT = {"event_id", "causation_id", "occurred_at", "source", "prev_seq", "owner"}
_LATE = "run.timeout"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One event, as it was recorded and as it was said again; hashes of their contents."""

    sequence: int
    type: str
    recorded_hash: str
    replayed_hash: str
    difference: Mapping[str, tuple[Any, Any]]

    @property
    def is_same(self) -> bool:
        """Say whether nothing but ids and times differs."""
        return self.recorded_hash == self.replayed_hash


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay as far as it went. `undecided` says why it went no further, where it did not come to the end."""

    events: tuple[Replayed, ...]
    state: RunState
    undecided: str | None = None

    @property
    def is_identical(self) -> bool:
        """Say whether every event came out as it was recorded."""
        return self.undecided is None and all(event.is_same for event in self.events)


def replay(run_id: str, entries: Sequence[tuple[int, AnyRunEvent]], tools: Mapping[str, ToolSpec]) -> Replay:
    """Run a journal, given as (sequence, event) pairs in order, again."""
    state = RunState(run_id)
    said: list[Replayed] = []
    known = {**recorded_tools(event for _, event in entries), **tools}
    orders = (by_estimates, _as_recorded([event for _, event in entries]))
    running: tuple[Activity, ...] = ()
    for sequence, event in entries:
        running = _still_running(running, event)
        busy = frozenset(activity.task_id for activity in running)
        going = Going(busy)
        if not isinstance(event, _INPUTS):
            reason = _foreign(state, event)
            if reason is not None:
                return Replay(tuple(said), state, f"event {sequence} ({event.type}): {reason}")
            compared: dict[Order, Replayed] = {}
            for order in orders:
                again = _said_again(state, event, known, Going(busy, order))
                if again is not None:
                    compared[order] = _compared(sequence, event, again)
                    if compared[order].is_same:
                        break
            if not compared:
                return Replay(tuple(said), state, f"event {sequence} ({event.type}): the law says nothing here")
            order = next((o for o, each in compared.items() if each.is_same), next(iter(compared)))
            said.append(compared[order])
            going = Going(busy, order)
        else:
            said.append(_compared(sequence, event, event))
        state = reduce(state, event, sequence)
        if state.status is RunStatus.RUNNING:
            running = decide(state, known, going).activities or running
    if not state.status.is_final and not said:
        return Replay((), state, "the journal is empty")
    return Replay(tuple(said), state)


def recorded_tools(events: Iterable[AnyRunEvent]) -> dict[str, ToolSpec]:
    """Return the tools as a journal shows them, for those that this process does not know any more."""
    found: dict[str, ToolSpec] = {}
    for event in events:
        for record in event.tools:
            if not (record.error and record.error.code == "tool.unknown"):
                found.setdefault(record.name, ToolSpec(name=record.name, effect=record.effect))
        for claim in getattr(event, "claims", ()):
            found[claim.name] = ToolSpec(name=claim.name, effect=Effect(claim.effect))
    return found


def content_of(event: RunEvent) -> dict[str, Any]:
    """Return what an event says, without ids, times and who said it."""
    data = event.model_dump(mode="json", exclude=_NOT_CONTENT, exclude_none=True)
    if isinstance(data.get("state"), dict):
        data["state"] = {
            k: v for k, v in data["state"].items() if k not in ("last_event_id", "last_seq", "suspended_at")
        }
    data.get("totals", {}).pop("duration_seconds", None)
    return data


def _still_running(running: tuple[Activity, ...], event: AnyRunEvent) -> tuple[Activity, ...]:
    """Return what an owner has under way when it says an event: what it began, without what the event tells the end of.

    A new owner has nothing under way, and neither has one that stops.
    """
    if isinstance(event, WorkflowStarted | WorkflowResumed | WorkflowSuspended | Final):
        return ()
    turns = {turn.task_id for turn in event.turns}
    calls = {(record.task_id, record.call_id) for record in event.tools}
    return tuple(
        activity
        for activity in running
        if (activity.task_id not in turns if isinstance(activity, TakeTurn) else _name(activity) not in calls)
    )


def _name(activity: CallTool | Reconcile) -> tuple[str, str]:
    return activity.task_id, activity.call_id


def _as_recorded(events: Sequence[AnyRunEvent]) -> Order:
    """Return the order of ready tasks that an owner chose, by what is first heard of them: its loads are not known."""
    first: dict[str, int] = {}
    for event in events:
        for part in (*event.turns, *event.tools, *getattr(event, "claims", ())):
            first.setdefault(part.task_id, len(first))
    return lambda _, ready: sorted(ready, key=lambda name: first.get(name, len(first)))


def _said_again(state: RunState, event: AnyRunEvent, tools: Mapping[str, ToolSpec], going: Going) -> RunEvent | None:
    tick = Tick(turns=list(event.turns), tools=list(event.tools), refusal=_refusal(event), is_late=_is_late(event))
    tick.reconciled = _reconciled(state, event, tools)
    wake_at = event.wake_at if isinstance(event, WorkflowSuspended) and event.reason is SuspendReason.BUDGET else None
    stamp = Stamp(event.event_id, event.source, event.occurred_at, wake_at)
    return compose(state, tick, tools, stamp, going)


def _reconciled(
    state: RunState, event: AnyRunEvent, tools: Mapping[str, ToolSpec]
) -> list[tuple[str, str, bool | None]]:
    """Return what tools said of their own calls, as it shows: claimed anew, it had not happened; a person is asked."""
    is_asked = isinstance(event, WorkflowSuspended) and event.reason is SuspendReason.OUTCOME_UNKNOWN
    again = {(claim.task_id, claim.call_id) for claim in getattr(event, "claims", ())}
    said: list[tuple[str, str, bool | None]] = []
    for name in state.begun:
        for call in state.tasks[name].calls:
            if call.claim is None or call.record is not None:
                continue
            spec = tools.get(call.call.name)
            if (name, call.call.call_id) in again:
                said.append((name, call.call.call_id, False))
            elif is_asked and spec is not None and spec.reconcilable:
                said.append((name, call.call.call_id, None))
    return said


def _is_late(event: AnyRunEvent) -> bool:
    return isinstance(event, WorkflowFailed) and event.error is not None and event.error.code == _LATE


def _refusal(event: AnyRunEvent) -> Refusal | None:
    """Return the refusal that an event tells of: the ledger's answer was an input of its tick."""
    if isinstance(event, BudgetRefused):
        return Refusal(event.task_id, event.error, "cheaper_model", event.model)
    if isinstance(event, WorkflowSuspended) and event.reason is SuspendReason.BUDGET:
        return Refusal("", ErrorInfo(code="budget", category=Category.RESOURCE, message=event.detail), "queue")
    if isinstance(event, WorkflowFailed) and event.error is not None and event.error.code.startswith("budget"):
        return Refusal("", event.error, "stop")
    return None


def _foreign(state: RunState, event: AnyRunEvent) -> str | None:
    """Return why what ended in an event was not under way, or None where it was."""
    for turn in event.turns:
        task = state.tasks.get(turn.task_id)
        if task is None or task.status.is_over:
            return f"a turn of task {turn.task_id!r}, which is not under way"
    for record in event.tools:
        task = state.tasks.get(record.task_id)
        calls: tuple[CallState, ...] = task.calls if task is not None else ()
        if not any(call.call.call_id == record.call_id for call in calls):
            return f"a call of {record.name!r} that nobody asked for"
        if task is not None and task.status is TaskStatus.WAITING:
            return f"a call of task {record.task_id!r}, which waits"
    return None


def _compared(sequence: int, recorded: RunEvent, again: RunEvent) -> Replayed:
    before, after = content_of(recorded), content_of(again)
    names = before.keys() | after.keys()
    difference = {n: (before.get(n), after.get(n)) for n in sorted(names) if before.get(n) != after.get(n)}
    return Replayed(sequence, recorded.type, content_hash(before), content_hash(after), difference)
